"""Reading JSON without losing what the contract looks at: names that stand twice, how a number is written, lone surrogates.

The standard library's scanner is strict in its grammar once NaN and Infinity are refused; what it would throw away is kept by hooks.
"""

import json
import math
import sys

sys.setrecursionlimit(20000)
LARGEST_EXACT = (1 << 53) - 1


class NotJson(Exception):
    """The text is not JSON, or not UTF-8."""


class Fault(Exception):
    """A rule of the contract that a piece of a manifest breaks."""


class Number:
    """A JSON number: its text, so that `5` and `5.0` can be told apart."""

    __slots__ = ("text",)

    def __init__(self, text):
        self.text = text

    def double(self) -> float:
        return float(self.text)

    def integer(self):
        """The integer, when it is written as one and lies within ±(2^53−1); else None."""
        if self.text == "-0" or not self.text.lstrip("-").isdigit():
            return None
        if len(self.text) > 20:
            return None
        value = int(self.text)
        return value if abs(value) <= LARGEST_EXACT else None


class Object:
    """A JSON object as its list of (name, value), in order, doubles included."""

    __slots__ = ("pairs",)

    def __init__(self, pairs):
        self.pairs = pairs

    def has_duplicates(self) -> bool:
        return len({name for name, _ in self.pairs}) != len(self.pairs)


def _no_constant(text):
    raise NotJson(text + " is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=Object, parse_int=Number, parse_float=Number, parse_constant=_no_constant)


def decode_utf8(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotJson(str(error)) from error


def parse(text: str):
    """The value: None, bool, str, Number, list or Object. Raises NotJson."""
    try:
        # `decode` skips the blanks of JSON only (space, tab, line feed, return).
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)) from error


def members_as_text(text: str) -> dict:
    """For an object: name → the text of its value as it stands. Raises NotJson; the last of doubles wins (callers look for those in `parse`)."""
    blanks = " \t\n\r"

    def skip(at):
        while at < len(text) and text[at] in blanks:
            at += 1
        return at

    if not isinstance(parse(text), Object):
        raise NotJson("not an object")
    found = {}
    at = skip(skip(0) + 1)
    while text[at] != "}":
        name, at = json.decoder.scanstring(text, at + 1, True)
        at = skip(skip(at) + 1)
        _, end = _DECODER.raw_decode(text, at)
        found[name] = text[at:end]
        at = skip(end)
        if text[at] == ",":
            at = skip(at + 1)
    return found


def is_well_formed(text: str) -> bool:
    """No lone surrogate."""
    return not any("\ud800" <= c <= "\udfff" for c in text)


# Readers: each takes a parsed value and returns what the manifest means by it, or raises Fault.


def read_fields(value, required, optional=(), where=""):
    """The members of an object with exactly these names; an optional one that is null is left out."""
    if not isinstance(value, Object):
        raise Fault(f"{where}: not an object")
    if value.has_duplicates():
        raise Fault(f"{where}: a name stands twice")
    got = {}
    for name, member in value.pairs:
        if name not in required and name not in optional:
            raise Fault(f"{where}: unknown field {name!r}")
        if member is None and name in optional:
            continue
        got[name] = member
    for name in required:
        if name not in got:
            raise Fault(f"{where}: {name} is missing")
    return got


def read_map(value, where="") -> dict:
    """An object used as a map: names are well-formed and stand once."""
    if not isinstance(value, Object):
        raise Fault(f"{where}: not an object")
    if value.has_duplicates():
        raise Fault(f"{where}: a name stands twice")
    if not all(is_well_formed(name) for name, _ in value.pairs):
        raise Fault(f"{where}: a name with a lone surrogate")
    return dict(value.pairs)


def read_string(value, where="", least=None, most=None) -> str:
    """A well-formed string of `least` to `most` UTF-8 bytes."""
    if not isinstance(value, str) or not is_well_formed(value):
        raise Fault(f"{where}: not a well-formed string")
    if least is not None and not least <= len(value.encode("utf-8")) <= most:
        raise Fault(f"{where}: not {least} to {most} bytes long")
    return value


def read_integer(value, where="", least=-LARGEST_EXACT, most=LARGEST_EXACT) -> int:
    number = value.integer() if isinstance(value, Number) else None
    if number is None or not least <= number <= most:
        raise Fault(f"{where}: not an integer from {least} to {most}")
    return number


def read_double(value, where="") -> float:
    if not isinstance(value, Number) or not math.isfinite(value.double()):
        raise Fault(f"{where}: not a finite number")
    return value.double()


def read_boolean(value, where="") -> bool:
    if not isinstance(value, bool):
        raise Fault(f"{where}: not a boolean")
    return value


def read_list(value, where="", least=0, most=None) -> list:
    if not isinstance(value, list) or len(value) < least or (most is not None and len(value) > most):
        raise Fault(f"{where}: not a list of {least} to {most} entries")
    return value
