"""Nodes, partitions, bytes and money of each size, worked out from measured.json and plan.json."""
from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PARTITIONS = (6, 12, 24, 48, 96, 192, 384)
DAY = 86_400


class Figures:
    """Figures of measured.json, made worse by `distrust` where they were not measured in this mode."""

    def __init__(self, measured: dict, distrust: float):
        self.entries, self.distrust = measured["figures"], distrust

    def rate(self, name: str) -> float:
        entry = self.entries[name]
        return entry["value"] if entry["kind"] == "measured" else entry["value"] / self.distrust

    def cost(self, name: str) -> float:
        """Bytes and the like, where more is worse. Not distrusted twice: sizes have their reserve in `disk_fill`."""
        return self.entries[name]["value"]


@dataclass(frozen=True)
class Plan:
    name: str
    events_mean: float
    events_peak: float
    assignments: float
    serve_nodes: int
    serve_cores: float
    serve_load_cores: float
    process_nodes: int
    process_cores: float
    process_load_cores: float
    partitions: int
    spool_bytes: int
    kafka_brokers: int
    kafka_mb_s: float
    kafka_tb: float
    clickhouse_nodes: int
    clickhouse_cores: int
    clickhouse_tb_hot: float
    clickhouse_tb_cold: float
    rows_a_day: float
    spool_minutes: float
    manifest_gb_day: float
    money: dict[str, float]
    # What a core does, for the simulation.
    serve_rate: float
    process_core_s: float
    serve_background_cores: float
    units: float


def inputs() -> tuple[dict, Figures]:
    settings = json.loads((HERE / "plan.json").read_text())
    return settings, Figures(json.loads((HERE / "measured.json").read_text()), settings["distrust"]["value"])


def in_zones(nodes: float, zones: int, least: int) -> int:
    """As many in each zone; two nodes need no third."""
    whole = max(math.ceil(nodes - 1e-9), least)
    return whole if whole < zones else math.ceil(whole / zones) * zones


def work_out(name: str, settings: dict, figures: Figures, peak_factor: float) -> Plan:
    size, prices = settings["sizes"][name], settings["prices"]
    zones, use = settings["zones"], settings["utilisation"]["value"]
    mean = size["events_a_day"] / DAY
    peak = mean * peak_factor
    units = figures.cost("units_an_event")

    # An assignment asks for anything from one flag to all of them: half and half.
    assign_core_s = 0.5 / figures.rate("assign_requests_per_core_second") + 0.5 / figures.rate("assign_all_flags_per_core_second")
    background = size["assignments_a_second"] * assign_core_s
    serve_rate = figures.rate("serve_events_per_core_second")
    serve_load = background + peak / serve_rate
    serve_nodes = in_zones(serve_load / use / size["serve_cores"], zones, size["least_serve_nodes"])

    # An event is re-keyed once and processed once for each of its units.
    process_core_s = 1 / figures.rate("rekey_events_per_core_second") + units / figures.rate("process_events_per_core_second")
    # After an outage of length L at the peak, L × peak waits; it is to be gone within catch_up × L, beside what comes in meanwhile.
    catch_up = 1 + 1 / settings["promises"]["catch_up_factor"]
    process_load = peak * process_core_s
    process_nodes = in_zones(process_load * max(1 / use, catch_up) / size["process_cores"], zones, size["least_process_nodes"])
    process_threads = math.ceil(process_nodes * size["process_cores"])
    wanted = max(size["partitions_at_least"], process_load * settings["growth"]["value"], process_threads * 4)
    partitions = next(step for step in PARTITIONS if step >= wanted)

    record = figures.cost("kafka_bytes_an_event")
    replicas = settings["kafka_replicas"]
    # Both topics; the second carries a record a unit.
    kafka_mb_s = peak * record * (1 + units) * replicas / 1e6
    days = settings["kafka_retention_days"]
    kafka_tb = size["events_a_day"] * record * (days["events"] + units * days["units"]) * replicas / settings["disk_fill"] / 1e12
    brokers = in_zones(kafka_mb_s / (figures.rate("kafka_mb_per_broker_second") * use), zones, 3)

    rows = size["events_a_day"] * units
    row_tb = rows * figures.cost("clickhouse_bytes_a_row") * settings["clickhouse_replicas"] / settings["disk_fill"] / 1e12
    hot, cold = row_tb * settings["hot_days"], row_tb * settings["disk_fill"] * (settings["retention_days"] - settings["hot_days"])
    # Each replica merges all rows of its shard. Shards × replicas, at most 16 cores each.
    cores_a_copy = max(2, math.ceil(peak * units / figures.rate("clickhouse_rows_per_core_second") / use))
    shards = math.ceil(cores_a_copy / 16)
    clickhouse_cores = 2 ** math.ceil(math.log2(cores_a_copy / shards))
    clickhouse_nodes = shards * settings["clickhouse_replicas"]

    spool = int(size["spool_gib"] * (1 << 30))
    spool_minutes = spool * serve_nodes / (peak * figures.cost("spool_bytes_an_event")) / 60
    manifest_gb_day = size["daily_users"] * settings["manifest_fetches_a_user_day"] * figures.cost("client_manifest_bytes") / 1e9

    month = lambda cores: cores * prices["core_hour"] * prices["hours_a_month"]
    broker_cores = 4 if brokers > 3 or kafka_mb_s > 10 else 2
    postgres_cores, redis_cores, keeper_cores = (2 * 4, 2 * 2, 3 * 1) if name == "large" else (2 * 2, 2 * 1, 3 * 1)
    mean_zone_gb = size["events_a_day"] * 30 / 1e9 * record * ((replicas - 1) * (1 + units) + (1 + 2 * units) * 2 / 3)
    money = {
        "serve": month(serve_nodes * size["serve_cores"]) + serve_nodes * spool / 0.6 / 1e9 * prices["disk_gb_month"],
        "process": month(process_nodes * size["process_cores"]),
        "Kafka": month(brokers * broker_cores) + kafka_tb * 1000 * prices["disk_gb_month"],
        "ClickHouse": month(clickhouse_nodes * clickhouse_cores + keeper_cores) + hot * 1000 * prices["disk_gb_month"] + cold * 1000 * prices["object_gb_month"],
        "PostgreSQL, Redis": month(postgres_cores + redis_cores) + 200 * prices["disk_gb_month"],
        "between zones": mean_zone_gb * prices["zone_gb"],
        "manifests by CDN": manifest_gb_day * 30 * prices["cdn_gb"],
    }
    return Plan(
        name=name, events_mean=mean, events_peak=peak, assignments=size["assignments_a_second"], serve_nodes=serve_nodes, serve_cores=size["serve_cores"],
        serve_load_cores=serve_load, process_nodes=process_nodes, process_cores=size["process_cores"], process_load_cores=process_load, partitions=partitions,
        spool_bytes=spool, kafka_brokers=brokers, kafka_mb_s=kafka_mb_s, kafka_tb=kafka_tb, clickhouse_nodes=clickhouse_nodes, clickhouse_cores=clickhouse_cores,
        clickhouse_tb_hot=hot, clickhouse_tb_cold=cold, rows_a_day=rows, spool_minutes=spool_minutes, manifest_gb_day=manifest_gb_day, money=money,
        serve_rate=serve_rate, process_core_s=process_core_s, serve_background_cores=background, units=units,
    )
