"""The catalog of the server's pipeline as records of `<prefix>.catalog`, whose shape deploy/flink/README.md fixes."""
from __future__ import annotations

import json


def path(property_: str) -> str:
    escaped = property_.replace("\\", "\\\\").replace("'", "\\'")
    return f"$['{escaped}']"


def measure(events: dict, from_ms: int, to_ms: int) -> dict:
    adds = "number" if events["kind"] in ("sum", "mean") else "events"
    made = {"event_name": events["event_name"], "adds": adds, "from_ms": from_ms, "to_ms": to_ms,
            "filters": [{"path": path(filter_["property"]), "equals": filter_["equals"]} for filter_ in events["filter"]]}
    if adds == "number" and events["number"]["from"] == "property":
        made["path"] = path(events["number"]["name"])
    cap = events["cap_micros"]
    if events["kind"] == "proportion":
        # 1 with any event: each adds 1, and the whole is capped at 1.
        cap = 1_000_000 if cap is None else min(cap, 1_000_000)
    return made | ({} if cap is None else {"most": cap})


def metric(named: str, definition: dict, by_id: dict[str, dict]) -> dict:
    if definition["type"] == "ratio":
        above, below = by_id[definition["numerator"]], by_id[definition["denominator"]]
        return {"id": named, "value": measure(above, 0, above["window_seconds"] * 1_000), "pair": measure(below, 0, below["window_seconds"] * 1_000)}
    made = {"id": named, "value": measure(definition, 0, definition["window_seconds"] * 1_000)}
    before = (definition["pre_period_seconds"] or 0) * 1_000
    return made | ({"pair": measure(definition, -before, 0)} if before else {})


def record(environment: str, phase: dict, version: int, gone: bool = False) -> tuple[str, bytes]:
    """Key and value; with `gone`, that the phase is no longer there."""
    by_id = {entry["id"]: entry["definition"] for entry in phase["metrics"]}
    definition = {
        "unit_type": phase["unit_type"], "names": [phase["id"], *phase["aliases"]],
        "variations": {alias: variation["id"] for variation in phase["variations"] for alias in variation["aliases"]},
        "metrics": [metric(entry["id"], entry["definition"], by_id) for entry in phase["metrics"]]}
    value = {"definition": None if gone else definition, "environment": environment, "experiment": phase["id"], "phase": phase["phase"], "version": version}
    return f"{environment}/{phase['id']}/{phase['phase']}", json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def aliases(phases: list[dict]) -> dict[str, str]:
    """Experiment, or `experiment/variation`, to the id that client keys know it by."""
    found = {phase["id"]: alias for phase in phases for alias in phase["aliases"]}
    return found | {f"{phase['id']}/{variation['id']}": alias for phase in phases for variation in phase["variations"] for alias in variation["aliases"]}
