"""The embedded server: definitions through its API, events through its ingestion route, sums from its view `aggregates`."""
from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from world import P, World  # noqa: E402

from definitions import EXPERIMENTS, VARIATIONS  # noqa: E402
from generated import Record  # noqa: E402
from oracle import Sums  # noqa: E402

BATCH = 2_000
CELL = "experiment_id, phase, epoch, variation_id, metric, key_kind, standing"
NUMBERS = "n, sum, sum_sq, pair_sum, pair_sum_sq, pair_cross"
# The views, and what a row of each is besides: of no day and no cut, or of a day and a cut.
VIEWS = {"aggregates": "NULL, NULL", "daily_aggregates": "day, cut"}
JSON = {"Content-Type": "application/json"}


class Embedded:
    def __init__(self, directory: Path, metrics: list[dict], postgres: str):
        """Its definitions are in PostgreSQL, where the processes beside the Flink job find them too."""
        directory.mkdir()
        (directory / "evenhand.toml").write_text(f'[definitions]\npostgres = "{postgres}"\n')
        self.world = World(directory, ("--store-plain-unit-ids", "--config", str(directory / "evenhand.toml")))
        data = self.world.server.data
        self.definitions = f'[definitions]\npostgres = "{postgres}"\nsigning_keys_file = "{data}/signing-keys.json"\nadmin_token_file = "{data}/admin-token"\n'
        for metric in metrics:
            self.world.api("POST", f"{P}/metrics", metric)
        for experiment in EXPERIMENTS:
            self.world.flag(f"flag-{experiment['key']}")
            weights = [{"variation": variation, "weight": 5000} for variation in VARIATIONS]
            self.world.api("POST", f"{P}/experiments", {
                "key": experiment["key"], "flag": f"flag-{experiment['key']}", "unit": experiment["unit"], "variations": weights,
                "metrics": [{"metric": key, "role": "secondary"} for key in experiment["metrics"]], "dimensions": experiment.get("dimensions", [])})
            self.world.act(experiment["key"], "start")
            for _ in range(1, experiment["phases"]):
                self.world.act(experiment["key"], "new_phase")

    def aliases(self) -> dict[str, str]:
        """Experiment, or `experiment/variation`, to the id that client keys know it by: from the phases as the server hands them to its pipeline."""
        path = self.world.server.data / "events" / "production" / "analytics.sqlite"
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            phases = json.loads(connection.execute("SELECT value FROM meta WHERE key = 'catalog'").fetchone()[0])["experiments"]
        finally:
            connection.close()
        found = {phase["id"]: alias for phase in phases for alias in phase["aliases"]}
        return found | {f"{phase['id']}/{variation['id']}": alias for phase in phases for variation in phase["variations"] for alias in variation["aliases"]}

    def change(self, metrics: list[dict], before: list[dict]) -> None:
        # The server closes connections that were idle for as long as Flink may take.
        self.world.connection.close()
        for metric, old in zip(metrics, before):
            if metric != old:
                stored = self.world.api("GET", f"{P}/metrics/{metric['key']}").json()
                body = {key: value for key, value in stored.items() if key not in ("version", "created_ms", "updated_ms")}
                self.world.api("PUT", f"{P}/metrics/{metric['key']}", body | metric, headers={"If-Match": f'"{stored["version"]}"'})

    def send(self, records: list[Record]) -> None:
        """In batches of the log's order; in each, first what came in with one kind of key, then what came with the other."""
        for start in range(0, len(records), BATCH):
            for kind in ("server", "client"):
                batch = [record.canonical for record in records[start : start + BATCH] if record.key_kind == kind]
                if not batch:
                    continue
                answer = self.world.http("POST", "/v1/events" + ("?import=true" if kind == "server" else ""), b"[" + b",".join(batch) + b"]", self.world.keys[kind], JSON)
                self.world.check(answer.status == 202 and answer.json()["accepted"] == len(batch), "events are taken", (answer.status, answer.body[:500]))

    def sums(self) -> Sums:
        found = {}
        for view, place in VIEWS.items():
            answer = json.loads(self.world.cli("sql", f"SELECT {CELL}, {place}, {NUMBERS} FROM {view} WHERE n <> 0 AND complete", "--format", "json", "--limit", "100000"))
            self.world.check(not answer["truncated"], "all sums are there", len(answer["rows"]))
            found |= {tuple(row[:9]): tuple(int(number) for number in row[9:]) for row in answer["rows"]}
        return found

    def results(self) -> dict[str, dict]:
        return {experiment["key"]: self.world.results(experiment["key"]) for experiment in EXPERIMENTS}

    def close(self) -> None:
        self.world.close()
