"""What to believe of an effect, given a prior that is a proper distribution."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any, Literal, TypeAlias

from ._arms import Arm
from ._effects import sent
from ._engine import Missing, Reason, ask
from ._numbers import Integral, Number, alpha_of, finite, one_of, settle, whole, within, wrong

Scale: TypeAlias = Literal["relative", "absolute"]
"""A share of control's value, or the metric's units."""

Better: TypeAlias = Literal["higher", "lower"]
"""Which direction of a metric is good."""

_SCALES: tuple[Scale, ...] = ("relative", "absolute")
_MOST_PLACES = 100_000


@dataclass(frozen=True)
class EffectPrior:
    """What was believed of the effect before: normal, on its own scale. The default expects no lift, and two in three within
    ±30 %. It is brought to the scale asked for by control's value.

    >>> from evenhand import stats
    >>> stats.EffectPrior(standard_deviation=0.1)
    EffectPrior(mean=0.0, standard_deviation=0.1, scale='relative')
    """

    mean: float = 0.0
    """Expected effect."""
    standard_deviation: float = 0.3
    """Above 0."""
    scale: Scale = "relative"

    def __post_init__(self) -> None:
        spread = within("standard_deviation", self.standard_deviation, 0.0, inf, "finite and above 0", open_ends=True)
        settle(self, mean=finite("mean", self.mean), standard_deviation=spread)
        one_of("scale", self.scale, _SCALES)


@dataclass(frozen=True)
class ExpectedLoss:
    """What a choice loses on average: its loss where it is wrong, counted as 0 where it is right."""

    ship: float
    """Of shipping the treatment."""
    keep: float
    """Of keeping control."""


@dataclass(frozen=True)
class EffectPosterior:
    """What is believed of the effect now: normal, and what follows. All None with a `reason`."""

    scale: Scale
    """The scale of all figures."""
    mean: float | None = None
    """Expected effect."""
    standard_deviation: float | None = None
    lower: float | None = None
    """Lower end of the central credible interval."""
    upper: float | None = None
    chance_higher: float | None = None
    """P(effect > 0)."""
    chance_lower: float | None = None
    """P(effect < 0), with its own digits."""
    expected_rise: float | None = None
    """E max(effect, 0)."""
    expected_fall: float | None = None
    """E max(-effect, 0)."""
    reason: Reason | None = None
    """Why there is no posterior."""

    def chance_to_beat_control(self, better: Better = "higher") -> float | None:
        """The chance that treatment is better than control.

        >>> from evenhand import stats
        >>> control, treatment = stats.Arm.from_conversions(5_000, 500), stats.Arm.from_conversions(5_000, 560)
        >>> round(stats.effect_posterior(control, treatment).chance_to_beat_control(), 4)
        0.964
        """
        return _chance(self, better)

    def expected_loss(self, better: Better = "higher") -> ExpectedLoss | None:
        """The expected loss of either choice, in the effect's unit."""
        return _loss(self, better)


def effect_posterior(
    control: Arm,
    treatment: Arm,
    *,
    scale: Scale = "relative",
    prior: EffectPrior | None = None,
    confidence: Number = 0.95,
) -> EffectPosterior:
    """The posterior of an effect under a normal prior (None: `EffectPrior()`), for any metric.

    Precisions add up (Gelman et al., "Bayesian Data Analysis", 3rd ed., section 2.5); estimate and standard error are those of
    `compare`.

    >>> from evenhand import stats
    >>> control, treatment = stats.Arm.from_conversions(5_000, 500), stats.Arm.from_conversions(5_000, 560)
    >>> posterior = stats.effect_posterior(control, treatment)
    >>> round(posterior.mean, 4), round(posterior.expected_loss().ship, 5)
    (0.1146, 0.00091)
    """
    one_of("scale", scale, _SCALES)
    alpha = alpha_of(confidence)
    if unusable := control.reason or treatment.reason:
        return EffectPosterior(scale, reason=unusable)
    arms = (sent(control), sent(treatment))
    try:
        return EffectPosterior(**ask("the posterior", "effect_posterior", arms, scale, _prior(prior), alpha))
    except Missing as missing:
        return EffectPosterior(scale, reason=missing.reason)


def effect_density(
    control: Arm, treatment: Arm, *, scale: Scale = "relative", prior: EffectPrior | None = None, places: Integral = 200
) -> list[tuple[float, float]]:
    """(effect, density) of the posterior at so many places over four standard deviations to either side, for a plot. Empty
    where `effect_posterior` has a reason.

    >>> from evenhand import stats
    >>> control, treatment = stats.Arm.from_conversions(5_000, 500), stats.Arm.from_conversions(5_000, 560)
    >>> effects, density = zip(*stats.effect_density(control, treatment, places=81))
    >>> round(effects[40], 4)
    0.1146
    """
    one_of("scale", scale, _SCALES)
    wanted = whole("places", places, 2, _MOST_PLACES)
    if control.reason or treatment.reason:
        return []
    try:
        found = ask("the posterior", "effect_density", (sent(control), sent(treatment)), scale, _prior(prior), wanted)
    except Missing:
        return []
    return [(place, height) for place, height in found]


