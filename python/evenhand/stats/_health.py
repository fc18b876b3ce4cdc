"""Are the data themselves sound? To be looked at before any effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ._arms import Arm
from ._effects import sent
from ._engine import Reason, ask
from ._numbers import Integral, Values, settle, whole, within, wrong

SRM_P_THRESHOLD = 0.001
"""Below it `sample_ratio` calls a mismatch."""
SEQUENTIAL_SRM_P_THRESHOLD = 0.01
"""Below it `sequential_sample_ratio` calls a mismatch: at most one sound experiment in a hundred is ever blamed."""
SRM_CONCENTRATIONS = (100.0, 10_000.0, 1_000_000.0)
"""The default prior: deviations of 5, 0.5 and 0.05 percentage points of an even split."""


@dataclass(frozen=True)
class Epoch:
    """Units that arrived under one set of weights: one figure for each arm, which keeps its place in all epochs.

    >>> from evenhand import stats
    >>> stats.Epoch(observed=[5_150, 4_850], weights=[1, 1])
    Epoch(observed=(5150, 4850), weights=(1, 1))
    """

    observed: Sequence[int]
    """Units of each arm."""
    weights: Sequence[int]
    """Weights in basis points, or in any unit common to the arms; whole numbers up to 4e9. An arm of weight 0 takes no part."""

    def __post_init__(self) -> None:
        _counts(self, "observed", 2**64 - 1)
        _counts(self, "weights", 2**32 - 1)
        if len(self.observed) != len(self.weights):
            raise wrong(
                f"`observed` has {len(self.observed)} arms and `weights` {len(self.weights)}: one figure of each for each arm"
            )


@dataclass(frozen=True)
class SampleRatio:
    """The outcome of `sample_ratio`. Without a verdict `mismatch` and the figures are None."""

    status: Literal["tested", "not_enough_units", "one_arm"]
    """`not_enough_units`: some arm expects fewer than 10; `one_arm`: fewer than two have a weight, nothing to compare."""
    chi_square: float | None = None
    """Σ (observed - expected)²/expected."""
    degrees_of_freedom: int | None = None
    """Arms of positive weight, less one."""
    p_value: float | None = None
    """P(χ² at least this large when the split is as planned)."""
    mismatch: bool | None = None
    """Whether the p-value is below `SRM_P_THRESHOLD`."""
    needed: int | None = None
    """Units needed before there is a verdict."""


def sample_ratio(*epochs: Epoch) -> SampleRatio:
    """Did units split as the weights say? Pearson's χ² test, for one look; over several epochs χ² and degrees of freedom add up.

    Arms of weight 0 count neither in the sum nor in the degrees of freedom (Fabijan et al., KDD 2019; Cochran, Ann. Math. Stat.
    23, 1952).

    >>> from evenhand import stats
    >>> round(stats.sample_ratio(stats.Epoch([5_150, 4_850], [1, 1])).p_value, 6)
    0.0027
    """
    return SampleRatio(**ask("the epochs", "sample_ratio", _sent(epochs)))


@dataclass(frozen=True)
class SequentialSampleRatio:
    """The outcome of `sequential_sample_ratio`. Where there is one arm all else is None."""

    status: Literal["tested", "one_arm"]
    units: int | None = None
    """Units counted."""
    log_bayes_factor: float | None = None
    """ln of the evidence against the planned split: 0 at the start."""
    p_value: float | None = None
    """Valid at any time; so is the least of all looks so far."""
    mismatch: bool | None = None
    """Whether the p-value is below `SEQUENTIAL_SRM_P_THRESHOLD`."""


def sequential_sample_ratio(*epochs: Epoch, concentrations: Values = SRM_CONCENTRATIONS) -> SequentialSampleRatio:
    """Did units split as the weights say? True however often it is looked at: cumulative counts, epochs in order of time.

    The sequential multinomial test of Lindon and Malek (NeurIPS 2022, section 2), with a mixture of concentrations (1e-3 to
    1e12) in equal parts; the prior of a later epoch carries over what was learned of each arm.

    >>> from evenhand import stats
    >>> stats.sequential_sample_ratio(stats.Epoch([5_150, 4_850], [1, 1])).mismatch
    False
    >>> stats.sequential_sample_ratio(stats.Epoch([52_000, 48_000], [1, 1])).mismatch
    True
    """
    kappas = [
        within(f"concentrations[{at}]", kappa, 1e-3, 1e12, "from 1e-3 to 1e12")
        for at, kappa in enumerate(concentrations)
    ]
    if not kappas:
        raise wrong("`concentrations` is empty: it has to have at least one")
    return SequentialSampleRatio(**ask("the epochs", "sequential_sample_ratio", _sent(epochs), kappas))


@dataclass(frozen=True)
class Suspect:
    """What is known of one value of one dimension."""

    dimension: str
    value: str
    units: int
    """Units of this value."""
    log_bayes_factor: float
    """ln of the evidence against this value's split."""
    p_value: float
    """The value's own sequential p-value."""
    adjusted_p_value: float
    """The same times the number of values looked at, at most 1 (Bonferroni)."""
    mismatch: bool
    """Whether the adjusted p-value is below `SEQUENTIAL_SRM_P_THRESHOLD`."""
    p_value_without: float
    """The p-value of all other units."""
    heals: bool
    """Whether the whole is a mismatch and all without this value is none."""


