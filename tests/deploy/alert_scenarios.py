"""What each alert must fire on, and what it must not: every scenario is a healthy installation with a few series changed, and the exact set
of alerts that fire some time later. Written as promtool's own tests, run by promtool."""
from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import yaml

MINUTES = 120
SERVE = 'job="evenhand-serve",instance="{}"'
PROCESS = 'job="evenhand-process",instance="{}"'


def steady(value: float) -> str:
    return f"{value}x{MINUTES}"


def rising(per_minute: float, start: float = 0) -> str:
    return f"{start}+{per_minute}x{MINUTES}"


def healthy() -> dict[str, str]:
    """Two nodes that serve and one that processes, at about 100 requests a second, each value once a minute."""
    series: dict[str, str] = {}
    for node in ("a", "b"):
        labels = SERVE.format(node)
        place = f'environment="production",{labels}'
        series |= {
            f"up{{{labels}}}": steady(1),
            f'evenhand_http_requests_total{{route="/v1/assignments",status="200",{labels}}}': rising(6000),
            f'evenhand_http_requests_total{{route="/v1/events",status="503",{labels}}}': rising(0),
            # A failing probe is no caller's error.
            f'evenhand_http_requests_total{{route="/readyz",status="503",{labels}}}': rising(12),
            f'evenhand_http_request_seconds_bucket{{le="0.1",{labels}}}': rising(6000),
            f'evenhand_http_request_seconds_bucket{{le="1.0",{labels}}}': rising(6000),
            f'evenhand_http_request_seconds_bucket{{le="+Inf",{labels}}}': rising(6000),
            f'evenhand_assignment_seconds_bucket{{le="0.005",{labels}}}': rising(6000),
            f'evenhand_assignment_seconds_bucket{{le="0.05",{labels}}}': rising(6000),
            f'evenhand_assignment_seconds_bucket{{le="+Inf",{labels}}}': rising(6000),
            f"evenhand_assignment_seconds_count{{{labels}}}": rising(6000),
            f'evenhand_grpc_calls_total{{method="Get",code="Ok",{labels}}}': rising(6000),
            f'evenhand_grpc_calls_total{{method="Get",code="InvalidArgument",{labels}}}': rising(600),
            f'evenhand_grpc_calls_total{{method="Publish",code="Unavailable",{labels}}}': rising(6),
            f"evenhand_http_connections{{{labels}}}": steady(500),
            f"evenhand_http_connections_limit{{{labels}}}": steady(10000),
            f'evenhand_http_connections_dropped_total{{reason="slow",{labels}}}': rising(1),
            f'evenhand_tls_certificate_not_after_seconds{{listener="grpc",{labels}}}': steady(90 * 86400),
            f"evenhand_postgres_up{{{labels}}}": steady(1),
            f"evenhand_postgres_commit_conflicts_total{{{labels}}}": rising(0.1),
            f"evenhand_feed_held{{{labels}}}": steady(1 if node == "a" else 0),
            f"evenhand_redis_up{{{labels}}}": steady(1),
            f"evenhand_manifest_version{{{place}}}": steady(17),
            f"evenhand_manifest_unconfirmed_seconds{{{place}}}": steady(20),
            f'evenhand_manifest_refused_total{{reason="signature",{place}}}': rising(0),
            f"evenhand_kafka_up{{{labels}}}": steady(1),
            f"evenhand_spool_bytes{{{labels}}}": steady(0),
            f"evenhand_spool_limit_bytes{{{labels}}}": steady(8 << 30),
            f"evenhand_spool_oldest_seconds{{{labels}}}": steady(0),
            f"evenhand_spool_refused_events_total{{{labels}}}": rising(0),
            f"evenhand_events_accepted_total{{{place}}}": rising(60000),
            f'evenhand_events_rejected_total{{code="too_old",{place}}}': rising(60),
            f"evenhand_steward_leads{{{labels}}}": steady(1 if node == "b" else 0),
            f"evenhand_steward_failures_total{{{labels}}}": rising(0.1),
            f'evenhand_steward_acts_total{{act="kill",{labels}}}': rising(0),
            # A ramp and a bandit at their daily work.
            f'evenhand_steward_acts_total{{act="ramp_step",{labels}}}': rising(0.2),
            f'evenhand_steward_acts_total{{act="weights",{labels}}}': rising(1),
        }
    labels = SERVE.format("a")
    series |= {
        f"evenhand_feed_slot_retained_bytes{{{labels}}}": steady(16 << 20),
        f'evenhand_feed_slot_wal_status{{status="reserved",{labels}}}': steady(1),
        f'evenhand_feed_slot_wal_status{{status="unreserved",{labels}}}': steady(0),
        f'evenhand_feed_slot_wal_status{{status="lost",{labels}}}': steady(0),
    }
    labels = PROCESS.format("p")
    series |= {
        f"up{{{labels}}}": steady(1),
        f"evenhand_clickhouse_up{{{labels}}}": steady(1),
        f'evenhand_clickhouse_failures_total{{operation="insert",code="241",{labels}}}': rising(0),
        f'evenhand_process_dead_letters_total{{reason="not an event",{labels}}}': rising(0),
        f"evenhand_catalog_publish_stopped{{{labels}}}": steady(0),
    }
    for stage in ("rekey", "process"):
        place = f'stage="{stage}",partition="0",{labels}'
        series |= {
            f"evenhand_process_stopped{{{place}}}": steady(0),
            f"evenhand_process_watermark_age_seconds{{{place}}}": steady(3),
            f"evenhand_process_lag_events{{{place}}}": steady(2000),
            f'evenhand_process_records_total{{stage="{stage}",{labels}}}': rising(120000),
        }
    return series


