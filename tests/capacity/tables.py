"""The tables of docs/capacity.md."""
from __future__ import annotations

from arrivals import STEP
from plan import Figures, Plan
from simulate import Outcome


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


def short(value: float) -> str:
    """Three digits that count; what is less than half of one is none."""
    if value < 0.5:
        return "0"
    for scale, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value:.3g}"


def span(seconds: float | None) -> str:
    if seconds is None:
        return "not within the day"
    if seconds < STEP:
        return f"< {STEP} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def measured(figures: Figures) -> str:
    rows = []
    for name, entry in figures.entries.items():
        rows.append([f"`{name}`", f"{entry['value']:,} {entry['unit']}", entry["kind"], entry["source"]])
    return table(["figure", "value", "kind", "source"], rows)


def sizes(plans: list[Plan], settings: dict) -> str:
    of = lambda name, show: [name, *(show(plan) for plan in plans)]
    size = settings["sizes"]
    rows = [
        of("users a day", lambda p: short(size[p.name]["daily_users"])),
        of("events a day", lambda p: short(size[p.name]["events_a_day"])),
        of("events a second, mean", lambda p: short(p.events_mean)),
        of("events a second, worst five minutes", lambda p: short(p.events_peak)),
        of("assignments a second, peak", lambda p: short(p.assignments)),
        of("experiments", lambda p: f"{size[p.name]['experiments']:,}"),
        of("**serve**: nodes × cores", lambda p: f"**{p.serve_nodes} × {p.serve_cores:g}**"),
        of("… cores busy at the peak", lambda p: f"{p.serve_load_cores:.2f}"),
        of("… spool of a node", lambda p: f"{p.spool_bytes / (1 << 30):.0f} GiB"),
        of("… Kafka may be away at the peak for", lambda p: span(p.spool_minutes * 60)),
        of("**process**: nodes × cores", lambda p: f"**{p.process_nodes} × {p.process_cores:g}**"),
        of("… cores busy at the peak", lambda p: f"{p.process_load_cores:.2f}"),
        of("**partitions** of each topic", lambda p: f"**{p.partitions}**"),
        of("**Kafka** brokers", lambda p: f"**{p.kafka_brokers}**"),
        of("… in at the peak, replicas counted", lambda p: f"{p.kafka_mb_s:.1f} MB/s"),
        of("… disks together", lambda p: f"{p.kafka_tb:.2g} TB"),
        of("**ClickHouse**: nodes × cores", lambda p: f"**{p.clickhouse_nodes} × {p.clickhouse_cores}**"),
        of("… rows a day", lambda p: short(p.rows_a_day)),
        of(f"… disks together, {settings['hot_days']} days", lambda p: f"{p.clickhouse_tb_hot:.3g} TB"),
        of(f"… object storage, the other {settings['retention_days'] - settings['hot_days']}", lambda p: f"{p.clickhouse_tb_cold:.3g} TB"),
        of("manifests to clients a day", lambda p: f"{short(p.manifest_gb_day * 1e9)}B"),
    ]
    return table(["", *(plan.name for plan in plans)], rows)


def money(plans: list[Plan]) -> str:
    rows = [[name, *(f"{plan.money[name]:,.0f}" for plan in plans)] for name in plans[0].money]
    rows.append(["**together**", *(f"**{sum(plan.money.values()):,.0f}**" for plan in plans)])
    rows.append(["a million events", *(f"{sum(plan.money.values()) / (plan.events_mean * 86_400 * 30 / 1e6):.2f}" for plan in plans)])
    return table(["US dollars a month", *(plan.name for plan in plans)], rows)


def incidents(plan: Plan, results: list[Outcome]) -> str:
    rows = []
    for result in results:
        rows.append([
            result.incident.what, f"{result.load:.0%}", short(result.http_queue), short(result.refused), short(result.at_clients), short(result.lost),
            f"{result.spool_share:.1%}", short(result.lag_events), span(result.lag_seconds), span(result.recovery_s),
        ])
    head = ["what happens", "busiest node", "queue at nodes", "refused", "kept by clients", "lost", "spool", "lag, events", "lag", "over after"]
    return table(head, rows)


def kafka_away(plan: Plan, spool_event: float) -> str:
    """How long nodes live without Kafka, at a node lost and at none."""
    rows = []
    for name, rate in (("mean", plan.events_mean), ("worst five minutes", plan.events_peak)):
        for lost in (0, plan.serve_nodes // 3):
            nodes = plan.serve_nodes - lost
            rows.append([name, f"{nodes} of {plan.serve_nodes}", span(plan.spool_bytes * nodes / (rate * spool_event))])
    return table(["load", "nodes", "until spools are full"], rows)
