"""Ways to judge an effect by its standard error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ._engine import ask
from ._numbers import Integral, Number, alpha_of, one_of, settle, whole, within, wrong

Alternative: TypeAlias = Literal["two-sided", "greater", "less"]
"""What a test looks for, treatment beside control: an effect of either sign, a higher, a lower treatment. SciPy's words."""

_ALTERNATIVES: dict[str, str] = {"two-sided": "two_sided", "greater": "greater", "less": "lesser"}
_SPENDINGS: dict[str, str] = {"obrien-fleming": "o_brien_fleming", "pocock": "pocock"}


@dataclass(frozen=True)
class AnytimeValid:
    """Intervals and p-values that stay true however often one looks: the default.

    The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (Annals of Statistics 52, 2024),
    theorem 2.2 and equations 9, 134, 155. To be settled before the first look, and kept.

    >>> from evenhand import stats
    >>> sequence = stats.AnytimeValid(planned_units=20_000)
    >>> round(sequence.boundary(20_000), 3), round(sequence.boundary(2_000), 3)
    (3.035, 3.823)
    """

    confidence: float = 0.95
    """1 - α."""
    alternative: Alternative = "two-sided"
    planned_units: int | None = None
    """Units of both compared arms together at which the interval is narrowest; None for 10,000, a choice that is mild upwards."""
    rho_squared: float | None = None
    """The tuning itself, in 1/units, in place of `planned_units`; 1e-30 to 1e6."""

    def __post_init__(self) -> None:
        one_of("alternative", self.alternative, _ALTERNATIVES)
        alpha_of(self.confidence)
        settle(self, confidence=float(self.confidence))
        if self.planned_units is not None:
            settle(self, planned_units=whole("planned_units", self.planned_units, 1))
            if self.rho_squared is not None:
                raise wrong("`planned_units` and `rho_squared` are two ways to say one thing: give one")
        if self.rho_squared is not None:
            settle(self, rho_squared=within("rho_squared", self.rho_squared, 1e-30, 1e6, "from 1e-30 to 1e6"))

    def boundary(self, units: Integral) -> float:
        """The half-width of the interval in standard errors, when both arms together have this many units."""
        return self._ask(whole("units", units, 1), "boundary")

    def tuning(self) -> float:
        """ρ², in 1/units.

        >>> from evenhand import stats
        >>> round(stats.AnytimeValid(planned_units=1_000).tuning(), 6)
        0.008212
        """
        return self._ask(1, "rho_squared")

    def _ask(self, units: int, figure: str) -> float:
        found: float = ask("the sequence", "boundary", judge_of(self), units)[figure]
        return found


@dataclass(frozen=True)
class FixedHorizon:
    """Welch's t-test: valid once, at the planned end. Whoever looks before, or twice, is misled more often than α.

    Welch (Biometrika 34, 1947) with Satterthwaite's degrees of freedom.

    >>> from evenhand import stats
    >>> stats.FixedHorizon(confidence=0.9, alternative="greater")
    FixedHorizon(confidence=0.9, alternative='greater')
    """

    confidence: float = 0.95
    """1 - α."""
    alternative: Alternative = "two-sided"

    def __post_init__(self) -> None:
        _settle_level(self, self.confidence, self.alternative)


@dataclass(frozen=True)
class GroupSequential:
    """The latest of a few looks on the way to a planned size: needs fewer units than `AnytimeValid`, and promises nothing at
    looks that are not counted. Intervals and p-values are repeated ones: they hold together at all looks.

    Lan and DeMets (Biometrika 70, 1983); Jennison and Turnbull (J. R. Stat. Soc. B 51, 1989).

    >>> from evenhand import stats
    >>> look = stats.GroupSequential(fractions=[0.25, 0.5, 0.75, 1.0])
    >>> [round(bound, 3) for bound in look.bounds()]
    [4.333, 2.963, 2.359, 2.014]
    """

    fractions: Sequence[float]
    """Information fraction at each look so far: units of both arms so far over planned units of both. 1 to 100 of them, each at
    least 0.0001 above the one before; none but the last at 1 or beyond (10 at most)."""
    is_last: bool = False
    """Whether none will follow, so that all of α that is left is spent. A fraction of 1 says so by itself."""
    confidence: float = 0.95
    """1 - α, over all looks."""
    alternative: Alternative = "two-sided"
    spending: Literal["obrien-fleming", "pocock"] = "obrien-fleming"
    """How α is spent: next to nothing early, or evenly."""

    def __post_init__(self) -> None:
        _settle_level(self, self.confidence, self.alternative)
        one_of("spending", self.spending, _SPENDINGS)
        taken = tuple(within(f"fractions[{at}]", f, 0.0, 10.0, "above 0") for at, f in enumerate(self.fractions))
        settle(self, fractions=taken, is_last=bool(self.is_last))
        if not 1 <= len(taken) <= 100:
            raise wrong(f"`fractions` has {len(taken)} looks: it has to have 1 to 100 (more looks: `AnytimeValid`)")
        for at, fraction in enumerate(taken):
            before = taken[at - 1] if at else 0.0
            if fraction < before + 0.0001 * (1 - 1e-6):
                raise wrong(
                    f"`fractions[{at}]` is {fraction}: it has to be at least 0.0001 above {before}, the one before"
                )
            if at + 1 < len(taken) and fraction > 0.9999:
                raise wrong(f"`fractions[{at}]` is {fraction}: only the last may reach the planned size, 1")

    def bounds(self) -> list[float]:
        """The bounds of all looks so far, in standard errors."""
        found: list[float] = self._ask()["bounds"]
        return found

    def spent(self) -> float:
        """α spent up to and with this look, of both sides.

        >>> from evenhand import stats
        >>> round(stats.GroupSequential([0.5]).spent(), 6)
        0.003051
        """
        found: float = self._ask()["spent"]
        return found

    def _ask(self) -> dict[str, Any]:
        found: dict[str, Any] = ask("the looks", "looks", judge_of(self))
        return found


Procedure: TypeAlias = AnytimeValid | FixedHorizon | GroupSequential
"""A way to judge an effect."""


def judge_of(procedure: Procedure | None) -> dict[str, Any]:
    """The procedure as the engine reads it; None for the default."""
    chosen = AnytimeValid() if procedure is None else procedure
    judge: dict[str, Any] = {
        "confidence": alpha_of(chosen.confidence),
        "alternative": _ALTERNATIVES[chosen.alternative],
    }
    if isinstance(chosen, FixedHorizon):
        return {**judge, "kind": "fixed_horizon"}
    if isinstance(chosen, AnytimeValid):
        tuning = {"planned_units": chosen.planned_units, "rho_squared": chosen.rho_squared}
        return {**judge, "kind": "anytime_valid", **tuning}
    looks = {"spending": _SPENDINGS[chosen.spending], "fractions": chosen.fractions, "is_last": chosen.is_last}
    return {**judge, "kind": "group_sequential", **looks}


def _settle_level(procedure: object, confidence: Number, alternative: str) -> None:
    """One-sided tests of α from ½ on would leave the estimate out of its own region."""
    one_of("alternative", alternative, _ALTERNATIVES)
    alpha_of(confidence, one_sided=alternative != "two-sided")
    settle(procedure, confidence=float(confidence))
