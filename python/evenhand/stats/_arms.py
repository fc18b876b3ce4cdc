"""One arm: its sums, and the estimate of its mean or ratio with the variance that tests need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._native import _stats_cap, _stats_quantile, _stats_sums
from ._engine import Missing, Reason, ask, read
from ._errors import StatsError
from ._numbers import Exact, Integral, Values, column, finite, integer, micros, settle, whole, wrong

_SQUARE = 10**12


@dataclass(frozen=True)
class Arm:
    """What is known of one arm, in the metric's own units. Make one with `from_conversions`, `from_values`, `from_sums`,
    `from_micros`, `ratio_from_values`, `ratio_from_sums`, `ratio_from_micros`, or `adjust_by_pre_period`.

    The same of your own figures:

    >>> from evenhand import stats
    >>> stats.Arm(units=400, value=2.5, unit_variance=9.0).standard_error
    0.15
    """

    units: int
    """Units of the arm."""
    value: float | None
    """The mean per unit, or the ratio; None with a `reason`."""
    unit_variance: float | None = None
    """s², such that `value` has the sampling variance s²/units; None with fewer than two units."""
    total: float | None = None
    """Sum over units (of a ratio: of its numerator), never adjusted; None where only a mean was given."""
    conversions: int | None = None
    """Units other than zero, for `minimum_data`; from sums, the effective number (Σx)²/Σx²; None when nobody counted them."""
    reason: Reason | None = None
    """Why there is no value: `no_units`, or `zero_denominator` of a ratio."""

    def __post_init__(self) -> None:
        settle(self, units=whole("units", self.units))
        for name in ("value", "unit_variance", "total"):
            figure = getattr(self, name)
            if figure is not None:
                settle(self, **{name: finite(name, figure)})
        if (self.unit_variance or 0.0) < 0.0:
            raise wrong(f"`unit_variance` is {self.unit_variance}: it has to be 0 or above")
        if self.conversions is not None:
            settle(self, conversions=whole("conversions", self.conversions))
        if (self.value is None) == (self.reason is None):
            raise wrong("an arm has a `value` or a `reason` why it has none")

    @property
    def standard_error(self) -> float | None:
        """√(s²/units); None with fewer than two units."""
        if self.unit_variance is None or self.units < 2:
            return None
        return math.sqrt(self.unit_variance / self.units)

    @staticmethod
    def from_conversions(units: Integral, conversions: Integral) -> Arm:
        """An arm of `units`, of which `conversions` have the value 1 and the others 0.

        Its s² is that of 0/1 values with n - 1 in the denominator, p(1 - p)·n/(n - 1).

        >>> from evenhand import stats
        >>> stats.Arm.from_conversions(units=5_000, conversions=560).value
        0.112
        """
        n, converted = whole("units", units), whole("conversions", conversions)
        if converted > n:
            raise wrong(f"`conversions` is {converted}, and `units` only {n}: a unit converts once or not at all")
        return _arm({"n": n, "sum": converted * 10**6, "sum_sq": converted * _SQUARE})

    @staticmethod
    def from_values(values: Values, *, cap: Exact | Integral | None = None) -> Arm:
        """An arm from one value for each unit, in the metric's own units; units without events count as 0.

        What lies above `cap` counts as the cap, which has to be the same for all arms: a few huge values otherwise make the
        whole variance (`percentile_cap`).

        Any sequence of numbers, a NumPy array, a pandas or Polars column. Each value is taken to the nearest micro-unit (a
        millionth; integers exactly), and then added up without any rounding. Refused: NaN, infinities, values beyond
        ±9.2e12, and floats that are all below 0.001, of which micro-units would leave too few digits.

        >>> from evenhand import stats
        >>> arm = stats.Arm.from_values([0.1, 0.2, 0, 0])
        >>> arm.total, arm.value
        (0.3, 0.075)
        """
        bound = None if cap is None else micros("cap", cap)
        if bound is not None and not -(2**63) <= bound < 2**63:
            raise wrong(f"`cap` is {cap!r}: it has to be within ±9.2e12")
        n, total, squares, *_ = _stats_sums(column("values", values), cap=bound)
        return _arm({"n": n, "sum": total, "sum_sq": squares})

    @staticmethod
    def from_sums(n: Integral, sum: Exact | Integral, sum_sq: Exact | Integral) -> Arm:
        """An arm from its units and the sums of values and of squared values, in the metric's own units and their square.

        Ints, floats, Decimals, Fractions: taken to the nearest micro-unit and square micro-unit (ints exactly). A float has
        some 16 digits, of which the variance n·Σx² - (Σx)² loses those that its two terms share: where the spread is small
        beside the mean, give exact sums (`from_micros`, or Decimals). Refused: sums that no set of units has, and squares
        that micro-units leave too few digits of (Σx²/|Σx| below 0.001).

        s² = (n·Σx² - (Σx)²)/(n(n - 1)).

        >>> from evenhand import stats
        >>> stats.Arm.from_sums(n=4, sum=0.3, sum_sq=0.05).value
        0.075
        """
        units = whole("n", n)
        total, squares = micros("sum", sum), micros("sum_sq", sum_sq, _SQUARE)
        _not_tiny("sum_sq", sum_sq, squares, total)
        return _arm({"n": units, "sum": total, "sum_sq": squares})

    @staticmethod
    def from_micros(n: Integral, sum: Integral, sum_sq: Integral) -> Arm:
        """The same from exact sums as the event contract has them: whole micro-units (1.0 is 1_000_000) and square
        micro-units, up to 127 bits.

        >>> from evenhand import stats
        >>> stats.Arm.from_micros(n=4, sum=300_000, sum_sq=50_000_000_000).value
        0.075
        """
        return _arm({"n": whole("n", n), "sum": integer("sum", sum), "sum_sq": integer("sum_sq", sum_sq)})

    @staticmethod
    def quantile(values: Values, quantile: Exact = 0.5) -> Arm:
        """An arm whose value is a quantile of one value for each unit (as `from_values`), such as 0.99; to a millionth.

        The smallest value that at least this share of the units do not exceed (Hyndman and Fan, The American Statistician 50,
        1996, definition 1); s² from the order-statistic interval (Deng, Knoblich, Lu, KDD 2018, section 4), None while there are
        fewer units than it needs: 8 for the median, 381 for the 99th percentile.

        >>> from evenhand import stats
        >>> arm = stats.Arm.quantile(range(1, 101), 0.9)
        >>> arm.value, round(arm.standard_error, 6)
        (90.0, 3.0)
        """
        share = _millionths(quantile)
        sent = column("values", values)
        try:
            found = read("the values", _stats_quantile(sent, share))
        except Missing as missing:
            return Arm(0, None, total=0.0, reason=missing.reason)
        return Arm(**found)

    @staticmethod
    def from_step(units: Integral, before: Integral, after: Integral) -> Arm:
        """The passage from one step of an ordered funnel to the next: of `units`, `before` reached the earlier step, and `after`
        of these the later one, as the ratio after/before by the delta method.

        Who reaches the earlier step may depend on the arm: it says where units are lost. The test of an experiment is the step
        over all units, `from_conversions`.

        >>> from evenhand import stats
        >>> stats.Arm.from_step(units=1_000, before=400, after=100).value
        0.25
        """
        n, reached, passed = whole("units", units), whole("before", before), whole("after", after)
        if not passed <= reached <= n:
            raise wrong(
                f"`after` is {passed}, `before` {reached} and `units` {n}: each step has at most those of the one before"
            )
        sums = (passed * 10**6, passed * _SQUARE, reached * 10**6, reached * _SQUARE, passed * _SQUARE)
        return _ratio((n, *sums))

    @staticmethod
    def ratio_from_values(numerators: Values, denominators: Values) -> Arm:
        """A ratio of sums, such as revenue per order, from a numerator and a denominator for each unit (as `from_values`).

        s² by the delta method, Σ(y - R·d)²/((n - 1)·d̄²) with R = Σy/Σd (Deng, Knoblich, Lu, KDD 2018, section 3), summed exactly.

        >>> from evenhand import stats
        >>> stats.Arm.ratio_from_values(numerators=[30.0, 0.0, 12.5], denominators=[2, 0, 1]).value
        14.166666666666666
        """
        return _ratio(_stats_sums(column("numerators", numerators), column("denominators", denominators)))

    @staticmethod
    def ratio_from_sums(
        n: Integral,
        *,
        sum: Exact | Integral,
        sum_sq: Exact | Integral,
        sum_den: Exact | Integral,
        sum_den_sq: Exact | Integral,
        sum_cross: Exact | Integral,
    ) -> Arm:
        """A ratio of sums from Σy, Σy², Σd, Σd², Σyd in the metric's own units, by the rule of `from_sums`.

        >>> from evenhand import stats
        >>> stats.Arm.ratio_from_sums(n=3, sum=42.5, sum_sq=1056.25, sum_den=3, sum_den_sq=5, sum_cross=72.5).value
        14.166666666666666
        """
        units = whole("n", n)
        top, squares = micros("sum", sum), micros("sum_sq", sum_sq, _SQUARE)
        bottom, den_squares = micros("sum_den", sum_den), micros("sum_den_sq", sum_den_sq, _SQUARE)
        _not_tiny("sum_sq", sum_sq, squares, top)
        _not_tiny("sum_den_sq", sum_den_sq, den_squares, bottom)
        return _ratio((units, top, squares, bottom, den_squares, micros("sum_cross", sum_cross, _SQUARE)))

    @staticmethod
    def ratio_from_micros(
        n: Integral,
        *,
        sum: Integral,
        sum_sq: Integral,
        sum_den: Integral,
        sum_den_sq: Integral,
        sum_cross: Integral,
    ) -> Arm:
        """The same from exact sums in micro-units and square micro-units.

        >>> from evenhand import stats
        >>> numerator, denominator = {"sum": 5 * 10**6, "sum_sq": 13 * 10**12}, {"sum_den": 3 * 10**6, "sum_den_sq": 5 * 10**12}
        >>> stats.Arm.ratio_from_micros(n=2, **numerator, **denominator, sum_cross=8 * 10**12).value
        1.6666666666666667
        """
        top, bottom = integer("sum", sum), integer("sum_den", sum_den)
        squares, den_squares = integer("sum_sq", sum_sq), integer("sum_den_sq", sum_den_sq)
        return _ratio((whole("n", n), top, squares, bottom, den_squares, integer("sum_cross", sum_cross)))


@dataclass(frozen=True)
class PrePeriodSums:
    """Sums of a value y in the experiment and of the same unit's value x before it (0 where it had none), in micro-units and
    square micro-units: what `adjust_by_pre_period` takes of each arm."""

    n: int
    sum: int
    sum_sq: int
    sum_pre: int
    sum_pre_sq: int
    sum_cross: int

    def __post_init__(self) -> None:
        settle(self, n=whole("n", self.n))
        for name in ("sum", "sum_sq", "sum_pre", "sum_pre_sq", "sum_cross"):
            settle(self, **{name: integer(name, getattr(self, name))})

    @staticmethod
    def from_values(values: Values, before: Values) -> PrePeriodSums:
        """From a value and a value before the experiment for each unit, in the metric's own units (as `Arm.from_values`).

        >>> from evenhand import stats
        >>> stats.PrePeriodSums.from_values(values=[1, 2], before=[3, 4]).sum_cross
        11000000000000
        """
        return PrePeriodSums(*_stats_sums(column("values", values), column("before", before)))

    @staticmethod
    def from_sums(
        n: Integral,
        *,
        sum: Exact | Integral,
        sum_sq: Exact | Integral,
        sum_pre: Exact | Integral,
        sum_pre_sq: Exact | Integral,
        sum_cross: Exact | Integral,
    ) -> PrePeriodSums:
        """From Σy, Σy², Σx, Σx², Σxy in the metric's own units, by the rule of `Arm.from_sums`.

        >>> from evenhand import stats
        >>> stats.PrePeriodSums.from_sums(n=2, sum=3, sum_sq=5, sum_pre=7, sum_pre_sq=25, sum_cross=11.0).sum_cross
        11000000000000
        """
        total, squares = micros("sum", sum), micros("sum_sq", sum_sq, _SQUARE)
        pre, pre_squares = micros("sum_pre", sum_pre), micros("sum_pre_sq", sum_pre_sq, _SQUARE)
        _not_tiny("sum_sq", sum_sq, squares, total)
        _not_tiny("sum_pre_sq", sum_pre_sq, pre_squares, pre)
        cross = micros("sum_cross", sum_cross, _SQUARE)
        return PrePeriodSums(whole("n", n), total, squares, pre, pre_squares, cross)

    def before(self) -> Arm:
        """The arm of the values before the experiment: for `pre_period_balance`.

        >>> from evenhand import stats
        >>> stats.PrePeriodSums.from_values(values=[1, 2], before=[3, 4]).before().value
        3.5
        """
        return Arm.from_micros(self.n, self.sum_pre, self.sum_pre_sq)


def percentile_cap(arms: Sequence[Values], quantile: Exact = 0.99, *, nonzero_only: bool = False) -> float | None:
    """A cap for `Arm.from_values` at a percentile of the units of all arms together (winsorising): one for all arms, or arms of
    equal distribution would differ. None where no unit counts.

    `nonzero_only` takes the percentile of units other than zero: where fewer units buy than lie above it, that of all is 0.

    >>> from evenhand import stats
    >>> control, treatment = [0, 1, 2, 3, 400], [0, 2, 2, 5, 6]
    >>> cap = stats.percentile_cap([control, treatment], 0.9)
    >>> cap, stats.Arm.from_values(control, cap=cap).total
    (6.0, 12.0)
    """
    share = _millionths(quantile)
    columns = [column(f"arms[{at}]", values) for at, values in enumerate(arms)]
    try:
        bound: int = read("the values", _stats_cap(columns, share, bool(nonzero_only)))
    except Missing:
        return None
    return bound / 10**6


@dataclass(frozen=True)
class PrePeriodRatioSums:
    """Sums of a ratio's numerator y and denominator d for each unit, and of the same two before the experiment, x and e (0 where
    the unit had none), in micro-units and square micro-units: what `adjust_ratio_by_pre_period` takes of each arm."""

    n: int
    sum: int
    """Σy"""
    sum_sq: int
    sum_den: int
    """Σd"""
    sum_den_sq: int
    sum_cross: int
    """Σyd"""
    sum_pre: int
    """Σx"""
    sum_pre_sq: int
    sum_pre_den: int
    """Σe"""
    sum_pre_den_sq: int
    sum_pre_cross: int
    """Σxe"""
    sum_num_pre: int
    """Σyx"""
    sum_num_pre_den: int
    """Σye"""
    sum_den_pre: int
    """Σdx"""
    sum_den_pre_den: int
    """Σde"""

    def __post_init__(self) -> None:
        settle(self, n=whole("n", self.n))
        for name in list(vars(self)):
            settle(self, **{name: integer(name, getattr(self, name))})

    @staticmethod
    def from_values(
        numerators: Values, denominators: Values, numerators_before: Values, denominators_before: Values
    ) -> PrePeriodRatioSums:
        """From four values for each unit, in the metric's own units (as `Arm.from_values`).

        >>> from evenhand import stats
        >>> stats.PrePeriodRatioSums.from_values([1, 2], [1, 1], [3, 4], [2, 2]).sum_num_pre
        11000000000000
        """
        y, d = column("numerators", numerators), column("denominators", denominators)
        x, e = column("numerators_before", numerators_before), column("denominators_before", denominators_before)
        now, before = _stats_sums(y, d), _stats_sums(x, e)
        crosses = (_stats_sums(left, right)[5] for left in (y, d) for right in (x, e))
        return PrePeriodRatioSums(*now, *before[1:], *crosses)


@dataclass(frozen=True)
class PrePeriodAdjusted:
    """Arms after `adjust_by_pre_period` or `adjust_ratio_by_pre_period`."""

    theta: float | None
    """The common slope of value on value before; 0 when the latter never varies, which leaves all as it was."""
    variance_removed: float | None
    """The share of the variance that the adjustment removed: 0.4 means that the same precision needs 40 % fewer units."""
    arms: tuple[Arm, ...]
    """The arms in the order given, with adjusted `value` and `unit_variance`."""
    reason: Reason | None = None
    """Why nothing is adjusted, and `arms` is empty: `no_units` when an arm has none, `zero_denominator` of a ratio."""


def adjust_by_pre_period(arms: Sequence[PrePeriodSums]) -> PrePeriodAdjusted:
    """CUPED: means adjusted by what the same units did before the experiment. Takes all arms at once, for their common slope.

    value = ȳ - θ(x̄ - x̄ of all arms), s² = sample variance of y - θx, θ = Σ S_xy/Σ S_xx over the arms' centred sums (Deng, Xu,
    Kohavi, Walker, WSDM 2013).

    >>> from evenhand import stats
    >>> control = stats.PrePeriodSums.from_values(values=[1.0, 2.0, 3.5], before=[1, 2, 3])
    >>> treatment = stats.PrePeriodSums.from_values(values=[2.0, 3.0, 4.0], before=[1, 2, 3])
    >>> adjusted = stats.adjust_by_pre_period([control, treatment])
    >>> adjusted.theta, adjusted.arms[1].value
    (1.125, 3.0)
    """
    return _adjusted("cuped", [vars(arm) for arm in arms])


def adjust_ratio_by_pre_period(arms: Sequence[PrePeriodRatioSums]) -> PrePeriodAdjusted:
    """CUPED for a ratio, adjusted by the same ratio before the experiment. Takes all arms at once, for their common slope.

    value = R - θ(R⁰ - R⁰ of all arms), on the linearised values of the delta method (Deng, Knoblich, Lu, KDD 2018, section 3;
    Deng, Xu, Kohavi, Walker, WSDM 2013, appendix B). Without a ratio before in some arm θ is 0 and nothing is adjusted.

    >>> from evenhand import stats
    >>> control = stats.PrePeriodRatioSums.from_values([2, 3, 9], [1, 2, 3], [1, 3, 8], [1, 2, 3])
    >>> treatment = stats.PrePeriodRatioSums.from_values([3, 5, 9], [1, 2, 3], [1, 4, 6], [1, 2, 2])
    >>> round(stats.adjust_ratio_by_pre_period([control, treatment]).variance_removed, 4)
    0.5431
    """
    return _adjusted("cuped_ratio", [vars(arm) for arm in arms])


def _adjusted(question: str, sums: list[dict[str, Any]]) -> PrePeriodAdjusted:
    try:
        adjusted, data = ask(f"`arms`, {len(sums)} of them, do not agree with any set of units", question, sums)
    except Missing as missing:
        return PrePeriodAdjusted(None, None, (), missing.reason)
    found = (_made(arm, counted) for arm, counted in zip(adjusted["arms"], data, strict=True))
    return PrePeriodAdjusted(adjusted["theta"], adjusted["variance_removed"], tuple(found))


def _millionths(quantile: Exact) -> int:
    found = micros("quantile", quantile)
    if not 0 < found < 10**6:
        raise wrong(f"`quantile` is {quantile!r}: it has to be above 0 and below 1, such as 0.99")
    return found


def _made(estimate: dict[str, Any], data: dict[str, Any]) -> Arm:
    return Arm(**estimate, conversions=data["conversions"])


def _arm(sums: dict[str, int], question: str = "arm") -> Arm:
    answer = ask("the sums", question, sums)
    estimate, data = answer["estimate"], answer["data"]
    if "Ok" in estimate:
        return _made(estimate["Ok"], data)
    reason = estimate["Err"]
    if reason in ("no_units", "zero_denominator"):
        return Arm(sums["n"], None, total=sums["sum"] / 10**6, conversions=data["conversions"], reason=reason)
    return _refused(reason, sums)


def _refused(reason: str, sums: dict[str, int]) -> Arm:
    told = ", ".join(f"{name}={value}" for name, value in sums.items())
    if reason == "inconsistent":
        raise StatsError(
            "inconsistent",
            f"no set of units has these sums (in micro-units: {told}). Is `sum_sq` the sum of the squared values, "
            "not the square of the sum? Have floats lost the digits of a small spread? Then give exact sums or the values",
        )
    raise StatsError(
        reason, f"the sums (in micro-units: {told}) are too large to be exact: is the metric's unit right?"
    )


def _ratio(sums: tuple[int, int, int, int, int, int]) -> Arm:
    names = ("n", "sum", "sum_sq", "sum_den", "sum_den_sq", "sum_cross")
    return _arm(dict(zip(names, sums, strict=True)), "ratio_arm")


def _not_tiny(name: str, given: Exact | Integral, squares: int, total: int) -> None:
    """Σx²/|Σx| is the size of the values that carry a sum: below 0.001 they are fewer than a thousand micro-units."""
    if isinstance(given, float) and given and squares < 1_000 * max(abs(total), 1):
        raise wrong(
            f"`{name}` is {given!r}: the values behind it are below 0.001, and values are kept to a millionth. "
            "Take a smaller unit (milliseconds for seconds), or give exact sums by `from_micros`"
        )
