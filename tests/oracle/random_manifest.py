"""Random manifests with cases to ask of them: input lines of the differential (README.md). The same seed gives the same line."""

import base64

from bucketing import FULL, bound, draw
from canonical_json import canonical
from id_list import describe, make_blob
from operators import fold, obfuscated
from random_text import JUNK, Raw, render, spoil
from random_texts import attribute_value, operand, random_number_text
from random_values import ATTRIBUTES, BASE, NO_UNITS, ODD, OPERATORS, SHA256, STRINGS, UNITS, draw_of
from context import classify, revive, unit_id

UNIT_TYPES = ("user_id", "user_id", "user_id", "device_id", "account_id", "geo")
NOWS = (BASE, BASE, BASE, BASE - 1, BASE + 1, BASE + 86_400_000, BASE - 86_400_000, 0, -1, (1 << 53) - 1)
TYPES = ("bool", "string", "int", "float", "json")
VALUES = {
    "bool": (True, False), "string": STRINGS, "int": (0, 1, -5, 9007199254740991, Raw("5.0"), Raw("-0"), Raw("1e3"), Raw("9.007199254740991e15")),
    "float": (0, 0.5, -2, Raw("1.50"), Raw("1E21"), Raw("-0.0"), Raw("1e-7"), Raw("0.30000000000000004"), Raw("123456789012345678901")),
    "json": (None, True, {"b": [1, 2.5], "a": {"\u00e9": None}}, [], {}, "text", Raw('{"z":1e2,"a":-0.0,"\\u20ac":[{}]}'), [[[]]]),
}


def unit_texts():
    found = (unit_id(classify(revive(value))) for value in UNITS)
    return [text for text in found if text is not None]


TEXTS = unit_texts()


