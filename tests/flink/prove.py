#!/usr/bin/env python3
"""The Flink SQL job against the embedded server and an oracle: the same events give the same exact sums, in the topic it writes and in ClickHouse,
where `evenhand process --load` brings them. Run by tests/flink/run."""
from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from cluster import Flink, free_port  # noqa: F401  (cluster puts tests/servers on the path)
from definitions import METRICS, changed
from embedded import Embedded
from generated import Record, log
from oracle import Sums, sums
from roles import Place
from servers import ClickHouse, Kafka, Postgres
from topics import PARTITIONS, Topics

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


def walks(expected: Sums) -> None:
    """Some units go through each funnel, and most don't."""
    for key in (metric["key"] for metric in METRICS if metric["kind"] == "funnel"):
        found = [values for cell, values in expected.items() if cell[4] == key and cell[7] is None]
        share = sum(values[1] for values in found) / 1e6 / sum(values[0] for values in found)
        if not 0.01 < share < 0.5:
            raise Wrong(f"{share:.1%} of the units go through {key}")


def shown(results: dict) -> dict:
    """Without what says when, and how far."""
    return {name: value for name, value in results.items() if name not in ("as_of_ms", "lag_events", "lag_seconds")}


class Proof:
    def __init__(self, directory: Path, size: int):
        self.directory, self.figures = directory, {"events": size}
        self.servers = [kind(directory).start() for kind in (Postgres, Kafka, ClickHouse)]
        postgres, self.kafka, clickhouse = self.servers
        self.embedded = Embedded(directory / "server", METRICS, postgres.url)
        self.aliases = self.embedded.aliases()
        self.records, counts = log(size, SEED, time.time_ns() // 1_000_000, self.aliases)
        shares(self.records, counts)
        self.logged, self.mixed = (
            Place(directory, self.embedded.world.binary, name, self.embedded.definitions, self.kafka.url, clickhouse, PARTITIONS) for name in ("logged", "shuffled"))
        # They make the topics that the job writes to and reads its catalog from.
        self.beside = self.logged.role("beside", "process", "--publish-catalog", "--load")
        self.loader = self.mixed.role("loader", "process", "--load")
        self.as_logged, self.shuffled = Topics(self.kafka.url, "logged"), Topics(self.kafka.url, "shuffled")
        # One cluster runs both jobs; the second has a catalog of its own, for its tables have the same names.
        other = "CREATE CATALOG second_job WITH ('type' = 'generic_in_memory');\nUSE CATALOG second_job;\n"
        self.flink = Flink(directory / "flink", script(self.kafka.url, "logged") + other + script(self.kafka.url, "shuffled", directory / "plan.json"), jobs=2)

    def settles(self, topics: Topics, place: Place, expected: Sums, what: str) -> float:
        """First what the job writes, then what is loaded of it."""
        self.flink.measure_memory()
        took = settle(topics.sums, lambda: topics.take(1.0), expected, f"Flink {what}")
        self.flink.measure_memory()
        return took + settle(place.sums, lambda: time.sleep(0.5), expected, f"ClickHouse {what}")

    def as_the_log_has_it(self) -> None:
        first = sums(self.records, METRICS, self.aliases)
        walks(first)
        self.embedded.send(self.records)
        settle(self.embedded.sums, lambda: time.sleep(0.2), first, "the embedded server and the oracle")
        self.flink.wait_running()
        self.figures["seconds to start"] = round(time.monotonic() - self.flink.began)
        began = time.monotonic()
        self.as_logged.events(self.records)
        self.settles(self.as_logged, self.logged, first, "and the oracle")
        self.figures["events a second"] = round(len(self.records) / (time.monotonic() - began))
        self.cells = len(first)
        print(f"as logged: {self.figures}", file=sys.stderr, flush=True)

    def metrics_change(self) -> None:
        """Through the server's API; the publisher hears of it."""
        other = changed(METRICS)
        self.second = sums(self.records, other, self.aliases)
        self.embedded.change(other, METRICS)
        settle(self.embedded.sums, lambda: time.sleep(0.2), self.second, "the embedded server and the oracle after the change")
        self.figures["state MB"] = round(self.flink.state_bytes() / 1e6, 1)
        took = self.settles(self.as_logged, self.logged, self.second, "after metrics changed while it ran")
        self.figures["seconds to take over changed metrics"] = round(took, 1)

    def results_are_answered(self) -> None:
        """The same routes, from the sums of what is loaded."""
        expected = self.embedded.results()
        serve = self.logged.role("serve", "serve")
        for experiment, results in expected.items():
            until = time.monotonic() + PATIENCE
            while True:
                answer = serve.get(f"/api/environments/production/experiments/{experiment}/results", self.embedded.world.token)
                found = answer.json()
                if answer.status == 200 and found["lag_events"] == 0:
                    break
                if time.monotonic() > until:
                    raise Wrong(f"results of {experiment}: {answer.status} {answer.body[:400]!r}")
                time.sleep(0.5)
            if shown(found) != shown(results):
                other = {name: (found.get(name), value) for name, value in shown(results).items() if found.get(name) != value}
                raise Wrong(f"results of {experiment} differ (found, expected): {other}")
        erased = serve.ask("POST", "/api/environments/production/erase", {"unit": "user_id", "id": "u-1"}, self.embedded.world.token)
        if erased.status != 409 or erased.json()["error"]["code"] != "counted_by_flink":
            raise Wrong(f"an erasure that can't be done is answered {erased.status} {erased.body!r}")
        serve.stop()

    def a_phase_goes_and_comes_back(self) -> None:
        """The topic says what nobody defined, and the publisher, started again, mends it."""
        self.beside.stop()
        newest = {key: json.loads(value) for key, value in self.as_logged.published()}
        beta = newest[b"production/beta/1"]

        def said(**more) -> tuple[bytes, bytes]:
            record = beta | {"version": beta["version"] + 1} | more
            return f"production/beta/{record['phase']}".encode(), json.dumps(record).encode()

        self.as_logged.catalog([said(definition=None), said(phase=9)])
        self.beside = self.logged.role("beside", "process", "--load")
        left = {cell: values for cell, values in self.second.items() if cell[0] != "beta"}

        def but_phase_9(ask) -> Sums:
            found = ask()
            nine = {cell for cell in found if cell[:2] == ("beta", 9)}
            return {cell: values for cell, values in found.items() if cell not in nine} if nine else found | {("beta", 9): ()}

        settle(lambda: but_phase_9(self.as_logged.sums), lambda: self.as_logged.take(1.0), left, "Flink after a phase was removed")
        settle(lambda: but_phase_9(self.logged.sums), lambda: time.sleep(0.5), left, "ClickHouse after a phase was removed")
        if not self.beside.metric("evenhand_process_taken_back_total"):
            raise Wrong("nothing was taken back")
        publisher = self.logged.role("publisher", "process", "--publish-catalog")
        self.settles(self.as_logged, self.logged, self.second, "after the phase came back")
        if publisher.metric("evenhand_catalog_records_published_total") != 2:
            raise Wrong("more than what differed was published")
        publisher.stop()

    def loaded_anew(self) -> None:
        """A processor is refused a database that is loaded, and what was loaded can be thrown away and loaded again."""
        code, said = self.logged.once("process")
        if code == 0 or "holds unit values of a Flink job" not in said:
            raise Wrong(f"a processor began on a loaded database: {code} {said}")
        if self.beside.metric("evenhand_process_dead_letters_total"):
            raise Wrong("a record of the job can't be read")
        self.beside.stop()
        code, said = self.logged.once("process", "--load", "--replay-from", "start")
        if code != 0 or self.logged.sums():
            raise Wrong(f"what was loaded is still there: {code} {said}")
        self.beside = self.logged.role("beside", "process", "--load")
        began = time.monotonic()
        settle(self.logged.sums, lambda: time.sleep(0.2), self.second, "ClickHouse loaded anew")
        self.figures["seconds to load anew"] = round(time.monotonic() - began, 1)
        self.figures["records loaded anew"] = round(self.beside.metric("evenhand_process_records_total"))

    def in_another_order(self) -> None:
        """The catalog in between and the wrong way round; a TaskManager and the loader are killed over half of the events."""
        lifetimes(self.directory / "plan.json")
        shuffled = list(self.records)
        random.Random(SEED).shuffle(shuffled)
        half = len(shuffled) // 2
        self.shuffled.events(shuffled[: half // 2])
        self.shuffled.catalog(self.as_logged.published()[::-1])
        self.shuffled.events(shuffled[half // 2 : half])
        until = time.monotonic() + PATIENCE
        while not self.shuffled.rows:
            self.shuffled.take(1.0)
            if time.monotonic() > until:
                raise Wrong("the second job has written nothing that is committed")
        self.loader.kill()
        self.flink.kill_task_manager()
        self.shuffled.events(shuffled[half:])
        self.flink.start_task_manager()
        self.loader.start()
        self.settles(self.shuffled, self.mixed, self.second, "with events in another order, killed in between")
        if not self.flink.restored():
            raise Wrong("the kill went unnoticed: the job did not go on from a checkpoint")

    def report(self) -> None:
        for role in [*self.logged.roles, *self.mixed.roles]:
            print(role.tail(), file=sys.stderr)
        print(self.flink.tail(), file=sys.stderr)

    def close(self) -> None:
        self.as_logged.close()
        self.shuffled.close()
        self.logged.close()
        self.mixed.close()
        self.flink.close()
        self.embedded.close()
        for server in self.servers:
            server.__exit__()


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
            proof.results_are_answered()
            proof.a_phase_goes_and_comes_back()
            proof.in_another_order()
            proof.loaded_anew()
        except BaseException:
            proof.report()
            raise
        finally:
            proof.close()
        figures = proof.figures | {"seed": SEED, "sums": proof.cells * 6, "events": len(proof.records), "rows": len(proof.as_logged.rows), "rows written": proof.as_logged.read,
                                   "peak MB": proof.flink.peak_mb, "seconds": round(time.monotonic() - began)}
    if given.json:
        given.json.write_text(json.dumps(figures))
    print(f"flink: {figures['sums']} sums of {figures['events']} events are those of the embedded server and of the oracle, in Flink's topic and in ClickHouse: as logged, after metrics changed, and in another order"
          f" with a TaskManager and the loader killed; {figures['events a second']} events/s, state {figures['state MB']} MB, memory {figures['peak MB']} MB, {figures['seconds']} s")


if __name__ == "__main__":
    main()
