"""Instants (operators.md, Formats): RFC 3339 text or a number, to whole milliseconds since 1970."""

import math

from context import NUMBER, STRING

_DIGITS = frozenset("0123456789")
_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
FARTHEST = 8.64e15


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _days_before_year(year: int) -> int:
    """Days from 0000-01-01 to the first of January of `year` (0 or later)."""
    if year == 0:
        return 0
    before = year - 1
    return year * 365 + before // 4 - before // 100 + before // 400 + 1


def _number(text: str, at: int, width: int):
    piece = text[at : at + width]
    if len(piece) != width or not all(c in _DIGITS for c in piece):
        return None
    return int(piece)


def parse(text: str):
    """Milliseconds since 1970-01-01T00:00:00Z, or None."""
    if len(text) < 20:
        return None
    for at, mark in ((4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":")):
        if text[at] != mark:
            return None
    year, month, day = _number(text, 0, 4), _number(text, 5, 2), _number(text, 8, 2)
    hour, minute, second = _number(text, 11, 2), _number(text, 14, 2), _number(text, 17, 2)
    if None in (year, month, day, hour, minute, second):
        return None
    if not 1 <= month <= 12 or hour > 23 or minute > 59 or second > 59:
        return None
    length = 29 if month == 2 and _is_leap(year) else _DAYS[month - 1]
    if not 1 <= day <= length:
        return None
    at = 19
    milliseconds = 0
    if text[at] == ".":
        end = at + 1
        while end < len(text) and text[end] in _DIGITS:
            end += 1
        digits = text[at + 1 : end]
        if not 1 <= len(digits) <= 9:
            return None
        milliseconds = int((digits + "00")[:3])
        at = end
    zone = text[at:]
    if zone == "Z":
        offset = 0
    else:
        if len(zone) != 6 or zone[0] not in "+-" or zone[3] != ":":
            return None
        hours, minutes = _number(zone, 1, 2), _number(zone, 4, 2)
        if hours is None or minutes is None or hours > 23 or minutes > 59:
            return None
        offset = (hours * 60 + minutes) * (1 if zone[0] == "+" else -1)
    days = _days_before_year(year) - _days_before_year(1970) + sum(_DAYS[: month - 1]) + day - 1
    if month > 2 and _is_leap(year):
        days += 1
    return (((days * 24 + hour) * 60 + minute - offset) * 60 + second) * 1000 + milliseconds


def of_attribute(kind: str, value):
    """The instant of a classified attribute, or None when it is of the wrong type."""
    if kind == STRING:
        return parse(value)
    if kind == NUMBER and value == math.floor(value) and abs(value) <= FARTHEST:
        return int(value)
    return None
