"""Bandits: which arm is best, the next weights, and effects that the moving weights don't bias."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ._arms import Arm
from ._bayes import Better, Conversions, RatePrior
from ._effects import sent
from ._engine import Missing, Reason, ask
from ._numbers import Integral, one_of, settle, whole, within, wrong

_BETTER: tuple[Better, ...] = ("higher", "lower")
_MOST_ARMS = 100


@dataclass(frozen=True)
class BestArm:
    """What is known of which arm is best. Empty with a `reason`."""

    probabilities: tuple[float, ...] = ()
    """For each arm the probability that it is the best; they add up to 1."""
    expected_losses: tuple[float, ...] = ()
    """For each arm what choosing it loses on average against the best one, in the metric's units."""
    reason: Reason | None = None
    """Why nothing is known: `no_units`, `too_few_units`, `zero_variance`."""


def best_rate(arms: Sequence[Conversions], *, prior: RatePrior | None = None, better: Better = "higher") -> BestArm:
    """Which conversion rate is best, with independent beta posteriors, by quadrature and without a random draw.

    >>> from evenhand import stats
    >>> best = stats.best_rate([stats.Conversions(1_000, 100), stats.Conversions(1_000, 120), stats.Conversions(1_000, 90)])
    >>> [round(probability, 3) for probability in best.probabilities]
    [0.075, 0.915, 0.011]
    """
    side = one_of("better", better, _BETTER)
    _some("arms", len(arms))
    belief = vars(RatePrior() if prior is None else prior)
    return _best(ask("the arms", "best_rate", [vars(arm) for arm in arms], belief, side))


def best_mean(arms: Sequence[Arm], *, better: Better = "higher") -> BestArm:
    """Which mean (or ratio) is best, with normal posteriors under a prior that knows as much as one unit (Kass and Wasserman,
    JASA 90, 1995). Arms without units have the prior itself.

    >>> from evenhand import stats
    >>> arms = [stats.Arm(400, 20.0, 900.0), stats.Arm(400, 23.0, 900.0)]
    >>> [round(probability, 3) for probability in stats.best_mean(arms).probabilities]
    [0.079, 0.921]
    """
    side = one_of("better", better, _BETTER)
    _some("arms", len(arms))
    try:
        return _best(ask("the arms", "best_mean", [_sent(arm) for arm in arms], side))
    except Missing as missing:
        return BestArm(reason=missing.reason)


@dataclass(frozen=True)
class BanditPolicy:
    """How a bandit's weights follow the probabilities."""

    floor: int = 100
    """No arm gets fewer basis points than this (100 is 1 %), so that exploration never ends."""
    minimum_units: int = 100
    """While an arm has fewer units than this, weights stay even."""
    stop_probability: float = 0.95
    """The bandit may stop when an arm is best with at least this probability."""
    stop_loss: float | None = None
    """And also when the leader's expected loss is at most this, in the metric's units."""

    def __post_init__(self) -> None:
        settle(
            self,
            floor=whole("floor", self.floor, 0, 10_000),
            minimum_units=whole("minimum_units", self.minimum_units),
            stop_probability=within("stop_probability", self.stop_probability, 0.0, 1.0, "from 0 to 1"),
        )
        if self.stop_loss is not None:
            settle(self, stop_loss=within("stop_loss", self.stop_loss, 0.0, 1e300, "0 or above"))


@dataclass(frozen=True)
class BanditUpdate:
    """What to do next."""

    weights: tuple[int, ...]
    """The next epoch's weights in basis points; they add up to 10,000."""
    winner: int | None
    """The arm to end with, when the stop rule says so: a rule of beliefs, not of error rates."""
    warming_up: bool
    """Whether weights are still even for want of units."""


