"""Servers that hang, or answer as none should, and the end of a client: nothing that a caller was given an id for is lost.

python odd_servers.py small|full [WORD …]
"""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import inspect
import json
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from evenhand import AsyncClient, Client

from manifests import manifest

FAST = {"stream": False, "flush_interval_ms": 20, "backoff_base_ms": 50, "backoff_max_ms": 200}
PLAIN = manifest(1, 2)
checks = 0
told: list[str] = []


class Keep(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        told.append(f"{record.levelname} {record.evenhand_code}: {record.getMessage()}")  # type: ignore[attr-defined]


def check(holds: bool, what: str, found: object = "") -> None:
    global checks
    checks += 1
    if not holds:
        raise AssertionError(f"{what}; found: {found!r}")


def eventually(holds: Callable[[], object], what: str, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not holds():
        check(time.monotonic() < until, f"in {seconds} s: {what}")
        time.sleep(0.01)


class Odd:
    """Answers a GET with what `paths` says of the first word that stands in its path, and takes events. `hanging` answers never."""

    def __init__(self, **paths: tuple[int, bytes] | None) -> None:
        self.paths = paths
        self.asked: list[str] = []
        self.taken: list[dict[str, Any]] = []
        self.offered = 0
        self.release = threading.Event()
        self.taking = threading.Event()
        self.taking.set()

    def ids(self) -> list[str]:
        return [event["event_id"] for event in self.taken]

    def answer(self, path: str) -> tuple[int, bytes]:
        self.asked.append(path)
        found = next((answer for word, answer in self.paths.items() if word in path), (404, b"{}"))
        if found is None:
            self.release.wait(60)
            return 503, b""
        return found


@contextlib.contextmanager
def serving(odd: Odd) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def reply(self, status: int, body: bytes) -> None:
            with contextlib.suppress(OSError):
                self.send_response(status)
                if status != 204:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def do_GET(self) -> None:
            self.reply(*odd.answer(self.path))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            odd.offered += 1
            odd.taking.wait(60)
            odd.taken += json.loads(body)["events"]
            self.reply(200, b'{"rejected":[]}')

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        odd.release.set()
        odd.taking.set()
        server.shutdown()
        server.server_close()


def hanging_manifest() -> str:
    """The server's manifests hang, its events don't: neither sending nor spooling waits."""
    odd = Odd(manifest=None)
    with serving(odd) as url, tempfile.TemporaryDirectory() as folder:
        spool = Path(folder) / "spool"
        client = Client(url, "k", spool=spool, **FAST)  # type: ignore[arg-type]
        eventually(lambda: odd.asked, "the manifest is asked for")
        began = time.monotonic()
        event_id = client.track("note", {"user_id": "u"})
        check(client.flush(5), "events are delivered beside it", odd.taken)
        took = time.monotonic() - began
        check(odd.ids() == [event_id], "the one that was tracked", odd.taken)
        odd.taking.clear()
        later = str(client.track("note", {"user_id": "u"}))
        odd.taking.set()
        began = time.monotonic()
        seen = len(told)
        client.close(5)
        check(time.monotonic() - began < 3, "the end waits for no manifest", time.monotonic() - began)
        check(told[seen:] == [], "and has nothing to tell of what it ended itself", told[seen:])
        check(odd.ids() == [event_id, later], "and loses nothing", odd.taken)
        check(odd.asked == ["/v1/manifest/k"], "one request was under way all the time", odd.asked)
    # No server takes anything: only the spool keeps it, and it is written while the manifest hangs.
    odd = Odd(manifest=None)
    with serving(odd) as url, tempfile.TemporaryDirectory() as folder:
        spool = Path(folder) / "spool"
        client = Client(url, "k", spool=spool, **{**FAST, "flush_interval_ms": 3_600_000})  # type: ignore[arg-type]
        eventually(lambda: odd.asked, "the manifest is asked for")
        kept = str(client.track("note", {"user_id": "u"}))
        eventually(lambda: spool.exists() and kept.encode() in spool.read_bytes(), "the spool is written beside it", 5)
        client.close(5)
        check(odd.ids() == [kept], "what was spooled is sent at the end", odd.taken)
    return f"delivered after {took * 1000:.0f} ms"


def hanging_events() -> str:
    """The server takes no events, and does not refuse them: a kill arrives, and the spool is written."""
    odd = Odd(manifest=(200, PLAIN))
    odd.taking.clear()
    with serving(odd) as url, tempfile.TemporaryDirectory() as folder:
        spool = Path(folder) / "spool"
        client = Client(url, "k", spool=spool, timeout=50, poll_interval_ms=1_000, **FAST)  # type: ignore[arg-type]
        check(client.wait_ready(10), "ready")
        first = str(client.track("note", {"user_id": "u"}))
        eventually(lambda: odd.offered, "events are sent")
        began = time.monotonic()
        killed = json.loads(PLAIN)
        killed["version"], killed["flags"]["flag-0"]["state"] = 2, "killed"
        odd.paths["manifest"] = (200, json.dumps(killed).encode())
        second = str(client.track("note", {"user_id": "u"}))
        eventually(
            lambda: spool.exists() and all(one.encode() in spool.read_bytes() for one in (first, second)), "spooled", 10
        )
        spooled = time.monotonic() - began
        eventually(lambda: client.evaluate("flag-0", {"user_id": "u"}).reason == "KILLED", "the kill arrives", 10)
        arrived = time.monotonic() - began
        check(odd.offered == 1, "all the time one batch is under way", odd.offered)
        check(not client.flush(0.1), "and a flush says so")
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            own = client.telemetry()["held_events"] == 0 and client.track("forked", {"user_id": "u"}) is not None
            delivered = client.flush(15)
            client.close(1)
            os._exit(0 if own and delivered else 3)
        odd.taking.set()
        check(client.flush(10), "when they are taken, they are delivered", odd.taken)
        check(os.waitpid(child, 0)[1] == 0, "a child that came meanwhile delivers what is its own")
        names = sorted((event["event_name"], event["event_id"] in (first, second)) for event in odd.taken)
        check(names == [("forked", False), ("note", True), ("note", True)], "everything once", odd.taken)
        check(odd.ids().index(first) < odd.ids().index(second), "in its order", odd.taken)
        client.close(5)
    return f"the spool is written after {spooled:.1f} s, the kill arrives after {arrived:.1f} s"


def no_threads() -> None:
    """No thread can be started, as at an interpreter's end: events go all the same."""
    odd = Odd(manifest=(200, PLAIN))
    with serving(odd) as url:
        client = Client(url, "k", **FAST)  # type: ignore[arg-type]
        check(client.wait_ready(10), "ready")
        start = threading.Thread.start

        def refuse(thread: threading.Thread) -> None:
            if thread.name.startswith("evenhand"):
                refused.append(thread.name)
                raise RuntimeError("can't start new thread")
            start(thread)

        refused: list[str] = []
        threading.Thread.start = refuse  # type: ignore[method-assign]
        try:
            ids = [str(client.track("note", {"user_id": "u"}))]
            check(client.flush(10), "they are delivered", odd.taken)
            ids.append(str(client.track("note", {"user_id": "u"})))
            client.close(5)
        finally:
            threading.Thread.start = start  # type: ignore[method-assign]
        check("evenhand-events" in refused, "no thread was to be had", refused)
        check(odd.ids() == ids, "and so are those of the end", odd.taken)


def no_connection() -> None:
    """A connection that is never made can't be ended: the end leaves its thread behind, and a child none."""
    with contextlib.ExitStack() as open_ones:
        listener = open_ones.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        # Nobody accepts: when the queue is full, no further connection comes about.
        for _ in range(4):
            filling = open_ones.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex(listener.getsockname())
        client = Client(f"http://127.0.0.1:{listener.getsockname()[1]}", "k", timeout=60, **FAST)  # type: ignore[arg-type]
        # Deliveries hang as the manifest does.
        client.track("note", {"user_id": "u"})
        eventually(lambda: len(named("evenhand-manifest")) == 1, "the manifest is asked for")
        began = time.monotonic()
        client.close(0.1)
        check(time.monotonic() - began < 5, "it ends in time", time.monotonic() - began)
        check(len(named("evenhand-manifest")) == 1, "though a thread waits still", threading.enumerate())
        check(client.track("note", {"user_id": "u"}) is None, "and is closed")
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            alone = threading.active_count() == 1 and client.track("note", {"user_id": "u"}) is None
            os._exit(0 if alone and client.telemetry()["held_events"] == 1 else 3)
        check(os.waitpid(child, 0)[1] == 0, "a child starts nothing for it")


def named(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def hanging_list() -> None:
    """An id list hangs: newer manifests come all the same, and events go."""
    named = json.loads(PLAIN)
    named["lists"] = {"beta": {"salt": "s", "sha256": "0" * 64, "count": 1}}
    odd = Odd(manifest=(200, json.dumps(named).encode()), lists=None)
    with serving(odd) as url:
        client = Client(url, "k", **FAST, poll_interval_ms=1_000)  # type: ignore[arg-type]
        eventually(lambda: any("lists" in path for path in odd.asked), "the list is asked for")
        odd.paths["manifest"] = (200, json.dumps({**named, "version": 2}).encode())
        eventually(lambda: (client.manifest or {}).get("version") == 2, "the newer manifest is in use", 6)
        check(client.track("note", {"user_id": "u"}) is not None and client.flush(5), "events go", odd.taken)
        began = time.monotonic()
        client.close(5)
        check(time.monotonic() - began < 3, "the end waits for no list", time.monotonic() - began)


def ended_stream() -> str:
    """A stream that is answered 204 is over at once: it is neither taken for open, nor are polls put off."""
    odd = Odd(stream=(204, b""), manifest=(200, PLAIN))
    with serving(odd) as url:
        client = Client(url, "k", **{**FAST, "stream": True}, poll_interval_ms=1_000)  # type: ignore[arg-type]
        streams = lambda: sum("stream" in path for path in odd.asked)  # noqa: E731
        eventually(lambda: streams() >= 3, "it is opened anew", 10)
        eventually(lambda: len(odd.asked) - streams() >= 2, "the manifest is polled", 10)
        eventually(lambda: not client.telemetry()["streaming"], "and no stream counts as open", 10)
        client.close(1)
    return f"{streams()} times"


def done(answer: Any) -> Any:
    """What a client's method gives, awaited where it is to be."""
    if not inspect.isawaitable(answer):
        return answer

    async def main() -> Any:
        return await answer

    return asyncio.run(main())


def closed() -> None:
    """A closed client decides, and queues nothing that nobody would send."""
    for kind in (Client, AsyncClient):
        odd = Odd(manifest=(200, PLAIN))
        with serving(odd) as url:
            client: Any = kind(url, "k", bootstrap=PLAIN, **FAST)  # type: ignore[arg-type]
            before = client.evaluate("flag-0", {"user_id": "before"})
            done(client.close(5))
            numbers = client.telemetry()
            seen = len(told)
            check(client.track("note", {"user_id": "u"}) is None, "an event is refused")
            lines = [line for line in told[seen:] if line.startswith("ERROR track_refused")]
            check(len(lines) == 1 and "track before you close it" in lines[0], "and that is told", told[seen:])
            check(client.decide("flag-0", {"user_id": "u"}).reason == "SPLIT", "decisions go on")
            seen = len(told)
            client.expose(client.evaluate("flag-0", {}))
            check(told[seen:] == [], "what has no exposure loses none", told[seen:])
            client.expose(before)
            lines = [line for line in told[seen:] if line.startswith("ERROR exposure_lost")]
            check(len(lines) == 1 and "expose before you close it" in lines[0], "an exposure is lost, and told", lines)
            check(client.string_value("flag-0", {"user_id": "v"}, "mine") != "mine", "so do values")
            after = client.telemetry()
            same = ("exposures", "events", "held_events")
            check([after[name] for name in same] == [numbers[name] for name in same], "nothing is queued", after)


def closing() -> str:
    """While a client closes it takes events on; each that got an id is sent, or stands in the spool, however it ends."""
    counts = []
    for answers in (True, False):
        odd = Odd(manifest=(200, PLAIN))
        with serving(odd) as url, tempfile.TemporaryDirectory() as folder:
            spool = Path(folder) / "spool"
            client = Client(url, "k", spool=spool, **FAST)  # type: ignore[arg-type]
            check(client.wait_ready(10), "ready")
            odd.taking.clear()
            ids: list[str] = []
            begun = threading.Event()
            refused = threading.Event()

            def track(
                client: Client = client, ids: list[str] = ids, begun: Any = begun, refused: Any = refused
            ) -> None:
                until = time.monotonic() + 30
                while time.monotonic() < until:
                    event_id = client.track("note", {"user_id": "u"})
                    if event_id is None:
                        refused.set()
                        return
                    ids.append(event_id)
                    begun.set()
                    time.sleep(0.0005)

            tracking = threading.Thread(target=track)
            tracking.start()
            check(begun.wait(10), "events are tracked")
            end = threading.Thread(target=client.close, args=(2.0,))
            end.start()
            time.sleep(0.3)
            check(not refused.is_set(), "while it closes, events are taken")
            if answers:
                odd.taking.set()
            end.join(20)
            tracking.join(20)
            check(refused.is_set() and not end.is_alive(), "when it has closed, they are not")
            heir = Client("http://127.0.0.1:9", "k", spool=spool, **{**FAST, "flush_interval_ms": 3_600_000})  # type: ignore[arg-type]
            restored = heir.telemetry()["events"]["restored"]
            heir.close(0.1)
            sent = len(set(odd.ids()))
            left = spool.read_bytes() if spool.exists() else b""
            lost = [one for one in ids if one not in odd.ids() and one.encode() not in left]
            check(not lost, "none is lost", (len(lost), len(ids), sent, restored))
            check(sent > 0 if answers else restored == len(ids), "they are sent, or all are left", (sent, restored))
            counts.append(f"{len(ids)} events, {sent} sent, {restored} left")
    return "; ".join(counts)


def last_answer() -> str:
    """A batch is under way when the time of the end is up: its answer is waited for a moment, or it would go a second time."""
    for attempt in range(1, 6):
        odd = Odd(manifest=(200, PLAIN))
        odd.taking.clear()
        with serving(odd) as url, tempfile.TemporaryDirectory() as folder:
            spool = Path(folder) / "spool"
            client = Client(url, "k", spool=spool, **FAST)  # type: ignore[arg-type]
            check(client.wait_ready(10), "ready")
            kept = str(client.track("note", {"user_id": "u"}))
            eventually(lambda odd=odd: odd.offered, "it is sent")  # type: ignore[misc]
            end = threading.Thread(target=client.close, args=(0.1,))
            end.start()
            eventually(lambda client=client: client.track("late", {"user_id": "u"}) is None, "the time is up")  # type: ignore[misc]
            odd.taking.set()
            end.join(20)
            eventually(lambda odd=odd, kept=kept: kept in odd.ids(), "it has arrived")  # type: ignore[misc]
            # Where the machine was busy for longer than that moment, it stands in the spool as well.
            if kept.encode() not in (spool.read_bytes() if spool.exists() else b""):
                return f"at attempt {attempt}"
    check(False, "what was answered is sent once")
    return ""


PROOFS: list[tuple[str, Callable[[], str | None]]] = [
    ("a hanging manifest holds up neither events, nor the spool, nor the end", hanging_manifest),
    ("hanging events hold up neither a kill, nor the spool", hanging_events),
    ("events go without a thread of their own", no_threads),
    ("a connection that is never made", no_connection),
    ("a hanging id list holds up no manifest", hanging_list),
    ("a stream that is answered 204", ended_stream),
    ("a closed client decides and queues nothing", closed),
    ("an event that comes while the client closes", closing),
    ("the answer to a batch that is under way when the time is up", last_answer),
]

if __name__ == "__main__":
    logging.getLogger("evenhand").addHandler(Keep())
    logging.getLogger("evenhand").propagate = False
    for title, prove in PROOFS:
        if len(sys.argv) > 2 and not any(word in title for word in sys.argv[2:]):
            continue
        began = time.monotonic()
        detail = prove()
        print(f"  {title} ({f'{detail}, ' if detail else ''}{time.monotonic() - began:.1f} s)", flush=True)
    print(f"odd servers: {checks} checks", flush=True)
