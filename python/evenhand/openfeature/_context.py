"""An OpenFeature context as attributes, a tracking event's details as properties."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from openfeature.evaluation_context import EvaluationContext

_PLAIN = frozenset({str, bool, int, float, type(None)})


def attributes_of(context: EvaluationContext | None, unit: str) -> dict[str, Any]:
    """The context's attributes; its targeting key is the `unit`, unless the context has an attribute of that name."""
    if context is None:
        return {}
    attributes = {
        name: value if type(value) in _PLAIN else _usable(value) for name, value in context.attributes.items()
    }
    if context.targeting_key and not has_unit(attributes, unit):
        attributes[unit] = context.targeting_key
    return attributes


def has_unit(attributes: Mapping[str, Any], unit: str) -> bool:
    return attributes.get(unit) not in (None, "")


def _usable(value: Any) -> Any:
    """Date-times as the operators read them. What they can't use stays: the client counts it as unusable."""
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, (list, tuple)):
        return [instant(element) if isinstance(element, datetime) else element for element in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def instant(value: datetime) -> str | datetime:
    """RFC 3339 in UTC, to the millisecond. Without a time zone it is UTC, as OpenFeature says."""
    aware = value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value
    try:
        return aware.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except OverflowError:
        # A time zone that leads out of the calendar: no instant.
        return value


def properties_of(value: Any) -> Any:
    """JSON, with instants as text."""
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, Mapping):
        return {name: properties_of(inner) for name, inner in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, (list, tuple)):
        return [properties_of(inner) for inner in value]  # pyright: ignore[reportUnknownVariableType]
    return value
