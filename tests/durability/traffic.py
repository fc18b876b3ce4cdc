"""The events of a run, which of them were acknowledged, and what their results must be."""
from __future__ import annotations

import gzip
import json
import random
import threading
from collections import defaultdict
from dataclasses import dataclass, field

PURCHASE = "purchase"
HOUR_MS = 3_600_000


@dataclass
class Event:
    event_id: str
    unit: str
    time_ms: int
    variation: str | None  # of an exposure
    micros: int | None  # of a purchase
    line: bytes  # as sent


@dataclass
class Batch:
    events: list[Event]
    body: bytes
    headers: dict[str, str]
    sent: int  # events in the body, repetitions counted
    acknowledged_in: int | None = None
    tries: int = 0


@dataclass
class Ledger:
    """Every batch is unsent, in doubt (sent, no answer), acknowledged or abandoned (in doubt and never sent again)."""

    acknowledged: dict[str, int] = field(default_factory=dict)  # event id → round
    doubtful: list[Batch] = field(default_factory=list)
    abandoned: list[Batch] = field(default_factory=list)
    settled: list[Batch] = field(default_factory=list)
    latest: list[str] = field(default_factory=list)  # acknowledged since the last kill
    faults: list[str] = field(default_factory=list)
    refused: int = 0
    resent: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def acknowledge(self, batch: Batch, round_number: int) -> None:
        with self.lock:
            for event in batch.events:
                self.acknowledged.setdefault(event.event_id, round_number)
                self.latest.append(event.event_id)
            if batch.acknowledged_in is None:
                batch.acknowledged_in = round_number
                self.settled.append(batch)

    def doubt(self, batch: Batch) -> None:
        with self.lock:
            if batch.acknowledged_in is None:
                self.doubtful.append(batch)

    def fault(self, text: str) -> None:
        with self.lock:
            if len(self.faults) < 20:
                self.faults.append(text)


class Generator:
    """Makes batches from what the platform itself would have users log. Seeded; ids are UUIDv7."""

    def __init__(self, seed: int, exposures: dict[str, dict], now_ms: int):
        """`exposures`: unit → the exposure record of its assignment, for the units that take part."""
        self.chance = random.Random(f"events-{seed}")
        self.exposures = exposures
        self.units = sorted(exposures)
        by_variation: dict[str, dict] = {}
        for unit in self.units:
            by_variation.setdefault(exposures[unit]["variation_id"], exposures[unit])
        self.variations = by_variation
        self.from_ms = now_ms - 2 * HOUR_MS
        self.lock = threading.Lock()
        self.made = 0

    def event_id(self) -> str:
        milliseconds = self.from_ms + self.chance.randrange(2 * HOUR_MS)
        digits = f"{milliseconds:012x}7{self.chance.getrandbits(12):03x}{0x8000 | self.chance.getrandbits(14):04x}{self.chance.getrandbits(48):012x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def event(self) -> Event:
        unit = self.chance.choice(self.units)
        time_ms = self.from_ms + self.chance.randrange(HOUR_MS)
        if self.chance.random() < 0.4:
            record = self.exposures[unit]
            if self.chance.random() < 0.002:  # some units see two variations: left out of results and counted as such
                record = {**record, "variation_id": self.chance.choice(sorted(self.variations))}
            fields = {**record, "timestamp": time_ms}
            micros = None
        else:
            record = {"variation_id": None}
            micros = self.chance.randrange(0, 200_000_000)
            fields = {"event_name": PURCHASE, "user_id": unit, "timestamp": time_ms, "value": f"{micros // 10**6}.{micros % 10**6:06d}",
                      "properties": {"basket": self.chance.randrange(9), "note": "größer 日本"}}
        fields = {"event_id": self.event_id(), **fields}
        return Event(fields["event_id"], unit, time_ms, record["variation_id"], micros, json.dumps(fields, ensure_ascii=False).encode())

    def batch(self) -> Batch:
        with self.lock:
            size = self.chance.choice((1, 3, 20, 50, 50, 100, 100, 400))
            events = [self.event() for _ in range(size)]
            self.made += size
            lines = [event.line for event in events]
            if self.chance.random() < 0.05:
                lines.append(self.chance.choice(lines))  # the same event twice in one batch
            return Batch(events, *self.written(lines), len(lines))

    def written(self, lines: list[bytes]) -> tuple[bytes, dict[str, str]]:
        """The body in one of the forms that ingestion takes, some of them packed."""
        form = self.chance.choice(("array", "array", "ndjson", "envelope", "one"))
        headers = {"Content-Type": "application/json"}
        if form == "ndjson":
            body, headers = b"\n".join(lines) + b"\n", {"Content-Type": "application/x-ndjson"}
        elif form == "envelope":
            body = b'{"events":[' + b",".join(lines) + b"]}"
        elif form == "one" and len(lines) == 1:
            body = lines[0]
        else:
            body = b"[" + b",".join(lines) + b"]"
        if self.chance.random() < 0.25:
            body, headers = gzip.compress(body, 1), {**headers, "Content-Encoding": "gzip"}
        return body, headers


@dataclass
class Arm:
    units: int = 0
    converted: int = 0
    purchases: int = 0
    micros: int = 0
    micros_squared: int = 0  # sum over units of (sum of its micros) squared


def expected_results(events: list[Event]) -> tuple[dict[str, Arm], int]:
    """Per variation, and how many units saw two: DESIGN's rules on the set of events, in the plainest way."""
    exposures: dict[str, list[Event]] = defaultdict(list)
    purchases: dict[str, list[Event]] = defaultdict(list)
    for event in {event.event_id: event for event in events}.values():
        (exposures if event.micros is None else purchases)[event.unit].append(event)
    arms: dict[str, Arm] = defaultdict(Arm)
    multiple = 0
    for unit, seen in exposures.items():
        if len({event.variation for event in seen}) > 1:
            multiple += 1
            continue
        arm = arms[seen[0].variation]
        first = min(event.time_ms for event in seen)
        after = [event.micros for event in purchases[unit] if event.time_ms >= first]
        arm.units += 1
        arm.converted += bool(after)
        arm.purchases += len(after)
        arm.micros += sum(after)
        arm.micros_squared += sum(after) ** 2
    return dict(arms), multiple
