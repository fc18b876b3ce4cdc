"""What must come out, from the words of docs/contract/events.md: no code of the platform, no SQL, exact integers."""
from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal

from definitions import ERROR, EXPERIMENTS, measures
from generated import Record

MOST = 2**63 - 1
# (experiment, phase, epoch, variation, metric, kind of key, standing, day, cut) → n, Σx, Σx², Σy, Σy², Σxy. Without a day and a cut: of all units.
Sums = dict[tuple, tuple[int, int, int, int, int, int]]


def add(sums: dict[tuple, list[int]], cell: tuple, x: int, y: int) -> None:
    for place, term in enumerate((1, x, x * x, y, y * y, x * y)):
        sums[cell][place] += term


def places(time: int, dimensions: list[str], properties: dict) -> list[tuple[str | None, str | None]]:
    """(day, cut) of the cells that a unit is in, besides its variation: the whole, its day, and on its day each value of a dimension."""
    day = datetime.fromtimestamp(time // 1000, UTC).date().isoformat()
    found: list[tuple[str | None, str | None]] = [(None, None), (day, None)]
    for name in dimensions:
        value = properties.get(name)
        if isinstance(value, bool):
            found.append((day, f"{name}={str(value).lower()}"))
        elif isinstance(value, str) and 1 <= len(value) <= 64:
            found.append((day, f"{name}={value}"))
    return found


def micros(number: object) -> int | None:
    """Of a JSON number's shortest text; None where it is no whole number of millionths in range."""
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        return None
    scaled = Decimal(repr(number)) * 1_000_000
    return int(scaled) if scaled == scaled.to_integral_value() and abs(scaled) <= MOST else None


def same(found: object, wanted: object) -> bool:
    return found == wanted and isinstance(found, bool) == isinstance(wanted, bool)


def fits(selector: dict, record: Record) -> bool:
    properties = record.event.get("properties", {})
    return record.event["event_name"] == selector["event_name"] and all(same(properties.get(filter_["property"]), filter_["equals"]) for filter_ in selector["filters"])


def walked(steps: list[dict], inside: list[Record]) -> bool:
    """Of each step all places where it can stand: behind any place of the step before."""
    ordered = sorted(inside, key=lambda record: (record.time, record.event["event_id"]))
    places = [-1]
    for step in steps:
        places = [place for place, record in enumerate(ordered) if fits(step, record) and any(before < place for before in places)]
    return bool(places)


def measured(measure: dict, of_unit: list[Record], t0: int, time: tuple[int, int]) -> int:
    inside = [record for record in of_unit if t0 + time[0] <= record.time < t0 + time[1]]
    if measure["add"] == "walk":
        return 1_000_000 * walked(measure["steps"], inside)
    total = 0
    for record in inside:
        if not fits(measure, record):
            continue
        properties = record.event.get("properties", {})
        if measure["add"] == "any":
            total = 1_000_000
        elif measure["add"] == "each":
            total += 1_000_000
        elif "value_property" in measure:
            total += micros(properties.get(measure["value_property"])) or 0
        elif "value" in record.event:
            total += int(Decimal(record.event["value"]) * 1_000_000)
    cap = MOST if measure["cap"] is None else measure["cap"]
    return max(min(total, cap), -MOST)


def sums(records: list[Record], metrics: list[dict], aliases: dict[str, str]) -> Sums:
    counting: dict[str, Record] = {}
    for record in records:
        known = counting.get(record.event["event_id"])
        if known is None or (record.time, record.digest) < (known.time, known.digest):
            counting[record.event["event_id"]] = record
    of_units: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in counting.values():
        for kind, unit in {"user_id": record.event.get("user_id"), **record.event.get("units", {})}.items():
            if unit is not None:
                of_units[kind, unit].append(record)
    real = {alias: named.split("/")[-1] for named, alias in aliases.items()}
    by_key = {metric["key"]: metric for metric in metrics}
    found: dict[tuple, list[int]] = defaultdict(lambda: [0] * 6)
    for (kind, _), of_unit in of_units.items():
        for experiment in EXPERIMENTS:
            if experiment["unit"] == kind:
                rows = [row for key in experiment["metrics"] for row in measures(by_key[key])] + measures(ERROR)
                for phase in range(1, experiment["phases"] + 1):
                    one_unit(found, experiment, phase, of_unit, rows, real)
    return {cell: tuple(values) for cell, values in found.items()}


def one_unit(found: dict[tuple, list[int]], experiment: dict, phase: int, of_unit: list[Record], rows: list, real: dict[str, str]) -> None:
    epochs: dict[int, list[Record]] = defaultdict(list)
    for record in of_unit:
        event = record.event
        if (event["event_name"] == "$exposure" and event.get("unit", "user_id") == experiment["unit"] and event.get("phase", 1) == phase
                and real.get(event["experiment_id"], event["experiment_id"]) == experiment["key"]):
            epochs[event.get("epoch", 1)].append(record)
    forced = any(record.event.get("reason") == "OVERRIDE" for seen in epochs.values() for record in seen)
    for epoch in sorted(epochs)[:1] if forced else sorted(epochs):
        seen = sorted(epochs[epoch], key=lambda record: (record.time, record.event["event_id"]))
        variations = [real.get(record.event["variation_id"], record.event["variation_id"]) for record in seen]
        standing = "overridden" if forced else "multiple" if len(set(variations)) > 1 else "counted"
        place = (experiment["key"], phase, epoch, variations[0] if standing == "counted" else None)
        last = (seen[0].key_kind, standing)
        cells = places(seen[0].time, experiment.get("dimensions", []) if standing == "counted" else [], seen[0].event.get("properties", {}))
        for cell in cells:
            add(found, (*place, "", *last, *cell), 0, 0)
        if standing == "counted":
            for metric, measure, time, paired, paired_time in rows:
                x, y = measured(measure, of_unit, seen[0].time, time), measured(paired, of_unit, seen[0].time, paired_time) if paired else 0
                for cell in cells:
                    add(found, (*place, metric, *last, *cell), x, y)
