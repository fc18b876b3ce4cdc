"""Semantic Versioning 2.0.0 (operators.md, Formats)."""

_DIGITS = frozenset("0123456789")
_IDENTIFIER = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-")


def _is_numeric(text: str) -> bool:
    return bool(text) and all(c in _DIGITS for c in text)


def _identifiers(text: str, forbid_leading_zero: bool):
    parts = text.split(".")
    for part in parts:
        if not part or not all(c in _IDENTIFIER for c in part):
            return None
        if forbid_leading_zero and _is_numeric(part) and len(part) > 1 and part[0] == "0":
            return None
    return parts


def parse(text: str):
    """A key that compares by precedence, or None when it is no version."""
    if len(text.encode("utf-8")) > 256:
        return None
    text, plus, build = text.partition("+")
    if plus and _identifiers(build, False) is None:
        return None
    core, minus, pre = text.partition("-")
    numbers = core.split(".")
    if len(numbers) != 3 or not all(_is_numeric(n) and (n == "0" or n[0] != "0") for n in numbers):
        return None
    core_key = tuple(int(n) for n in numbers)
    if not minus:
        return (core_key, 1, ())
    identifiers = _identifiers(pre, True)
    if identifiers is None:
        return None
    # Numbers sort below words; words by ASCII; the longer of two equal beginnings is the higher (tuples do that).
    return (core_key, 0, tuple((0, int(i), "") if _is_numeric(i) else (1, 0, i) for i in identifiers))
