"""Rounds of ingestion, kill, (power cut,) restart; then what must hold at the end."""
from __future__ import annotations

import errno
import random
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from connection import Broken, Connection
from platform_api import FLAG, Platform
from server_process import ServerProcess
from traffic import Batch, Generator, Ledger, expected_results

CONNECTIONS = 4
BATCHES_PER_ROUND = 60
RESEND_SHARE = 0.08
TWICE_AT_ONCE_SHARE = 0.05
ABANDON_SHARE = 0.05
PROCESS_SECONDS = 90.0
RECOVERY_SECONDS = 20.0
# One round with a full disk and one with failed syncs for so many rounds of power cuts.
STORAGE_SHARE = 5


@dataclass
class Outcome:
    """What one run found; `faults` empty means that everything held."""

    figures: dict = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


class Run:
    def __init__(self, server: ServerProcess, rounds: int, seed: int, label: str, quiet: bool = False, lying_syncs: bool = False):
        """`lying_syncs`: from the first round on no sync makes anything durable, so that the run must find losses."""
        self.lying_syncs = lying_syncs
        self.server, self.rounds, self.seed, self.label, self.quiet = server, rounds, seed, label, quiet
        self.chance = random.Random(f"rounds-{label}-{seed}")
        self.ledger = Ledger()
        self.platform = Platform(server)
        self.generator: Generator | None = None
        self.made_definitions: list[str] = []
        self.seen_version = (0, 0)
        self.kills_at_start = self.storage_faults = 0

    # ---- one round ----

    def ingest(self, number: int, stop: threading.Event) -> None:
        """What one connection does until the server is gone or `stop` is set and the queue is empty."""
        connection = Connection(self.server.port)
        try:
            while not (stop.is_set() or self.left <= 0):
                batch = self.next_batch(number)
                self.send(connection, batch, number)
        except Broken:
            pass
        finally:
            connection.close()

    def next_batch(self, number: int) -> Batch:
        with self.draw:
            self.left -= 1
            if self.again:
                return self.again.popleft()
            if self.ledger.settled and self.chance.random() < RESEND_SHARE:
                self.ledger.resent += 1
                return self.chance.choice(self.ledger.settled)
        batch = self.generator.batch()
        with self.draw:
            if self.chance.random() < TWICE_AT_ONCE_SHARE:
                self.again.append(batch)  # the next free connection sends it too, most likely at the same moment
        return batch

    def send(self, connection: Connection, batch: Batch, number: int) -> None:
        batch.tries += 1
        try:
            answer = connection.request("POST", "/v1/events", batch.body, {**self.platform.event_headers, **batch.headers})
        except Broken:
            self.ledger.doubt(batch)
            raise
        if answer.status == 202:
            said = answer.json()
            if said.get("rejected") or said.get("accepted") != batch.sent:
                self.ledger.fault(f"round {number}: {batch.sent} good events sent, answer {answer.body[:300]!r}")
            self.ledger.acknowledge(batch, number)
        elif answer.status in (429, 503):
            if "retry-after" not in answer.headers:
                self.ledger.fault(f"round {number}: {answer.status} without Retry-After: {answer.body[:300]!r}")
            self.ledger.refused += 1
            self.ledger.doubt(batch)
            time.sleep(0.02)
        else:
            self.ledger.fault(f"round {number}: {answer.status} {answer.body[:300]!r}")
            self.ledger.doubt(batch)

    def traffic(self, number: int, middle: Callable[[], None]) -> None:
        """Ingests on several connections, does `middle` meanwhile and kills the server in the midst of it."""
        self.draw = threading.Lock()
        self.left = BATCHES_PER_ROUND
        self.again: deque[Batch] = deque()
        doubtful, self.ledger.doubtful = self.ledger.doubtful, []
        for batch in {id(batch): batch for batch in doubtful}.values():
            keep = self.chance.random() >= ABANDON_SHARE
            (self.again if keep else self.ledger.abandoned).append(batch)
        self.ledger.latest.clear()
        stop = threading.Event()
        workers = [threading.Thread(target=self.ingest, args=(number, stop)) for _ in range(CONNECTIONS)]
        for worker in workers:
            worker.start()
        try:
            middle()
            self.server.kill()
        finally:
            stop.set()
            for worker in workers:
                worker.join()
        for batch in self.again:
            self.ledger.doubt(batch)

    def round(self, number: int) -> None:
        if self.server.control is not None:
            self.server.control.set(sync_delay_us=self.chance.choice((0, 0, 500, 2000, 8000)))
        if number > 0 and self.chance.random() < 0.1:  # in the middle of recovery
            self.server.spawn()
            time.sleep(self.chance.random() * 0.3)
            self.server.kill()
            self.kills_at_start += 1
            self.cut(number)
        self.server.start()
        self.check_after_restart(number)
        self.change_definitions(number)
        moment = 0.03 + 0.5 * self.chance.random() ** 1.5
        self.traffic(number, lambda: time.sleep(moment))
        self.cut(number)

    def storage_round(self, number: int, what: str) -> None:
        """The disk is full, or syncs fail, for a while: nothing is acknowledged that is not durable, and service comes back by itself."""
        control = self.server.control
        control.set(sync_delay_us=0)
        self.server.start()
        self.check_after_restart(number)

        def middle() -> None:
            time.sleep(0.1)
            faults_before = control.read()["faults"]
            if what == "full disk":
                control.set(write_errno=errno.ENOSPC, write_faults_left=-1, writes_until_fault=self.chance.randrange(6))
            else:
                control.set(sync_errno=errno.EIO, sync_faults_left=self.chance.choice((1, 2, 20)), syncs_until_fault=self.chance.randrange(4))
            time.sleep(0.4)
            control.set(writes_until_fault=-1, syncs_until_fault=-1)
            self.storage_faults += control.read()["faults"] - faults_before
            self.check_service_is_back(number, what)

        self.traffic(number, middle)
        self.cut(number)

    def check_service_is_back(self, number: int, what: str) -> None:
        """A new event is taken again soon after the disk works again."""
        connection = Connection(self.server.port)
        until = time.monotonic() + RECOVERY_SECONDS
        taken = len(self.ledger.acknowledged)
        while len(self.ledger.acknowledged) == taken:
            if time.monotonic() > until:
                self.ledger.fault(f"round {number}: {RECOVERY_SECONDS:.0f} s after the end of '{what}' events are still refused")
                break
            self.send(connection, self.generator.batch(), number)
        connection.close()

    def cut(self, number: int) -> None:
        if self.server.faultfs:
            self.server.power_cut(None if number % 2 == 0 else self.seed * 1000 + number)

    def change_definitions(self, number: int) -> None:
        """An acknowledged change of a definition is as durable as an event."""
        key = f"durable-{number}"
        connection = Connection(self.server.port)
        self.platform.create_flag(connection, key)
        self.made_definitions.append(key)
        self.seen_version = max(self.seen_version, self.platform.version(connection))
        connection.close()

    def check_after_restart(self, number: int) -> None:
        connection = Connection(self.server.port)
        version = self.platform.version(connection)
        if version < self.seen_version:
            self.ledger.fault(f"round {number}: manifest (generation, version) went back from {self.seen_version} to {version}")
        recent = list(dict.fromkeys(self.ledger.latest))[-500:]
        missing = self.wait_for(connection, recent)
        if missing:
            self.ledger.fault(f"round {number}: {len(missing)} of the last {len(recent)} acknowledged events were gone after the restart, such as {missing[0]}")
        connection.close()

    def wait_for(self, connection: Connection, ids: list[str]) -> list[str]:
        """The ids that are still not stored when processing has had its time."""
        until = time.monotonic() + PROCESS_SECONDS
        while True:
            stored = self.platform.which_stored(connection, ids)
            missing = [event_id for event_id in ids if event_id not in stored]
            if not missing or self.platform.settled(connection) or time.monotonic() > until:
                break
            time.sleep(0.05)
        stored = self.platform.which_stored(connection, missing)
        return [event_id for event_id in missing if event_id not in stored]

    # ---- the whole ----

    def prepare(self) -> None:
        """Makes the experiment, and asks at once whether a first start survives a power cut as what comes later does."""
        self.make_experiment()
        self.cut(0)
        gone = self.gone_after_first_start()
        if gone:
            self.ledger.fault(f"a power cut right after the first start: {gone}. The rounds go on from a directory that was synced by hand")
            self.server.wipe()
            self.platform = Platform(self.server)
            self.make_experiment()
            self.server.declare_durable()
        if self.lying_syncs:
            self.server.control.set(lying_syncs=1)

    def make_experiment(self) -> None:
        self.server.start()
        connection = Connection(self.server.port)
        exposures = self.platform.prepare(connection)
        self.seen_version = self.platform.version(connection)
        connection.close()
        self.generator = Generator(self.seed, exposures, int(time.time() * 1000))
        self.server.kill()

    def gone_after_first_start(self) -> str | None:
        """What is no longer as it was acknowledged: keys, the admin token, the experiment's flag."""
        self.server.start()
        connection = Connection(self.server.port)
        try:
            version = self.platform.version(connection)
            if version < self.seen_version:
                return f"manifest (generation, version) went back from {self.seen_version} to {version}"
            return None if self.platform.has_flag(connection, FLAG) else f"flag {FLAG} is gone"
        except RuntimeError as error:
            return str(error)
        finally:
            connection.close()
            self.server.kill()
            self.cut(0)

    def drain(self) -> None:
        """Sends what is in doubt until it is acknowledged."""
        self.server.start()
        connection = Connection(self.server.port)
        number = self.rounds
        for _ in range(200):
            doubtful, self.ledger.doubtful = self.ledger.doubtful, []
            if not doubtful:
                break
            for batch in doubtful:
                self.send(connection, batch, number)
        else:
            self.ledger.fault(f"{len(self.ledger.doubtful)} batches were never taken, even by a server left in peace")
        connection.close()

    def verify(self) -> dict:
        """Every acknowledged event once, none twice, results those of the model."""
        connection = Connection(self.server.port)
        abandoned = {event.event_id: event for batch in self.ledger.abandoned for event in batch.events}
        settled = {event.event_id: event for batch in self.ledger.settled for event in batch.events}
        known = settled | abandoned
        until = time.monotonic() + PROCESS_SECONDS
        while not self.platform.settled(connection) and time.monotonic() < until:
            time.sleep(0.05)
        stored = Counter(self.platform.stored_ids(connection))
        lost = [event_id for event_id in self.ledger.acknowledged if not stored[event_id]]
        twice = [event_id for event_id, count in stored.items() if count > 1]
        foreign = [event_id for event_id in stored if event_id not in known]
        for name, ids in (("acknowledged and lost", lost), ("stored twice", twice), ("stored but never sent", foreign)):
            if ids:
                rounds = Counter(self.ledger.acknowledged.get(event_id) for event_id in ids)
                self.ledger.fault(f"{len(ids)} events {name}, such as {ids[0]}; by round of acknowledgement: {dict(rounds)}")
        missing_flags = [key for key in self.made_definitions if not self.platform.has_flag(connection, key)]
        if missing_flags:
            self.ledger.fault(f"definitions acknowledged and lost: {missing_flags}")
        arms, multiple = expected_results([event for event_id, event in known.items() if stored[event_id]])
        self.ledger.faults += self.platform.compare_results(connection, arms, multiple)
        connection.close()
        return {"events_acknowledged": len(self.ledger.acknowledged), "events_stored": len(stored), "events_lost": len(lost),
                "events_twice": len(twice), "events_abandoned": len(abandoned), "abandoned_and_stored": sum(1 for e in abandoned if stored[e]),
                "units": sum(arm.units for arm in arms.values()), "units_with_two_variations": multiple}

    def execute(self) -> Outcome:
        started = time.monotonic()
        figures: dict = {}
        try:
            self.prepare()
            for number in range(self.rounds):
                self.round(number)
                self.show(f"{self.label}: round {number + 1}/{self.rounds}, {len(self.ledger.acknowledged)} events acknowledged, {len(self.ledger.faults)} faults")
            if self.server.control is not None:
                for number in range(self.rounds, self.rounds + 2 * max(1, self.rounds // STORAGE_SHARE)):
                    self.storage_round(number, ("full disk", "failed sync")[number % 2])
            self.drain()
            figures = self.verify()
            self.server.stop()
        except (RuntimeError, Broken, AssertionError) as error:
            self.ledger.fault(f"{type(error).__name__}: {error}")
        finally:
            self.server.destroy()
            self.show("")
        ready = sorted(self.server.ready_seconds) or [0.0]
        figures |= {
            "rounds": self.rounds, "kills_during_start": self.kills_at_start, "batches_resent_on_purpose": self.ledger.resent,
            "batches_refused": self.ledger.refused, "storage_faults_injected": self.storage_faults, "definitions_acknowledged": len(self.made_definitions),
            "unsynced_writes_undone": self.server.writes_undone, "unsynced_names_undone": self.server.names_undone,
            "restart_ready_s_median": round(ready[len(ready) // 2], 3), "restart_ready_s_max": round(ready[-1], 3),
            "seconds": round(time.monotonic() - started, 1),
        }
        return Outcome(figures, self.ledger.faults)

    def show(self, text: str) -> None:
        if not self.quiet and sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        elif not self.quiet and text and (self.rounds < 10 or f"{self.rounds}," in text or "0/" in text):
            print(text, file=sys.stderr, flush=True)
