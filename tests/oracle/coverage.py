"""What a run of the differential has touched: reasons, each operator's three answers, steps of rules, causes of unsupported flags."""

import re
from collections import Counter

import expression
from evaluation import REASONS
from operators import LEAVES

EVERY_OPERATOR = set(LEAVES) | set(expression.OTHER_LEAVES)


class Coverage:
    def __init__(self):
        self.reasons = Counter()
        self.kinds = Counter()
        self.answers = Counter()
        self.causes = Counter()
        self.totals = Counter()

    def watch(self):
        """From now on counts what each leaf answers. Wraps the reader's leaves; the answers stay what they are."""
        read = expression.Reader._read

        def counting_read(reader, value, where, level):
            compiled = read(reader, value, where, level)
            op = dict(value.pairs).get("op")
            if op is not None:
                over = dict(value.pairs).get("over")
                label, answer, answers = f"{op}/{over}" if over else op, compiled.answer, self.answers

                def counted(evaluation):
                    given = answer(evaluation)
                    answers[(label, given)] += 1
                    return given

                compiled.answer = counted
            return compiled

        expression.Reader._read = counting_read

    def cause(self, fault: str):
        """Counts a fault without its particulars."""
        self.causes[re.sub(r"'[^']*'|\"[^\"]*\"|\d+", "…", fault.rsplit(": ", 1)[-1])[:60]] += 1

    def decision(self, decision):
        self.reasons[decision["reason"]] += 1
        for exposure in decision["holdout_exposures"]:
            self.kinds["holdout " + exposure["arm"]] += 1
        if decision["exposure"]:
            self.kinds["exposure"] += 1
        if decision["experiment"] is not None:
            self.kinds["experiment"] += 1

    def add(self, other):
        for name in ("reasons", "kinds", "answers", "causes", "totals"):
            getattr(self, name).update(getattr(other, name))

    def missing(self):
        """What never occurred: reasons (an internal fault is no answer to any input), operators without one of their answers."""
        missing = [f"reason {reason}" for reason in REASONS if reason != "ERROR" and not self.reasons[reason]]
        for op in sorted(EVERY_OPERATOR):
            for answer, word in ((True, "true"), (False, "false"), (None, "unknown")):
                if op == "is_present" and answer is None:
                    continue
                if not any(count and label.split("/")[0] == op and given is answer for (label, given), count in self.answers.items()):
                    missing.append(f"{op} {word}")
        for over in ("any", "all", "none"):
            if not any(label.endswith("/" + over) for label, _ in self.answers):
                missing.append("over " + over)
        for kind in ("holdout held", "holdout open", "exposure", "experiment"):
            if not self.kinds[kind]:
                missing.append(kind)
        if not self.totals["refused"]:
            missing.append("a refused manifest")
        return missing

    def written(self) -> dict:
        operators = Counter()
        for (label, given), count in self.answers.items():
            operators[f"{label.split('/')[0]} {({True: 'true', False: 'false', None: 'unknown'})[given]}"] += count
        return {"totals": dict(self.totals), "reasons": dict(sorted(self.reasons.items())), "rules": dict(sorted(self.kinds.items())), "operators": dict(sorted(operators.items())),
                "causes": dict(self.causes.most_common())}
