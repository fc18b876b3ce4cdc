"""A small server that keeps what the durability run demands, and the same server with one fault: what proves the run.

    python3 reference.py --data DIR --port PORT [--wrong FAULT]

It speaks just the routes that platform_api.py uses. Each FAULT is a mistake a real server could make.
"""
from __future__ import annotations

import argparse
import contextlib
import gzip
import hashlib
import json
import os
import queue
import re
import sqlite3
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WRONGS = {
    "acknowledges_before_commit": "answers 202, then commits",
    "synchronous_off": "commits before the answer, but SQLite does not sync",
    "memory_queue": "answers 202 when the batch is in a queue in memory",
    "counts_twice": "forgets at a restart which event ids it has counted",
    "stores_twice": "does not notice that it has an event already",
    "loses_definitions": "acknowledges a definition and syncs it never",
    "acknowledges_on_full_disk": "answers 202 although the commit failed",
    "version_goes_back": "keeps the manifest's version in a file that it does not sync",
}
SCHEMA = """
create table if not exists events(number integer primary key, event_id text{unique}, record text not null);
create table if not exists definitions(kind text, key text, body text, primary key(kind, key));
create table if not exists counted(variation text primary key, extra integer not null);
"""


class Store:
    def __init__(self, data: Path, wrong: str | None):
        self.wrong, self.data = wrong, data
        self.lock = threading.Lock()
        data.mkdir(parents=True, exist_ok=True)
        self.sync_directory(data.parent)
        level = "off" if wrong == "synchronous_off" else "full"
        self.db = self.connect("events.db", level)
        self.db.executescript(SCHEMA.format(unique="" if wrong == "stores_twice" else " unique"))
        self.definitions = self.connect("definitions.db", "off" if wrong == "loses_definitions" else "full")
        self.definitions.executescript(SCHEMA.format(unique=""))
        self.version_file = data / "version"
        self.version = int(self.version_file.read_text() or 1) if self.version_file.exists() else 1
        self.seen: set[str] = set()
        self.waiting: queue.Queue[list[dict]] = queue.Queue()
        if wrong == "memory_queue":
            threading.Thread(target=self.drain, daemon=True).start()
        for name, text in (("admin-token", "eva_" + "0" * 32), ("keys.json", json.dumps({"server": "evs_" + "0" * 32}))):
            self.write_synced(data / name, text)

    def connect(self, name: str, level: str) -> sqlite3.Connection:
        db = sqlite3.connect(self.data / name, isolation_level=None, check_same_thread=False)
        db.execute("pragma journal_mode=wal")
        db.execute(f"pragma synchronous={level}")
        return db

    def write_synced(self, path: Path, text: str) -> None:
        with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        self.sync_directory(path.parent)

    @staticmethod
    def sync_directory(path: Path) -> None:
        directory = os.open(path, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)

    def drain(self) -> None:
        while True:
            self.insert(self.waiting.get())

    def insert(self, events: list[dict]) -> None:
        with self.lock, self.transaction():
            for event in events:
                event_id = event["event_id"]
                done = self.db.execute("insert or ignore into events(event_id, record) values(?, ?)", (event_id, json.dumps(event)))
                if self.wrong == "counts_twice" and done.rowcount == 0 and event_id not in self.seen and event["event_name"] == "$exposure":
                    self.db.execute("insert into counted values(?, 1) on conflict do update set extra = extra + 1", (event["variation_id"],))
                self.seen.add(event_id)

    @contextlib.contextmanager
    def transaction(self):
        try:
            self.db.execute("begin immediate")
            yield
            self.db.execute("commit")
        except sqlite3.Error:
            if self.db.in_transaction:
                self.db.execute("rollback")
            if self.wrong != "acknowledges_on_full_disk":
                raise

    def define(self, kind: str, key: str, body: str) -> None:
        with self.lock:
            self.definitions.execute("insert or replace into definitions values(?, ?, ?)", (kind, key, body))
            self.version += 1
            if self.wrong == "version_goes_back":
                self.version_file.write_text(str(self.version))
            else:
                fd = os.open(self.data / "version.new", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
                os.write(fd, str(self.version).encode())
                os.fsync(fd)
                os.close(fd)
                os.rename(self.data / "version.new", self.version_file)
                self.sync_directory(self.data)

    def results(self) -> dict:
        units: dict[str, dict] = {}
        with self.lock:
            records = [json.loads(row[0]) for row in self.db.execute("select record from events")]
            extra = dict(self.db.execute("select variation, extra from counted"))
        for event in sorted(records, key=lambda event: (event["timestamp"], event["event_id"])):
            unit = units.setdefault(event["user_id"], {"variations": set(), "first": None, "micros": []})
            if event["event_name"] == "$exposure":
                unit["variations"].add(event["variation_id"])
                unit["first"] = event["timestamp"] if unit["first"] is None else unit["first"]
        for event in records:
            unit = units[event["user_id"]]
            if event["event_name"] != "$exposure" and unit["first"] is not None and event["timestamp"] >= unit["first"]:
                whole, fraction = event["value"].split(".")
                unit["micros"].append(int(whole) * 10**6 + int(fraction))
        exposed = [unit for unit in units.values() if unit["variations"]]
        answer = {"multiple_exposure_units": sum(len(unit["variations"]) > 1 for unit in exposed), "variations": [], "metrics": [
            {"id": name, "arms": []} for name in ("purchase-conversion-rate", "purchase-count", "purchase-sum")]}
        for name in ("control", "treatment"):
            mine = [unit for unit in exposed if unit["variations"] == {name}]
            answer["variations"].append({"id": name, "units": len(mine) + extra.get(name, 0)})
            sums = (sum(bool(unit["micros"]) for unit in mine) * 10**6, sum(len(unit["micros"]) for unit in mine) * 10**6,
                    sum(sum(unit["micros"]) for unit in mine))
            for metric, total in zip(answer["metrics"], sums):
                metric["arms"].append({"variation_id": name, "sum_micros": str(total)})
        return answer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    store: Store

    def log_message(self, *_) -> None:
        pass

    def answer(self, status: int, body, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        if self.path == "/metrics":
            data = b"evenhand_lag_events 0\n"
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        elif self.path.startswith("/v1/manifest/"):
            self.answer(200, {"generation": 1, "version": self.store.version})
        elif self.path.endswith("/results"):
            self.answer(200, self.store.results())
        elif match := re.fullmatch(r"/api/projects/[^/]+/(\w+)/([^/]+)", self.path):
            with self.store.lock:
                row = self.store.definitions.execute("select body from definitions where kind=? and key=?", match.groups()).fetchone()
            self.answer(200 if row else 404, json.loads(row[0]) if row else {})
        else:
            self.answer(200, {"ready": True})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            raw = gzip.decompress(raw)
        if self.headers.get("Content-Type") == "application/x-ndjson":
            body = [json.loads(line) for line in raw.splitlines()]
        else:
            body = json.loads(raw)
        if self.path == "/v1/events" and isinstance(body, dict):
            body = body.get("events", [body])
        if self.path == "/v1/events":
            accepted = {"accepted": len(body), "rejected": []}
            if self.store.wrong == "acknowledges_before_commit":
                self.answer(202, accepted)
                self.wfile.flush()
                self.store.insert(body)
            elif self.store.wrong == "memory_queue":
                self.store.waiting.put(body)
                self.answer(202, accepted)
            else:
                try:
                    self.store.insert(body)
                except sqlite3.Error as error:
                    self.answer(503, {"error": {"code": "overloaded", "message": str(error)}}, {"Retry-After": "1"})
                else:
                    self.answer(202, accepted)
        elif self.path == "/v1/assignments":
            unit, flag = body["context"]["user_id"], body["flags"][0]
            variation = ("control", "treatment")[hashlib.sha256(unit.encode()).digest()[0] & 1]
            exposure = {"event_name": "$exposure", "user_id": unit, "experiment_id": "durability", "variation_id": variation, "phase": 1}
            self.answer(200, {"assignments": {flag: {"variation": variation, "exposure": exposure}}})
        elif self.path.endswith("/sql"):
            with self.store.lock:
                rows = self.store.db.execute(body["query"]).fetchall()
            self.answer(200, {"rows": rows})
        else:
            if match := re.fullmatch(r"/api/projects/[^/]+/(\w+)", self.path):
                self.store.define(match.group(1), body["key"], raw.decode())
            self.answer(201, body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--wrong", choices=WRONGS)
    arguments = parser.parse_args()
    Handler.store = Store(arguments.data, arguments.wrong)
    server = ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
