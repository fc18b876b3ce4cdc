"""The RFC 8785 form of a JSON value."""

import math

from strict_json import Fault, Number, Object, is_well_formed

_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def number(value: float) -> str:
    """ECMAScript's Number::toString, from the shortest digits that round-trip (which Python's repr gives)."""
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    if fraction == "0":
        fraction = ""
    digits = (whole + fraction).lstrip("0")
    # The value is 0.digits × 10^point.
    point = len(whole) + int(exponent or 0)
    if whole == "0":
        point -= 1 + (len(fraction) - len(fraction.lstrip("0")))
    digits = digits.rstrip("0") or "0"
    count = len(digits)
    if count <= point <= 21:
        return sign + digits + "0" * (point - count)
    if 0 < point <= 21:
        return sign + digits[:point] + "." + digits[point:]
    if -6 < point <= 0:
        return sign + "0." + "0" * -point + digits
    power = point - 1
    tail = "e" + ("+" if power >= 0 else "-") + str(abs(power))
    return sign + digits[0] + ("." + digits[1:] if count > 1 else "") + tail


def string(text: str) -> str:
    out = []
    for c in text:
        if c in _SHORT:
            out.append(_SHORT[c])
        elif c < " ":
            out.append(f"\\u{ord(c):04x}")
        else:
            out.append(c)
    return '"' + "".join(out) + '"'


def utf16_order(name: str) -> bytes:
    return name.encode("utf-16-be")


def canonical(value, deepest: int = 1000) -> str:
    """The text. Takes parsed values (strict_json) or plain Python ones. Raises Fault for what has no such form or nests deeper than `deepest`."""
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, str):
        if not is_well_formed(value):
            raise Fault("a lone surrogate")
        return string(value)
    if isinstance(value, (Number, int, float)):
        double = value.double() if isinstance(value, Number) else float(value)
        if not math.isfinite(double):
            raise Fault("a number beyond the doubles")
        return number(double)
    if deepest == 0:
        raise Fault("nests too deep")
    if isinstance(value, list):
        return "[" + ",".join(canonical(v, deepest - 1) for v in value) + "]"
    if isinstance(value, Object):
        if value.has_duplicates():
            raise Fault("a name stands twice")
        pairs = value.pairs
    else:
        pairs = list(value.items())
    if not all(is_well_formed(name) for name, _ in pairs):
        raise Fault("a name with a lone surrogate")
    pairs = sorted(pairs, key=lambda pair: utf16_order(pair[0]))
    return "{" + ",".join(string(name) + ":" + canonical(v, deepest - 1) for name, v in pairs) + "}"