class Author:
    """Builds one manifest."""

    def __init__(self, rng):
        self.rng = rng
        self.obfuscation = "obf-" + str(rng.randrange(100)) if rng.random() < 0.1 else None
        self.flags = [f"f{n}" for n in range(rng.randint(1, 9))]
        self.variations = {}
        self.segments = [f"s{n}" for n in range(rng.randint(0, 4))]
        self.layers = {f"l{n}": rng.choice(UNIT_TYPES) for n in range(rng.randint(0, 2))}
        self.holdouts = [f"h{n}" for n in range(rng.randint(0, 3))]
        self.lists = [f"i{n}" for n in range(rng.randint(0, 2) if rng.random() < 0.4 else 0)]
        self.experiments = []
        self.salts = 0

    def chance(self, p):
        return self.rng.random() < p

    def hide(self, text):
        return text if self.obfuscation is None else obfuscated(self.obfuscation, text)

    def salt(self):
        if self.chance(0.01):
            return self.rng.choice(("shared", "layer-l0", "hold-h0"))
        self.salts += 1
        return f"s-{self.salts}-{self.rng.randrange(1000)}"

    def ranges(self, salt, most=3):
        """Some sorted ranges; bounds are shares, or right at the hash of a unit that contexts use."""
        roll = self.rng.random()
        if roll < 0.3:
            return [[0, FULL]]
        if roll < 0.36:
            return []
        if roll < 0.6:
            return [[0, bound(self.rng.randint(1, 10000), 10000)]]
        points = set()
        while len(points) < 2 * self.rng.randint(1, most):
            h = draw(salt, self.rng.choice(TEXTS))
            points.add(self.rng.choice((0, FULL, bound(self.rng.randrange(1001), 1000), h, h + 1, h, max(h - 1, 0), self.rng.randrange(FULL))))
        points = sorted(points)
        return [list(pair) for pair in zip(points[::2], points[1::2])]

    def split(self, salt, keys):
        ranges, at = [], 0
        while at < FULL and len(ranges) < 6:
            end = self.rng.choice((FULL, bound(self.rng.randint(1, 10000), 10000), draw(salt, self.rng.choice(TEXTS)) + self.rng.randint(0, 1)))
            if end > at:
                if not self.chance(0.1) or not ranges:
                    ranges.append([at, end, self.rng.choice(keys)])
                at = end
        return ranges

    # Expressions

    def expression(self, depth=0):
        roll = self.rng.random()
        if depth < 4 and roll < 0.35:
            kind = self.rng.choice(("all", "any", "not"))
            if kind == "not":
                return {"not": self.expression(depth + 1)}
            return {kind: [self.expression(depth + 1) for _ in range(self.rng.choice((0, 1, 2, 2, 3)))]}
        if depth == 0 and self.chance(0.004):
            return self.deep()
        return self.leaf()

    def deep(self):
        expression = self.leaf()
        for _ in range(self.rng.randint(28, 34)):
            expression = self.rng.choice(({"not": expression}, {"all": [expression]}, {"any": [expression]}))
        return expression

    def leaf(self):
        roll = self.rng.random()
        if roll < 0.06:
            return {"op": "is_present", "attr": self.rng.choice(tuple(ATTRIBUTES) + ("user_id", "nothing"))}
        if roll < 0.14:
            salt = self.salt()
            return {"op": "in_bucket", "unit": self.rng.choice(UNIT_TYPES), **draw_of(salt, self.ranges(salt))}
        if roll < 0.22 and self.segments:
            return {"op": "in_segment", "segment": self.rng.choice(self.segments)}
        if roll < 0.28 and self.lists:
            return {"op": "in_list", "unit": self.rng.choice(UNIT_TYPES), "list": self.rng.choice(self.lists)}
        if roll < 0.36 and (self.later() or self.chance(0.2)):
            return {"op": "flag_is", **self.reference()}
        if self.obfuscation is not None and roll < 0.6:
            return self.hidden_leaf()
        attr = self.rng.choice(tuple(ATTRIBUTES))
        op = self.rng.choice(OPERATORS[attr])
        field, value = operand(self.rng, op)
        leaf = self.over({"op": op, "attr": attr, field: value})
        if self.chance(0.002):
            leaf.setdefault(self.rng.choice(("all", "values", "unit", "over", "salt")), None)
        return leaf

    def over(self, leaf):
        if self.chance(0.25):
            leaf["over"] = self.rng.choice(("any", "all", "none"))
            leaf["attr"] = "l_" + leaf["attr"]
        return leaf

    def hidden_leaf(self):
        op = self.rng.choice(SHA256)
        prepare = fold if "_ci_" in op else (lambda text: text)
        hashes = [self.hide(prepare(self.rng.choice(STRINGS))) for _ in range(3)]
        return self.over({"op": op, "attr": self.rng.choice(("country", "plan", "geo")), **({"values": hashes} if "_in_" in op else {"value": hashes[0]})})

    def later(self):
        return self.flags[len(self.variations) :]

    def reference(self):
        """Mostly to a flag further on, so that circles are the exception."""
        other = self.rng.choice(self.flags if self.chance(0.04) else self.later() or self.flags)
        keys = ["off", "a", "b", "on"] if self.chance(0.05) else ["off", "a"]
        return {"flag": self.hide(other), "variations": self.rng.sample(keys, self.rng.randint(1, len(keys)))}

    # Flags

    def flag(self, key):
        kind = self.rng.choice(TYPES)
        names = ["off", "a", "b", "c"][: self.rng.choice((2, 2, 3, 4))]
        self.variations[key] = names
        flag = {"type": kind, "variations": [{"key": name, "value": self.value(kind)} for name in names], "off": "off", "default": self.rng.choice(names),
                "rules": [self.rule(f"r{at}", names) for at in range(self.rng.choice((0, 1, 1, 2, 2, 3, 4)))]}
        if self.chance(0.1):
            flag["state"] = self.rng.choice(("live", "killed", "archived"))
        if self.chance(0.2):
            flag["overrides"] = {unit: {text: self.rng.choice(names) for text in self.rng.sample(TEXTS, 4)} for unit in self.rng.sample(("user_id", "device_id", "geo", "country"), 2)}
        if self.chance(0.05):
            flag["meta"] = self.rng.choice(JUNK[:-20])
        return flag

    def value(self, kind):
        if kind == "float" and self.chance(0.4):
            return random_number_text(self.rng)
        if kind == "json" and self.chance(0.2):
            return [random_number_text(self.rng), {"n": random_number_text(self.rng)}]
        return self.rng.choice(VALUES[kind])

    def rule(self, name, keys):
        kind = self.rng.choice(("targeted", "targeted", "rollout", "experiment", "experiment", "experiment"))
        rule = {"id": name, "kind": kind}
        if self.chance(0.15):
            rule["start_ms"] = self.rng.choice((BASE, BASE - 1, BASE + 1, 0))
        if self.chance(0.15):
            rule["end_ms"] = self.rng.choice((BASE + 2, BASE + 86_400_000, (1 << 53) - 1))
        if self.chance(0.1) and (self.later() or self.chance(0.1)):
            rule["requires"] = [self.reference() for _ in range(self.rng.randint(0, 2))]
        if self.chance(0.25) and self.holdouts:
            rule["holdouts"] = self.rng.sample(self.holdouts, self.rng.randint(1, len(self.holdouts)))
        if self.chance(0.6):
            rule["when"] = self.expression()
        if kind != "experiment":
            rule["serve"] = self.rng.choice(keys)
        if kind != "targeted":
            rule["unit"] = self.rng.choice(UNIT_TYPES)
            salt = self.salt()
            rule["traffic"] = draw_of(salt, self.ranges(salt))
        if kind == "experiment":
            self.experiment(rule, keys)
        if self.chance(0.005):
            rule.setdefault(self.rng.choice(("serve", "unit", "traffic", "epoch", "state", "sticky", "layer", "slots", "when")), None)
        return rule

    def experiment(self, rule, keys):
        salt = self.salt()
        rule.update({"experiment": f"e{self.rng.randrange(4)}", "phase": self.rng.randint(1, 3), "split": draw_of(salt, self.split(salt, keys))})
        if self.chance(0.3):
            rule["epoch"] = self.rng.randint(1, 5)
        if self.chance(0.25):
            rule["state"] = self.rng.choice(("running", "paused", "killed"))
        if self.chance(0.5):
            rule["sticky"] = self.chance(0.9)
        fitting = [layer for layer, unit in self.layers.items() if unit == rule["unit"] or self.chance(0.02)]
        if fitting and self.chance(0.5):
            rule["layer"] = self.rng.choice(fitting)
            rule["slots"] = self.ranges("layer-" + rule["layer"])
        if self.chance(0.05):
            rule[self.rng.choice(("epoch", "state", "sticky", "when", "requires"))] = None
        self.experiments.append((rule["experiment"], rule["phase"], rule["unit"], keys))

    # The whole

    def parts(self):
        parts = {}
        if self.segments:
            parts["segments"] = {}
            for name in list(self.segments):
                # A segment names those made before it; now and then any, which may close a circle.
                every, self.segments = self.segments, (self.segments if self.chance(0.03) else list(parts["segments"]))
                parts["segments"][name] = self.expression(1)
                self.segments = every
        if self.layers:
            parts["layers"] = {name: {"unit": unit, "hash": "murmur3_32", "salt": "layer-" + name} for name, unit in self.layers.items()}
        if self.holdouts:
            parts["holdouts"] = {}
            for name in self.holdouts:
                parts["holdouts"][name] = {"unit": self.rng.choice(UNIT_TYPES), **draw_of("hold-" + name, self.ranges("hold-" + name))}
                if self.chance(0.4):
                    parts["holdouts"][name]["when"] = self.expression(1)
        return parts

    def id_lists(self):
        described, supplied = {}, {}
        for name in self.lists:
            salt = "list-" + name
            blob = make_blob(salt, [name, *self.rng.sample(TEXTS, self.rng.randint(0, 30))])
            described[name] = describe(salt, blob)
            roll = self.rng.random()
            if roll < 0.7:
                supplied[name] = base64.b64encode(blob).decode()
            elif roll < 0.8:
                supplied[name] = base64.b64encode(blob[:-8]).decode()
        return described, supplied

    def manifest(self):
        described, supplied = self.id_lists()
        # Flags first: what they may refer to is known from the start, their variations are not needed.
        flags = {self.hide(key): self.flag(key) for key in self.flags}
        manifest = {"schema": 1, "environment": "e", "audience": "client" if self.obfuscation else self.rng.choice(("server", "client")), "generation": self.rng.randint(1, 3), "version": self.rng.randint(1, 1 << 40),
                    "issued_at_ms": BASE, "flags": flags, **self.parts()}
        if described:
            manifest["lists"] = described
        if self.obfuscation is not None:
            manifest["obfuscation"] = {"salt": self.obfuscation}
        for key in flags:
            if self.chance(0.1):
                flags[key] = spoil(self.rng, flags[key])
        for part in ("segments", "layers", "holdouts", "lists"):
            if part in manifest and self.chance(0.06):
                name = self.rng.choice(list(manifest[part]))
                manifest[part][name] = spoil(self.rng, manifest[part][name]) if manifest[part][name] else self.rng.choice(JUNK)
        text = render(self.rng, self.spoilt_top(manifest) if self.chance(0.02) else manifest)
        if self.chance(0.003):
            cut = self.rng.randrange(len(text))
            text = text[:cut] + self.rng.choice(("", "x", "}", "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"))) + text[cut + 1 :]
        return text, supplied

    def spoilt_top(self, manifest):
        name = self.rng.choice([key for key in manifest if key != "flags"] + ["flags", "extra", "meta"])
        if name in manifest and self.chance(0.5):
            del manifest[name]
        else:
            manifest[name] = self.rng.choice(JUNK)
        return manifest