@dataclass(frozen=True)
class RatePrior:
    """What was believed of a rate before: Beta(a, b), each from ½ to 2e10. The default is the uniform distribution."""

    a: float = 1.0
    """One conversion more raises it by one."""
    b: float = 1.0
    """One unit without conversion more raises it by one."""

    def __post_init__(self) -> None:
        hint = "from 0.5 to 2e10"
        settle(self, a=within("a", self.a, 0.5, 2e10, hint), b=within("b", self.b, 0.5, 2e10, hint))


@dataclass(frozen=True)
class Conversions:
    """Units of an arm, and how many of them converted."""

    units: int
    conversions: int

    def __post_init__(self) -> None:
        units = whole("units", self.units, 0, 19_999_999_999)
        settle(self, units=units, conversions=whole("conversions", self.conversions))
        if self.conversions > units:
            raise wrong(
                f"`conversions` is {self.conversions}, and `units` only {units}: a unit converts once or not at all"
            )


@dataclass(frozen=True)
class Credible:
    """What is believed of a rate, or of the lift between two."""

    mean: float | None
    """Expected value; None for a relative lift when it is infinite (control's posterior has a ≤ 1)."""
    lower: float
    """Lower end of the central credible interval."""
    upper: float


@dataclass(frozen=True)
class RatePosterior:
    """Two rates compared."""

    control: Credible
    treatment: Credible
    relative_lift: Credible
    """Treatment's rate over control's, less 1."""
    chance_higher: float
    """P(treatment's rate > control's)."""
    chance_lower: float
    """P(treatment's rate < control's)."""
    expected_rise: float
    """E max(treatment's - control's, 0), a rate."""
    expected_fall: float
    """E max(control's - treatment's, 0)."""

    def chance_to_beat_control(self, better: Better = "higher") -> float:
        """The chance that treatment is better than control."""
        found = _chance(self, better)
        assert found is not None
        return found

    def expected_loss(self, better: Better = "higher") -> ExpectedLoss:
        """The expected loss of either choice, as a rate."""
        found = _loss(self, better)
        assert found is not None
        return found


def compare_rates(
    control: Conversions, treatment: Conversions, *, prior: RatePrior | None = None, confidence: Number = 0.95
) -> RatePosterior:
    """Two conversion rates with independent beta posteriors, exact also for few conversions, to some 12 digits by quadrature.

    >>> from evenhand import stats
    >>> found = stats.compare_rates(stats.Conversions(5_000, 500), stats.Conversions(5_000, 560))
    >>> round(found.chance_to_beat_control(), 6), round(found.expected_loss().ship, 8)
    (0.974328, 5.997e-05)
    """
    taken = _rate_prior(prior)
    found = ask("the rates", "compare_rates", vars(control), vars(treatment), taken, alpha_of(confidence))
    beliefs: dict[str, Any] = {name: Credible(**found.pop(name)) for name in ("control", "treatment", "relative_lift")}
    return RatePosterior(**beliefs, **found)


def rate_lift_density(
    control: Conversions, treatment: Conversions, *, prior: RatePrior | None = None, places: Integral = 200
) -> list[tuple[float, float]]:
    """(relative lift, density) at so many places between the quantiles of 3e-5 and 1 - 3e-5, for a plot.

    >>> from evenhand import stats
    >>> plot = stats.rate_lift_density(stats.Conversions(5_000, 500), stats.Conversions(5_000, 560), places=50)
    >>> len(plot), round(max(plot, key=lambda point: point[1])[0], 1)
    (50, 0.1)
    """
    wanted = whole("places", places, 2, _MOST_PLACES)
    found = ask("the rates", "rate_density", vars(control), vars(treatment), _rate_prior(prior), wanted)
    return [(place, height) for place, height in found]


def _prior(prior: EffectPrior | None) -> dict[str, Any]:
    return vars(EffectPrior() if prior is None else prior)


def _rate_prior(prior: RatePrior | None) -> dict[str, Any]:
    return vars(RatePrior() if prior is None else prior)


def _chance(posterior: EffectPosterior | RatePosterior, better: str) -> float | None:
    higher = one_of("better", better, ("higher", "lower")) == "higher"
    return posterior.chance_higher if higher else posterior.chance_lower


def _loss(posterior: EffectPosterior | RatePosterior, better: str) -> ExpectedLoss | None:
    rise, fall = posterior.expected_rise, posterior.expected_fall
    higher = one_of("better", better, ("higher", "lower")) == "higher"
    if rise is None or fall is None:
        return None
    return ExpectedLoss(ship=fall, keep=rise) if higher else ExpectedLoss(ship=rise, keep=fall)
