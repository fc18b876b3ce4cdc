"""Those parts of deploy/compose that run here without containers, run: HAProxy before two real nodes of which one is killed, the script that makes
PostgreSQL's role, the command that starts Redis. Needs the binary (EVENHAND_BIN) and what ci/servers installs."""
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from toolbox import Tools

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests/servers"))
import servers  # noqa: E402

READY_SECONDS = 30.0
CALLERS = 4


def faults(deploy: Path, tools: Tools, binary: Path, scratch: Path) -> tuple[list[str], int]:
    scratch.chmod(0o755)  # PostgreSQL runs as another user
    return _proxy(deploy, tools, binary, scratch) + _postgres(deploy, scratch) + _redis(deploy, scratch), 3


def _wait(url: str, what: str) -> None:
    end = time.monotonic() + READY_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                raise SystemExit(f"{what} did not answer within {READY_SECONDS:.0f} s: {error}") from error
            time.sleep(0.1)


def _proxy(deploy: Path, tools: Tools, binary: Path, scratch: Path) -> list[str]:
    """Assignments and events go on while a node is killed; streams are not buffered; gRPC's port speaks HTTP/2."""
    ports = {name: servers.free_port() for name in ("a", "b", "a-grpc", "b-grpc", "http", "grpc")}
    text = (deploy / "compose/haproxy.cfg").read_text()
    for node in ("a", "b"):
        text = text.replace(f"serve-{node} serve-{node}:8787", f"serve-{node} 127.0.0.1:{ports[node]}")
        text = text.replace(f"serve-{node} serve-{node}:8788", f"serve-{node} 127.0.0.1:{ports[node + '-grpc']} port {ports[node]}")
    text = text.replace("bind :8787", f"bind 127.0.0.1:{ports['http']}").replace("bind :8788", f"bind 127.0.0.1:{ports['grpc']}")
    (scratch / "haproxy.cfg").write_text(text)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    nodes, found = [], []
    # Two embedded nodes: with the same secrets they take the same keys, so a caller can't tell them apart.
    first = scratch / "node-a"
    try:
        for node in ("a", "b"):
            directory = scratch / f"node-{node}"
            if node == "b":
                subprocess.run(["cp", "-r", str(first), str(directory)], check=True)
            command = [str(binary), "serve", "--data-dir", str(directory), "--listen", f"127.0.0.1:{ports[node]}", "--pseudonym-key-file", str(scratch / "keys" / "pseudonym.key")]
            start = lambda: subprocess.Popen(command, env={**os.environ, "EVENHAND__GRPC__LISTEN": f"127.0.0.1:{ports[node + '-grpc']}"}, **quiet)
            process = start()
            _wait(f"http://127.0.0.1:{ports[node]}/readyz", f"node {node}")
            if node == "a":
                # Copied while nobody writes.
                process.terminate()
                process.wait(15)
                continue
            nodes.append(process)
        command[command.index("--data-dir") + 1], command[command.index("--listen") + 1] = str(first), f"127.0.0.1:{ports['a']}"
        nodes.append(subprocess.Popen(command, env={**os.environ, "EVENHAND__GRPC__LISTEN": f"127.0.0.1:{ports['a-grpc']}"}, **quiet))
        _wait(f"http://127.0.0.1:{ports['a']}/readyz", "node a")
        nodes.append(subprocess.Popen([tools.haproxy, "-f", str(scratch / "haproxy.cfg")], env=tools.environment, **quiet))
        base = f"http://127.0.0.1:{ports['http']}"
        _wait(f"{base}/readyz", "HAProxy")
        key = json.loads((first / "keys.json").read_text())["server"]
        found += _killed_under_load(base, key, nodes[1])
        began = time.monotonic()
        stream = urllib.request.urlopen(urllib.request.Request(f"{base}/v1/manifest/stream", headers={"Authorization": f"Bearer {key}"}), timeout=5)
        if stream.readline() != b"event: manifest\n" or time.monotonic() - began > 2:
            found.append("haproxy.cfg: a manifest stream does not come through at once")
        stream.close()
        found += _speaks_http2(ports["grpc"])
    finally:
        for process in nodes:
            process.kill()
            process.wait()
    return found