def attribute_values(rng, author):
    context = {}
    for name in ATTRIBUTES:
        if rng.random() < 0.75:
            context[name] = attribute_value(rng, name) if rng.random() < 0.9 else rng.choice(ODD)
        if rng.random() < 0.5:
            roll = rng.random()
            if roll < 0.85:
                context["l_" + name] = [attribute_value(rng, name) for _ in range(rng.randint(0, 3))]
            elif roll < 0.93:
                context["l_" + name] = [attribute_value(rng, name), rng.choice(ODD)]
            else:
                context["l_" + name] = rng.choice(ODD)
    for name in ("user_id", "device_id", "account_id"):
        roll = rng.random()
        if roll < 0.8:
            context[name] = rng.choice(UNITS)
        elif roll < 0.9:
            context[name] = rng.choice(NO_UNITS)
    return context


def sticky_records(rng, author, context):
    records = {}
    for experiment, phase, unit, keys in author.experiments:
        if rng.random() < 0.5:
            text = unit_id(classify(revive(context.get("country" if unit == "geo" else unit)))) or "nobody"
            if rng.random() < 0.1:
                text = rng.choice(TEXTS)
            if rng.random() < 0.1:
                phase += 1
            records[experiment] = {"experiment": experiment, "phase": phase, "unit": text, "variation": rng.choice(keys + ["gone"])}
    return list(records.values())


def random_line(rng, number, cases) -> dict:
    author = Author(rng)
    text, supplied = author.manifest()
    asked = []
    context = sticky = None
    for at in range(cases):
        if at % 4 == 0:
            context = attribute_values(rng, author)
            sticky = sticky_records(rng, author, context) if author.experiments and rng.random() < 0.5 else None
        case = {"flag": "nothing" if rng.random() < 0.02 else rng.choice(author.flags), "context": context, "now_ms": rng.choice(NOWS)}
        if sticky:
            case["sticky"] = sticky
        if rng.random() < 0.06:
            case["forced"] = {rng.choice(author.flags): rng.choice(("off", "a", "b", "gone")) for _ in range(rng.randint(1, 3))}
        if rng.random() < 0.08:
            case["type"] = rng.choice(TYPES)
        asked.append(case)
    return {"id": number, "manifest": text, "lists": supplied, "cases": asked}
