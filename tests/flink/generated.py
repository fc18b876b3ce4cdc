"""A seeded log of events as the server writes them to Kafka, with everything in it that could go wrong."""
from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass

from definitions import DAY, EXPERIMENTS, HOUR, VARIATIONS

SPAN = 12 * DAY
# Variations that no experiment has: whoever holds a client key can send any.
UNKNOWN = ("ghost", "it's", "\\", "\\'", '"', "']['x", "*", "$", "?(@.x)", "a,b", "x','y", "\n\t", "lax x", "\\u0041", "é 𝄞", " ", "\u0001", "a\u0000b", "..")


# What exposures say of where they come from: values, and what is none.
COUNTRIES = ("SE", "SE", "SE", "NO", "it's", "a=b", "é 𝄞", "\\ \"", "", "x" * 64, "𝄞" * 64, "x" * 65, 46, None, ["SE"])


@dataclass(frozen=True)
class Record:
    event: dict
    key_kind: str

    @property
    def time(self) -> int:
        # All events lie in the past, so the effective time is the sender's.
        return self.event["timestamp"]

    @property
    def canonical(self) -> bytes:
        return json.dumps(self.event, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.canonical).hexdigest()

    @property
    def key(self) -> str:
        return self.event.get("user_id") or next(iter(self.event["units"].values()))

    @property
    def value(self) -> bytes:
        """As docs/contract and ARCHITECTURE.md fix it."""
        return b'{"digest":"%s","environment":"production","event":%s,"import":%s,"key_id":"k","key_kind":"%s","received_at":%d,"time":%d}' % (
            self.digest.encode(), self.canonical, b"true" if self.key_kind == "server" else b"false", self.key_kind.encode(), self.time + 5, self.time)


