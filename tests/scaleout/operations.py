"""What an operator does by hand: looks at the series, follows a trace, counts anew from the log, erases a user, starts a node while its database is away."""
from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

import equality
import event_set
from cluster import Cluster, Node, eventually, free_port
from telemetry import SAMPLED, TRACE, Collector

FLAG = "flag-by-user"
REPOSITORY = Path(__file__).resolve().parent.parent.parent


def play(directory: Path, count: int, seed: int) -> dict:
    with Cluster(directory) as cluster:
        try:
            return run(cluster, count, seed)
        except BaseException:
            cluster.report()
            raise


def run(cluster: Cluster, count: int, seed: int) -> dict:
    port = free_port()
    # Only what a caller samples is traced.
    telemetry = f'[telemetry]\notlp = "http://127.0.0.1:{port}"\nsample_ratio = 0.0\n'
    serve = cluster.serve("serve", telemetry)
    event_set.define(lambda method, path, body: serve.api(method, path, body))
    processor = cluster.process("process", telemetry)
    traced(serve, cluster, port)
    base_ms = (int(time.time() // 86_400) - 30) * 86_400_000
    for body in equality.batches(event_set.lines(seed, count, base_ms), equality.BATCH):
        equality.send(serve.port, cluster.keys["server"], body)
    equality.settled(serve, 120)
    cells = equality.clickhouse(cluster)
    replay(cluster, processor, cells)
    shown({"serve": serve, "process": processor})
    erased = erase(cluster, serve)
    lost(cluster, serve)
    without_database(cluster, serve)
    return {"events": count, "cells": len(cells), "erased": erased}


def traced(serve: Node, cluster: Cluster, port: int) -> None:
    """The trace of a request goes on where its events are processed, through both topics."""
    collector = Collector(port)
    try:
        event = {"event_id": event_set.event_id(b"traced", 1), "event_name": "visit", "timestamp": int(time.time() * 1000), "user_id": "traced", "units": {"device_id": "traced"}}
        answer = serve.http("POST", "/v1/events", [event], cluster.keys["server"], {"traceparent": SAMPLED})
        if answer.status not in (200, 202):
            raise AssertionError(f"the event was not taken: {answer.status} {answer.body[:400]!r}")
        wanted = {"POST /v1/events", "ingest", "log", "process"}
        spans = eventually(lambda: collector.trace(TRACE), lambda spans: wanted <= set(spans), f"spans {sorted(wanted)} of one trace arrive")
    finally:
        collector.stop()
    if spans["process"].parent_span_id != spans["log"].span_id or spans["process"].kind != 5:
        raise AssertionError(f"processing is a consumer's span below the log's: {spans}")
    print("one trace from the request over both topics to the cells: " + json.dumps({name: span.end_time_unix_nano - span.start_time_unix_nano for name, span in sorted(spans.items())}) + " ns", flush=True)


def shown(nodes: dict[str, Node]) -> None:
    """Every series that alerts and dashboards may ask for is on the page of the role that the table names."""
    table = (REPOSITORY / "deploy" / "alerts" / "README.md").read_text()
    rows = re.findall(r"^\| `(evenhand_\w+)` \| (\w+) \|[^|]*\| ([\w, ]+) \| now \|$", table, re.M)
    # The node of this chapter is the only one, so it holds the feed.
    rows = [(name, kind, "serve" if "holds the feed" in roles else roles) for name, kind, roles in rows]
    pages = {role: node.http("GET", "/metrics").body.decode() for role, node in nodes.items()}
    lacking = [
        (name, role) for name, kind, roles in rows for role in roles.split(", ")
        # Of some series only a node has them that this chapter does not start.
        if role in pages and f"# TYPE {name.removesuffix('_total') if kind == 'counter' else name} {kind}" not in pages[role]]
    if len(rows) < 30 or lacking:
        raise AssertionError(f"of {len(rows)} series these are not exported: {lacking}")
    print(f"series: {len(rows)} of the table are on the pages", flush=True)


def replay(cluster: Cluster, processor: Node, cells: list[tuple]) -> None:
    def ask(where: str) -> subprocess.CompletedProcess:
        command = [cluster.binary, "process", "--config", str(processor.directory / "evenhand.toml"), "--replay-from", where]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    refused = ask("start")
    if refused.returncode == 0 or "has running members" not in refused.stderr:
        raise AssertionError(f"a replay beside a running processor is refused in words: {refused}")
    if equality.clickhouse(cluster) != cells:
        raise AssertionError("a refused replay changed the aggregates")
    processor.stop()
    for where in ("start", "2026-01-01T00:00:00Z"):
        done = ask(where)
        if done.returncode != 0 or equality.clickhouse(cluster):
            raise AssertionError(f"a replay empties the aggregates: {done}")
        processor.start()
        eventually(lambda: equality.clickhouse(cluster) == cells, bool, f"counted anew from {where}, the aggregates are what they were", 60)
        if where == "start":
            processor.stop()
    print("replay: refused beside a running processor; twice counted anew, the same cells", flush=True)


def erase(cluster: Cluster, serve: Node) -> int:
    sql = cluster.servers["clickhouse"].sql
    user = sql("SELECT user_id FROM evenhand.events WHERE event_name = '$exposure' ORDER BY event_id LIMIT 1 FORMAT TSV")
    had = int(sql(f"SELECT count() FROM evenhand.events WHERE user_id = '{user}' FORMAT TSV"))
    answer = serve.http("POST", f"{event_set.E}/erase", {"unit": "user_id", "id": user}, cluster.token)
    if answer.status != 200 or answer.json()["events"] != had or had == 0:
        raise AssertionError(f"{had} events of {user} are erased: {answer.status} {answer.body[:300]!r}")
    left = sql(f"SELECT count() FROM evenhand.unit_events WHERE position(body, '\"{user}\"') > 0 FORMAT TSV")
    if int(left) != 0:
        raise AssertionError(f"{left} rows of {user} are left")
    print(f"erasure: {had} events of one user are gone", flush=True)
    return had


def lost(cluster: Cluster, serve: Node) -> None:
    """Exposures that never came are missed by the node that decided: its sample is held against the exposures in ClickHouse."""
    key, users = cluster.keys["server"], 8_000
    exposures = []
    for number in range(users):
        answer = serve.http("POST", "/v1/assignments", {"context": {"user_id": f"asked-{number}"}, "flags": [FLAG]}, key)
        exposures.append(answer.json()["assignments"][FLAG]["exposure"] | {"event_id": event_set.event_id(b"asked", number), "timestamp": int(time.time() * 1000)})

    def send(part: list[dict]) -> None:
        for at in range(0, len(part), 1_000):
            answer = serve.http("POST", "/v1/events", part[at : at + 1_000], key)
            if answer.status != 202 or answer.json()["rejected"]:
                raise AssertionError(f"exposures are taken: {answer.status} {answer.body[:300]!r}")

    def loss() -> dict:
        return serve.api("GET", f"{event_set.E}/experiments/by-user/results/health").json()["exposure_loss"]

    send(exposures[: users * 7 // 10])
    # One unit in 32 is looked at: 250, with a standard deviation of 16; the share's is 0.029.
    found = eventually(loss, lambda found: found["decided_sampled"] > 180 and 0.15 < found["share_lost"] < 0.45, "three in ten are found to be lost", 60)
    if found["finding"] != "failure":
        raise AssertionError(f"which is a failure: {found}")
    send(exposures[users * 7 // 10 :])
    well = eventually(loss, lambda found: found["share_lost"] == 0, "nothing is lost when all have come", 60)
    print(f"exposure loss: {found['share_lost']:.0%} of {found['decided_sampled']} sampled units, then {well['share_lost']:.0%} of {well['decided_sampled']}", flush=True)


def without_database(cluster: Cluster, serve: Node) -> None:
    """A node whose database is away serves the manifest of its disk, and takes changes when the database is back."""
    key = cluster.keys["server"]
    serve.stop()
    cluster.servers["redis"].stop()
    cluster.servers["postgres"].stop()
    serve.start()
    decided = serve.http("GET", f"/v1/assignments?user_id=x&flags={FLAG}", key=key).json()["assignments"][FLAG]
    if decided["reason"] != "SPLIT":
        raise AssertionError(f"without database and Redis the node decides by the last manifest: {decided}")
    refused = serve.http("POST", f"{event_set.E}/flags/{FLAG}/kill", {}, cluster.token)
    if refused.status != 503:
        raise AssertionError(f"without its database a node takes no change: {refused.status} {refused.body[:300]!r}")
    cluster.servers["postgres"].start()
    cluster.servers["redis"].start()
    eventually(
        lambda: serve.http("POST", f"{event_set.E}/flags/{FLAG}/kill", {}, cluster.token).status, lambda status: status in (200, 201), "with the database back it takes changes", 60)
    eventually(
        lambda: serve.http("GET", f"/v1/assignments?user_id=x&flags={FLAG}", key=key).json()["assignments"][FLAG]["reason"], lambda reason: reason == "KILLED", "and they are in force", 10)
    print("start without database: served from the node's disk, a full node when the database was back", flush=True)
