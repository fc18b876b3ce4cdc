"""The thread that does what a session asks for: it spools, and has others fetch and send. It begins, ends and forks here, too."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from . import _forks
from ._changes import Changes, State
from ._errors import ManifestError
from ._http import Answer, Interrupted, Server, Stream
from ._log import LEVELS, logger
from ._native import Session
from ._spool import Spool

# How often a spool that has changed is written, in seconds.
SPOOL_INTERVAL = 0.25


class Loop(Session):
    """A session with the thread, the connections and the file that it needs. No policy: when to do what, the session says."""

    _server: Server

    def _begin(self, bootstrap: bytes | str | os.PathLike[str] | None, spool: str | os.PathLike[str] | None) -> None:
        """Once `_server` is there."""
        self._spool_path = None if spool is None else os.fspath(spool)
        self._file: Spool | None = None
        self._spool_state: tuple[object, float] = (None, 0.0)
        self._renew()
        self._changes = Changes()
        if bootstrap is not None:
            self._bootstrap(bootstrap)
        if self._spool_path is not None:
            self._take_spools(self._spool_path)
        self._tell()
        _forks.watch(self)
        self._start()

    def _renew(self) -> None:
        """What a process has for itself: a forked child makes it anew."""
        self._wake = threading.Event()
        self._changed = threading.Condition()
        self._listeners: set[Callable[[], None]] = set()
        self._closing = threading.RLock()
        self._closed = self._over = self._ended = False
        self._spool_watched = False
        self._stream: Stream | None = None
        self._listening: threading.Thread | None = None
        # By what they ask for. Neither each other nor the spool waits for them.
        self._asking: dict[str, threading.Thread] = {}
        self._thread: threading.Thread | None = None

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="evenhand", daemon=True)
        self._thread.start()

    def _bootstrap(self, source: bytes | str | os.PathLike[str]) -> None:
        try:
            if not isinstance(source, bytes):
                with open(source, "rb") as file:
                    source = file.read()
            super().update_manifest(source)
        except (OSError, ManifestError) as error:
            # A client always begins: the server will have a manifest.
            logger.error("the bootstrap is not used: %s", error, extra={"evenhand_code": "bootstrap_ignored"})

    def _take_spools(self, path: str) -> None:
        try:
            self._file = Spool(path, fresh=False)
            for content in self._file.found():
                self._restore(content, os.urandom(16))
                self._file.write(self._spool())
        except OSError as error:
            logger.error("the spool %s can't be used: %s", path, error, extra={"evenhand_code": "spool_failed"})

    def _wait_ready(self, timeout: float | None) -> bool:
        return self._until(self._is_ready, timeout)

    def _is_ready(self) -> bool:
        return self.manifest is not None

    def _flush_now(self, timeout: float | None) -> bool:
        return self._until(self._begin_flush(), timeout)

    def _begin_flush(self) -> Callable[[], bool]:
        mark = self._flush()
        self._wake.set()
        return lambda: self._is_flushed(mark)

    def _until(self, holds: Callable[[], bool], timeout: float | None) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: holds() or self._over, timeout)
        return holds()

    def _announce(self) -> None:
        """To whoever waits: look again."""
        self._changes.look(self._state)
        with self._changed:
            self._changed.notify_all()
        for listener in self._listeners.copy():
            listener()

    def _state(self) -> State:
        found = self.telemetry()
        # Not the session's count: whoever hears of a manifest finds it in use.
        in_use, confirmations = self._snapshot_in_use(), found["manifest_confirmations"]
        return State(in_use, confirmations, self._changes.denials, found["stale"], self._over)

    def _close_now(self, timeout: float) -> None:
        # A second caller waits for the first.
        with self._closing:
            if self._closed:
                return
            self._shutdown(int((time.time() + timeout) * 1000))
            self._closed = True
            try:
                self._wake.set()
                until = time.monotonic() + timeout + 0.5
                _join([self._thread], timeout + 0.5)
                # The answer to a batch of the last moment: without it the events would go a second time.
                _join([self._asking.get("events")], until - time.monotonic())
            finally:
                # Also when an interrupt ends the waiting: what is left is for the spool, and nothing comes after it.
                self._end()
                if self._put_away():
                    # Only now: until its threads have ended, a fork must find their lock free.
                    _forks.forget(self)
                self._over = self._ended = True
                self._announce()

    def _put_away(self) -> bool:
        """Whether all threads have ended; one that waits for a name or a connection can't be woken."""
        threads = [self._thread, self._listening, *self._asking.values()]
        self._thread = None
        if self._stream is not None:
            self._stream.close()
        self._server.close()
        ended = _join(threads, 0.5)
        self._write_spool()
        if self._file is not None:
            self._file.close(empty=self.telemetry()["held_events"] == 0)
            self._file = None
        self._tell()
        return ended

    def _close_at_exit(self) -> None:
        self._close_now(2.0)

    def _restart_in_child(self) -> None:
        if self._ended:
            # A thread had outlived it: its lock was to be free, no more.
            self._after_fork_in_parent()
            self._server.forget()
            return
        self._after_fork_in_child(os.urandom(16))
        self._server.forget()
        if self._stream is not None:
            self._stream.forget()
        if self._file is not None:
            self._file.abandon()
            self._file = None
        self._renew()
        self._changes.renew()
        if self._spool_path is not None:
            self._file = Spool(self._spool_path, fresh=True)
        self._start()

    def _notice(self) -> None:
        """Something was queued: the loop is woken if it is to be sent or spooled before its wait is over."""
        if not self._wake.is_set() and ((self._file is not None and not self._spool_watched) or self._wakes()):
            self._wake.set()

    def _run(self) -> None:
        thread = threading.current_thread()
        while self._thread is thread:
            try:
                if not self._step():
                    self._over = True
                    self._announce()
                    return
            except Exception:
                # The loop outlives whatever went wrong in one step; an action without report lapses in the session.
                logger.exception("a step of the client failed", extra={"evenhand_code": "fault"})
                time.sleep(1.0)

    def _step(self) -> bool:
        action = self._next()
        self._tell()
        match action:
            case ("wait", until_ms):
                self._wait(until_ms)
            case ("manifest", ticket, etag):
                self._fetch("manifest", ticket, lambda: self._fetch_manifest(ticket, etag))
            case ("list", ticket, sha256):
                self._fetch("list", ticket, lambda: self._fetch_list(ticket, sha256))
            case ("events", batch, body, content_type, _):
                self._send(batch, body, content_type)
            case ("stream", ticket, last_event_id, idle_timeout_ms):
                self._open_stream(ticket, last_event_id, idle_timeout_ms / 1000)
            case _:
                return False
        self._announce()
        return True

    def _wait(self, until_ms: int) -> None:
        seconds = until_ms / 1000 - time.time()
        if self._file is not None:
            # First, so that whoever queues something behind the look wakes the loop.
            self._spool_watched = False
            rest = self._spool_due()
            if rest is not None:
                self._spool_watched = True
                seconds = min(seconds, rest)
        if seconds > 0:
            self._wake.wait(seconds)
        self._wake.clear()

    def _fetch(self, what: str, ticket: int, fetch: Callable[[], None]) -> None:
        error = self._apart(what, fetch)
        if error is not None:
            self._fetch_failed(ticket, _why(error))

    def _apart(self, what: str, ask: Callable[[], None]) -> RuntimeError | None:
        """On a thread of its own; the session has one of a kind under way. Why no thread could be started, if none could."""
        if what in self._asking:
            # Overdue, if it lives: nobody waits for it any more.
            self._server.interrupt(self._asking.pop(what))

        def run() -> None:
            try:
                ask()
                self._tell()
            except Exception:
                logger.exception("a request of the client failed", extra={"evenhand_code": "fault"})
            self._announce()
            self._wake.set()

        thread = threading.Thread(target=run, name=f"evenhand-{what}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            # There are too many, or the interpreter ends.
            return error
        self._asking[what] = thread
        return None

    def _fetch_manifest(self, ticket: int, etag: str | None) -> None:
        failed = functools.partial(self._fetch_failed, ticket)
        answer = self._ask(failed, "GET", f"/v1/manifest/{self._server.key}", {"If-None-Match": etag})
        if answer is not None:
            headers = answer.headers
            self._manifest_response(ticket, answer.status, headers.get("etag"), headers.get("retry-after"), answer.body)

    def _fetch_list(self, ticket: int, sha256: str) -> None:
        answer = self._ask(functools.partial(self._fetch_failed, ticket), "GET", f"/v1/lists/{sha256}", {})
        if answer is not None:
            self._list_response(ticket, answer.status, answer.headers.get("retry-after"), answer.body)

    def _send(self, batch: int, body: bytes, content_type: str) -> None:
        send = functools.partial(self._send_batch, batch, body, content_type)
        if self._apart("events", send) is not None:
            # Here, then: at the interpreter's end nothing else is left to do.
            send()

    def _send_batch(self, batch: int, body: bytes, content_type: str) -> None:
        failed = functools.partial(self._batch_failed, batch)
        answer = self._ask(failed, "POST", "/v1/events", {"Content-Type": content_type}, body)
        if answer is not None:
            self._batch_response(batch, answer.status, answer.headers.get("retry-after"), answer.body)

    def _ask(
        self,
        failed: Callable[[str], None],
        method: str,
        path: str,
        headers: Mapping[str, str | None],
        body: bytes | None = None,
    ) -> Answer | None:
        """None without an answer: that was reported, unless the client itself has ended the request."""
        try:
            return self._server.ask(method, path, headers, body)
        except Interrupted:
            return None
        except Exception as error:
            failed(_why(error))
            return None

    def _open_stream(self, ticket: int, last_event_id: str | None, idle_timeout: float) -> None:
        if self._stream is not None:
            self._stream.close()
        stream = self._stream = Stream(self._server, idle_timeout)
        answered: int | None = None

        def hear_status(status: int, retry_after: str | None) -> None:
            nonlocal answered
            answered = status
            self._stream_response(ticket, status, retry_after)
            self._wake.set()

        def hear(data: bytes) -> None:
            self._stream_bytes(ticket, data)
            if self._wakes():
                self._wake.set()

        def run() -> None:
            why = "the connection was closed"
            try:
                headers = {"Last-Event-ID": last_event_id, "Accept": "text/event-stream"}
                stream.run("/v1/manifest/stream", headers, hear_status, hear)
            except Exception as error:
                # Beside the network's errors there are those of http.client when `close` takes the socket away.
                why = _why(error)
            if answered is None:
                self._fetch_failed(ticket, why)
            elif 200 <= answered <= 299:
                self._stream_closed(ticket)
            self._wake.set()

        self._listening = threading.Thread(target=run, name="evenhand-stream", daemon=True)
        self._listening.start()

    def _spool_due(self) -> float | None:
        """Writes the spool if it has changed and the last writing is long enough ago; in how many seconds that will be so."""
        mark, last = self._spool_state
        if self._spool_mark() == mark:
            return None
        rest = last + SPOOL_INTERVAL - time.monotonic()
        if rest > 0:
            return rest
        self._write_spool()
        return None

    def _write_spool(self) -> None:
        if self._file is None:
            return
        mark = self._spool_mark()
        try:
            self._file.write(self._spool())
        except OSError as error:
            logger.error("the spool can't be written: %s", error, extra={"evenhand_code": "spool_failed"})
        self._spool_state = (mark, time.monotonic())

    def _tell(self) -> None:
        """Hands diagnostics to the logger."""
        for level, code, message, times in self._diagnostics():
            suffix = f" ({times} times)" if times > 1 else ""
            logger.log(LEVELS[level], "%s%s", message, suffix, extra={"evenhand_code": code})
            if code == "manifest_denied":
                self._changes.deny(message)


def _join(threads: Iterable[threading.Thread | None], timeout: float) -> bool:
    """Waits for others, at most so long together; whether all have ended."""
    until = time.monotonic() + timeout
    others = [thread for thread in threads if thread is not None and thread is not threading.current_thread()]
    for thread in others:
        thread.join(max(0.0, until - time.monotonic()))
    return not any(thread.is_alive() for thread in others)


def _why(error: BaseException) -> str:
    with contextlib.suppress(Exception):
        return f"{type(error).__name__}: {error}"
    return type(error).__name__
