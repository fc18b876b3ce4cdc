"""The same recorded events through the embedded store and through Kafka → `evenhand process` → ClickHouse: identical aggregates."""
from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import event_set
from cluster import Cluster, Node, eventually
from connection import Connection

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from world import World  # noqa: E402

BATCH = 2_000
CELL = ("experiment_id", "phase", "epoch", "variation_id", "metric", "key_kind", "standing")
SUMS = ("n", "sum", "sum_sq", "pair_sum", "pair_sum_sq", "pair_cross")
# Each view, and what a row of it is besides: of all units and days, or of a day and a cut.
QUERIES = [f"SELECT {', '.join((*CELL, *place, *SUMS))} FROM {{}}{view}" for view, place in (("aggregates", ("NULL", "NULL")), ("daily_aggregates", ("day", "cut")))]
# What says when, and how far; and what a node has seen and done itself since its start.
OF_THE_MOMENT = ("stewardship", "as_of_ms", "start_ms", "lag_events", "lag_seconds", "rebuild_progress", "exposure_loss", "late_events")


def batches(events, size: int):
    batch = []
    for line in events:
        batch.append(line)
        if len(batch) == size:
            yield "\n".join(batch).encode()
            batch = []
    if batch:
        yield "\n".join(batch).encode()


def send(port: int, key: str, body: bytes) -> int:
    """One batch of history; how many were acknowledged."""
    connection = Connection(port)
    try:
        answer = connection.request("POST", "/v1/events?import=true", body, {"Authorization": f"Bearer {key}", "Content-Type": "application/x-ndjson"})
    finally:
        connection.close()
    if answer.status != 202 or answer.json()["rejected"]:
        raise AssertionError(f"events were not taken: {answer.status} {answer.body[:400]!r}")
    return answer.json()["accepted"]


def rows(found: list[list]) -> list[tuple]:
    """Cells in one order, numbers as exact integers, whatever engine they come from."""
    return sorted(tuple(str(value or "") for value in row[:9]) + tuple(int(value) for value in row[9:]) for row in found)


def answers(ask) -> dict[str, dict]:
    """What the results routes say of everything: caps and quantiles too, which are read from sums that no view shows."""
    found = {}
    for key in event_set.EXPERIMENTS:
        parts = ["", "/days", "/health", *(f"/dimensions/{name}" for name in event_set.DIMENSIONS[key])]
        for part in parts + ["?dimension=country&value=SE"] * ("country" in event_set.DIMENSIONS[key]):
            answer = ask(f"{event_set.E}/experiments/{key}/results{part}")
            found[key + part] = {name: value for name, value in answer.items() if name not in OF_THE_MOMENT}
    return found


def embedded(directory: Path, events, count: int) -> tuple[list[tuple], dict[str, dict]]:
    """What the embedded store makes of them: its cells, and its answers."""
    world = World(directory, ("--store-plain-unit-ids",))
    try:
        event_set.define(lambda method, path, body: world.api(method, path, body))
        for body in batches(events, BATCH):
            send(world.server.port, world.keys["server"], body)
        eventually(
            lambda: [{name: world.results(key)[name] for name in ("experiment_id", "lag_events", "complete")} for key in event_set.EXPERIMENTS],
            lambda found: all(one["lag_events"] == 0 and one["complete"] for one in found), "everything is processed", max(60.0, count / 1_000))
        found = []
        for query in QUERIES:
            asked = world.http("POST", f"{event_set.E}/sql", {"query": query.format(""), "limit": 100_000}, world.token).json()
            if asked["truncated"]:
                raise AssertionError("there are more cells than are compared")
            found += asked["rows"]
        return rows(found), answers(lambda path: world.api("GET", path).json())
    finally:
        world.close()


def settled(serve: Node, seconds: float) -> None:
    """Until everything acknowledged is in ClickHouse: what both consumer groups have committed says so."""
    path = f"{event_set.E}/experiments/by-user/results"
    eventually(lambda: serve.api("GET", path).json()["lag_events"], lambda lag: lag == 0, "the processors have caught up", seconds)


def clickhouse(cluster: Cluster) -> list[tuple]:
    """The cells in ClickHouse."""
    found = []
    for query in QUERIES:
        text = cluster.servers["clickhouse"].sql(query.format("evenhand.") + " FORMAT TSV")
        # TSV writes NULL so.
        found += [[None if value == "\\N" else value for value in line.split("\t")] for line in text.splitlines()]
    return rows(found)


def compare(one: list[tuple], other: list[tuple], what: str) -> None:
    if one != other:
        only_one, only_other = sorted(set(one) - set(other)), sorted(set(other) - set(one))
        raise AssertionError(f"{what}: {len(only_one)} cells of the first and {len(only_other)} of the second differ, such as\n  {only_one[:3]}\n  {only_other[:3]}")


def play(directory: Path, count: int, seed: int) -> dict:
    base_ms = (int(time.time() // 86_400) - 30) * 86_400_000
    original = list(event_set.lines(seed, count, base_ms))
    holds = event_set.properties(seed, count, base_ms)
    if holds["duplicates"] < 0.05 or holds["late_exposures"] < 0.05 or holds["two_variations"] < 0.01:
        raise AssertionError(f"the set is poorer than it promises: {holds}")
    (directory / "embedded").mkdir()
    expected, said = embedded(directory / "embedded", original, count)
    figures: dict = {"events": count, "set": holds, "cells": len(expected), "answers": len(said), "runs": []}
    for name, shuffle in (("in order", False), ("shuffled", True)):
        events = original if not shuffle else random.Random(seed).sample(original, len(original))
        place = directory / name.replace(" ", "-")
        place.mkdir()
        with Cluster(place) as cluster:
            try:
                serve = cluster.serve("serve")
                event_set.define(lambda method, path, body: serve.api(method, path, body))
                cluster.process("process")
                began = time.monotonic()
                sent = sum(send(serve.port, cluster.keys["server"], body) for body in batches(events, BATCH))
                taken = time.monotonic() - began
                settled(serve, max(120.0, count / 500))
                took = time.monotonic() - began
                compare(expected, clickhouse(cluster), f"embedded against ClickHouse, {name}")
                answered = answers(lambda path: serve.api("GET", path).json())
                if different := [name for name in said if answered[name] != said[name]]:
                    raise AssertionError(f"the results routes say other things of {different}, such as\n  {said[different[0]]}\n  {answered[different[0]]}")
                units = sum(variation["units"] for key in event_set.EXPERIMENTS for variation in answered[key]["variations"])
                counted = sum(row[9] for row in expected if row[4] == "" and row[6] == "counted" and row[7] == "")
                if units != counted:
                    raise AssertionError(f"the results routes count {units} units, the aggregates {counted}")
            except BaseException:
                cluster.report()
                raise
        figures["runs"].append({"order": name, "accepted": sent, "ingest_seconds": round(taken, 1), "seconds": round(took, 1), "events_per_second": round(sent / took)})
        print(f"{name}: {sent} events, {len(expected)} cells and {len(said)} answers identical, {took:.0f} s", flush=True)
    return figures
