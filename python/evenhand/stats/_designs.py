"""A whole experiment planned, and how long it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Literal

from ._arms import Arm
from ._engine import Missing, Reason, ask
from ._errors import StatsError
from ._numbers import Integral, Number, finite, one_of, settle, whole, within, wrong
from ._procedures import AnytimeValid, FixedHorizon, judge_of


@dataclass(frozen=True)
class PlannedSize:
    """Units to plan for."""

    by_arm: tuple[int, ...]
    """Units of each arm, control first."""
    total: int
    """Units of all arms."""
    inflation: float
    """Units over those that a single look would need: 1, or what looking at any time costs."""


@dataclass(frozen=True)
class Design:
    """A planned experiment: several arms and metrics, a relative lift, looked at once or at any time.

    >>> from evenhand import stats
    >>> design = stats.Design.for_rate(0.05, weights=[1, 1, 1], metrics=2)
    >>> design.sample_size(lift=0.1).total
    225327
    """

    value: float
    """The mean, ratio or conversion rate that is known of the metric."""
    unit_variance: float | None
    """Its s² (`Arm.unit_variance` of earlier data), taken to be the same in treatment; None for a rate, whose variance is
    p(1 - p) at the rate of each arm."""
    weights: Sequence[int] = (1, 1)
    """Each arm's weight, in any common unit, control first."""
    metrics: int = 1
    """Metrics that decide: α is divided by metrics times treatments (Bonferroni)."""
    alpha: float = 0.05
    """The two-sided level of all decisions together."""
    looks: Literal["once", "anytime"] = "anytime"
    """Once, by the z-test; or at any time, by `AnytimeValid` tuned to the planned size, with the power of the look there."""

    def __post_init__(self) -> None:
        settle(self, value=finite("value", self.value))
        if self.unit_variance is None:
            within("value", self.value, 0.0, 1.0, "above 0 and below 1, a rate", open_ends=True)
        else:
            hint = "finite and above 0"
            settle(self, unit_variance=within("unit_variance", self.unit_variance, 0.0, inf, hint, open_ends=True))
            if self.value == 0.0:
                raise wrong("`value` is 0: there is no lift relative to it; plan an absolute effect with `Plan`")
        weights = tuple(whole(f"weights[{at}]", weight, 1, 2**32 - 1) for at, weight in enumerate(self.weights))
        if not 2 <= len(weights) < 10_000:
            raise wrong(f"`weights` has {len(weights)} arms: it has to have control and at least one treatment")
        settle(self, weights=weights, metrics=whole("metrics", self.metrics, 1, 2**32 - 1))
        settle(self, alpha=within("alpha", self.alpha, 1e-9, 1.0 - 1e-9, "from 1e-9 to below 1, such as 0.05"))
        one_of("looks", self.looks, ("once", "anytime"))

    @staticmethod
    def for_rate(
        rate: Number,
        *,
        weights: Sequence[int] = (1, 1),
        metrics: int = 1,
        alpha: float = 0.05,
        looks: Literal["once", "anytime"] = "anytime",
    ) -> Design:
        """The design for a conversion rate, such as 0.05."""
        return Design(float(rate), None, weights, metrics, alpha, looks)

    @staticmethod
    def for_arm(
        arm: Arm,
        *,
        weights: Sequence[int] = (1, 1),
        metrics: int = 1,
        alpha: float = 0.05,
        looks: Literal["once", "anytime"] = "anytime",
    ) -> Design:
        """The design for a metric of which `arm` has earlier data: a mean, a ratio, or adjusted by CUPED.

        >>> from evenhand import stats
        >>> stats.Design.for_arm(stats.Arm(1_000, 20.0, 900.0), looks="once").sample_size(lift=0.05).total
        28256
        """
        if arm.value is None or arm.unit_variance is None:
            raise wrong("`arm` has no variance: it has to have a value and at least two units")
        return Design(arm.value, arm.unit_variance, weights, metrics, alpha, looks)

    def sample_size(self, lift: Number, power: Number = 0.8) -> PlannedSize:
        """The fewest units with which a true relative lift of this size (0.05 is +5 %) is found with at least this probability
        in each treatment."""
        size = finite("lift", lift)
        if size == 0.0:
            raise wrong("`lift` is 0: no number of units finds that")
        if self.unit_variance is None:
            within(
                "lift", size, -1.0, 1.0 / self.value - 1.0, "such that the rate stays within 0 and 1", open_ends=True
            )
        found = ask("the design", "design_size", self._design(), size, _power(power))
        return PlannedSize(tuple(found["by_arm"]), found["total"], found["inflation"])

    def detectable_lift(self, total_units: Integral, power: Number = 0.8) -> float | None:
        """The smallest relative rise that so many units of all arms together find with this probability in each treatment; None
        where even a rate near 1 is not found.

        >>> from evenhand import stats
        >>> round(stats.Design.for_rate(0.05, looks="once").detectable_lift(62_486), 4)
        0.1
        """
        units = whole("total_units", total_units, 1)
        try:
            found: float = ask("the design", "design_lift", self._design(), units, _power(power))
        except StatsError as error:
            if error.code == "out_of_domain":
                return None
            raise
        return found

    def power(self, lift: Number, total_units: Integral) -> float:
        """The probability that a true relative lift of this size is found in the treatment that is hardest to judge."""
        size = finite("lift", lift)
        if self.unit_variance is None:
            within(
                "lift", size, -1.0, 1.0 / self.value - 1.0, "such that the rate stays within 0 and 1", open_ends=True
            )
        found: float = ask("the design", "design_power", self._design(), size, whole("total_units", total_units, 1))
        return found

    def _design(self) -> dict[str, Any]:
        baseline = (
            {"kind": "rate", "rate": self.value}
            if self.unit_variance is None
            else {"kind": "mean", "value": self.value, "unit_variance": self.unit_variance}
        )
        return {
            "baseline": baseline,
            "weights": self.weights,
            "metrics": self.metrics,
            "alpha": self.alpha,
            "looks": self.looks,
        }