class Generator:
    def __init__(self, seed: int, now: int, aliases: dict[str, str]):
        """`aliases`: the ids by which client keys know experiments and `experiment/variation`."""
        self.draw, self.start, self.aliases = random.Random(seed), now - SPAN - HOUR, aliases
        self.count, self.counts = 0, dict.fromkeys(("duplicates", "late exposures", "two variations", "overridden", "several units"), 0)

    def _event(self, name: str, time: int, units: dict[str, str], **more) -> dict:
        self.count += 1
        others = {kind: unit for kind, unit in units.items() if kind != "user_id"}
        self.counts["several units"] += len(units) > 1
        who = ({"user_id": units["user_id"]} if "user_id" in units else {}) | ({"units": others} if others else {})
        # Ids in no order of time, so that ties are decided by the id alone.
        identity = hashlib.md5(f"{self.count}/{self.start}".encode()).hexdigest()
        event_id = f"{identity[:8]}-{identity[8:12]}-7{identity[13:16]}-8{identity[17:20]}-{identity[20:]}"
        return {"event_id": event_id, "event_name": name, "timestamp": time, **who, **more}

    def _value(self) -> str:
        return self.draw.choice(["12.5", "3", "0.000001", "-4.25", "19.99", "100", "7.333333", "0", "-0.5", "9223372036854.775807" if self.draw.random() < 0.02 else "1"])

    def _properties(self) -> dict:
        draw = self.draw
        amount = draw.choice([1, 2.5, 19.99, -3, 1234.123456, 0.1, 1.2345675, "5", True, 1e21, [1], 9007199254.740993, 4503599627.370497, 9223372036854, 9223372036855])
        properties = {"amount": amount, "plan": draw.choice(["pro", "pro", "free", 1]), "tier": draw.choice([1, 1, 2, "1", 1.5, True]), "trial": draw.choice([False, False, True, "false", 0]),
                      "pages": draw.choice([1, 2, 3, 0.5]), "o'clo\\ck": draw.choice([7, 0.25]), "a.b": draw.choice(['x"y', "x"]), "deep": {"plan": "pro", "Zürich": [1, {"k": None}]}}
        return {name: value for name, value in properties.items() if draw.random() < 0.9}

    def _exposure(self, experiment: dict, time: int, units: dict[str, str], variation: str, epoch: int, phase: int, client: bool, reason: str | None) -> Record:
        named = experiment["key"]
        if client:
            named, variation = self.aliases[named], self.aliases.get(f"{named}/{variation}", variation)
        more = {"experiment_id": named, "variation_id": variation}
        # Now and then of another unit than the experiment's: no exposure of it.
        kind = experiment["unit"] if self.draw.random() > 0.02 else self.draw.choice(list(units))
        more |= {"unit": kind} if kind != "user_id" else {}
        more |= ({"epoch": epoch} if epoch > 1 else {}) | ({"phase": phase} if phase > 1 else {}) | ({"reason": reason} if reason else {})
        said = {"country": self.draw.choice(COUNTRIES), "beta": self.draw.choice([True, False, "x", 1, None, {"y": True}])}
        if self.draw.random() < 0.9:
            more |= {"properties": {name: value for name, value in said.items() if self.draw.random() < 0.9}}
        return Record(self._event("$exposure", time, units, **more), "client" if client else "server")

    def unit(self, number: int) -> list[tuple[float, Record]]:
        """All that one person does, with the place of each record in the log."""
        draw, found = self.draw, []
        units = {"user_id": f"u-{number}"}
        if draw.random() < 0.7:
            units["device_id"] = f"d-{number if draw.random() < 0.8 else number // 2}"
        if draw.random() < 0.5:
            units["account_id"] = f"a-{number // 3}"
        if draw.random() < 0.1 and len(units) > 1:
            del units["user_id"]
        for experiment in EXPERIMENTS:
            if experiment["unit"] not in units or draw.random() < 0.2:
                continue
            phase = draw.choice([1, 1, 1, 2, 9])
            epochs = draw.choice([[1], [1], [1], [1, 2], [3, 2]])
            two, forced, late = draw.random() < 0.04, draw.random() < 0.04, draw.random() < 0.2
            variation = draw.choice(VARIATIONS) if draw.random() > 0.02 else draw.choice(UNKNOWN)
            self.counts["two variations"] += two
            self.counts["overridden"] += forced
            for epoch in epochs:
                first = self.start + draw.randrange(SPAN)
                for again in range(2 if two else draw.choice([1, 1, 2])):
                    # Some at the very same instant.
                    time = first + again * draw.choice([0, HOUR])
                    seen = VARIATIONS[again] if two else variation
                    record = self._exposure(experiment, time, units, seen, epoch, phase, draw.random() < 0.3, "OVERRIDE" if forced and (epoch == epochs[-1] or draw.random() < 0.3) else None)
                    self.counts["late exposures"] += late
                    found.append((time + (SPAN if late else 0), record))
        for _ in range(draw.choice([0, 1, 2, 3, 5])):
            time = self.start + draw.randrange(SPAN)
            if found and draw.random() < 0.3:
                # At the edges of windows and pre-periods, to the millisecond.
                time = found[0][1].time + draw.choice([0, -1, HOUR, 6 * HOUR, DAY, 2 * DAY, 3 * DAY, -DAY, -2 * DAY, 2 * DAY - 1, 3 * DAY - 1])
                time = min(max(time, self.start), self.start + SPAN)
            some = {kind: unit for kind, unit in units.items() if draw.random() < 0.8} or units
            more = {"properties": properties} if (properties := self._properties()) and draw.random() < 0.9 else {}
            more |= {"value": self._value()} if draw.random() < 0.9 else {}
            found.append((time, Record(self._event(draw.choice(["purchase", "purchase", "visit", "scroll"]), time, some, **more), draw.choice(["server", "client"]))))
        if found and draw.random() < 0.25:
            # A walk, on either side of the first exposure: what funnels are about. Some of its steps at the very same instant.
            time = found[0][1].time + draw.choice([0, 0, HOUR, -DAY])
            in_turn = draw.random() < 0.4
            for step in range(12 if in_turn else draw.choice([4, 7, 12])):
                time += draw.choice([1, HOUR] if in_turn else [0, 0, 1, HOUR])
                name = ("visit", "purchase")[step % 2] if in_turn else draw.choice(["purchase", "visit"])
                more = {"properties": properties} if (properties := self._properties()) else {}
                found.append((time, Record(self._event(name, min(max(time, self.start), self.start + SPAN), units, **more), "server")))
        return found + [self._again(place, record) for place, record in found if draw.random() < 0.09]

    def _again(self, place: float, record: Record) -> tuple[float, Record]:
        """The same event once more: as it was, at another time, saying something else, or of somebody else."""
        draw, event = self.draw, dict(record.event)
        self.counts["duplicates"] += 1
        how = draw.random()
        if how < 0.35:
            event["timestamp"] = min(max(event["timestamp"] + draw.randrange(-DAY, DAY), self.start), self.start + SPAN)
        elif how < 0.7:
            event["sdk"] = f"other/{draw.random()}"
            if event["event_name"] == "$exposure":
                event["variation_id"] = draw.choice(VARIATIONS)
            else:
                event["value"] = self._value()
        elif how < 0.75 and "user_id" in event:
            event["user_id"] = f"u-{draw.randrange(1000)}"
        return place + draw.randrange(1, SPAN), Record(event, record.key_kind)


def log(size: int, seed: int, now: int, aliases: dict[str, str]) -> tuple[list[Record], dict[str, int]]:
    """In the order of the log."""
    generator, placed, number = Generator(seed, now, aliases), [], 0
    while len(placed) < size:
        placed += generator.unit(number)
        number += 1
    placed.sort(key=lambda entry: entry[0])
    return [record for _, record in placed], generator.counts
