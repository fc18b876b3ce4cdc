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
COLUMNS = ("experiment_id", "phase", "epoch", "variation_id", "metric", "key_kind", "standing", "n", "sum", "sum_sq", "pair_sum", "pair_sum_sq", "pair_cross")
QUERY = f"SELECT {', '.join(COLUMNS)} FROM aggregates ORDER BY {', '.join(COLUMNS[:7])}"


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
    return sorted(tuple(str(value or "") for value in row[:7]) + tuple(int(value) for value in row[7:]) for row in found)


def embedded(directory: Path, events, count: int) -> list[tuple]:
    """What the embedded store makes of them."""
    world = World(directory, ("--store-plain-unit-ids",))
    try:
        event_set.define(lambda method, path, body: world.api(method, path, body))
        for body in batches(events, BATCH):
            send(world.server.port, world.keys["server"], body)
        eventually(
            lambda: [{name: world.results(key)[name] for name in ("experiment_id", "lag_events", "complete")} for key in event_set.EXPERIMENTS],
            lambda found: all(one["lag_events"] == 0 and one["complete"] for one in found), "everything is processed", max(60.0, count / 1_000))
        asked = world.http("POST", f"{event_set.E}/sql", {"query": QUERY, "limit": 100_000}, world.token)
        return rows(asked.json()["rows"])
    finally:
        world.close()


def settled(serve: Node, seconds: float) -> None:
    """Until everything acknowledged is in ClickHouse: what both consumer groups have committed says so."""
    path = f"{event_set.E}/experiments/by-user/results"
    eventually(lambda: serve.api("GET", path).json()["lag_events"], lambda lag: lag == 0, "the processors have caught up", seconds)


def clickhouse(cluster: Cluster) -> list[tuple]:
    """The cells in ClickHouse."""
    text = cluster.servers["clickhouse"].sql(QUERY.replace("FROM aggregates", "FROM evenhand.aggregates") + " FORMAT TSV")
    # TSV writes NULL so.
    return rows([[None if value == "\\N" else value for value in line.split("\t")] for line in text.splitlines()])


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
    expected = embedded(directory / "embedded", original, count)
    figures: dict = {"events": count, "set": holds, "cells": len(expected), "runs": []}
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
                results = [serve.api("GET", f"{event_set.E}/experiments/{experiment}/results").json() for experiment in event_set.EXPERIMENTS]
                units = sum(variation["units"] for one in results for variation in one["variations"])
                counted = sum(row[7] for row in expected if row[4] == "" and row[6] == "counted")
                if units != counted:
                    raise AssertionError(f"the results routes count {units} units, the aggregates {counted}")
            except BaseException:
                cluster.report()
                raise
        figures["runs"].append({"order": name, "accepted": sent, "ingest_seconds": round(taken, 1), "seconds": round(took, 1), "events_per_second": round(sent / took)})
        print(f"{name}: {sent} events, {len(expected)} cells identical, {took:.0f} s", flush=True)
    return figures
