"""Arguments as the engine wants them: whole numbers, finite floats, micro-units, columns of values."""

from __future__ import annotations

import math
import operator
from array import array
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Protocol, TypeAlias, TypeVar

from ._errors import StatsError


class Exact(Protocol):
    """A number that is a fraction: int, float, Decimal, Fraction, and NumPy's floats."""

    def as_integer_ratio(self) -> tuple[int, int]: ...


class Integral(Protocol):
    """A whole number: int, and NumPy's integers."""

    def __index__(self) -> int: ...


class Number(Protocol):
    """What `float` takes: int, float, and NumPy's numbers."""

    def __float__(self) -> float: ...


Values: TypeAlias = Iterable[Any]
"""One number for each unit: a sequence, a NumPy array, or anything with `to_numpy` or the buffer protocol."""

_T = TypeVar("_T", bound=str)


def settle(frozen: object, **figures: object) -> None:
    """Puts figures that were read (a NumPy integer as an int) into a frozen dataclass."""
    for name, figure in figures.items():
        object.__setattr__(frozen, name, figure)


def wrong(message: str) -> StatsError:
    return StatsError("wrong_argument", message)


def whole(name: str, value: Integral, least: int = 0, most: int = 2**64 - 1) -> int:
    """A whole number within bounds. True is no number, nor is 3.0."""
    try:
        if isinstance(value, bool) or type(value).__name__ == "bool_":
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise wrong(f"`{name}` is {value!r}: it has to be a whole number (an int), from {least} to {most}") from None
    if not least <= number <= most:
        raise wrong(f"`{name}` is {number}: it has to be from {least} to {most}")
    return number


def finite(name: str, value: Number, hint: str = "a finite number") -> float:
    """A finite float."""
    try:
        if isinstance(value, (bool, str, bytes)):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise wrong(f"`{name}` is {value!r}: it has to be {hint}") from None
    if not math.isfinite(number):
        raise wrong(f"`{name}` is {number}: it has to be {hint}")
    return number


def within(name: str, value: Number, least: float, most: float, hint: str, *, open_ends: bool = False) -> float:
    """A finite float within bounds."""
    number = finite(name, value, hint)
    if not (least < number < most if open_ends else least <= number <= most):
        raise wrong(f"`{name}` is {number}: it has to be {hint}")
    return number


def alpha_of(confidence: Number, one_sided: bool = False) -> float:
    """α of a level such as 0.95, without the noise of 1 - 0.95.

    >>> alpha_of(0.95)
    0.05
    """
    least = 0.5 if one_sided else 0.0
    hint = f"above {least:g} and below 1, such as 0.95" + (" (a one-sided test)" if one_sided else "")
    level = within("confidence", confidence, least, 1.0, hint, open_ends=True)
    # In decimals: 1 - 0.95 is 0.05, not 0.050000000000000044.
    alpha = float(1 - Decimal(repr(level)))
    if not 1e-15 <= alpha < 1.0:
        raise wrong(f"`confidence` is {level!r}: it has to be {hint}")
    return alpha


def one_of(name: str, value: str, choices: Iterable[_T]) -> _T:
    """One of a few words."""
    for choice in choices:
        if value == choice:
            return choice
    raise wrong(f"`{name}` is {value!r}: it is one of {', '.join(map(repr, choices))}")


def micros(name: str, value: Exact | Integral, scale: int = 10**6) -> int:
    """A number in the metric's own units as a whole number of micro-units (or square micro-units): exact for ints and for
    fractions that have no more digits, else the nearest, ties to even.

    >>> micros("sum", 0.3), [micros("sum", tie, 1) for tie in (0.5, 1.5, -0.5, 2.6)]
    (300000, [0, 2, 0, 3])
    """
    if isinstance(value, bool):
        raise wrong(f"`{name}` is {value!r}: it has to be a number")
    try:
        ratio: Any = getattr(value, "as_integer_ratio", None)
        fraction: tuple[int, int] = (_index(value), 1) if ratio is None else ratio()
    except (TypeError, ValueError, OverflowError):
        raise wrong(f"`{name}` is {value!r}: it has to be a finite number in the metric's own units") from None
    top, bottom = fraction
    quotient, rest = divmod(top * scale, bottom)
    if 2 * rest > bottom or (2 * rest == bottom and quotient % 2):
        quotient += 1
    return integer(name, quotient)


def _index(value: Any) -> int:
    return operator.index(value)


def integer(name: str, value: Integral) -> int:
    """A sum that is whole micro-units already."""
    return whole(name, value, -(2**127), 2**127 - 1)


Column: TypeAlias = tuple[str, str, bytes]


def column(name: str, values: Values) -> Column:
    """The values as the native module reads them: name, `struct` format, bytes."""
    if isinstance(values, (str, bytes, bytearray)):
        raise wrong(
            f"`{name}` is text or bytes: it has to be one number for each unit, such as a list or a NumPy array"
        )
    source: Any = values
    to_numpy = getattr(source, "to_numpy", None)
    if to_numpy is not None:  # pandas and Polars
        source = to_numpy()
    try:
        view = memoryview(source)
    except (TypeError, ValueError):
        return name, "d", _floats(name, source)
    if view.ndim != 1:
        raise wrong(f"`{name}` has {view.ndim} dimensions: it has to have one, such as by .ravel()")
    code = view.format.removeprefix("@").removeprefix("=")
    if code in _FORMATS:
        return name, code, view.tobytes()
    if code.lstrip("<>!") in _BY_VALUE:
        return name, "d", _floats(name, source)
    raise wrong(f"`{name}` has items of the format {view.format!r}: it has to have numbers, such as by .astype(float)")


_FORMATS = frozenset("df?bBhHiIlLqQ")
# Objects, half and long floats, and the other order of bytes.
_BY_VALUE = _FORMATS | frozenset("Oeg")


def _floats(name: str, values: Values) -> bytes:
    try:
        numbers = list(values)
    except TypeError:
        raise wrong(
            f"`{name}` is of the type {type(values).__name__}: it has to be one number for each unit, such as a list or an array"
        ) from None
    try:
        return array("d", numbers).tobytes()
    except (TypeError, ValueError, OverflowError):
        # Again, to say which it is; or what `array` does not take is a number after all.
        return array("d", (finite(f"{name}[{at}]", value) for at, value in enumerate(numbers))).tobytes()
