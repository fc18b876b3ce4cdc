"""What is measured: the definitions that the server gets through its API, and the oracle reads as they stand here."""
from __future__ import annotations

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
FOR_GOOD = (2**32 - 1) * 1_000


def events(name: str, value_property: str | None = None, **filters) -> dict:
    selector = {"event_name": name, "filters": [{"property": property_, "equals": wanted} for property_, wanted in filters.items()]}
    return selector | ({"value_property": value_property} if value_property else {})


METRICS = [
    {"key": "buyers", "kind": "conversion_rate", "event": events("purchase"), "window_ms": 2 * DAY},
    {"key": "orders", "kind": "count", "event": events("purchase", plan="pro", tier=1), "cap_micros": 3_000_000, "pre_period_ms": 2 * DAY},
    {"key": "revenue", "kind": "sum", "event": events("purchase"), "pre_period_ms": DAY, "window_ms": 3 * DAY},
    {"key": "capped", "kind": "mean", "event": events("purchase"), "cap_micros": 90_000_000},
    {"key": "amounts", "kind": "sum", "event": events("purchase", "amount", trial=False), "window_ms": 5 * DAY},
    {"key": "named", "kind": "sum", "event": events("visit", "o'clo\\ck", **{"a.b": "x\"y"})},
    {"key": "back", "kind": "conversion_rate", "event": events("visit"), "window_start_ms": DAY, "window_ms": 4 * DAY},
    {"key": "path", "kind": "funnel", "steps_before": [events("visit"), events("visit", tier=1)], "event": events("purchase"), "window_ms": 5 * DAY, "pre_period_ms": 4 * DAY},
    {"key": "again", "kind": "funnel", "steps_before": [events("purchase"), events("visit", trial=False), events("purchase")], "event": events("purchase")},
    {"key": "long", "kind": "funnel", "steps_before": [events("visit"), events("purchase")] * 4 + [events("visit")], "event": events("purchase")},
    {"key": "median", "kind": "quantile", "event": events("purchase"), "quantile_bp": 5000},
    {"key": "per-page", "kind": "ratio", "event": events("purchase", "amount"), "denominator": events("visit", "pages"), "window_ms": 4 * DAY, "pre_period_ms": 3 * DAY},
]
EXPERIMENTS = [
    {"key": "alpha", "unit": "user_id", "phases": 2, "metrics": [metric["key"] for metric in METRICS]},
    {"key": "beta", "unit": "device_id", "phases": 1, "metrics": ["buyers", "revenue", "per-page", "path"], "dimensions": ["country", "beta"]},
    {"key": "gamma", "unit": "account_id", "phases": 1, "metrics": ["orders", "amounts"]},
]
VARIATIONS = ("control", "treatment")


def changed(metrics: list[dict]) -> list[dict]:
    """The same with other windows, filters and caps: what a running job must take over."""
    other = {"buyers": {"window_ms": 6 * HOUR}, "orders": {"event": events("purchase", plan="free"), "pre_period_ms": 3 * DAY}, "capped": {"cap_micros": 20_500_000},
             "path": {"steps_before": [events("purchase")]}, "again": {"steps_before": [events("visit"), events("visit", plan="pro")]}}
    return [metric | other.get(metric["key"], {}) for metric in metrics]


# The guardrail that every experiment has (docs/results.md, "Guardrails watched").
ERROR = {"key": "error", "kind": "conversion_rate", "event": {"event_name": "error", "filters": []}, "window_ms": 86_400_000}


def measures(metric: dict) -> list[tuple[str, dict, tuple[int, int], dict | None, tuple[int, int]]]:
    """(metric, measure, its time, paired measure, its time) of each row that a metric becomes. The halves of a ratio are metrics too, and what its
    adjustment by the pre-period needs besides."""
    window = (metric.get("window_start_ms", 0), metric.get("window_ms", FOR_GOOD))
    add = {"conversion_rate": "any", "count": "each"}.get(metric["kind"], "sum")
    measure = {**metric["event"], "add": add, "cap": metric.get("cap_micros")}
    if metric["kind"] == "ratio":
        below = {**metric["denominator"], "add": "sum", "cap": metric.get("cap_micros")}
        key, length = metric["key"], metric.get("pre_period_ms")
        if not length:
            return [(key, measure, window, below, window), (f"{key}/numerator", measure, window, None, window), (f"{key}/denominator", below, window, None, window)]
        before = (-length, 0)
        return [(key, measure, window, below, window), (f"{key}/numerator", measure, window, measure, before), (f"{key}/denominator", below, window, below, before),
                (f"{key}/before", measure, before, below, before), (f"{key}/numerator-denominator-before", measure, window, below, before),
                (f"{key}/denominator-numerator-before", below, window, measure, before)]
    if metric["kind"] == "funnel":
        measure = {"add": "walk", "steps": [*metric["steps_before"], metric["event"]], "cap": None}
    before = metric.get("pre_period_ms")
    return [(metric["key"], measure, window, measure if before else None, (-(before or 0), 0))]
