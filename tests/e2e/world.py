"""A running server with its credentials, HTTP and the command line, and checks that say what was expected."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "durability"))
from connection import Answer, Connection  # noqa: E402
from server_process import ServerProcess, server_command  # noqa: E402

P, E = "/api/projects/default", "/api/environments/production"
PATIENCE = 10.0


class World:
    def __init__(self, directory: Path, options: tuple[str, ...] = ()):
        self.directory, self.checks = directory, 0
        command = server_command(None)
        self.binary = command[0]
        self.server = ServerProcess([*command, *options], directory, faultfs=False)
        self.server.start()
        self.connection = Connection(self.server.port)

    def close(self) -> None:
        self.connection.close()
        self.server.destroy()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    @property
    def keys(self) -> dict[str, str]:
        return json.loads((self.server.data / "keys.json").read_text())

    @property
    def token(self) -> str:
        return (self.server.data / "admin-token").read_text().strip()

    # ---- checks ----

    def check(self, holds: bool, what: str, found: object = "") -> None:
        self.checks += 1
        if not holds:
            raise AssertionError(f"{what}; found: {found!r}")

    def equal(self, found: object, expected: object, what: str) -> None:
        self.check(found == expected, f"{what}: expected {expected!r}", found)

    def eventually(self, ask, holds, what: str):
        """Asks until it holds."""
        until = time.monotonic() + PATIENCE
        while not holds(found := ask()):
            if time.monotonic() > until:
                self.check(False, f"{what}, {PATIENCE:.0f} s long", found)
            time.sleep(0.02)
        self.checks += 1
        return found

    # ---- HTTP ----

    def http(self, method: str, path: str, body=None, key: str | None = None, headers: dict[str, str] | None = None) -> Answer:
        headers = dict(headers or {})
        if key:
            headers["Authorization"] = f"Bearer {key}"
        if body is not None and not isinstance(body, bytes):
            headers.setdefault("Content-Type", "application/json")
            body = json.dumps(body).encode()
        return self.connection.request(method, path, body, headers)

    def api(self, method: str, path: str, body=None, status: int | None = None, headers: dict[str, str] | None = None) -> Answer:
        """A management call; a refusal must name what, where and how to mend it."""
        answer = self.http(method, path, body, self.token, headers)
        if status is None:
            self.check(answer.status in (200, 201, 202, 204), f"{method} {path} is done", (answer.status, answer.body[:500]))
        else:
            self.check(answer.status == status, f"{method} {path} is answered {status}", (answer.status, answer.body[:500]))
            if status >= 400:
                error = answer.json()["error"]
                self.check(bool(error["code"]) and len(error["message"]) > 15, f"{method} {path}: the error is explained", error)
        return answer

    def decide(self, context: dict, *flags: str, key: str | None = None, headers: dict[str, str] | None = None) -> dict:
        answer = self.http("POST", "/v1/assignments", {"context": context, **({"flags": list(flags)} if flags else {})}, key or self.keys["server"], headers)
        self.check(answer.status == 200, "an assignment is answered", (answer.status, answer.body[:300]))
        return answer.json()["assignments"]

    def send(self, events: list[dict]) -> None:
        answer = self.http("POST", "/v1/events", events, self.keys["server"])
        self.check(answer.status == 202 and answer.json() == {"accepted": len(events), "rejected": []}, "events are accepted", (answer.status, answer.body[:500]))

    # ---- the command line ----

    def cli(self, *arguments: str, fails: bool = False, stdin: str = "", remote: bool = True) -> str:
        """What it prints; of a command that is to fail, errors too."""
        where = ["--server", self.base, "--data-dir", str(self.server.data)] if remote else []
        done = subprocess.run([self.binary, *arguments, *where], input=stdin, capture_output=True, text=True, timeout=60, env={**os.environ, "NO_COLOR": "1"})
        self.check((done.returncode != 0) == fails, f"`evenhand {' '.join(arguments)}` {'fails' if fails else 'works'}", (done.returncode, done.stdout[-800:], done.stderr[-800:]))
        self.check("panicked" not in done.stderr, "nothing panics", done.stderr)
        return done.stdout + done.stderr if fails else done.stdout

    # ---- definitions that several chapters need ----

    def flag(self, key: str, **more) -> None:
        variations = [{"key": "control", "value": "a"}, {"key": "treatment", "value": "b"}]
        self.api("POST", f"{P}/flags", {"key": key, "type": "string", "off": "control", "default": "control", "variations": variations, **more})

    def experiment(self, key: str, flag: str, **more) -> None:
        weights = [{"variation": "control", "weight": 5000}, {"variation": "treatment", "weight": 5000}]
        self.api("POST", f"{P}/experiments", {"key": key, "flag": flag, "unit": "user_id", "variations": weights, **more})

    def act(self, experiment: str, action: str, body: dict | None = None, status: int | None = None) -> Answer:
        return self.api("POST", f"{E}/experiments/{experiment}/{action}", body or {}, status)

    def results(self, experiment: str) -> dict:
        return self.api("GET", f"{E}/experiments/{experiment}/results").json()

    def sql(self, query: str) -> list[list]:
        return self.api("POST", f"{E}/sql", {"query": query}).json()["rows"]


def event(number: int, name: str, user: str, now_ms: int, **more) -> dict:
    return {"event_id": f"00000000-0000-7000-8000-{number:012x}", "event_name": name, "timestamp": now_ms, "user_id": user, **more}


def now_ms() -> int:
    return time.time_ns() // 1_000_000
