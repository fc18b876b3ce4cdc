"""A whole deployment on loopback: PostgreSQL, Redis, Kafka and ClickHouse, and nodes of one binary that share them."""
from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "servers"), str(HERE.parent / "durability"), str(HERE.parent / "e2e")]
from connection import Answer, Broken, Connection  # noqa: E402
from servers import ClickHouse, Kafka, Postgres, Redis, Server, free_port  # noqa: E402
from server_process import server_command  # noqa: E402

READY_SECONDS = 90.0


class Node:
    """One process of the binary: `serve` or `process`."""

    def __init__(self, cluster: "Cluster", name: str, role: str, sections: str = ""):
        self.cluster, self.name, self.role, self.sections = cluster, name, role, sections
        self.directory = cluster.directory / name
        self.directory.mkdir()
        self.port, self.grpc_port = free_port(), free_port()
        self.log_path = self.directory / "log"
        self.process: subprocess.Popen | None = None
        self.connection = Connection(self.port)
        self.asked = time.monotonic()
        # Engines that this node is not given.
        self.without: tuple[str, ...] = ()
        # Of a node in another network namespace: where it listens, and what its command begins with.
        self.host, self.inside = "127.0.0.1", ()

    def start(self, ready: bool = True) -> "Node":
        (self.directory / "evenhand.toml").write_text(self.cluster.configuration(self) + self.sections)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.inside, self.cluster.binary, self.role, "--config", str(self.directory / "evenhand.toml")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **self.cluster.environment})
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self) -> None:
        until = time.monotonic() + READY_SECONDS
        last: object = None
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended by itself with {self.process.returncode}\n{self.tail()}")
            probe = Connection(self.port, timeout=5)
            try:
                last = probe.request("GET", "/readyz")
                if last.status == 200:
                    return
            except Broken as error:
                last = error
            finally:
                probe.close()
            time.sleep(0.02)
        raise RuntimeError(f"{self.name} is not ready after {READY_SECONDS:.0f} s: {last}\n{self.tail()}")

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(how)
        try:
            # A processor finishes the range in hand, 20 s at most.
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise RuntimeError(f"{self.name} did not end within 60 s of {how.name}\n{self.tail()}") from None
        self.connection.close()

    def tail(self, lines: int = 40) -> str:
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return f"---- {self.name}\n" + "\n".join(text.splitlines()[-lines:])

    # ---- HTTP ----

    def http(self, method: str, path: str, body=None, key: str | None = None, headers: dict[str, str] | None = None) -> Answer:
        headers = dict(headers or {})
        if key:
            headers["Authorization"] = f"Bearer {key}"
        if body is not None and not isinstance(body, bytes):
            headers.setdefault("Content-Type", "application/json")
            body = json.dumps(body).encode()
        # The server closes what is idle for a while: ask on a new connection then, as any client does.
        if time.monotonic() - self.asked > 5:
            self.connection.close()
        self.asked = time.monotonic()
        return self.connection.request(method, path, body, headers)

    def api(self, method: str, path: str, body=None) -> Answer:
        answer = self.http(method, path, body, self.cluster.token)
        if answer.status not in (200, 201, 202, 204):
            raise AssertionError(f"{method} {path} on {self.name}: {answer.status} {answer.body[:600]!r}")
        return answer

    def metric(self, name: str) -> float:
        """The sum of a metric's series."""
        text = self.http("GET", "/metrics").body.decode()
        found = [line.rsplit(" ", 1)[1] for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name]
        if not found:
            raise AssertionError(f"{self.name} exports no {name}")
        return sum(map(float, found))


class Cluster:
    """Starts the servers that are asked for; nodes are added with `serve` and `process`."""

    def __init__(self, directory: Path, kinds: tuple[type[Server], ...] = (Postgres, Redis, Kafka, ClickHouse), partitions: int = 4, host: str = "127.0.0.1"):
        self.directory, self.partitions = directory, partitions
        directory.chmod(0o711)
        self.binary = server_command(None)[0]
        self.environment: dict[str, str] = {"RUST_LOG": os.environ.get("RUST_LOG", "info")}
        self.nodes: dict[str, Node] = {}
        self.secrets = directory / "secrets"
        self.secrets.mkdir()
        self.servers: dict[str, Server] = {}
        try:
            for kind in kinds:
                self.servers[kind.name] = kind(directory, host).start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for node in self.nodes.values():
            if node.process is not None and node.process.poll() is None:
                node.process.kill()
                node.process.wait()
        for server in self.servers.values():
            server.__exit__()

    def configuration(self, node: Node) -> str:
        sections = [
            f'data_dir = "{node.directory}/data"', f'listen = "{node.host}:{node.port}"',
            f'pseudonym_key_file = "{self.secrets}/pseudonym.key"', "store_plain_unit_ids = true", "exposures_due_s = 1"]
        given = {name: server for name, server in self.servers.items() if name not in node.without}
        if "postgres" in given:
            sections.append(f'[definitions]\npostgres = "{self.servers["postgres"].url}"\nsigning_keys_file = "{self.secrets}/signing-keys.json"\nadmin_token_file = "{self.secrets}/admin-token"')
        if "redis" in given:
            sections.append(f'[cache]\nredis = "{self.servers["redis"].url}"')
            if "postgres" not in given:
                sections.append(f'trusted_keys_file = "{self.trusted_keys()}"')
        if "kafka" in given:
            sections.append(f'[events]\nkafka = "{self.servers["kafka"].url}"\npartitions = {self.partitions}\nreplication = 1\nspool_bytes = 67108864')
        if "clickhouse" in given:
            sections.append(f'[analytics]\nclickhouse = "{self.servers["clickhouse"].url}"')
        return "\n".join(sections) + "\n"

    def serve(self, name: str, sections: str = "", ready: bool = True, without: tuple[str, ...] = ()) -> Node:
        node = self.nodes[name] = Node(self, name, "serve", sections)
        node.without = without
        return node.start(ready)

    def process(self, name: str, sections: str = "") -> Node:
        node = self.nodes[name] = Node(self, name, "process", sections)
        return node.start()

    @property
    def token(self) -> str:
        return (self.secrets / "admin-token").read_text().strip()

    @property
    def keys(self) -> dict[str, str]:
        """The API keys of the first start, written by the node that made the installation."""
        for node in self.nodes.values():
            path = node.directory / "data" / "keys.json"
            if path.exists():
                return json.loads(path.read_text())
        raise AssertionError("no node has written keys.json")

    def trusted_keys(self) -> Path:
        """The public keys, as a management node keeps them."""
        kept = lambda: [path for node in self.nodes.values() if "postgres" not in node.without and (path := node.directory / "data" / "bundles" / "trusted-keys.json").exists()]
        return eventually(kept, bool, "a management node keeps its public keys", 10)[0]

    def report(self) -> None:
        """What everybody said last: printed when something failed."""
        for node in self.nodes.values():
            print(node.tail(), file=sys.stderr)
        for server in self.servers.values():
            print(server.tail(10), file=sys.stderr)


def enough_room(directory: Path, gigabytes: float) -> None:
    free = shutil.disk_usage(directory).free / 1e9
    if free < gigabytes:
        raise SystemExit(f"{directory} has {free:.1f} GB free; this needs {gigabytes} GB")


def eventually(ask, holds, what: str, seconds: float = 60.0):
    until = time.monotonic() + seconds
    while not holds(found := ask()):
        if time.monotonic() > until:
            raise AssertionError(f"{what}: not within {seconds:.0f} s; found {found!r}")
        time.sleep(0.05)
    return found
