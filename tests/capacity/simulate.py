"""A week of a plan, in steps of ten seconds: what queues, where, and how long until it is gone again.

A fluid model: amounts, not single events. The autoscaler does not help (a plan must hold without it), and every incident comes at the worst time,
the evening's push notification. Clients hold on to what is not taken and send it again (the SDKs' spool)."""
from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from arrivals import DAY, STEP, STEPS, Week
from plan import Plan

EVENING = int(19.5 * 3600)
MINUTE = 60


@dataclass(frozen=True)
class Incident:
    key: str
    what: str
    begin: int
    length: int

    @property
    def end(self) -> int:
        return self.begin + self.length


def incidents() -> list[Incident]:
    """One a day, so that each has a day to be got over."""
    evening = lambda day: day * DAY + EVENING
    return [
        Incident("none", "an evening with its push notification", evening(0), 30 * MINUTE),
        Incident("node", "one machine is lost, with a node of each role", evening(1), 400),
        Incident("zone", "a zone is lost for 40 minutes", evening(2), 40 * MINUTE),
        Incident("kafka", "Kafka is away for 20 minutes", evening(3), 20 * MINUTE),
        Incident("clickhouse", "ClickHouse is away for an hour", evening(4), 60 * MINUTE),
        Incident("unreachable", "no client gets through for 20 minutes; then all come back", evening(5), 20 * MINUTE),
        Incident("heavy", "one user sends a fiftieth of all events for two hours", 6 * DAY + EVENING, 120 * MINUTE),
    ]


@dataclass
class Trace:
    """One value a step."""

    offered: list[float] = field(default_factory=list)
    capacity: list[float] = field(default_factory=list)
    load: list[float] = field(default_factory=list)
    http_queue: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    at_clients: list[float] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)
    spool: list[float] = field(default_factory=list)
    lag_events: list[float] = field(default_factory=list)
    lag_seconds: list[float] = field(default_factory=list)
    hot_seconds: list[float] = field(default_factory=list)


class Backlog:
    """First come, first done; knows the age of its oldest."""

    def __init__(self) -> None:
        self.parts: deque[list[float]] = deque()
        self.total = 0.0

    def add(self, step: int, amount: float) -> None:
        self.parts.append([step, amount])
        self.total += amount

    def take(self, amount: float) -> float:
        wanted = amount
        while self.parts and amount > 0:
            part = self.parts[0]
            done = min(part[1], amount)
            part[1] -= done
            amount -= done
            if part[1] <= 1e-9:
                self.parts.popleft()
        taken = wanted - amount
        self.total = max(0.0, self.total - taken)
        return taken

    def age(self, step: int) -> float:
        return (step - self.parts[0][0]) * STEP if self.parts and self.total > 1e-6 else 0.0


