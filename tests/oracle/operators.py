"""The leaves on one attribute (operators.md): from operator name and operand to a three-valued test of one element.

A test takes a classified element (type, value) and the evaluation, and answers True, False or None (unknown).
"""

import hashlib

import dotted
import instant
import ip
import semver
from context import BOOLEAN, NUMBER, STRING
from pattern import BadPattern, Pattern
from strict_json import Fault, read_boolean, read_double, read_integer, read_list, read_string

MOST_OPERANDS = 10000
_HEX = frozenset("0123456789abcdef")
_TO_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def fold(text: str) -> str:
    """A–Z → a–z and nothing else."""
    return text.translate(_TO_LOWER)


def obfuscated(salt: str, text: str) -> str:
    """H(text) of manifest.md."""
    return hashlib.sha256((salt + ":" + text).encode("utf-8")).hexdigest()[:16]


def _strings(fields, where):
    return [read_string(v, where) for v in read_list(fields["values"], where, 1, MOST_OPERANDS)]


def _on_strings(test):
    return lambda element, evaluation: test(element[1]) if element[0] == STRING else None


def _string_leaf(name, fields, where, salt):
    base, ci = (name[:-3], True) if name.endswith("_ci") else (name, False)
    prepare = fold if ci else (lambda text: text)
    if base == "str_eq":
        value = prepare(read_string(fields["value"], where))
        return _on_strings(lambda text: prepare(text) == value)
    values = [prepare(v) for v in _strings(fields, where)]
    if base == "str_in":
        among = frozenset(values)
        return _on_strings(lambda text: prepare(text) in among)
    if base == "str_prefix":
        return _on_strings(lambda text: prepare(text).startswith(tuple(values)))
    if base == "str_suffix":
        return _on_strings(lambda text: prepare(text).endswith(tuple(values)))
    return _on_strings(lambda text: (lambda folded: any(v in folded for v in values))(prepare(text)))


def _sha256_leaf(name, fields, where, salt):
    if salt is None:
        raise Fault(f"{where}: {name} in a manifest without obfuscation")
    raw = read_list(fields["values"], where, 1, MOST_OPERANDS) if "_in_" in name else [fields["value"]]
    among = frozenset(read_string(v, where) for v in raw)
    if not all(len(v) == 16 and all(c in _HEX for c in v) for v in among):
        raise Fault(f"{where}: a hash is 16 lower-case hex digits")
    prepare = fold if "_ci_" in name else (lambda text: text)
    return _on_strings(lambda text: obfuscated(salt, prepare(text)) in among)


def _number_leaf(name, fields, where, salt):
    if name == "num_in":
        among = frozenset(read_double(v, where) for v in read_list(fields["values"], where, 1, MOST_OPERANDS))
        return lambda element, evaluation: element[1] in among if element[0] == NUMBER else None
    value, compare = read_double(fields["value"], where), COMPARE[name[4:]]
    return lambda element, evaluation: compare(element[1], value) if element[0] == NUMBER else None


def _boolean_leaf(name, fields, where, salt):
    value = read_boolean(fields["value"], where)
    return lambda element, evaluation: element[1] == value if element[0] == BOOLEAN else None


def _version_leaf(parse):
    def leaf(name, fields, where, salt):
        value, compare = parse(read_string(fields["value"], where)), COMPARE[name.split("_")[1]]
        if value is None:
            raise Fault(f"{where}: not a version")

        def test(text):
            version = parse(text)
            return None if version is None else compare(version, value)

        return _on_strings(test)

    return leaf


def _date_leaf(name, fields, where, salt):
    value, compare = instant.parse(read_string(fields["value"], where)), COMPARE[name[5:]]
    if value is None:
        raise Fault(f"{where}: not an instant")

    def test(element, evaluation):
        at = instant.of_attribute(*element)
        return None if at is None else compare(at, value)

    return test


def _age_leaf(name, fields, where, salt):
    value, compare = read_integer(fields["value"], where), COMPARE[name[4:]]

    def test(element, evaluation):
        at = instant.of_attribute(*element)
        return None if at is None else compare(evaluation.now_ms - at, value)

    return test


def _regex_leaf(name, fields, where, salt):
    try:
        pattern = Pattern(read_string(fields["value"], where))
    except BadPattern as error:
        raise Fault(f"{where}: {error}") from error
    return _on_strings(pattern.found_in)


def _cidr_leaf(name, fields, where, salt):
    cidrs = [ip.parse_cidr(text) for text in _strings(fields, where)]
    if None in cidrs:
        raise Fault(f"{where}: not a CIDR")

    def test(text):
        address = ip.parse(text)
        return None if address is None else any(ip.lies_in(address, cidr) for cidr in cidrs)

    return _on_strings(test)


COMPARE = {
    "eq": lambda a, b: a == b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
}

# name → (operand field, maker)
LEAVES = {}
for _name in ("str_eq", "str_eq_ci"):
    LEAVES[_name] = ("value", _string_leaf)
for _base in ("str_in", "str_prefix", "str_suffix", "str_contains"):
    LEAVES[_base] = LEAVES[_base + "_ci"] = ("values", _string_leaf)
for _name in ("str_eq_sha256", "str_eq_ci_sha256"):
    LEAVES[_name] = ("value", _sha256_leaf)
for _name in ("str_in_sha256", "str_in_ci_sha256"):
    LEAVES[_name] = ("values", _sha256_leaf)
for _order in COMPARE:
    LEAVES["num_" + _order] = ("value", _number_leaf)
    LEAVES["semver_" + _order] = ("value", _version_leaf(semver.parse))
    LEAVES["dotted_" + _order] = ("value", _version_leaf(dotted.parse))
    if _order != "eq":
        LEAVES["date_" + _order] = ("value", _date_leaf)
        LEAVES["age_" + _order] = ("value", _age_leaf)
LEAVES["num_in"] = ("values", _number_leaf)
LEAVES["bool_is"] = ("value", _boolean_leaf)
LEAVES["regex_match"] = ("value", _regex_leaf)
LEAVES["ip_in_cidr"] = ("values", _cidr_leaf)
