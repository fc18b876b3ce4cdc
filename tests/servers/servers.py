"""PostgreSQL, Redis, Kafka and the ClickHouse engine for tests: real ones, on free ports of loopback, all their data below one directory.

    servers.py NAME DIRECTORY      starts one and prints `ready PORT URL`; then takes `stop`, `kill`, `start` on its standard input,
                                   one a line, and answers `ok` or `failed MESSAGE`. It ends, with the server, when the input ends.

What they need is installed by `ci/servers`.
"""
from __future__ import annotations

import glob
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
CACHE = Path(os.environ.get("EVENHAND_CACHE", Path.home() / ".cache" / "evenhand")) / "servers"
READY_SECONDS = 90.0


class ServerError(RuntimeError):
    pass


def free_port(host: str = "127.0.0.1") -> int:
    """Below the ports that the system gives to connections: one of those could be taken by a connection while the server is down."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port


class Server:
    """One server process. `start` after `stop` or `kill` goes on with the same port and data."""

    name = ""
    scheme = "http"

    def __init__(self, directory: Path, host: str = "127.0.0.1", **settings: str):
        self.directory = Path(directory).resolve() / self.name
        self.directory.mkdir(parents=True, exist_ok=True)
        self.settings, self.host = settings, host
        self.port = free_port(host)
        self.process: subprocess.Popen | None = None
        self.log_path = self.directory / "server.log"
        self.prepared = False

    # ---- what each kind says ----

    def prepare(self) -> None:
        """Once, before the first start."""

    def command(self) -> list[str]:
        raise NotImplementedError

    def user(self) -> str | None:
        return None

    def is_ready(self) -> bool:
        raise NotImplementedError

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    # ---- life ----

    def start(self) -> "Server":
        if not self.prepared:
            self.prepare()
            self.prepared = True
        as_user = {}
        if self.user() and os.geteuid() == 0:
            entry = pwd.getpwnam(self.user())
            as_user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory, start_new_session=True, **as_user)
        until = time.monotonic() + READY_SECONDS
        while not self.is_ready():
            if self.process.poll() is not None:
                raise ServerError(f"{self.name} ended by itself with {self.process.returncode}\n{self.tail()}")
            if time.monotonic() > until:
                self.kill()
                raise ServerError(f"{self.name} is not ready after {READY_SECONDS:.0f} s\n{self.tail()}")
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        """As an operator stops it."""
        self._end(self.stop_signal, 60)

    def kill(self) -> None:
        """kill -9, the whole group."""
        self._end(signal.SIGKILL, 20)

    stop_signal = signal.SIGTERM

    def _end(self, how: signal.Signals, seconds: float) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        if how == signal.SIGKILL:
            os.killpg(self.process.pid, how)
        else:
            self.process.send_signal(how)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise ServerError(f"{self.name} did not end within {seconds:.0f} s of {how.name}\n{self.tail()}") from None

    def pause(self) -> None:
        """Alive and silent: what a hanging host looks like."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self.process.pid, signal.SIGCONT)

    def tail(self, lines: int = 30) -> str:
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return f"---- {self.log_path}\n" + "\n".join(text.splitlines()[-lines:])

    def __enter__(self) -> "Server":
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGCONT)
            self.kill()

    def _connects(self) -> socket.socket | None:
        try:
            return socket.create_connection((self.host, self.port), 1)
        except OSError:
            return None


def required(path: Path | None, what: str) -> Path:
    if path is None or not path.exists():
        raise ServerError(f"{what} is missing; `ci/servers` installs what the tests need")
    return path


class Postgres(Server):
    name = "postgres"
    scheme = "postgres"
    # SIGINT is PostgreSQL's fast shutdown: connections are closed, the rest is written.
    stop_signal = signal.SIGINT

    def bin(self, program: str) -> str:
        found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{program}"), key=lambda path: int(path.split("/")[4]))
        return str(required(Path(found[-1]) if found else None, "PostgreSQL"))

    def user(self) -> str | None:
        return "postgres"

    @property
    def url(self) -> str:
        return f"postgres://postgres@{self.host}:{self.port}/postgres"

    def prepare(self) -> None:
        for directory in [self.directory, *self.directory.parents]:
            if directory == Path("/tmp") or directory == Path("/"):
                break
            directory.chmod(directory.stat().st_mode | 0o011)
        if os.geteuid() == 0:
            shutil.chown(self.directory, "postgres", "postgres")
        command = [self.bin("initdb"), "-D", str(self.directory / "data"), "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync"]
        entry = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        as_user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []} if entry else {}
        made = subprocess.run(command, capture_output=True, text=True, cwd=self.directory, **as_user)
        if made.returncode != 0:
            raise ServerError(f"initdb: {made.stdout}{made.stderr}")
        if self.host != "127.0.0.1":
            # Tests that cut a network give it an address of their own; replication is a keyword of its own here.
            with open(self.directory / "data" / "pg_hba.conf", "a") as rules:
                rules.write("host all all 10.0.0.0/8 trust\nhost replication all 10.0.0.0/8 trust\n")

    def command(self) -> list[str]:
        settings = {
            "port": str(self.port), "listen_addresses": self.host, "unix_socket_directories": str(self.directory),
            "wal_level": "logical", "max_replication_slots": "10", "max_wal_senders": "10", "max_connections": "100", **self.settings}
        return [self.bin("postgres"), "-D", str(self.directory / "data"), *(part for item in settings.items() for part in ("-c", "=".join(item)))]

    def is_ready(self) -> bool:
        return subprocess.run([self.bin("pg_isready"), "-q", "-h", self.host, "-p", str(self.port), "-U", "postgres"]).returncode == 0

    def sql(self, text: str) -> str:
        done = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", self.url, "-c", text], capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise ServerError(f"psql: {done.stderr}")
        return done.stdout.strip()