def suspects(whole: Sequence[Epoch], slices: Mapping[tuple[str, str], Sequence[Epoch]]) -> list[Suspect]:
    """Where does a mismatch come from? Each value of each dimension by itself, and the whole without it; the most suspicious
    first: mismatches that heal, other mismatches, then the rest by falling evidence.

    `slices` has the epochs of (dimension, value), with the arms and weights of the whole.

    >>> from evenhand import stats
    >>> whole = [stats.Epoch([52_000, 48_000], [1, 1])]
    >>> browsers = {
    ...     ("browser", "Safari"): [stats.Epoch([12_000, 8_000], [1, 1])],
    ...     ("browser", "Chrome"): [stats.Epoch([40_000, 40_000], [1, 1])],
    ... }
    >>> [(suspect.value, suspect.mismatch, suspect.heals) for suspect in stats.suspects(whole, browsers)]
    [('Safari', True, True), ('Chrome', False, False)]
    """
    parts = [
        {"dimension": str(dimension), "value": str(value), "epochs": _sent(epochs)}
        for (dimension, value), epochs in slices.items()
    ]
    what = "`slices` do not fit `whole` (epochs, arms, weights, and no more units than it has)"
    return [Suspect(**suspect) for suspect in ask(what, "suspects", _sent(whole), parts)]


@dataclass(frozen=True)
class MultipleExposure:
    """Units that saw more than one variation."""

    share: float
    """Of all units seen; 0 when none was."""
    verdict: Literal["healthy", "warning", "failure"]
    """A warning from 1 % on, a failure from 10 % on; healthy below 10 units."""


def multiple_exposure(units: Integral, in_several: Integral) -> MultipleExposure:
    """Judges the units seen in several variations (of one epoch) among all units exposed.

    >>> from evenhand import stats
    >>> stats.multiple_exposure(units=10_000, in_several=150)
    MultipleExposure(share=0.015, verdict='warning')
    """
    seen = whole("units", units)
    several = whole("in_several", in_several)
    if several > seen:
        raise wrong(f"`in_several` is {several}, and `units` only {seen}: it counts some of them")
    return MultipleExposure(**ask("the units", "multiple_exposure", seen, several))


@dataclass(frozen=True)
class Balance:
    """A treatment beside control, before the experiment. Figures are None with a `reason`."""

    metric: str
    treatment: int
    """Its place among the metric's treatments."""
    difference: float | None = None
    """Treatment's mean less control's, in the metric's units."""
    p_value: float | None = None
    """Welch's two-sided p-value."""
    adjusted_p_value: float | None = None
    """The same times the number of comparisons made, at most 1 (Bonferroni)."""
    imbalanced: bool | None = None
    """Whether the adjusted p-value is below 0.001."""
    reason: Reason | None = None
    """Why there is no comparison."""


def pre_period_balance(metrics: Mapping[str, Sequence[Arm]]) -> list[Balance]:
    """Were the arms alike before the experiment? Each treatment with control, by Welch's test, corrected for all comparisons.

    `metrics` has of each the arms of values from before the exposure (`PrePeriodSums.before`), control first.

    >>> from evenhand import stats
    >>> arms = [stats.Arm.from_conversions(1_000, 100), stats.Arm.from_conversions(1_000, 160)]
    >>> [balance.imbalanced for balance in stats.pre_period_balance({"bought": arms})]
    [True]
    """
    asked: list[dict[str, Any]] = []
    place: dict[str, list[int]] = {}
    without: list[Balance] = []
    for name, arms in metrics.items():
        if len(arms) < 2:
            raise wrong(f"`metrics[{name!r}]` has {len(arms)} arms: it has to have control and at least one treatment")
        control, treatments = arms[0], list(enumerate(arms[1:]))
        usable = [at for at, arm in treatments if not (control.reason or arm.reason)]
        without += [
            Balance(name, at, reason=control.reason or arm.reason) for at, arm in treatments if at not in usable
        ]
        if usable:
            asked.append(
                {"metric": name, "control": sent(control), "treatments": [sent(arms[1 + at]) for at in usable]}
            )
            place[name] = usable
    answer: dict[str, list[Any]] = ask("the metrics", "balance", asked)
    found: list[Balance] = []
    for made in answer["comparisons"]:
        made["treatment"] = place[made["metric"]][made["treatment"]]
        found.append(Balance(**made))
    metric: str
    at: int
    for metric, at, reason in answer["not_compared"]:
        found.append(Balance(metric, place[metric][at], reason=reason))
    order = list(metrics)
    return sorted(found + without, key=lambda balance: (order.index(balance.metric), balance.treatment))


def _counts(epoch: Epoch, name: str, most: int) -> None:
    given = getattr(epoch, name)
    counts = tuple(whole(f"{name}[{at}]", count, 0, most) for at, count in enumerate(given))
    settle(epoch, **{name: counts})


def _sent(epochs: Sequence[Epoch]) -> list[list[dict[str, int]]]:
    def arms(epoch: Epoch) -> list[dict[str, int]]:
        pairs = zip(epoch.observed, epoch.weights, strict=True)
        return [{"observed": observed, "weight": weight} for observed, weight in pairs]

    return [arms(epoch) for epoch in epochs]