def on(metric: str, values: str | None, *having: str) -> dict[str, str | None]:
    """All series of a metric that have these labels get the values; with None they are gone."""
    found = [name for name in healthy() if re.match(rf"{metric}\{{", name) and all(part in name for part in having)]
    if not found:
        raise SystemExit(f"alert_scenarios: no series of {metric} with {having}")
    return {name: values for name in found}


A, B = 'instance="a"', 'instance="b"'
SERVE_GONE = on("up", steady(0), "evenhand-serve")
MISSING = {"EvenhandSeriesMissing"}
SPOOL = 8 << 30

# name → (what is changed, minute → the alerts that fire then)
SCENARIOS: dict[str, tuple[dict[str, str | None], dict[int, set[str]]]] = {
    "all is well": ({}, {30: set(), 90: set()}),
    "no node answers": (SERVE_GONE, {0: set(), 2: {"EvenhandNoServeNode"}, 10: {"EvenhandNoServeNode", "EvenhandServeNodeDown"}}),
    "one node is down": (on("up", steady(0), "evenhand-serve", A), {3: set(), 10: {"EvenhandServeNodeDown"}}),
    # 2 % of events' batches: 14.4 and 6 times what a month allows for.
    "one request in fifty fails": (
        on("evenhand_http_requests_total", rising(124), 'route="/v1/events"'),
        {1: set(), 10: {"EvenhandErrorBudgetFast"}, 60: {"EvenhandErrorBudgetFast", "EvenhandErrorBudgetSlow"}},
    ),
    "one request in a hundred fails": (on("evenhand_http_requests_total", rising(61), 'route="/v1/events"'), {10: set(), 60: {"EvenhandErrorBudgetSlow"}}),
    "one request in a thousand fails": (on("evenhand_http_requests_total", rising(6), 'route="/v1/events"'), {60: set()}),
    "answers take half a second": (on("evenhand_http_request_seconds_bucket", rising(5000), 'le="0.1"'), {5: set(), 20: {"EvenhandAnswersSlow"}}),
    "assignments take 20 ms": (on("evenhand_assignment_seconds_bucket", rising(4000), 'le="0.005"'), {3: set(), 12: {"EvenhandAssignmentsSlow"}}),
    "gRPC fails": (on("evenhand_grpc_calls_total", rising(200), "Unavailable"), {3: set(), 12: {"EvenhandGrpcFails"}}),
    "connections run out": (on("evenhand_http_connections", steady(9500), A), {3: set(), 10: {"EvenhandConnectionsUsedUp"}}),
    "readers are too slow": (on("evenhand_http_connections_dropped_total", rising(20), A), {20: {"EvenhandReadersDropped"}}),
    "a certificate has ten days": (on("evenhand_tls_certificate_not_after_seconds", steady(10 * 86400), A), {30: set(), 90: {"EvenhandCertificateExpires"}}),
    "a certificate has one day": (
        on("evenhand_tls_certificate_not_after_seconds", steady(86400), A),
        {5: set(), 15: {"EvenhandCertificateExpiresNow"}, 90: {"EvenhandCertificateExpires", "EvenhandCertificateExpiresNow"}},
    ),
    "PostgreSQL is away": (on("evenhand_postgres_up", steady(0)), {1: set(), 5: {"EvenhandPostgresCutOff"}}),
    "nobody holds the feed": (on("evenhand_feed_held", steady(0)), {2: set(), 5: {"EvenhandFeedHeldByNobody"}}),
    "nobody exports the feed": (on("evenhand_feed_held", None), {2: set(), 5: {"EvenhandFeedHeldByNobody"}}),
    "two hold the feed": (on("evenhand_feed_held", steady(1)), {5: {"EvenhandFeedHeldTwice"}}),
    "the slot keeps a gigabyte": (on("evenhand_feed_slot_retained_bytes", steady(1 << 30)), {3: set(), 10: {"EvenhandSlotRetainsLog"}}),
    "the slot is lost": (on("evenhand_feed_slot_wal_status", steady(1), "lost"), {1: {"EvenhandSlotEndangered"}}),
    "Redis is away for one node": (on("evenhand_redis_up", steady(0), B), {1: set(), 5: {"EvenhandRedisCutOff"}}),
    "a manifest gets old": (on("evenhand_manifest_unconfirmed_seconds", rising(60), A), {4: set(), 10: {"EvenhandManifestUnconfirmed"}}),
    "a node is behind": (on("evenhand_manifest_version", steady(16), B), {2: set(), 5: {"EvenhandNodesDisagree"}}),
    "a signature is wrong": (on("evenhand_manifest_refused_total", rising(2), A), {3: set(), 10: {"EvenhandManifestRefused"}}),
    "two scripts change definitions": (on("evenhand_postgres_commit_conflicts_total", rising(60)), {10: set(), 40: {"EvenhandCommitConflicts"}}),
    # 1 MiB a second, from 5 GiB on: first a ticket, and a page when half an hour is left.
    "Kafka is away and the spool is large": (
        on("evenhand_kafka_up", steady(0), A) | on("evenhand_spool_bytes", rising(60 << 20, 5 << 30), A) | on("evenhand_spool_oldest_seconds", rising(60), A),
        {4: {"EvenhandKafkaCutOff"}, 15: {"EvenhandKafkaCutOff", "EvenhandSpoolGrows"}, 40: {"EvenhandKafkaCutOff", "EvenhandSpoolGrows", "EvenhandSpoolFilling"}},
    ),
    "the spool is nearly full and stands still": (on("evenhand_spool_bytes", steady(0.9 * SPOOL), A), {30: {"EvenhandSpoolFilling"}}),
    "the spool is full": (on("evenhand_spool_refused_events_total", rising(600), A), {5: {"EvenhandSpoolRefuses"}}),
    "something in the spool can't be sent": (on("evenhand_spool_oldest_seconds", rising(60, 5 * 3600), A), {45: set(), 90: {"EvenhandSpoolForgotten"}}),
    "a release sends what is not allowed": (on("evenhand_events_rejected_total", rising(6000)), {10: set(), 40: {"EvenhandEventsRejected"}}),
    "a partition is stopped": (on("evenhand_process_stopped", steady(1), 'stage="process"'), {0: set(), 3: {"EvenhandProcessStopped"}}),
    "nothing is processed": (
        on("evenhand_process_records_total", steady(5), 'stage="process"') | on("evenhand_process_watermark_age_seconds", rising(60), 'stage="process"'),
        {5: set(), 12: {"EvenhandProcessIdle"}, 30: {"EvenhandProcessIdle", "EvenhandResultsLate"}},
    ),
    "results are hours late": (on("evenhand_process_watermark_age_seconds", steady(7 * 3600)), {5: set(), 15: {"EvenhandResultsLate", "EvenhandResultsVeryLate"}}),
    "nothing comes in, and nothing waits": (on("evenhand_process_records_total", steady(5)), {60: set()}),
    "process is gone": (on("up", steady(0), "evenhand-process"), {3: set(), 10: {"EvenhandProcessNobody"}}),
    "lag grows for an hour": (
        on("evenhand_process_lag_events", rising(30000, 900000), 'stage="rekey"'),
        {20: set(), 60: {"EvenhandLagGrows"}},
    ),
    "lag is large and falls": (on("evenhand_process_lag_events", f"5000000-10000x{MINUTES}", 'stage="process"'), {90: set()}),
    "a record can't be processed": (on("evenhand_process_dead_letters_total", rising(0.1)), {30: {"EvenhandDeadLetters"}}),
    "ClickHouse refuses inserts": (on("evenhand_clickhouse_failures_total", rising(60)), {3: set(), 12: {"EvenhandClickHouseFails"}}),
    "ClickHouse is away": (on("evenhand_clickhouse_up", steady(0)), {3: set(), 8: {"EvenhandClickHouseCutOff"}}),
    "nobody looks after experiments": (on("evenhand_steward_leads", steady(0)), {3: set(), 8: {"EvenhandExperimentsUnwatched"}}),
    "looks fail": (on("evenhand_steward_failures_total", rising(6), B), {5: set(), 30: {"EvenhandLooksFail"}}),
    # The sixth minute's kill is told of for ten minutes.
    "an experiment is killed by itself": (
        on("evenhand_steward_acts_total", f"0x5 1x{MINUTES}", "kill", B),
        {4: set(), 8: {"EvenhandActedByItself"}, 30: set()},
    ),
    "definitions for Flink are not published": (on("evenhand_catalog_publish_stopped", steady(1)), {5: set(), 15: {"EvenhandCatalogUnpublished"}}),
    "a version without the new series": (on("evenhand_assignment_seconds_count", None), {10: set(), 40: MISSING}),
}


