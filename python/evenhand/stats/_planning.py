"""How many units, and how many days, to see an effect of a given size."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

from ._engine import ask
from ._numbers import Integral, Number, finite, settle, whole, within, wrong


@dataclass(frozen=True)
class SampleSize:
    """Units to plan for."""

    control: int
    treatment: int

    def __post_init__(self) -> None:
        settle(self, control=whole("control", self.control), treatment=whole("treatment", self.treatment))

    def days(self, units_per_day: Integral) -> int:
        """Days until both arms are full when so many new units enter both together each day.

        >>> from evenhand import stats
        >>> stats.SampleSize(control=29_826, treatment=29_826).days(units_per_day=5_000)
        12
        """
        units = whole("units_per_day", units_per_day, 1)
        found: int = ask("the sample size", "days", vars(self), units)
        return found


@dataclass(frozen=True)
class Plan:
    """A planned comparison of two arms by a two-sided z-test, in the metric's own units.

    >>> from evenhand import stats
    >>> plan = stats.Plan.for_rate(0.05)
    >>> plan.sample_size(effect=0.005)
    SampleSize(control=29826, treatment=29826)
    """

    control_variance: float
    """Variance of a unit's value in control: p(1 - p) of a conversion rate, else `Arm.unit_variance` of earlier data."""
    treatment_variance: float | None = None
    """The same in treatment; None for control's."""
    treatment_per_control: float = 1.0
    """Treatment units for each control unit: 1 for an even split, 1/9 for 90 : 10."""
    alpha: float = 0.05
    """α of the two-sided test."""

    def __post_init__(self) -> None:
        for name in ("control_variance", "treatment_variance"):
            variance = getattr(self, name)
            if variance is not None:
                settle(self, **{name: within(name, variance, 0.0, inf, "finite and 0 or above")})
        if self.control_variance == 0.0 and not self.treatment_variance:
            raise wrong(
                "`control_variance` and `treatment_variance` are both 0: values that never vary need no experiment"
            )
        split = within(
            "treatment_per_control", self.treatment_per_control, 0.0, inf, "finite and above 0", open_ends=True
        )
        settle(self, treatment_per_control=split, alpha=finite("alpha", self.alpha))
        if not 1e-15 <= self.alpha < 1.0:
            raise wrong(f"`alpha` is {self.alpha}: it has to be from 1e-15 to below 1, such as 0.05")

    @staticmethod
    def for_rate(rate: Number, *, treatment_per_control: Number = 1.0, alpha: Number = 0.05) -> Plan:
        """The plan of a conversion rate, such as 0.05, with the variance p(1 - p) in both arms."""
        p = within("rate", rate, 0.0, 1.0, "above 0 and below 1, such as 0.05", open_ends=True)
        return Plan(p * (1.0 - p), treatment_per_control=float(treatment_per_control), alpha=float(alpha))

    def power(self, effect: Number, control_units: Integral) -> float:
        """The probability of finding a true absolute effect of this size: Φ̄(z - δ/se) + Φ̄(z + δ/se), z = z(1 - α/2).

        >>> from evenhand import stats
        >>> round(stats.Plan.for_rate(0.05).power(effect=0.005, control_units=29_826), 4)
        0.8
        """
        found: float = ask(
            "the plan", "power", self._plan(), finite("effect", effect), whole("control_units", control_units, 1)
        )
        return found

    def sample_size(self, effect: Number, power: Number = 0.8) -> SampleSize:
        """The fewest units with which a true absolute effect of this size is found with at least this probability."""
        size = finite("effect", effect)
        if size == 0.0:
            raise wrong("`effect` is 0: no number of units finds that")
        return SampleSize(**ask("the plan", "sample_size", self._plan(), size, self._wanted(power)))

    def minimum_detectable_effect(self, control_units: Integral, power: Number = 0.8) -> float:
        """The smallest true absolute effect that so many control units find with this probability.

        >>> from evenhand import stats
        >>> round(stats.Plan.for_rate(0.05).minimum_detectable_effect(control_units=29_826), 6)
        0.005
        """
        units = whole("control_units", control_units, 1)
        found: float = ask("the plan", "detectable_effect", self._plan(), units, self._wanted(power))
        return found

    def _wanted(self, power: Number) -> float:
        return within("power", power, self.alpha, 1.0, f"above alpha, {self.alpha:g}, and below 1", open_ends=True)

    def _plan(self) -> dict[str, Any]:
        treatment = self.control_variance if self.treatment_variance is None else self.treatment_variance
        return {
            "control_variance": self.control_variance,
            "treatment_variance": treatment,
            "treatment_per_control": self.treatment_per_control,
            "alpha": self.alpha,
        }