def _gone(role: str, incident: Incident | None, since: int, nodes: int, settings: dict) -> int:
    """Nodes of a role that are not there, so many seconds after the incident began."""
    if incident is None or incident.key not in ("node", "zone"):
        return 0
    lost = 1 if incident.key == "node" else max(1, nodes // settings["zones"])
    # Nodes of `process` come up elsewhere; those of `serve` wait for their disks.
    return lost if role == "serve" or since < settings["process_reschedule_s"] else 0


def run(plan: Plan, week: Week, settings: dict, record_bytes: float, broker_mb_s: float, spool_event: float) -> tuple[Trace, float]:
    """The trace, and the events that the books don't account for (0 but for rounding)."""
    trace, plagues = Trace(), incidents()
    waiting, clients, lost, processed, came = 0.0, 0.0, 0.0, 0.0, 0.0
    spool = 0.0
    log, hot = Backlog(), Backlog()
    kafka_step = plan.kafka_brokers * broker_mb_s * 1e6 / (record_bytes * (1 + plan.units) * settings["kafka_replicas"]) * STEP
    buffer = settings["client_buffer_minutes"] * MINUTE * plan.events_peak
    for step in range(STEPS):
        second = step * STEP
        now = next((i for i in plagues if i.begin <= second < i.end), None)
        after = next((i for i in plagues if i.end <= second < i.end + STEP), None)
        since = second - now.begin if now else 0
        key = now.key if now else ""
        serve_there = plan.serve_nodes - _gone("serve", now, since, plan.serve_nodes, settings)
        process_there = plan.process_nodes - _gone("process", now, since, plan.process_nodes, settings)

        # What is new, and what clients send again. In the first step of a loss the share of the lost nodes fails.
        fresh = week.rates[step] * plan.events_mean * STEP
        came += fresh
        again = 0.0 if key == "unreachable" else clients * min(1.0, STEP / settings["client_backoff_s"])
        clients = max(0.0, clients - again)
        offered = fresh + again
        failed = offered if key == "unreachable" else offered * (1 - serve_there / plan.serve_nodes) if since < STEP and now else 0.0
        clients += failed
        capacity = max(0.0, serve_there * plan.serve_cores - plan.serve_background_cores) * plan.serve_rate * STEP
        waiting += offered - failed
        taken = min(waiting, capacity)
        waiting -= taken
        refused = max(0.0, waiting - settings["http_queue_events"] * serve_there)
        waiting -= refused

        # Into Kafka, else onto the nodes' disks, else back to the sender. The spool goes first what it can.
        into_log = 0.0
        if key == "kafka":
            room = max(0.0, serve_there * plan.spool_bytes / spool_event - spool)
            kept = min(taken, room)
            spool += kept
            refused += taken - kept
        else:
            into_log = min(taken, kafka_step)
            kept = taken - into_log
            spool += kept
            drained = min(spool, kafka_step - into_log)
            spool -= drained
            into_log += drained
        clients += refused
        over = max(0.0, clients - buffer)
        clients -= over
        lost += over

        # Each change of members stops all for a step.
        stopped = key == "clickhouse" or (key in ("node", "zone") and (since < STEP or 0 <= since - settings["process_reschedule_s"] < STEP)) or (after and after.key in ("node", "zone"))
        log.add(step, into_log)
        processed += log.take(0.0 if stopped else process_there * plan.process_cores / plan.process_core_s * STEP)
        # The partition of the heaviest user: one thread does it.
        heavy = fresh * 0.02 if key == "heavy" else 0.0
        hot.add(step, into_log / plan.partitions + heavy)
        hot.take(0.0 if stopped else min(1.0, plan.process_cores) / plan.process_core_s * STEP)

        trace.offered.append(offered / STEP)
        trace.capacity.append(capacity / STEP)
        trace.load.append(min(1.0, (taken / STEP / plan.serve_rate + plan.serve_background_cores) / (serve_there * plan.serve_cores)) if serve_there else 1.0)
        trace.http_queue.append(waiting)
        trace.refused.append(refused)
        trace.at_clients.append(clients)
        trace.lost.append(lost)
        trace.spool.append(spool * spool_event / max(1, serve_there))
        trace.lag_events.append(log.total)
        trace.lag_seconds.append(log.age(step))
        trace.hot_seconds.append(hot.age(step))
    return trace, came - (processed + log.total + spool + waiting + clients + lost)


@dataclass(frozen=True)
class Outcome:
    incident: Incident
    load: float
    http_queue: float
    refused: float
    at_clients: float
    lost: float
    spool_share: float
    lag_events: float
    lag_seconds: float
    recovery_s: float | None


def outcomes(plan: Plan, trace: Trace) -> list[Outcome]:
    found = []
    plagues = incidents()
    for number, incident in enumerate(plagues):
        first, ended = incident.begin // STEP, incident.end // STEP
        last = plagues[number + 1].begin // STEP if number + 1 < len(plagues) else STEPS
        span = slice(first, last)
        lag = [max(a, b) for a, b in zip(trace.lag_seconds[span], trace.hot_seconds[span])] if incident.key == "heavy" else trace.lag_seconds[span]

        def quiet(step: int) -> bool:
            return lag[step - first] <= 3 * STEP and trace.spool[step] < 1e6 and trace.at_clients[step] <= 10 * plan.events_mean and trace.http_queue[step] < 1

        recovered = next((step for step in range(ended, last) if quiet(step)), None)
        found.append(Outcome(
            incident=incident, load=max(trace.load[span]), http_queue=max(trace.http_queue[span]), refused=sum(trace.refused[span]), at_clients=max(trace.at_clients[span]),
            lost=trace.lost[last - 1] - trace.lost[first - 1], spool_share=max(trace.spool[span]) / plan.spool_bytes, lag_events=max(trace.lag_events[span]),
            lag_seconds=max(lag), recovery_s=None if recovered is None else (recovered - ended) * STEP,
        ))
    return found


def broken_promises(plan: Plan, results: list[Outcome], settings: dict) -> list[str]:
    found = []
    for result in results:
        key, name = result.incident.key, f"{plan.name}: {result.incident.what}"
        if result.lost > 0:
            found.append(f"{name}: {result.lost:.0f} events are lost at clients")
        if result.refused > 0 and key != "unreachable":
            found.append(f"{name}: {result.refused:.0f} events are refused")
        if result.load >= 1.0 and key != "unreachable":
            found.append(f"{name}: nodes are at their limit")
        if result.spool_share >= 0.8:
            found.append(f"{name}: spools are {result.spool_share:.0%} full")
        limit = {"clickhouse": settings["promises"]["catch_up_factor"] * result.incident.length}.get(key, 15 * MINUTE)
        if result.recovery_s is None or result.recovery_s > limit:
            found.append(f"{name}: not got over {limit / 60:.0f} minutes after its end")
    return found
