"""Treatment against control."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Any, Literal

from ._arms import Arm
from ._engine import Reason, ask
from ._numbers import Number, alpha_of, finite, one_of, settle, whole, within
from ._procedures import AnytimeValid, Procedure, judge_of


@dataclass(frozen=True)
class Region:
    """The values of an effect that a test does not refuse. Ends that do not exist are None, never infinite."""

    shape: Literal["between", "at_least", "at_most", "outside", "everything"]
    """`between` lower and upper; `at_least` lower; `at_most` upper; `outside`: up to `below` or from `above` on (a relative
    effect whose control can't be told from zero); `everything`: nothing is refused."""
    lower: float | None = None
    upper: float | None = None
    below: float | None = None
    above: float | None = None

    def __contains__(self, value: float) -> bool:
        """Whether the region holds this value.

        >>> from evenhand import stats
        >>> 0.0 in stats.Region("at_least", lower=-0.1)
        True
        """
        if self.shape == "outside":
            return (self.below is not None and value <= self.below) or (self.above is not None and value >= self.above)
        return (self.lower is None or self.lower <= value) and (self.upper is None or value <= self.upper)


@dataclass(frozen=True)
class Effect:
    """An effect as far as it is known. With a `reason` there is no interval and no test, and perhaps no estimate; nothing is
    ever NaN or infinite."""

    estimate: float | None = None
    """The point estimate: in the metric's units, or of a relative effect a share of control's value (0.12 is +12 %)."""
    standard_error: float | None = None
    """Its standard error (of a relative effect by the delta method)."""
    critical_value: float | None = None
    """From how many standard errors on the test refuses."""
    region: Region | None = None
    """The interval: the values that are not refused."""
    p_value: float | None = None
    """The least α at which the null value is refused."""
    significant: bool | None = None
    """Whether the null value (no effect, or a margin) is refused."""
    form: Literal["difference", "delta", "fieller"] | None = None
    """How the region came about: of a difference, or of a quotient by the delta method or by Fieller's theorem (where control's
    value is too near zero for the former)."""
    degrees_of_freedom: float | None = None
    """Of `welch` alone: Welch-Satterthwaite."""
    reason: Reason | None = None
    """Why something is missing (`explain` has a sentence on it); None when nothing is."""

    @property
    def lower(self) -> float | None:
        """The lower end of the interval, where there is one."""
        return None if self.region is None else self.region.lower

    @property
    def upper(self) -> float | None:
        """The upper end of the interval, where there is one."""
        return None if self.region is None else self.region.upper


@dataclass(frozen=True)
class Lift:
    """Treatment against control, on both scales."""

    absolute: Effect
    """Treatment's value less control's, in the metric's units. Its p-value is the one to show: it is the test itself."""
    relative: Effect
    """The same over the size of control's value: positive means that treatment is higher, also below zero."""


@dataclass(frozen=True)
class Shortfall:
    """What an arm lacks of the minimum data."""

    units: int
    conversions: int
    conversions_unknown: bool
    """Nobody counted them: all of them then count as missing."""


@dataclass(frozen=True)
class MinimumData:
    """What each arm must have before an interval, a p-value or a verdict is given.

    >>> from evenhand import stats
    >>> control, treatment = stats.Arm.from_conversions(500, 40), stats.Arm.from_conversions(500, 7)
    >>> stats.MinimumData().gate(control, treatment).treatment.conversions
    3
    """

    conversions: int = 10
    """Units other than zero. Of a metric whose every unit has a value (a duration, a ratio), 0 asks for units alone."""
    units: int = 100

    def __post_init__(self) -> None:
        settle(self, conversions=whole("conversions", self.conversions), units=whole("units", self.units))

    def gate(self, control: Arm, treatment: Arm) -> Gate:
        """Whether both arms have the minimum, and what is missing."""
        data = ({"units": arm.units, "conversions": arm.conversions} for arm in (control, treatment))
        short = ask("the minimum data", "minimum_data", vars(self), *data)
        lacks = [Shortfall(**lack) for lack in short]
        return Gate(all(lack == Shortfall(0, 0, False) for lack in lacks), *lacks)


@dataclass(frozen=True)
class Gate:
    """Whether there is enough for a verdict."""

    is_open: bool
    control: Shortfall
    """What control lacks; all zero when nothing."""
    treatment: Shortfall


DEFAULT_MINIMUM = MinimumData()


def compare(
    control: Arm,
    treatment: Arm,
    procedure: Procedure | None = None,
    *,
    minimum_data: MinimumData | None = DEFAULT_MINIMUM,
) -> Lift:
    """Treatment against control by this procedure (None: `AnytimeValid()`), absolute and relative.

    Estimates with their variances and Satterthwaite's degrees of freedom; interval and p-value are the procedure's. The
    relative effect takes the delta method, and Fieller's theorem (J. R. Stat. Soc. B 16, 1954) where control's value can't be
    told well from zero. Before both arms have the minimum data there is an estimate with the reason `minimum_data`; None
    switches that off.

    >>> from evenhand import stats
    >>> control = stats.Arm.from_conversions(units=5_000, conversions=500)
    >>> treatment = stats.Arm.from_conversions(units=5_000, conversions=600)
    >>> lift = stats.compare(control, treatment)
    >>> round(lift.relative.estimate, 3), lift.absolute.significant
    (0.2, True)
    >>> stats.compare(control, stats.Arm.from_conversions(50, 6)).absolute.reason
    'minimum_data'
    """
    judge = judge_of(procedure)
    if unusable := control.reason or treatment.reason:
        return Lift(Effect(reason=unusable), Effect(reason=unusable))
    lift = _lift(ask("the comparison", "compare", (sent(control), sent(treatment)), judge))
    if minimum_data is not None and not minimum_data.gate(control, treatment).is_open:
        return Lift(_withheld(lift.absolute), _withheld(lift.relative))
    return lift


def compare_against(
    control: Arm,
    treatment: Arm,
    null: Number,
    *,
    scale: Literal["relative", "absolute"] = "absolute",
    procedure: Procedure | None = None,
    minimum_data: MinimumData | None = DEFAULT_MINIMUM,
) -> Effect:
    """Treatment against control where the value to refuse is `null`, not "no effect": in the metric's units, or as a relative
    effect, where -0.02 is 2 % lower.

    A relative null r says that m_t - (1 ± r)·m_c is zero, which is tested as it stands; the region is Fieller's (J. R. Stat.
    Soc. B 16, 1954), so that region and verdict agree.

    >>> from evenhand import stats
    >>> control = stats.Arm.from_conversions(units=50_000, conversions=5_000)
    >>> treatment = stats.Arm.from_conversions(units=50_000, conversions=6_000)
    >>> stats.compare_against(control, treatment, 0.1, scale="relative").significant
    True
    """
    value = finite("null", null)
    one_of("scale", scale, ("relative", "absolute"))
    judge = judge_of(procedure)
    if unusable := control.reason or treatment.reason:
        return Effect(reason=unusable)
    arms = (sent(control), sent(treatment))
    effect = effect_of(ask("the test", "against", arms, judge, {"scale": scale, "value": value}))
    if minimum_data is not None and not minimum_data.gate(control, treatment).is_open:
        return _withheld(effect)
    return effect


def welch(control: Arm, treatment: Arm, confidence: Number = 0.95) -> Lift:
    """Welch's two-sided t-test with its degrees of freedom, the relative effect by the delta method whatever the data: the
    textbook's answer, for one look at the planned end. `compare` with `FixedHorizon` takes care of controls near zero.

    >>> from evenhand import stats
    >>> control = stats.Arm.from_values([20.1, 22.9, 18.8, 20.4])
    >>> treatment = stats.Arm.from_values([28.2, 26.6, 20.1, 23.3, 25.2])
    >>> effect = stats.welch(control, treatment).absolute
    >>> round(effect.estimate, 2), round(effect.degrees_of_freedom, 3), round(effect.p_value, 5)
    (4.13, 6.366, 0.04334)
    """
    alpha = alpha_of(confidence)
    if unusable := control.reason or treatment.reason:
        return Lift(Effect(reason=unusable), Effect(reason=unusable))
    return _lift(ask("the comparison", "welch", (sent(control), sent(treatment)), alpha), alpha)


@dataclass(frozen=True)
class NonInferiority:
    """Is treatment at most a margin worse than control?"""

    effect: Effect
    """Estimate and region on the margin's scale; the p-value is that of "worse by the margin or more"."""
    non_inferior: bool | None
    """Whether that is refused. False shows nothing: not that treatment is worse. None with a `reason`."""
    superior: bool | None
    """Whether the region also leaves out "no effect"."""

    @property
    def reason(self) -> Reason | None:
        """Why there is no verdict."""
        return self.effect.reason


def non_inferiority(
    control: Arm,
    treatment: Arm,
    margin: Number,
    *,
    scale: Literal["relative", "absolute"] = "relative",
    better: Literal["higher", "lower"] = "higher",
    procedure: Procedure | None = None,
    minimum_data: MinimumData | None = DEFAULT_MINIMUM,
) -> NonInferiority:
    """Tests that treatment is less than `margin` worse than control, in the direction in which it counts.

    The margin is a size, not negative: of control's value (0.02 is 2 %) or in the metric's units. The test is one-sided: the
    procedure's `alternative` follows `better`. A relative margin is tested without a quotient, as m_t - (1 ± margin)·m_c, with
    Fieller's region. Superiority needs no correction, as the hypotheses are nested (CPMP, "Points to Consider on Switching
    between Superiority and Non-inferiority", 2000).

    >>> from evenhand import stats
    >>> control = stats.Arm.from_conversions(units=50_000, conversions=5_000)
    >>> treatment = stats.Arm.from_conversions(units=50_000, conversions=5_050)
    >>> found = stats.non_inferiority(control, treatment, margin=0.05)
    >>> found.non_inferior, found.superior
    (True, False)
    """
    size = within("margin", margin, 0.0, inf, "a size: 0 or above")
    one_of("scale", scale, ("relative", "absolute"))
    side: Literal["greater", "less"] = (
        "greater" if one_of("better", better, ("higher", "lower")) == "higher" else "less"
    )
    judge = judge_of(replace(AnytimeValid() if procedure is None else procedure, alternative=side))
    if unusable := control.reason or treatment.reason:
        return NonInferiority(Effect(reason=unusable), None, None)
    answer = ask(
        "the test", "non_inferiority", (sent(control), sent(treatment)), judge, {"scale": scale, "value": size}
    )
    if answer["status"] != "interval":
        return NonInferiority(effect_of(answer), None, None)
    effect = effect_of({"status": "interval", **answer["inference"]})
    if minimum_data is not None and not minimum_data.gate(control, treatment).is_open:
        return NonInferiority(_withheld(effect), None, None)
    return NonInferiority(effect, answer["non_inferior"], answer["superior"])


def sent(arm: Arm) -> dict[str, Any]:
    """The arm as the engine reads it."""
    return {
        "units": arm.units,
        "total": arm.total or 0.0,
        "value": arm.value or 0.0,
        "unit_variance": arm.unit_variance,
    }


def _withheld(effect: Effect) -> Effect:
    return effect if effect.reason is not None else Effect(estimate=effect.estimate, reason="minimum_data")


def _lift(answer: dict[str, Any], alpha: float | None = None) -> Lift:
    return Lift(effect_of(answer["absolute"], alpha), effect_of(answer["relative"], alpha))


def effect_of(answer: dict[str, Any], alpha: float | None = None) -> Effect:
    figures = {name: figure for name, figure in answer.items() if name != "status"}
    if answer["status"] != "interval":
        return Effect(**figures)
    if alpha is not None:
        lower, upper = figures.pop("lower"), figures.pop("upper")
        return Effect(**figures, region=Region("between", lower, upper), significant=figures["p_value"] < alpha)
    region = Region(**figures.pop("region"))
    return Effect(**figures, region=region)