def _killed_under_load(base: str, key: str, victim: subprocess.Popen) -> list[str]:
    answers: list[object] = []
    stop = threading.Event()

    def ask(number: int) -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            body = None
            path = f"/v1/assignments?user_id=u{number}-{turn}"
            if turn % 2:
                path = "/v1/events"
                body = json.dumps([{"event_id": f"0199f3a4-0000-7000-8{number:03x}-{turn:012x}", "event_name": "seen", "timestamp": int(time.time() * 1000), "user_id": f"u{number}"}]).encode()
            request = urllib.request.Request(base + path, data=body, headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    answers.append(answer.status)
            except urllib.error.HTTPError as error:
                answers.append(error.code)
            except OSError as error:
                answers.append(repr(error))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    time.sleep(1.5)
    before = len(answers)
    victim.kill()
    time.sleep(2.5)
    stop.set()
    for thread in threads:
        thread.join()
    failed = [answer for answer in answers if answer not in (200, 202)]
    # What was being answered at that moment, one a caller, may end in the middle; everything else goes to the other node.
    found = [f"haproxy.cfg: {len(failed)} of {len(answers)} requests failed while a node was killed: {sorted(map(str, set(failed)))}"] if len(failed) > CALLERS else []
    if before < 50 or len(answers) - before < 50:
        found.append(f"haproxy.cfg: too few requests to say anything: {before} before the kill, {len(answers) - before} after it")
    return found


def _speaks_http2(port: int) -> list[str]:
    import socket

    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        # The preface and an empty SETTINGS frame; the answer must begin with SETTINGS (frame type 4).
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        head = connection.recv(9)
    return [] if len(head) == 9 and head[3] == 4 else ["haproxy.cfg: the gRPC port does not speak HTTP/2"]


def _postgres(deploy: Path, scratch: Path) -> list[str]:
    server = servers.Postgres(scratch)
    server.start()
    try:
        password = scratch / "postgres-password"
        # What a generated one never has, and a chosen one may.
        password.write_text("it's \"one\" $x\n")
        script = (deploy / "compose/postgres-roles.sh").read_text().replace("/run/secrets/postgres-password", str(password))
        environment = {**os.environ, "POSTGRES_USER": "postgres", "PGHOST": "127.0.0.1", "PGPORT": str(server.port)}
        ran = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True)
        if ran.returncode != 0:
            return [f"postgres-roles.sh: {ran.stderr.strip()}"]
        as_evenhand = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", f"postgres://evenhand@127.0.0.1:{server.port}/evenhand"]
        needs = ("CREATE TABLE made (id int PRIMARY KEY)", "CREATE PUBLICATION published FOR TABLE made", "SELECT pg_create_logical_replication_slot('slot', 'pgoutput')")
        found = []
        for need in needs:
            ran = subprocess.run([*as_evenhand, "-c", need], capture_output=True, text=True)
            if ran.returncode != 0:
                found.append(f"postgres-roles.sh: the role can't: {need}: {ran.stderr.strip()}")
        if server.sql("SELECT rolsuper FROM pg_roles WHERE rolname = 'evenhand'") != "f":
            found.append("postgres-roles.sh: the role is a superuser")
        return found
    finally:
        server.stop()


def _redis(deploy: Path, scratch: Path) -> list[str]:
    match = re.search(r"umask 077\n.*?exec redis-server /tmp/redis\.conf", (deploy / "compose.yaml").read_text(), re.S)
    if not match:
        return ["compose.yaml: the command of Redis was not found; mend tests/deploy/real_parts.py"]
    (scratch / "redis-password").write_text("secret-of-the-test\n")
    port = servers.free_port()
    command = match[0].replace("$$", "$").replace("/run/secrets/redis-password", str(scratch / "redis-password")).replace("/tmp/redis.conf", str(scratch / "redis.conf"))
    server = subprocess.Popen(["sh", "-c", f"{command} --port {port} --bind 127.0.0.1 --dir {scratch}"], stdout=subprocess.DEVNULL)

    def ask(password: str, *words: str) -> str:
        ran = subprocess.run(["redis-cli", "-p", str(port), *words], env={**os.environ, "REDISCLI_AUTH": password}, capture_output=True, text=True)
        return ran.stdout.strip()

    try:
        end = time.monotonic() + READY_SECONDS
        while ask("secret-of-the-test", "ping") != "PONG":
            if time.monotonic() > end:
                return ["compose.yaml: Redis does not answer PONG to its password"]
            time.sleep(0.1)
        found = []
        if "NOAUTH" not in ask("", "get", "x"):
            found.append("compose.yaml: Redis answers without the password")
        if ask("secret-of-the-test", "config", "get", "maxmemory-policy").split()[-1] != "noeviction":
            found.append("compose.yaml: Redis throws out what is needed when its memory is full")
        return found
    finally:
        server.terminate()
        server.wait()
