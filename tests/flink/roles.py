"""`evenhand process` beside a Flink job, and `evenhand serve` before it: one place in Kafka and one database in ClickHouse for each job."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / name) for name in ("servers", "durability")]
from connection import Answer, Broken, Connection  # noqa: E402
from servers import ClickHouse, free_port  # noqa: E402

from embedded import CELL, NUMBERS, VIEWS  # noqa: E402
from oracle import Sums  # noqa: E402

READY_SECONDS = 90.0


class Role:
    """One process. Another of the same name goes on where it stopped."""

    def __init__(self, place: "Place", name: str, *command: str):
        self.place, self.name, self.port = place, name, free_port()
        directory = place.directory / name
        directory.mkdir(exist_ok=True)
        configuration = directory / "evenhand.toml"
        configuration.write_text(f'data_dir = "{directory}/data"\nlisten = "127.0.0.1:{self.port}"\n' + place.configuration)
        self.command = [place.binary, *command, "--config", str(configuration)]
        self.log_path = directory / "log"

    def start(self) -> "Role":
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, "RUST_LOG": "info"})
        until, last = time.monotonic() + READY_SECONDS, None
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended by itself with {self.process.returncode}\n{self.tail()}")
            try:
                last = self.get("/readyz")
                if last.status == 200:
                    return self
            except Broken as error:
                last = error
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} is not ready after {READY_SECONDS:.0f} s: {last}\n{self.tail()}")

    def once(self) -> tuple[int, str]:
        """Of a command that ends: its code, and what it says."""
        done = subprocess.run(self.command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout + done.stderr

    def stop(self) -> None:
        """As an operator does."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        if code != 0 or "Stopped" not in self.tail(3):
            raise RuntimeError(f"{self.name} did not end well: {code}\n{self.tail()}")

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def get(self, path: str, token: str | None = None) -> Answer:
        return self.ask("GET", path, None, token)

    def ask(self, method: str, path: str, body: dict | None, token: str | None) -> Answer:
        connection = Connection(self.port, timeout=30)
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        try:
            return connection.request(method, path, json.dumps(body).encode() if body else None, headers)
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        text = self.get("/metrics").body.decode()
        found = [line.rsplit(" ", 1)[1] for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name]
        if not found:
            raise AssertionError(f"{self.name} exports no {name}:\n{text}")
        return sum(map(float, found))

    def tail(self, lines: int = 40) -> str:
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return f"---- {self.place.name} {self.name}\n" + "\n".join(text.splitlines()[-lines:])


class Place:
    """What the processes of one job share."""

    def __init__(self, directory: Path, binary: str, name: str, definitions: str, brokers: str, clickhouse: ClickHouse, partitions: int):
        self.directory, self.binary, self.name, self.clickhouse = directory / name, binary, name, clickhouse
        self.directory.mkdir()
        self.configuration = (
            f'store_plain_unit_ids = true\n{definitions}[events]\nkafka = "{brokers}"\ntopic_prefix = "{name}"\npartitions = {partitions}\nreplication = 1\n'
            f'[analytics]\nclickhouse = "{clickhouse.url}"\ndatabase = "{name}"\n')
        self.roles: list[Role] = []

    def role(self, name: str, *command: str) -> Role:
        self.roles.append(Role(self, name, *command))
        return self.roles[-1].start()

    def once(self, *command: str) -> tuple[int, str]:
        return Role(self, "once", *command).once()

    def sums(self) -> Sums:
        """What ClickHouse makes of the loaded values."""
        found = {}
        for view, place in VIEWS.items():
            text = self.clickhouse.sql(f"SELECT {CELL}, {place}, {NUMBERS} FROM {self.name}.{view} WHERE complete FORMAT JSONCompactEachRow SETTINGS output_format_json_quote_64bit_integers = 0")
            rows = [json.loads(line) for line in text.splitlines()]
            found |= {tuple(row[:9]): tuple(int(number) for number in row[9:]) for row in rows}
        return found

    def close(self) -> None:
        for role in self.roles:
            role.kill()
