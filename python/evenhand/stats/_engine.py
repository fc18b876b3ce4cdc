"""The way to the engine, which is the native module's."""

from __future__ import annotations

import json
from typing import Any, Literal, TypeAlias, get_args

from .._native import _stats
from ._errors import StatsError

Reason: TypeAlias = Literal[
    "no_units",
    "too_few_units",
    "zero_variance",
    "zero_control_mean",
    "zero_denominator",
    "overflow",
    "inconsistent",
    "out_of_domain",
    "minimum_data",
    "planned_end",
    "planned_look",
    "not_kept",
]
"""Why a figure does not exist: `explain` has a sentence on each."""

REASONS: tuple[Reason, ...] = get_args(Reason)

# Of a whole answer these speak of the arguments; the others of the data.
_ERRORS = {"overflow", "inconsistent", "out_of_domain"}


class Missing(Exception):
    """The engine's answer that a figure does not exist. Inside the package only."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


def ask(what: str, question: str, *arguments: object) -> Any:
    """The engine's answer. `what` names the arguments, should they be out of their domain.

    Raises `Missing` where the data do not allow an answer, and `StatsError` where the arguments do not.
    """
    asked = arguments[0] if len(arguments) == 1 else arguments
    return read(what, _stats(json.dumps({question: asked}, allow_nan=False)))


def read(what: str, text: str) -> Any:
    """What stands in an answer, by the same rule."""
    answer = json.loads(text)
    if "Ok" in answer:
        return answer["Ok"]
    reason: Reason = answer["Err"]
    if reason in _ERRORS:
        raise StatsError(reason, f"{what}: {explain(reason)}")
    raise Missing(reason)


def explain(reason: Reason) -> str:
    """A sentence on why a figure does not exist.

    >>> from evenhand import stats
    >>> stats.explain("zero_variance")
    'all units of both arms have the same value, so there is nothing to test'
    """
    if reason not in REASONS:
        raise StatsError("wrong_argument", f"`reason` is {reason!r}: it is one of {', '.join(REASONS)}")
    sentence: str = json.loads(_stats(json.dumps({"explain": reason})))["Ok"]
    return sentence