class Redis(Server):
    name = "redis"
    scheme = "redis"

    def command(self) -> list[str]:
        program = shutil.which("redis-server")
        settings = {"save": "", "appendonly": "no", **self.settings}
        return [str(required(Path(program) if program else None, "redis-server")), "--port", str(self.port), "--bind", self.host, "--protected-mode", "no",
                "--dir", str(self.directory), *(part for name, value in settings.items() for part in (f"--{name}", value))]

    def is_ready(self) -> bool:
        connection = self._connects()
        if connection is None:
            return False
        with connection:
            try:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
            except OSError:
                return False


class Kafka(Server):
    """One broker that is its own controller (KRaft)."""

    name = "kafka"
    scheme = "kafka"

    def prepare(self) -> None:
        self.controller = free_port(self.host)
        settings = {
            "process.roles": "broker,controller", "node.id": "1", "controller.quorum.bootstrap.servers": f"{self.host}:{self.controller}",
            "listeners": f"PLAINTEXT://{self.host}:{self.port},CONTROLLER://{self.host}:{self.controller}",
            "advertised.listeners": f"PLAINTEXT://{self.host}:{self.port}", "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self.directory / "data"), "offsets.topic.replication.factor": "1", "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1", "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1", "group.initial.rebalance.delay.ms": "0", "auto.create.topics.enable": "false",
            "log.segment.bytes": "268435456", "controlled.shutdown.enable": "false", **self.settings}
        (self.directory / "server.properties").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        formatted = subprocess.run(
            [*self._java("-XX:TieredStopAtLevel=1"), "kafka.tools.StorageTool", "format", "--standalone", "-t", "evenhand-tests-cluster", "-c", "server.properties"],
            cwd=self.directory, capture_output=True, text=True)
        if formatted.returncode != 0:
            raise ServerError(f"kafka format: {formatted.stdout}{formatted.stderr}")

    def _java(self, *options: str) -> list[str]:
        library = required(CACHE / "kafka" / "lib", "Kafka")
        (self.directory / "log4j2.properties").write_text(
            "status=error\nrootLogger.level=INFO\nrootLogger.appenderRef.out.ref=OUT\nappender.out.type=Console\nappender.out.name=OUT\n"
            "appender.out.layout.type=PatternLayout\nappender.out.layout.pattern=%d %p %m%n\n")
        return ["java", *options, "-Dlog4j2.configurationFile=log4j2.properties", "-cp", f"{library}/*"]

    def command(self) -> list[str]:
        self.started_from = self.log_path.stat().st_size if self.log_path.exists() else 0
        return [*self._java("-Xms256m", "-Xmx768m", "-XX:+UseSerialGC"), "kafka.Kafka", "server.properties"]

    def is_ready(self) -> bool:
        with open(self.log_path, "rb") as log:
            log.seek(self.started_from)
            return b"Kafka Server started" in log.read()

    @property
    def url(self) -> str:
        return f"{self.host}:{self.port}"


class ClickHouse(Server):
    """The engine as a library (libchdb, of npm) behind tests/servers/chshim."""

    name = "clickhouse"

    def command(self) -> list[str]:
        library = required(CACHE / "chdb" / "node_modules" / "@chdb" / "lib-linux-x64-gnu" / "libchdb.so", "the ClickHouse engine")
        target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
        program = target / "release" / "evenhand-chshim"
        if not program.exists():
            subprocess.run(["cargo", "build", "--release", "--quiet", "--locked", "-p", "evenhand-chshim"], cwd=REPOSITORY, check=True)
        return [str(program), str(library), str(self.port) if self.host == "127.0.0.1" else f"{self.host}:{self.port}", str(self.directory / "data")]

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/ping", timeout=1) as answer:
                return answer.status == 200
        except OSError:
            return False

    def sql(self, text: str) -> str:
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url, text.encode()), timeout=120) as answer:
                return answer.read().decode().strip()
        except urllib.error.HTTPError as error:
            raise ServerError(f"ClickHouse: {error.read().decode(errors='replace')}") from None


KINDS = {kind.name: kind for kind in (Postgres, Redis, Kafka, ClickHouse)}


def main() -> None:
    if len(sys.argv) < 3 or sys.argv[1] not in KINDS:
        raise SystemExit(f"usage: servers.py {'|'.join(KINDS)} DIRECTORY [NAME=VALUE …]")
    server = KINDS[sys.argv[1]](Path(sys.argv[2]), **dict(setting.split("=", 1) for setting in sys.argv[3:]))
    try:
        server.start()
        print(f"ready {server.port} {server.url}", flush=True)
        for line in sys.stdin:
            try:
                {"start": server.start, "stop": server.stop, "kill": server.kill, "pause": server.pause, "resume": server.resume}[line.strip()]()
                print("ok", flush=True)
            except (ServerError, KeyError, OSError) as error:
                print("failed " + str(error).replace("\n", " | "), flush=True)
    except ServerError as error:
        print("failed " + str(error).replace("\n", " | "), flush=True)
        raise SystemExit(1) from None
    finally:
        server.__exit__()


if __name__ == "__main__":
    main()