@dataclass(frozen=True)
class TimeNeeded:
    """How long a number of units takes."""

    units_per_day: float
    """New units a day that were reckoned with."""
    days: int
    weeks: int
    """The same in whole weeks, which an experiment should run."""


def time_needed(units: Integral, new_units_by_day: Sequence[Integral]) -> TimeNeeded | None:
    """Days until so many units have come, from the new units of each of the last days, oldest first: by the mean of the last whole
    weeks, or of all with fewer than seven days. None when none came.

    >>> from evenhand import stats
    >>> stats.time_needed(62_000, [2_000, 2_100, 1_900, 2_000, 2_000, 1_500, 1_500])
    TimeNeeded(units_per_day=1857.142857142857, days=34, weeks=5)
    """
    by_day = [whole(f"new_units_by_day[{at}]", count) for at, count in enumerate(new_units_by_day)]
    try:
        return TimeNeeded(**ask("the traffic", "time_needed", whole("units", units), by_day))
    except Missing:
        return None


@dataclass(frozen=True)
class Remaining:
    """Days left until the target. With a `reason` it is unknown."""

    status: Literal["reached", "days", "out_of_reach"] | None
    """`out_of_reach`: not within ten years, or never, as an arm gets no units."""
    days: int | None = None
    """Whole days, at least one."""
    control_units: int | None = None
    """Units of control then."""
    treatment_units: int | None = None
    reason: Reason | None = None
    """`zero_variance`, `too_few_units`, or why an arm has no value."""


def days_left(
    control: Arm,
    treatment: Arm,
    units_per_day: tuple[Number, Number],
    *,
    effect: Number | None = None,
    power: Number = 0.8,
    half_width: Number | None = None,
    procedure: AnytimeValid | FixedHorizon | None = None,
) -> Remaining:
    """The fewest whole days after which a true absolute `effect` is found with this probability, or the two-sided interval is no
    wider than `half_width` to either side, were variance and traffic (new units a day of control and treatment) to stay.

    >>> from evenhand import stats
    >>> control, treatment = stats.Arm.from_conversions(5_000, 250), stats.Arm.from_conversions(5_000, 260)
    >>> stats.days_left(control, treatment, (1_000, 1_000), effect=0.005, procedure=stats.FixedHorizon()).days
    26
    """
    if (effect is None) == (half_width is None):
        raise wrong("give `effect` or `half_width`, one of them")
    if effect is not None:
        size = finite("effect", effect)
        if size == 0.0:
            raise wrong("`effect` is 0: no number of units finds that")
        target: dict[str, Any] = {"target": "effect", "effect": size, "power": _power(power)}
    else:
        width = within("half_width", half_width or 0.0, 0.0, inf, "finite and above 0", open_ends=True)
        target = {"target": "half_width", "half_width": width}
    chosen = AnytimeValid() if procedure is None else procedure
    if chosen.alternative != "two-sided":
        raise wrong(f"`procedure.alternative` is {chosen.alternative!r}: days are counted for a two-sided interval")
    arms: list[dict[str, Any]] = []
    for name, arm, daily in zip(("control", "treatment"), (control, treatment), units_per_day, strict=True):
        if arm.reason is not None or arm.unit_variance is None:
            return Remaining(None, reason=arm.reason or "too_few_units")
        each = within(f"units_per_day of {name}", daily, 0.0, 1e15, "from 0 to 1e15")
        whole(f"{name}.units", arm.units, 0, 2**53)
        arms.append({"units": arm.units, "unit_variance": arm.unit_variance, "units_per_day": each})
    try:
        return Remaining(**ask("the arms", "days_left", arms[0], arms[1], target, judge_of(chosen)))
    except Missing as missing:
        return Remaining(None, reason=missing.reason)


def _power(power: Number) -> float:
    return within("power", power, 0.0, 1.0, "above 0 and below 1, such as 0.8", open_ends=True)