def one_test(name: str, changes: dict[str, str | None], moments: dict[int, set[str]]) -> dict:
    series = {key: values for key, values in (healthy() | changes).items() if values is not None}
    return {
        "name": name,
        "interval": "1m",
        # No values after the last look: they take time to load and say nothing.
        "input_series": [{"series": key, "values": values.replace(f"x{MINUTES}", f"x{max(moments) + 1}")} for key, values in series.items()],
        "promql_expr_test": [
            {
                # How often an alert fires (once a node) is not what is tested.
                "expr": 'group by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": f"{minute}m",
                "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in sorted(firing)],
            }
            for minute, firing in moments.items()
        ],
    }


def check(promtool: Path, rules_directory: Path, scratch: Path, only: set[str] | None = None) -> tuple[list[str], int]:
    """Faults, and the number of moments looked at. With `only`, of the scenarios in which one of these alerts fires."""
    rules = sorted(rules_directory.glob("*.yaml"))
    alerts = {rule["alert"] for path in rules for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"] if "alert" in rule}
    fired = {alert for _, moments in SCENARIOS.values() for firing in moments.values() for alert in firing}
    faults = [f"alerts: no scenario in tests/deploy/alert_scenarios.py makes {alert} fire" for alert in sorted(alerts - fired)]
    # The long ones first, dealt out to as many promtools as there are cores: each takes one file after the other.
    chosen = [item for item in SCENARIOS.items() if only is None or any(firing & only for firing in item[1][1].values())]
    scenarios = sorted(chosen, key=lambda item: -max(item[1][1]))
    cores = os.cpu_count() or 1
    running = []
    for core in range(cores):
        tests = [one_test(name, *scenario) for name, scenario in scenarios[core::cores]]
        file = scratch / f"alerts-{core}.test.yaml"
        # promtool reads YAML; JSON is some, and is written in a tenth of the time.
        file.write_text(json.dumps({"rule_files": [str(path) for path in rules], "evaluation_interval": "1m", "tests": tests}))
        running.append(subprocess.Popen([str(promtool), "test", "rules", str(file)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    for process in running:
        said, _ = process.communicate()
        if process.returncode != 0:
            faults.append("promtool test rules: " + said[-3000:])
    return faults, sum(len(moments) for _, moments in SCENARIOS.values())
