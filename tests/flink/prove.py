#!/usr/bin/env python3
"""The Flink SQL job against the embedded server and an oracle: the same events give the same exact sums. Run by tests/flink/run."""
from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

import catalog
from cluster import Flink, free_port  # noqa: F401  (cluster puts tests/servers on the path)
from definitions import METRICS, changed
from embedded import Embedded
from generated import Record, log
from oracle import Sums, sums
from servers import Kafka
from topics import Topics

SIZES = {"small": 3_000, "full": 100_000}
SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "flink" / "pipeline.sql"
SEED = 20_261_126
# A cell that does not change for so long will not change any more. Generous: the machine may be busy, and a restart takes its time.
PATIENCE = 300.0
FRESHNESS = "2 s"


class Wrong(AssertionError):
    pass


def script(brokers: str, prefix: str, plan: Path | None = None) -> str:
    """The shipped one; results come sooner. With `plan`, as README.md says for upgrades: by way of a compiled plan."""
    text = SCRIPT.read_text().replace("${BROKERS}", brokers).replace("${PREFIX}", prefix)
    for setting, shipped in (("interval", "30 s"), ("min-pause", "10 s")):
        line = f"SET 'execution.checkpointing.{setting}' = '{shipped}';"
        if line not in text:
            raise Wrong(f"{SCRIPT} no longer has the line: {line}")
        text = text.replace(line, line.replace(shipped, FRESHNESS))
    return text if plan is None else text.replace("INSERT INTO", f"COMPILE AND EXECUTE PLAN 'file://{plan}' FOR INSERT INTO")


def lifetimes(plan: Path) -> None:
    """Nothing of the catalog expires, and everything else does: what no run of minutes can show."""
    operators = [node for node in json.loads(plan.read_text())["nodes"] if node.get("state")]
    found = [tuple(state["ttl"] for state in node["state"]) for node in operators]
    days = "31 d"
    expected = [(days,), ("0 ms",), ("0 ms",), (days, "0 ms"), (days,), (days,), ("0 ms",), (days, "0 ms"), (days, days), (days,)]
    if found != expected:
        raise Wrong(f"state is kept {found}, not {expected}: {[node['type'] for node in operators]}")


def differences(found: Sums, expected: Sums) -> list[str]:
    return [f"{cell}: {found.get(cell)} instead of {expected.get(cell)}" for cell in sorted({*found, *expected}, key=str) if found.get(cell) != expected.get(cell)]


def settle(ask, progress, expected: Sums, what: str) -> float:
    """Asks until the sums are the expected ones, as long as there is progress; how long it took."""
    began = moved = time.monotonic()
    while True:
        if progress():
            moved = time.monotonic()
        wrong = differences(ask(), expected)
        if not wrong:
            return time.monotonic() - began
        if time.monotonic() - moved > PATIENCE:
            raise Wrong(f"{what}: {len(wrong)} of {len(expected)} sums are wrong, such as\n  " + "\n  ".join(wrong[:8]))


def shares(records: list[Record], counts: dict[str, int]) -> None:
    """The log really holds what this test is about."""
    for what, least in (("duplicates", 0.05), ("late exposures", 0.05), ("two variations", 0.005), ("overridden", 0.005), ("several units", 0.3)):
        if counts[what] < least * len(records):
            raise Wrong(f"the generated log has only {counts[what]} {what} among {len(records)} records")


