"""Several tests at once: adjusted p-values, and intervals that go with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from ._arms import Arm
from ._effects import DEFAULT_MINIMUM, Effect, MinimumData, Region, effect_of, sent
from ._engine import Reason, ask
from ._numbers import Number, one_of, within, wrong
from ._procedures import Procedure, judge_of

Correction: TypeAlias = Literal["bonferroni", "holm", "benjamini-hochberg"]
"""How the errors of a family are bounded: the probability of any false refusal (Bonferroni; Holm, never weaker), or the expected
share of false ones among the refused (Benjamini-Hochberg)."""

_CORRECTIONS: dict[str, str] = {
    "bonferroni": "bonferroni",
    "holm": "holm",
    "benjamini-hochberg": "benjamini_hochberg",
}


def adjusted_p_values(p_values: Sequence[Number | None], correction: Correction = "holm") -> list[float | None]:
    """The adjusted p-values, in the order given. None, a test without a verdict yet, stays None and counts as 1.

    Holm (Scand. J. Stat. 6, 1979); Benjamini and Hochberg (J. R. Stat. Soc. B 57, 1995).

    >>> from evenhand import stats
    >>> stats.adjusted_p_values([0.01, 0.04, None, 0.02])
    [0.04, 0.08, None, 0.06]
    """
    kind = _CORRECTIONS[one_of("correction", correction, _CORRECTIONS)]
    taken = [
        None if p is None else within(f"p_values[{at}]", p, 0.0, 1.0, "from 0 to 1") for at, p in enumerate(p_values)
    ]
    found: list[float | None] = ask("the p-values", "adjusted_p_values", taken, kind)
    return found


@dataclass(frozen=True)
class AdjustedEffect:
    """One test in the light of its family. Figures are None where `single` has a reason."""

    single: Effect
    """The test on its own."""
    p_value: float | None = None
    """The adjusted p-value: the least level of the family at which this test refuses."""
    significant: bool | None = None
    """Whether it refuses at the family's level."""
    region: Region | None = None
    """The adjusted region."""
    confidence: float | None = None
    """The adjusted region's level, 1 - α."""

    @property
    def reason(self) -> Reason | None:
        """Why there is no verdict."""
        return self.single.reason


@dataclass(frozen=True)
class AdjustedLift:
    """A comparison in the light of its family, on both scales."""

    absolute: AdjustedEffect
    relative: AdjustedEffect


def compare_family(
    pairs: Sequence[tuple[Arm, Arm]],
    procedure: Procedure | None = None,
    *,
    correction: Correction = "holm",
    minimum_data: MinimumData | None = DEFAULT_MINIMUM,
) -> list[AdjustedLift]:
    """The (control, treatment) pairs of a family, commonly primary metrics times variations, at the procedure's level over all.

    Pairs without a verdict yet belong to it and count as p = 1. Intervals: Bonferroni each at α/m; Holm one-sided the bounds of
    Strassburger and Bretz (Statistics in Medicine 27, 2008), two-sided Bonferroni's; Benjamini-Hochberg at the level R·α/m of
    Benjamini and Yekutieli (J. Am. Stat. Assoc. 100, 2005), R being the number refused.

    >>> from evenhand import stats
    >>> control = stats.Arm.from_conversions(5_000, 500)
    >>> pairs = [(control, stats.Arm.from_conversions(5_000, conversions)) for conversions in (560, 600)]
    >>> family = stats.compare_family(pairs, stats.FixedHorizon())
    >>> [lift.absolute.significant for lift in family], [round(lift.absolute.p_value, 4) for lift in family]
    ([False, True], [0.0513, 0.0028])
    """
    kind = _CORRECTIONS[one_of("correction", correction, _CORRECTIONS)]
    judge = judge_of(procedure)
    if not pairs:
        raise wrong("`pairs` is empty: a family has at least one comparison")
    members: list[Any] = []
    for control, treatment in pairs:
        withheld: Reason | None = control.reason or treatment.reason
        if withheld is None and minimum_data is not None and not minimum_data.gate(control, treatment).is_open:
            withheld = "minimum_data"
        members.append(((sent(control), sent(treatment)), withheld))
    lifts = ask(f"a level that leaves less than 1e-15 to one of {len(members)} tests", "family", members, judge, kind)
    found: list[AdjustedLift] = []
    for (control, treatment), lift in zip(pairs, lifts, strict=True):
        if unusable := control.reason or treatment.reason:
            none = AdjustedEffect(Effect(reason=unusable))
            found.append(AdjustedLift(none, none))
        else:
            found.append(AdjustedLift(_adjusted(lift["absolute"]), _adjusted(lift["relative"])))
    return found


def _adjusted(answer: dict[str, Any]) -> AdjustedEffect:
    if answer["status"] != "interval":
        return AdjustedEffect(effect_of(answer))
    return AdjustedEffect(
        effect_of({"status": "interval", **answer["single"]}),
        answer["p_value"],
        answer["significant"],
        Region(**answer["region"]),
        float(1 - Decimal(repr(answer["confidence"]))),
    )
