"""Faults while load runs: nothing acknowledged is lost, nothing counts twice, decisions go on from the last manifest.

Two serving nodes, two processors. Each fault prints how many events were acknowledged while it lasted; none fails the test.
"""
from __future__ import annotations

import time
from pathlib import Path
from typing import Callable

import equality
import event_set
from cluster import Cluster, eventually
from load import Askers, Senders

EXPERIMENT = "by-user"


def play(directory: Path, hold: float, only: list[str] | None = None) -> dict:
    """`hold`: seconds that each fault lasts."""
    with Cluster(directory) as cluster:
        try:
            return run(cluster, hold, only)
        except BaseException:
            cluster.report()
            raise


def run(cluster: Cluster, hold: float, only: list[str] | None) -> dict:
    first = cluster.serve("serve-1")
    event_set.define(lambda method, path, body: first.api(method, path, body))
    serving = [first, cluster.serve("serve-2")]
    processing = [cluster.process("process-1"), cluster.process("process-2")]
    flag, key = f"flag-{EXPERIMENT}", cluster.keys["server"]
    for node in serving:
        eventually(lambda: node.http("GET", f"/v1/assignments?user_id=x&flags={flag}", key=key).json()["assignments"].get(flag, {}).get("reason"), lambda reason: reason == "SPLIT", f"{node.name} knows the experiment")
    senders, askers = Senders(serving, key, EXPERIMENT), Askers(serving, key, flag)
    postgres, redis, kafka, clickhouse = (cluster.servers[name] for name in ("postgres", "redis", "kafka", "clickhouse"))

    def node_killed(node):
        def fault() -> None:
            askers.down.add(node.name)
            node.kill()
            time.sleep(hold)
            node.start()
            askers.down.discard(node.name)
        return fault

    def server_away(server, how: str) -> Callable[[], None]:
        def fault() -> None:
            getattr(server, how)()
            time.sleep(hold)
            (server.resume if how == "pause" else server.start)()
        return fault

    def rolling_upgrade() -> None:
        for node in serving:
            # As a balancer does: it is taken out, drained, replaced, and back when it is ready.
            askers.down.add(node.name)
            node.stop()
            node.start()
            askers.down.discard(node.name)
        for node in processing:
            node.stop()
            node.start()

    def slot_lags() -> None:
        """Nobody can be told of changes: PostgreSQL keeps its log for the feed, which is to be seen, and everything is told afterwards."""
        holder = next(node for node in serving if node.metric("evenhand_feed_held") == 1)
        redis.stop()
        told = holder.metric("evenhand_feed_confirmed_total")
        for number in range(10):
            serving[number % 2].api("POST", f"{event_set.E}/flags/flag-by-account/{('kill', 'unkill')[number % 2]}", {})
        eventually(lambda: holder.metric("evenhand_feed_slot_retained_bytes"), lambda kept: kept > 0, "the log that PostgreSQL keeps for the feed is to be seen", 30)
        time.sleep(hold)
        if holder.metric("evenhand_feed_confirmed_total") != told:
            raise AssertionError("a version was confirmed though Redis is away")
        redis.start()
        eventually(lambda: holder.metric("evenhand_feed_confirmed_total"), lambda now: now > told, "after the outage the feed goes on", 60)

    faults: dict[str, Callable[[], None]] = {
        "kill -9 of a serving node": node_killed(serving[1]),
        "kill -9 of the node that holds the feed": node_killed(serving[0]),
        "kill -9 of a processor": lambda: (processing[0].kill(), time.sleep(hold), processing[0].start()),
        "kill -9 of both processors": lambda: ([node.kill() for node in processing], time.sleep(hold), [node.start() for node in processing]),
        "Kafka stopped": server_away(kafka, "stop"),
        "kill -9 of Kafka": server_away(kafka, "kill"),
        "ClickHouse stopped": server_away(clickhouse, "stop"),
        "kill -9 of ClickHouse": server_away(clickhouse, "kill"),
        "Redis stopped": server_away(redis, "stop"),
        "Redis hangs": server_away(redis, "pause"),
        "Redis stopped, and the feed's slot lags": slot_lags,
        "PostgreSQL stopped": server_away(postgres, "stop"),
        "kill -9 of PostgreSQL": server_away(postgres, "kill"),
        "PostgreSQL hangs": server_away(postgres, "pause"),
        "rolling upgrade": rolling_upgrade,
    }
    figures = {}
    time.sleep(1)
    for name, fault in faults.items():
        if only and name not in only:
            continue
        before, wrong_before, asked_before, refused = senders.count(), len(askers.wrong), askers.asked, senders.refused
        began = time.monotonic()
        fault()
        took, acknowledged = time.monotonic() - began, senders.count() - before
        wrong, asked = askers.wrong[wrong_before:], askers.asked - asked_before
        figures[name] = {"seconds": round(took, 1), "acknowledged": acknowledged, "refused_batches": senders.refused - refused, "asked": asked, "wrong_answers": len(wrong)}
        print(f"{name}: {acknowledged} events acknowledged, {senders.refused - refused} batches told to come back, {asked} decisions asked, {len(wrong)} not answered, {took:.1f} s", flush=True)
        if acknowledged == 0:
            raise AssertionError(f"{name}: no event was acknowledged while it lasted, so it has proved nothing")
        if wrong:
            raise AssertionError(f"{name}: {len(wrong)} of {asked} decisions were not answered: {wrong[:3]}")
        time.sleep(min(1.0, hold))
    senders.stop()
    askers.stop()
    figures["all"] = settle_and_count(cluster, senders)
    figures["all"]["slowest_decision_ms"] = round(askers.slowest * 1000)
    return figures


def settle_and_count(cluster: Cluster, senders: Senders) -> dict:
    """Everything acknowledged is in ClickHouse, and the aggregates are what a count of the raw events gives."""
    serving = [node for node in cluster.nodes.values() if node.role == "serve"]
    eventually(lambda: sum(node.metric("evenhand_spool_events") for node in serving), lambda left: left == 0, "the spools are empty", 120)
    equality.settled(cluster.nodes["serve-1"], 120)
    sql = cluster.servers["clickhouse"].sql
    stored = set(eventually(
        lambda: sql("SELECT event_id FROM evenhand.events FORMAT TSV").splitlines(),
        lambda found: set(senders.acknowledged) <= set(found), "every acknowledged event is stored", 60))
    counted = int(sql("SELECT sum(n) FROM evenhand.aggregates WHERE metric = '' AND standing = 'counted' FORMAT TSV") or 0)
    users = int(sql("SELECT uniqExact(user_id) FROM evenhand.events WHERE event_name = '$exposure' FORMAT TSV"))
    orders = int(sql("SELECT sum(toInt64(sum)) FROM evenhand.aggregates WHERE metric = 'orders' AND standing = 'counted' FORMAT TSV") or 0)
    bought = int(sql("SELECT uniqExact(event_id) FROM evenhand.events WHERE event_name = 'purchase' AND user_id IN (SELECT user_id FROM evenhand.events WHERE event_name = '$exposure') FORMAT TSV"))
    if counted != users or orders != bought * 1_000_000:
        raise AssertionError(f"{users} users were exposed and {counted} count; they bought {bought} times and {orders / 1e6} count")
    missing = len(set(senders.acknowledged) - stored)
    print(f"{len(senders.acknowledged)} events acknowledged, {missing} lost, {len(stored) - len(senders.acknowledged)} more arrived without an answer, {counted} units and {bought} purchases count once each", flush=True)
    return {"acknowledged": len(senders.acknowledged), "stored": len(stored), "lost": missing, "units": counted, "purchases": bought}