def update_weights(best: BestArm, units: Sequence[Integral], policy: BanditPolicy | None = None) -> BanditUpdate:
    """The next weights from the probabilities of being best and the units of each arm: batched Thompson sampling with a floor.

    >>> from evenhand import stats
    >>> best = stats.best_rate([stats.Conversions(1_000, 100), stats.Conversions(1_000, 120)])
    >>> stats.update_weights(best, units=[1_000, 1_000]).weights
    (853, 9147)
    """
    chosen = BanditPolicy() if policy is None else policy
    if best.reason is not None:
        raise wrong(f"`best` has no probabilities ({best.reason}): leave the weights as they are")
    counts = [whole(f"units[{at}]", count) for at, count in enumerate(units)]
    if len(counts) != len(best.probabilities):
        raise wrong(f"`units` has {len(counts)} arms and `best` {len(best.probabilities)}: one figure for each arm")
    if chosen.floor * len(counts) > 10_000:
        raise wrong(f"`policy.floor` is {chosen.floor} for {len(counts)} arms: together they have to be 10,000 at most")
    known = {"probabilities": best.probabilities, "expected_losses": best.expected_losses}
    found = ask("the weights", "update_weights", known, counts, vars(chosen))
    return BanditUpdate(tuple(found["weights"]), found["winner"], found["warming_up"])


@dataclass(frozen=True)
class OverEpochs:
    """Control and treatment over all epochs, as if they had come in one. Arms and figures are None with a `reason`."""

    control: Arm | None = None
    """For `compare`: the weighted mean of its epochs, with the variance of that."""
    treatment: Arm | None = None
    epochs: int = 0
    """Epochs in which both arms had at least two units; the others say nothing of the difference."""
    units_left_out: int = 0
    """Units of either arm in the other epochs."""
    batched_statistic: float | None = None
    """None when an epoch has no variance in either arm."""
    batched_p_value: float | None = None
    """The two-sided p-value of "no effect in any epoch", for one look."""
    reason: Reason | None = None
    """`too_few_units` when in no epoch both arms have two units."""


def over_epochs(epochs: Sequence[Sequence[Arm]], treatment: int = 1, control: int = 0) -> OverEpochs:
    """Puts the epochs of two arms together, each epoch weighing as its traffic does: a lift that a bandit's moving weights don't
    bias. `epochs` has for each epoch every arm, at the same place in all (without units: `Arm.from_conversions(0, 0)`).

    >>> from evenhand import stats
    >>> arm = stats.Arm.from_conversions
    >>> whole = stats.over_epochs([[arm(500, 50), arm(500, 60)], [arm(100, 20), arm(900, 190)]])
    >>> round(stats.compare(whole.control, whole.treatment).absolute.estimate, 6)
    0.015556
    """
    places = {name: whole(name, place, 0, 9_999) for name, place in (("control", control), ("treatment", treatment))}
    if places["control"] == places["treatment"]:
        raise wrong(f"`treatment` is {treatment}, and so is `control`: they have to be two arms")
    for at, epoch in enumerate(epochs):
        if len(epoch) <= max(places.values()):
            raise wrong(f"`epochs[{at}]` has {len(epoch)} arms: it has to have those at {control} and {treatment}")
    asked = [[_sent(arm) for arm in epoch] for epoch in epochs]
    try:
        found = ask("the epochs", "over_epochs", asked, places["control"], places["treatment"])
    except Missing as missing:
        return OverEpochs(reason=missing.reason)
    counted = {name: [epoch[place].conversions for epoch in epochs] for name, place in places.items()}
    for name, counts in counted.items():
        known = None if None in counts else sum(count or 0 for count in counts)
        found[name] = Arm(**found[name], conversions=known)
    return OverEpochs(**found)


def _sent(arm: Arm) -> dict[str, object] | None:
    return None if arm.reason is not None else sent(arm)


def _best(found: dict[str, list[float]]) -> BestArm:
    return BestArm(tuple(found["probabilities"]), tuple(found["expected_losses"]))


def _some(name: str, count: int) -> None:
    if not 1 <= count <= _MOST_ARMS:
        raise wrong(f"`{name}` has {count}: it has to have 1 to {_MOST_ARMS}")
