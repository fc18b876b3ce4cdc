"""Expressions (operators.md): reading one, and its three-valued answer.

A compiled expression is a function of the evaluation, with what the manifest page needs to know about it: depth, cost, the flags it refers to
(with how often each is paid for) and the id lists it names.
"""

from collections import Counter

from bucketing import FULL, HASHES, draw, in_ranges, is_salt
from context import LIST, MISSING
from operators import LEAVES, MOST_OPERANDS
from strict_json import Fault, Object, read_fields, read_integer, read_list, read_string

DEEPEST = 32
OTHER_LEAVES = ("is_present", "in_bucket", "in_list", "in_segment", "flag_is")


def kleene_all(answers):
    unknown = False
    for answer in answers:
        if answer is False:
            return False
        unknown = unknown or answer is None
    return None if unknown else True


def kleene_any(answers):
    unknown = False
    for answer in answers:
        if answer is True:
            return True
        unknown = unknown or answer is None
    return None if unknown else False


def kleene_not(answer):
    return None if answer is None else not answer


class Expression:
    __slots__ = ("answer", "depth", "cost", "flags", "lists")

    def __init__(self, answer, depth=1, cost=1, flags=None, lists=frozenset()):
        self.answer = answer
        self.depth = depth
        self.cost = cost
        self.flags = flags or Counter()
        self.lists = lists


def read_name(value, where):
    """An attribute or unit name; `geo` means `country` (context.md)."""
    name = read_string(value, where, 1, 256)
    return "country" if name == "geo" else name


def read_hash(value, where):
    if read_string(value, where) not in HASHES:
        raise Fault(f"{where}: unknown hash")


def read_salt(value, where):
    if not is_salt(read_string(value, where)):
        raise Fault(f"{where}: a salt is 1 to 64 of A-Z a-z 0-9 _ -")
    return value


def read_ranges(value, where, extra=None):
    """Sorted, disjoint ranges; with `extra`, a reader for each range's third member."""
    ranges, end = [], 0
    for entry in read_list(value, where):
        entry = read_list(entry, where, 2 + bool(extra), 2 + bool(extra))
        low, high = (read_integer(bound, where, 0, FULL) for bound in entry[:2])
        if not end <= low < high:
            raise Fault(f"{where}: ranges out of order")
        end = high
        ranges.append([low, high] + [extra(e) for e in entry[2:]])
    return ranges


class Reader:
    """Reads expressions inside a manifest, whose parts answer for segments, lists, flags and the obfuscation salt."""

    def __init__(self, parts):
        self.parts = parts

    def read(self, value, where) -> Expression:
        expression = self._read(value, where, 1)
        if expression.depth > DEEPEST:
            raise Fault(f"{where}: nests more than {DEEPEST} deep")
        return expression

    def _read(self, value, where, level):
        if level > DEEPEST:
            raise Fault(f"{where}: nests more than {DEEPEST} deep")
        if not isinstance(value, Object) or value.has_duplicates():
            raise Fault(f"{where}: not an expression")
        names = {name for name, _ in value.pairs}
        if names == {"all"} or names == {"any"}:
            (name, members), = value.pairs
            inner = [self._read(v, where, level + 1) for v in read_list(members, where, 0, MOST_OPERANDS)]
            answers = [e.answer for e in inner]
            join = kleene_all if name == "all" else kleene_any
            return self._join(lambda evaluation: join(answer(evaluation) for answer in answers), inner)
        if names == {"not"}:
            inner = self._read(value.pairs[0][1], where, level + 1)
            return self._join(lambda evaluation: kleene_not(inner.answer(evaluation)), [inner])
        op = dict(value.pairs).get("op")
        if not isinstance(op, str) or (op not in LEAVES and op not in OTHER_LEAVES):
            raise Fault(f"{where}: unknown operator")
        if op in LEAVES:
            return self._attribute_leaf(op, value, where)
        return getattr(self, "_" + op)(value, where)

    @staticmethod
    def _join(answer, inner):
        flags, lists = Counter(), set()
        for expression in inner:
            flags.update(expression.flags)
            lists |= expression.lists
        depth = 1 + max((e.depth for e in inner), default=0)
        return Expression(answer, depth, sum(e.cost for e in inner), flags, frozenset(lists))

    def _attribute_leaf(self, op, value, where):
        operand, maker = LEAVES[op]
        fields = read_fields(value, ("op", "attr", operand), ("over",), where)
        attr = read_name(fields["attr"], where)
        test = maker(op, fields, where, self.parts.obfuscation_salt)
        over = fields.get("over")
        if over is None:

            def answer(evaluation):
                element = evaluation.context.attribute(attr)
                return None if element[0] == MISSING else test(element, evaluation)

            return Expression(answer)
        if over not in ("any", "all", "none"):
            raise Fault(f"{where}: over is any, all or none")
        join = {"any": kleene_any, "all": kleene_all, "none": lambda answers: kleene_not(kleene_any(answers))}[over]

        def answer_over(evaluation):
            kind, elements = evaluation.context.attribute(attr)
            return join(test(element, evaluation) for element in elements) if kind == LIST else None

        return Expression(answer_over)

    def _is_present(self, value, where):
        attr = read_name(read_fields(value, ("op", "attr"), (), where)["attr"], where)
        return Expression(lambda evaluation: evaluation.context.attribute(attr)[0] != MISSING)

    def _in_bucket(self, value, where):
        fields = read_fields(value, ("op", "unit", "hash", "salt", "ranges"), (), where)
        read_hash(fields["hash"], where)
        unit_type, salt = read_name(fields["unit"], where), read_salt(fields["salt"], where)
        ranges = read_ranges(fields["ranges"], where)

        def answer(evaluation):
            unit = evaluation.context.unit(unit_type)
            return None if unit is None else in_ranges(draw(salt, unit), ranges)

        return Expression(answer)

    def _in_list(self, value, where):
        fields = read_fields(value, ("op", "unit", "list"), (), where)
        unit_type, name = read_name(fields["unit"], where), read_string(fields["list"], where)
        self.parts.list(name)

        def answer(evaluation):
            unit = evaluation.context.unit(unit_type)
            return None if unit is None else evaluation.lists[name].holds(unit)

        return Expression(answer, lists=frozenset((name,)))

    def _in_segment(self, value, where):
        name = read_string(read_fields(value, ("op", "segment"), (), where)["segment"], where)
        segment = self.parts.segment(name)
        return Expression(segment.answer, 1 + segment.depth, 1 + segment.cost, segment.flags, segment.lists)

    def _flag_is(self, value, where):
        fields = read_fields(value, ("op", "flag", "variations"), (), where)
        return self.flag_is(fields["flag"], fields["variations"], where)

    def flag_is(self, flag, variations, where):
        """The leaf; also what an entry of `requires` is."""
        flag = read_string(flag, where)
        known = self.parts.variations_of(flag)
        keys = [read_string(v, where) for v in read_list(variations, where, 1, MOST_OPERANDS)]
        if known is not None and not all(key in known for key in keys):
            raise Fault(f"{where}: no such variation")

        def answer(evaluation):
            given = evaluation.variation_of(flag)
            return None if given is None else given in keys

        return Expression(answer, flags=Counter((flag,)))
