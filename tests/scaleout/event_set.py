"""The recorded set of events that every path must turn into the same aggregates: seeded, streamed in the order of its log.

Of its events at least 5 % are repeated (a third of these with another time), at least 5 % of the exposures come later in the log than
conversions that follow them in time, 1 % of the units see two variations, a few are forced by an override; there are three unit types,
events that carry several units, decimal values, properties that metrics filter on, and metrics of every kind.
"""
from __future__ import annotations

import hashlib
import json
import random
from typing import Iterator

P, E = "/api/projects/default", "/api/environments/production"
DAY = 86_400_000
EXPERIMENTS = {"by-user": "user_id", "by-device": "device_id", "by-account": "account_id"}
DIMENSIONS = {"by-user": ["country", "trial"], "by-device": [], "by-account": ["country"]}
METRICS = [
    {"key": "buyers", "kind": "conversion_rate", "event": {"event_name": "purchase"}, "window_ms": 3 * DAY},
    {"key": "orders", "kind": "count", "event": {"event_name": "purchase"}},
    {"key": "revenue", "kind": "sum", "event": {"event_name": "purchase"}, "window_ms": 7 * DAY, "cap_micros": 900_000_000, "pre_period_ms": 2 * DAY},
    {"key": "revenue-eu", "kind": "sum", "event": {"event_name": "purchase", "filters": [{"property": "region", "equals": "eu"}]}},
    {"key": "items", "kind": "sum", "event": {"event_name": "purchase", "value_property": "items"}},
    {"key": "basket", "kind": "quantile", "event": {"event_name": "purchase"}, "quantile_bp": 9_000},
    {"key": "back", "kind": "conversion_rate", "event": {"event_name": "visit"}, "window_start_ms": DAY, "window_ms": 8 * DAY},
    {"key": "path", "kind": "funnel", "steps_before": [{"event_name": "visit"}, {"event_name": "purchase", "filters": [{"property": "region", "equals": "eu"}]}],
     "event": {"event_name": "purchase"}, "window_ms": 9 * DAY, "pre_period_ms": 4 * DAY},
    {"key": "order-value", "kind": "ratio", "event": {"event_name": "purchase"}, "denominator": {"event_name": "visit", "aggregation": "count"}, "pre_period_ms": 3 * DAY},
]


def define(api) -> None:
    """`api(method, path, body)` makes and starts what the events are about."""
    for metric in METRICS:
        api("POST", f"{P}/metrics", metric)
    for name, unit in EXPERIMENTS.items():
        variations = [{"key": "control", "value": "a"}, {"key": "treatment", "value": "b"}]
        api("POST", f"{P}/flags", {"key": f"flag-{name}", "type": "string", "off": "control", "default": "control", "variations": variations})
        api("POST", f"{P}/experiments", {
            "key": name, "flag": f"flag-{name}", "unit": unit,
            "variations": [{"variation": "control", "weight": 5000}, {"variation": "treatment", "weight": 5000}],
            "metrics": [{"metric": metric["key"], "role": "secondary"} for metric in METRICS], "dimensions": DIMENSIONS[name]})
        api("POST", f"{E}/experiments/{name}/start", {})


def lines(seed: int, count: int, base_ms: int) -> Iterator[str]:
    """`count` events, one JSON text each."""
    rng = random.Random(seed)
    people = max(50, count // 8)
    span = 20 * DAY
    recent: list[dict] = []
    salt = f"{seed}:".encode()
    for number in range(count):
        if recent and rng.random() < 0.06:
            event = dict(rng.choice(recent))
            if rng.random() < 0.34:
                # The same event, told with another time: the least (time, digest) counts.
                event["timestamp"] += rng.choice((-1, 1)) * rng.randrange(1, 5_000)
            yield json.dumps(event, separators=(",", ":"))
            continue
        person = rng.randrange(people)
        at = base_ms + number * span // count + rng.randrange(60_000)
        units = {"user_id": f"u{person}"}
        if rng.random() < 0.7:
            units["units"] = {"device_id": f"d{person}-{rng.randrange(2)}", "account_id": f"a{person // 3}"}
        event = {"event_id": event_id(salt, number), "timestamp": at, **units}
        kind = rng.random()
        if kind < 0.4:
            experiment, unit = rng.choice(list(EXPERIMENTS.items()))
            # An exposure names the unit it is about.
            if unit != "user_id":
                event.setdefault("units", {"device_id": f"d{person}-0", "account_id": f"a{person // 3}"})
                event["unit"] = unit
            seen = event["units"][unit] if unit != "user_id" else event["user_id"]
            draw = int.from_bytes(hashlib.blake2b(salt + f"{experiment}:{seen}".encode(), digest_size=4).digest(), "big")
            treatment = draw & 1
            if draw % 20 == 7 and rng.random() < 0.5:
                treatment ^= 1
            event |= {"event_name": "$exposure", "experiment_id": experiment, "variation_id": ("control", "treatment")[treatment], "reason": "SPLIT",
                      "properties": {"country": rng.choice(("SE", "SE", "NO", "Åland", "", 46)), "trial": rng.random() < 0.5}}
            if draw % 401 == 3:
                event["reason"] = "OVERRIDE"
            if rng.random() < 0.35:
                event["timestamp"] -= rng.randrange(9 * DAY)
        elif kind < 0.7:
            event |= {"event_name": "purchase", "value": f"{rng.randrange(1, 400_000_000) / 1_000_000:.6f}",
                      "properties": {"region": rng.choice(("eu", "us", "Zürich")), "items": rng.randrange(1, 9)}}
        else:
            event |= {"event_name": "visit"}
        recent.append(event)
        if len(recent) > 4_000:
            recent[rng.randrange(4_000)] = recent.pop()
        yield json.dumps(event, separators=(",", ":"))


def event_id(salt: bytes, number: int) -> str:
    raw = bytearray(hashlib.blake2b(salt + str(number).encode(), digest_size=16).digest())
    raw[:6] = (1_790_000_000_000 + number).to_bytes(6, "big")
    raw[6], raw[8] = raw[6] & 0x0F | 0x70, raw[8] & 0x3F | 0x80
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def properties(seed: int, count: int, base_ms: int) -> dict[str, float]:
    """How much of what the set promises is in it."""
    ids, duplicates, exposures, late, last_conversion, variations = set(), 0, 0, 0, {}, {}
    for line in lines(seed, count, base_ms):
        event = json.loads(line)
        if event["event_id"] in ids:
            duplicates += 1
            continue
        ids.add(event["event_id"])
        if event["event_name"] == "$exposure":
            exposures += 1
            late += last_conversion.get(event["user_id"], -1) >= event["timestamp"]
            unit = event.get("unit", "user_id")
            seen = event["user_id"] if unit == "user_id" else event["units"][unit]
            variations.setdefault((event["experiment_id"], seen), set()).add(event["variation_id"])
        elif event["event_name"] == "purchase":
            last_conversion[event["user_id"]] = max(event["timestamp"], last_conversion.get(event["user_id"], -1))
    both = sum(len(seen) > 1 for seen in variations.values())
    return {"duplicates": duplicates / count, "late_exposures": late / exposures, "two_variations": both / len(variations), "exposures": exposures}


if __name__ == "__main__":
    import time
    began = time.monotonic()
    print(properties(1, 40_000, 1_793_000_000_000), time.monotonic() - began)