class Proof:
    def __init__(self, directory: Path, size: int):
        self.directory, self.figures = directory, {"events": size}
        self.embedded = Embedded(directory / "server", METRICS)
        self.kafka = Kafka(directory).start()
        self.before = self.embedded.catalog()
        self.aliases = catalog.aliases(self.before)
        self.records, counts = log(size, SEED, time.time_ns() // 1_000_000, self.aliases)
        shares(self.records, counts)
        self.as_logged, self.shuffled = Topics(self.kafka.url, "logged"), Topics(self.kafka.url, "shuffled")
        # One cluster runs both jobs; the second has a catalog of its own, for its tables have the same names.
        other = "CREATE CATALOG second_job WITH ('type' = 'generic_in_memory');\nUSE CATALOG second_job;\n"
        self.flink = Flink(directory / "flink", script(self.kafka.url, "logged") + other + script(self.kafka.url, "shuffled", directory / "plan.json"), jobs=2)

    def publish(self, topics: Topics, phases: list[dict], version: int) -> None:
        topics.catalog([catalog.record("production", phase, version) for phase in phases])

    def flink_settles(self, topics: Topics, expected: Sums, what: str) -> float:
        self.flink.measure_memory()
        took = settle(topics.sums, lambda: topics.take(1.0), expected, what)
        self.flink.measure_memory()
        return took

    def as_the_log_has_it(self) -> None:
        first = sums(self.records, METRICS, self.aliases)
        self.publish(self.as_logged, self.before, 1)
        self.embedded.send(self.records)
        settle(self.embedded.sums, lambda: time.sleep(0.2), first, "the embedded server and the oracle")
        self.flink.wait_running()
        self.figures["seconds to start"] = round(time.monotonic() - self.flink.began)
        began = time.monotonic()
        self.as_logged.events(self.records)
        self.flink_settles(self.as_logged, first, "Flink and the oracle")
        self.figures["events a second"] = round(len(self.records) / (time.monotonic() - began))
        self.cells = len(first)
        print(f"as logged: {self.figures}", file=sys.stderr, flush=True)

    def metrics_change(self) -> None:
        other = changed(METRICS)
        self.second = sums(self.records, other, self.aliases)
        self.embedded.change(other, METRICS)
        settle(self.embedded.sums, lambda: time.sleep(0.2), self.second, "the embedded server and the oracle after the change")
        self.after = self.embedded.catalog()
        self.publish(self.as_logged, self.after, 2)
        self.figures["state MB"] = round(self.flink.state_bytes() / 1e6, 1)
        self.figures["seconds to take over changed metrics"] = round(self.flink_settles(self.as_logged, self.second, "Flink after metrics changed while it ran"), 1)

    def a_phase_goes_and_comes_back(self) -> None:
        beta = [phase for phase in self.after if phase["id"] == "beta"]
        self.as_logged.catalog([catalog.record("production", phase, 3, gone=True) for phase in beta])
        self.flink_settles(self.as_logged, {cell: values for cell, values in self.second.items() if cell[0] != "beta"}, "Flink after a phase was removed")
        self.publish(self.as_logged, beta, 4)
        self.flink_settles(self.as_logged, self.second, "Flink after the phase came back")

    def in_another_order(self) -> None:
        """The catalog in between, and a TaskManager that is killed over half of the events."""
        lifetimes(self.directory / "plan.json")
        shuffled = list(self.records)
        random.Random(SEED).shuffle(shuffled)
        half = len(shuffled) // 2
        self.shuffled.events(shuffled[: half // 2])
        self.publish(self.shuffled, self.after, 2)
        self.publish(self.shuffled, self.before, 1)
        self.shuffled.events(shuffled[half // 2 : half])
        until = time.monotonic() + PATIENCE
        while not self.shuffled.rows:
            self.shuffled.take(1.0)
            if time.monotonic() > until:
                raise Wrong("the second job has written nothing that is committed")
        self.flink.kill_task_manager()
        self.shuffled.events(shuffled[half:])
        self.flink.start_task_manager()
        self.flink_settles(self.shuffled, self.second, "Flink, events in another order, killed in between")
        if not self.flink.restored():
            raise Wrong("the kill went unnoticed: the job did not go on from a checkpoint")

    def close(self) -> None:
        self.as_logged.close()
        self.shuffled.close()
        self.flink.close()
        self.kafka.__exit__()
        self.embedded.close()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--size", choices=SIZES, default="small")
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="evenhand-flink-") as directory:
        proof = Proof(Path(directory), SIZES[given.size])
        try:
            proof.flink.start()
            proof.as_the_log_has_it()
            proof.metrics_change()
            proof.a_phase_goes_and_comes_back()
            proof.in_another_order()
        except BaseException:
            print(proof.flink.tail(), file=sys.stderr)
            raise
        finally:
            proof.close()
        figures = proof.figures | {"seed": SEED, "sums": proof.cells * 6, "events": len(proof.records), "rows": len(proof.as_logged.rows), "rows written": proof.as_logged.read,
                                   "peak MB": proof.flink.peak_mb, "seconds": round(time.monotonic() - began)}
    if given.json:
        given.json.write_text(json.dumps(figures))
    print(f"flink: {figures['sums']} sums of {figures['events']} events are those of the embedded server and of the oracle: as logged, after metrics changed, and in another order"
          f" with a TaskManager killed; {figures['events a second']} events/s, state {figures['state MB']} MB, memory {figures['peak MB']} MB, {figures['seconds']} s")


if __name__ == "__main__":
    main()
