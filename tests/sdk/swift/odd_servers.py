#!/usr/bin/env python3
"""Servers that hang, or answer as none should: the Swift client lives, decides, and loses nothing that it gave an id for.

    odd_servers.py small|full FOLDER [WORD…]      FOLDER is seen by the chroot; only proofs whose docstring has one of the words
"""
from __future__ import annotations

import contextlib
import gzip
import http.server
import json
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "c"))
from end_to_end import Driver  # noqa: E402

sys.path.insert(0, str(HERE.parent / "python"))
from manifests import manifest  # noqa: E402

FAST = ("stream=0", "flush_interval_ms=20", "backoff_base_ms=50", "backoff_max_ms=200")
NEVER = "flush_interval_ms=3600000"
PLAIN = manifest(1, 2)
checks = 0


def check(holds: object, what: str, found: object = "") -> None:
    global checks
    checks += 1
    if not holds:
        raise AssertionError(f"{what}; found: {found!r}")


def eventually(holds: Callable[[], object], what: str, seconds: float = 10) -> Any:
    until = time.monotonic() + seconds
    while not (found := holds()):
        check(time.monotonic() < until, f"in {seconds} s: {what}")
        time.sleep(0.01)
    return found


class Odd:
    """Answers what `answers` has for the first word that stands in the path: (status, headers, body), a function of the handler, or
    nothing, and then it hangs. Takes events while `taking` is set."""

    def __init__(self, **answers: Any) -> None:
        self.answers, self.asked, self.taken, self.offered = answers, [], [], 0
        self.release, self.taking = threading.Event(), threading.Event()
        self.taking.set()

    def ids(self) -> list[str]:
        return [event["event_id"] for event in self.taken]

    def paths(self, word: str) -> int:
        return sum(word in path for path in self.asked)


@contextlib.contextmanager
def serving(odd: Odd, certificate: Path | None = None) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
            with contextlib.suppress(OSError):
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} if status not in (204, 304) else {}).items() | headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        def do_GET(self) -> None:
            odd.asked.append(self.path)
            found = next((answer for word, answer in odd.answers.items() if word in self.path), (404, {}, b"{}"))
            if found is None:
                odd.release.wait(60)
                self.close_connection = True
            elif callable(found):
                with contextlib.suppress(OSError):
                    found(self)
                self.close_connection = True
            else:
                self.reply(*found)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            odd.offered += 1
            if "events" in odd.answers:
                self.reply(*odd.answers["events"])
                return
            odd.taking.wait(60)
            odd.taken += json.loads(body)["events"]
            self.reply(200, {}, b'{"rejected":[]}')

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}"
    finally:
        odd.release.set()
        odd.taking.set()
        server.shutdown()
        server.server_close()


def driver(url: str, *options: str) -> Driver:
    return Driver(str(HERE / "drive"), url, "k", *options)


def reason(one: Driver) -> str:
    return one.ask("reason flag-0")


def raw(text: bytes) -> Callable[[Any], None]:
    """Bytes that need not be HTTP, and then the end of the connection."""
    return lambda handler: handler.wfile.write(text)


def challenges() -> str:
    """401 with every kind of challenge is a denial, and ends no process"""
    kinds = [{"WWW-Authenticate": value} for value in ("Bearer", "Bearer ", "", ",", "Basic", 'Basic realm="x"', 'Digest realm="', "Negotiate", "a=b=c, d", "B\xe9")]
    for headers in [*kinds, {}]:
        odd = Odd(manifest=(401, headers, b"{}"), stream=(401, headers, b""), events=(401, headers, b""))
        with serving(odd) as url:
            one = driver(url, "flush_interval_ms=1")
            check(one.ask("track u note"), "an event is tracked")
            eventually(lambda: "manifest_denied" in one.told() and "events_denied" in one.told(), "the denial is told")
            eventually(lambda: "stream_denied" in one.told(), "the stream's too")
            check(reason(one) == "NOT_READY", "it decides on")
            check(one.end(50) is False, "the event is held")
    return f"{len(kinds) + 1} kinds"


def redirects() -> str:
    """a redirect is not followed: the key is for the server that was named"""
    other = Odd(manifest=(200, {}, PLAIN))
    with serving(other) as elsewhere:
        for status in (301, 302, 303, 307, 308):
            odd = Odd(manifest=(status, {"Location": f"{elsewhere}/v1/manifest/k"}, b""), events=(status, {"Location": f"{elsewhere}/v1/events"}, b""))
            with serving(odd) as url:
                one = driver(url, *FAST)
                one.ask("track u note")
                eventually(lambda: "manifest_denied" in one.told() and "events_denied" in one.told(), f"{status} is told as a denial")
                one.end(50)
        check(other.asked == [] and other.offered == 0, "nobody has asked the other server", other.asked)
    return ""


