"""What a host hands in (context.md), and unit ids (bucketing.md)."""

import math

from strict_json import LARGEST_EXACT, is_well_formed

MISSING, STRING, NUMBER, BOOLEAN, LIST, UNUSABLE = "missing", "string", "number", "boolean", "list", "unusable"
_UNUSABLE = (UNUSABLE, None)


def _scalar(value):
    if isinstance(value, bool):
        return (BOOLEAN, value)
    if isinstance(value, (int, float)):
        try:
            double = float(value)
        except OverflowError:
            return _UNUSABLE
        return (NUMBER, double) if math.isfinite(double) else _UNUSABLE
    if isinstance(value, str):
        if len(value) > 65536 or not is_well_formed(value) or len(value.encode("utf-8")) > 65536:
            return _UNUSABLE
        return (STRING, value)
    return _UNUSABLE


def classify(value):
    """(type, value) of an attribute; a list's elements are such pairs themselves."""
    if value is None:
        return (MISSING, None)
    if isinstance(value, list):
        if len(value) > 1000:
            return _UNUSABLE
        elements = [_scalar(element) for element in value]
        return _UNUSABLE if _UNUSABLE in elements else (LIST, elements)
    return _scalar(value)


def unit_id(attribute):
    """The unit id of a classified attribute, or None."""
    kind, value = attribute
    if kind == STRING and 1 <= len(value.encode("utf-8")) <= 4096:
        return value
    if kind == NUMBER and value == math.floor(value) and abs(value) <= LARGEST_EXACT:
        return str(int(value))
    return None


def revive(value):
    """A context value as it stands in vectors and in the differential → the host's value. Marks: tests/oracle/README.md."""
    if isinstance(value, dict):
        special = value.get("$special")
        if special is None:
            return value
        if special == "nan":
            return math.nan
        if special in ("inf", "-inf"):
            return float(special)
        if special == "lone_surrogate":
            return "\ud800"
        if special == "repeat":
            return value["text"] * value["times"]
        if special == "repeat_list":
            return [revive(value["item"])] * value["times"]
        raise ValueError(f"unknown mark {value!r}")
    if isinstance(value, list):
        return [revive(element) for element in value]
    return value


class Context:
    """Attributes, each classified once, when first asked for."""

    def __init__(self, attributes: dict):
        self._attributes = attributes
        self._seen = {}
        self._units = {}

    def attribute(self, name: str):
        found = self._seen.get(name)
        if found is None:
            if name in ("country", "geo"):
                found = classify(self._attributes.get("country"))
                if found[0] == MISSING:
                    found = classify(self._attributes.get("geo"))
            else:
                found = classify(self._attributes.get(name))
            self._seen[name] = found
        return found

    def unit(self, name: str):
        if name not in self._units:
            self._units[name] = unit_id(self.attribute(name))
        return self._units[name]
