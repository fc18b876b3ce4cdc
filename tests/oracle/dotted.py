"""Dotted versions of any length (operators.md, Formats)."""

_DIGITS = frozenset("0123456789")


def parse(text: str):
    """A key that compares number by number (trailing zeros have no weight), or None."""
    if len(text.encode("utf-8")) > 256:
        return None
    parts = text.split(".")
    if not all(part and all(c in _DIGITS for c in part) for part in parts):
        return None
    numbers = [int(part) for part in parts]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