def no_http() -> str:
    """an answer that is cut off, is no HTTP, or has a wrong length is none: it is tried again"""
    def longer(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(PLAIN) + 1) + PLAIN)

    broken = {
        "no HTTP": raw(b"hello\r\n\r\n"),
        "nothing": raw(b""),
        "half a head": raw(b"HTTP/1.1 200 OK\r\nContent-"),
        "a body cut off": longer,
        "half a chunk": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc"),
        "no number": raw(b"HTTP/1.1 abc OK\r\n\r\n"),
        "a length that is none": raw(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"),
        "no gzip": raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"),
        "bytes that are no text": raw(b"HTTP/1.1 200 \xff\xfe\r\nX-\xff: \xfe\r\n\r\n\xff"),
    }
    for name, answer in broken.items():
        odd = Odd(manifest=answer)
        with serving(odd) as url:
            one = driver(url, *FAST)
            eventually(lambda: odd.paths("manifest") >= 2, f"{name}: asked again")
            check(reason(one) == "NOT_READY", f"{name}: no manifest comes of it")
            told = one.told()
            check("manifest_fetch_failed" in told or "manifest_refused" in told, f"{name}: told", told)
            odd.answers["manifest"] = (200, {}, PLAIN)
            check(one.ask("ready 10000"), f"{name}: ready with the first answer that is one")
            check(one.end(1_000), f"{name}: closed")
    return f"{len(broken)} answers"


def packed() -> str:
    """a packed answer, one in chunks, and one after 103 Early Hints are read"""
    def chunks(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 103 Early Hints\r\nETag: \"wrong\"\r\n\r\nHTTP/1.1 200 OK\r\nETag: \"right\"\r\nTransfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(PLAIN), 100):
            piece = PLAIN[at : at + 100]
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        handler.wfile.write(b"0\r\n\r\n")

    seen = []

    def packed_once(handler: Any) -> None:
        seen.append(handler.headers.get("If-None-Match"))
        if seen[-1]:
            handler.wfile.write(b"HTTP/1.1 304 Not Modified\r\n\r\n")
            return
        body = gzip.compress(PLAIN)
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nETag: \"packed\"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    for answer in (chunks, packed_once):
        odd = Odd(manifest=answer)
        with serving(odd) as url:
            one = driver(url, *FAST, "poll_interval_ms=1000")
            check(one.ask("ready 10000") and reason(one) == "SPLIT", "ready")
            eventually(lambda: one.ask("telemetry")["confirmations"] >= 2, "confirmed again")
            one.end(1_000)
    check(seen[:2] == [None, '"packed"'], "by the ETag that came with it", seen)
    return ""


def retry_after() -> str:
    """Retry-After is kept to"""
    odd = Odd(manifest=(503, {"Retry-After": "2"}, b""))
    with serving(odd) as url:
        one = driver(url, *FAST)
        eventually(lambda: odd.asked, "asked")
        began = time.monotonic()
        odd.answers["manifest"] = (200, {}, PLAIN)
        check(one.ask("ready 10000"), "ready")
        took = time.monotonic() - began
        check(1.8 < took < 4, "after two seconds", took)
        one.end(1_000)
    return f"{took:.1f} s"


def hanging_manifest() -> str:
    """a hanging manifest holds up neither events, nor the spool, nor the end"""
    odd = Odd(manifest=None)
    with serving(odd) as url, tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        spool = Path(folder) / "spool"
        one = driver(url, f"spool={spool}", *FAST)
        eventually(lambda: odd.asked, "the manifest is asked for")
        first = one.ask("track u note")
        check(one.ask("flush 5000"), "events are delivered beside it", odd.taken)
        check(odd.ids() == [first], "the one that was tracked", odd.taken)
        odd.taking.clear()
        later = one.ask("track u note")
        eventually(lambda: spool.exists() and later.encode() in spool.read_bytes(), "the spool is written beside it", 5)
        odd.taking.set()
        began = time.monotonic()
        check(one.end(5_000), "it is closed, and all is delivered")
        check(time.monotonic() - began < 3, "the end waits for no manifest", time.monotonic() - began)
        check(odd.ids() == [first, later], "nothing is lost", odd.taken)
        check(odd.asked == ["/v1/manifest/k"], "one request was under way all the time", odd.asked)
    # The request's own time ends it.
    odd = Odd(manifest=None)
    with serving(odd) as url:
        one = driver(url, *FAST, "timeout_ms=300")
        eventually(lambda: odd.paths("manifest") >= 2, "given up, and asked again", 5)
        check("no answer within 300 ms" in one.told(), "and told", one.told())
        one.end(50)
    return ""


def hanging_events() -> str:
    """events that hang hold up neither a kill, nor the spool, nor the end"""
    odd = Odd(manifest=(200, {}, PLAIN))
    odd.taking.clear()
    with serving(odd) as url, tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        spool = Path(folder) / "spool"
        one = driver(url, f"spool={spool}", "timeout_ms=50000", "poll_interval_ms=1000", *FAST)
        check(one.ask("ready 10000"), "ready")
        first = one.ask("track u note")
        eventually(lambda: odd.offered, "events are sent")
        killed = json.loads(PLAIN)
        killed["version"], killed["flags"]["flag-0"]["state"] = 2, "killed"
        odd.answers["manifest"] = (200, {}, json.dumps(killed).encode())
        second = one.ask("track u note")
        eventually(lambda: spool.exists() and all(each.encode() in spool.read_bytes() for each in (first, second)), "spooled")
        eventually(lambda: reason(one) == "KILLED", "the kill arrives")
        check(odd.offered == 1, "all the time one batch is under way", odd.offered)
        check(one.ask("flush 100") is False, "and a flush says so")
        odd.taking.set()
        check(one.ask("flush 10000"), "when they are taken, they are delivered")
        check(odd.ids() == [first, second], "everything once, in its order", odd.taken)
        one.end()
    return ""


def hanging_list() -> str:
    """a hanging id list holds up no manifest"""
    named = json.loads(PLAIN)
    named["lists"] = {"beta": {"salt": "s", "sha256": "0" * 64, "count": 1}}
    odd = Odd(manifest=(200, {}, json.dumps(named).encode()), lists=None)
    with serving(odd) as url:
        one = driver(url, *FAST, "poll_interval_ms=1000")
        eventually(lambda: odd.paths("lists"), "the list is asked for")
        odd.answers["manifest"] = (200, {}, json.dumps({**named, "version": 2}).encode())
        eventually(lambda: one.ask("version") == 2, "the newer manifest is in use")
        check(one.ask("track u note") and one.ask("flush 5000"), "events go")
        began = time.monotonic()
        one.end()
        check(time.monotonic() - began < 3, "the end waits for no list")
    return ""


def streams() -> str:
    """a stream that is answered 204 or ends at once is opened anew, and polls go on; one never answered is replaced"""
    for answer in ((204, {}, b""), (200, {"Content-Type": "text/event-stream"}, b"")):
        odd = Odd(stream=answer, manifest=(200, {}, PLAIN))
        with serving(odd) as url:
            one = driver(url, *FAST, "stream=1", "poll_interval_ms=1000")
            eventually(lambda: odd.paths("stream") >= 3, "it is opened anew")
            eventually(lambda: odd.paths("manifest/k") >= 2, "the manifest is polled")
            eventually(lambda: not one.ask("telemetry")["streaming"], "and no stream counts as open")
            one.end(1_000)
    open_now = set()

    def slow(handler: Any) -> None:
        open_now.add(handler)
        try:
            if odd.paths("stream") > 1:
                handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: alive\n\n")
            # The end of the connection is the client's doing.
            handler.connection.settimeout(30)
            handler.connection.recv(1)
        finally:
            open_now.discard(handler)

    odd = Odd(stream=slow, manifest=(200, {}, PLAIN))
    with serving(odd) as url:
        one = driver(url, *FAST, "stream=1", "report_timeout_ms=1000", "timeout_ms=60000")
        eventually(lambda: odd.paths("stream") == 2, "another is opened in place of the overdue one", 20)
        eventually(lambda: len(open_now) == 1, "the overdue one is closed", 5)
        time.sleep(0.5)
        check(len(open_now) == 1 and odd.paths("stream") == 2 and one.ask("telemetry")["streaming"], "one is open", odd.asked)
        one.end(200)
        eventually(lambda: not open_now, "none after the end", 5)
    return ""


def announced() -> str:
    """an announcement in pieces of one byte is heard"""
    def dripping(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        time.sleep(0.5)
        odd.answers["manifest"] = (200, {}, json.dumps({**json.loads(PLAIN), "version": 7}).encode())
        for byte in b'event: manifest\ndata: {"generation":1,"version":7}\n\n':
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(0.005)
        odd.release.wait(30)

    odd = Odd(stream=dripping, manifest=(200, {}, PLAIN))
    with serving(odd) as url:
        one = driver(url, *FAST, "stream=1", "announce_jitter_ms=0")
        eventually(lambda: one.ask("version") == 7, "the new manifest is there")
        one.end(200)
    return ""


def closing() -> str:
    """an event that comes while the client closes is sent, or stands in the spool"""
    counts = []
    for answers in (True, False):
        odd = Odd(manifest=(200, {}, PLAIN))
        with serving(odd) as url, tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            spool = Path(folder) / "spool"
            one = driver(url, f"spool={spool}", *FAST)
            check(one.ask("ready 10000"), "ready")
            odd.taking.clear()
            if answers:
                threading.Timer(0.3, odd.taking.set).start()
            ids = one.ask("race 2000")
            check(ids, "events are tracked")
            one.process.stdin.close()
            check(one.process.wait(20) == 0, "it ends well")
            heir = driver("http://127.0.0.1:9", f"spool={spool}", NEVER)
            restored = heir.ask("telemetry")["events"]["restored"]
            heir.end(50)
            left = spool.read_bytes()
            lost = [each for each in ids if each not in odd.ids() and each.encode() not in left]
            check(not lost, "none is lost", (len(lost), len(ids), len(odd.ids()), restored))
            check(odd.ids() if answers else restored == len(ids), "they are sent, or all are left", (len(odd.ids()), restored))
            check(len(odd.ids()) == len(set(odd.ids())), "none is sent twice")
            counts.append(f"{len(ids)} events, {len(odd.ids())} sent, {restored} left")
    return "; ".join(counts)


def no_connection() -> str:
    """a connection that is never made holds up no end"""
    with contextlib.ExitStack() as open_ones:
        listener = open_ones.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        # Nobody accepts: when the queue is full, no further connection comes about.
        for _ in range(4):
            filling = open_ones.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex(listener.getsockname())
        one = driver(f"http://127.0.0.1:{listener.getsockname()[1]}", "timeout_ms=60000", *FAST)
        check(one.ask("track u note"), "an event is tracked")
        began = time.monotonic()
        check(one.end(100) is False, "the event is held")
        check(time.monotonic() - began < 5, "it ends in time", time.monotonic() - began)
    return ""


def tls() -> str:
    """over TLS: a server whose certificate the system trusts is asked, another is told and gets nothing"""
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        certificate = Path(folder) / "certificate.pem"
        command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=evenhand-test -addext subjectAltName=IP:127.0.0.1 -keyout {0} -out {0}.part"
        subprocess.run(command.format(certificate).split(), check=True, capture_output=True)
        with certificate.open("a") as file:
            file.write(Path(f"{certificate}.part").read_text())
        odd = Odd(manifest=(200, {}, PLAIN))
        with serving(odd, certificate) as url:
            one = driver(url, *FAST)
            one.ask("track u note")
            eventually(lambda: "manifest_fetch_failed" in one.told(), "the refusal is told")
            check("certificate" in one.told(), "with its cause", one.told())
            check(reason(one) == "NOT_READY" and not odd.asked and not odd.offered, "and nothing was asked", odd.asked)
            one.end(50)
            # The proofs' own mount namespace has the certificate in the place of the system's.
            one = Driver(str(HERE / "drive-trusting"), str(certificate), url, "k", *FAST)
            check(one.ask("ready 10000") and reason(one) == "SPLIT", "one that is trusted is asked", one.told())
            check(one.ask("track u note") and one.ask("flush 5000"), "and takes events", one.told())
            one.end(1_000)
    return ""


PROOFS = [challenges, redirects, no_http, packed, retry_after, hanging_manifest, hanging_events, hanging_list, streams, announced, closing, no_connection, tls]

if __name__ == "__main__":
    FOLDER = tempfile.mkdtemp(prefix="odd-", dir=sys.argv[2])
    try:
        for prove in PROOFS:
            if len(sys.argv) > 3 and not any(word in str(prove.__doc__) for word in sys.argv[3:]):
                continue
            began = time.monotonic()
            detail = prove()
            print(f"  {prove.__doc__} ({f'{detail}, ' if detail else ''}{time.monotonic() - began:.1f} s)", flush=True)
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
    print(f"  odd servers: {checks} checks hold")
