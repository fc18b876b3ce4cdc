"""What both clients are: a session, and the thread that does what it asks for."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from . import _forks
from ._errors import ManifestError
from ._http import Server, Stream
from ._log import LEVELS, logger
from ._native import Context, Decision, Session, __version__
from ._spool import Spool
from ._sticky import StickyRecord, StickyStore

if TYPE_CHECKING:
    from typing_extensions import Self

Attributes: TypeAlias = Mapping[str, Any]
FlagType: TypeAlias = Literal["bool", "string", "int", "float", "json"]
# How often a spool that has changed is written, in seconds.
SPOOL_INTERVAL = 0.25


SDK = f"evenhand-python/{__version__}"
# Looked up once: `super()` costs a decision half its time again.
_evaluate = Session.evaluate


def _check_number(name: str, number: object) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise ValueError(f"`{name}` is {number!r}: give it a whole number from 0 up, or leave it out")


class BaseClient(Session):
    """Decides locally, and keeps manifest and events going on a thread of its own. See `Client` and `AsyncClient`."""

    def __new__(
        cls,
        url: str,
        key: str,
        *,
        keys: dict[str, str] | None = None,
        environment: str | None = None,
        audience: Literal["server", "client"] | None = None,
        stream: bool = True,
        bootstrap: bytes | str | os.PathLike[str] | None = None,
        spool: str | os.PathLike[str] | None = None,
        sticky_store: StickyStore | None = None,
        overrides: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        **numbers: int,
    ) -> Self:
        for name, number in numbers.items():
            _check_number(name, number)
        return super().__new__(
            cls,
            os.urandom(16),
            keys=keys,
            environment=environment,
            audience=audience,
            sdk=SDK,
            fetch=True,
            stream=stream,
            numbers=numbers,
        )

    def __init__(
        self,
        url: str,
        key: str,
        *,
        keys: dict[str, str] | None = None,
        environment: str | None = None,
        audience: Literal["server", "client"] | None = None,
        stream: bool = True,
        bootstrap: bytes | str | os.PathLike[str] | None = None,
        spool: str | os.PathLike[str] | None = None,
        sticky_store: StickyStore | None = None,
        overrides: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        **numbers: int,
    ) -> None:
        """Returns at once; `wait_ready` waits for the first manifest.

        `keys`: the publisher's public keys by id; with any, only manifests signed by one of them are taken.
        `environment`, `audience`: refuse manifests of others. `stream`: hear of changes by push (server keys).
        `bootstrap`: a manifest to begin with, as bytes or as the path of a file. `spool`: the path of a file that keeps the
        manifest and undelivered events for the next start. `sticky_store`: where sticky assignments are kept. `overrides`:
        variations by flag, for tests. `timeout`: seconds a request may take. `numbers`: the options of the session, such as
        `poll_interval_ms=60_000`. Raises `ValueError` for an address, a key or a number that can't be right.
        """
        self._server = Server(url, key, f"{SDK} python/{platform.python_version()}", timeout)
        self._store = sticky_store
        self._overrides = dict(overrides or {})
        self._plain = sticky_store is None and not overrides
        self._spool_path = None if spool is None else os.fspath(spool)
        self._file: Spool | None = None
        self._spool_state: tuple[object, float] = (None, 0.0)
        self._renew()
        if bootstrap is not None:
            self._bootstrap(bootstrap)
        if self._spool_path is not None:
            self._take_spools(self._spool_path)
        self._tell()
        _forks.watch(self)
        self._start()

    # Decisions.

    def evaluate(
        self, flag: str, context: Context | Attributes, now_ms: int | None = None, type: FlagType | None = None
    ) -> Decision:
        """Evaluates a flag. No exposure is queued (see `decide`, `expose`), and nothing raised."""
        if not self._plain:
            context = self._enriched(context)
        return _evaluate(self, flag, context, now_ms, type)

    def evaluate_many(
        self, flag: str, contexts: Iterable[Context | Attributes], now_ms: int | None = None
    ) -> list[Decision]:
        """Evaluates a flag for many contexts; other threads run meanwhile. No exposure is queued."""
        return super().evaluate_many(flag, [self._enriched(context) for context in contexts], now_ms)

    def explain(self, flag: str, context: Context | Attributes, now_ms: int | None = None) -> dict[str, Any]:
        """A decision and how it came about. For people; its shape may grow. Raises `EvenhandError` without a manifest."""
        return super().explain(flag, self._enriched(context), now_ms)

    def evaluate_all(self, context: Context | Attributes, now_ms: int | None = None) -> dict[str, Decision]:
        """Evaluates all flags. No exposure is queued, and nothing raised."""
        return super().evaluate_all(self._enriched(context), now_ms)

    def decide(
        self, flag: str, context: Context | Attributes, now_ms: int | None = None, type: FlagType | None = None
    ) -> Decision:
        """Evaluates a flag and queues its exposure. Nothing is raised: whatever breaks, there is a decision and its reason."""
        if not self._plain:
            context = self._enriched(context)
        decision, queued = self._decide(flag, context, now_ms, type)
        if self._store is not None:
            self._keep(decision)
        if queued:
            self._notice()
        return decision

    def expose(self, decision: Decision) -> None:
        """Queues the exposure of a decision that `evaluate` made, unless it was queued lately. Nothing is raised."""
        if self._expose(decision):
            self._notice()

    def bool_value(self, flag: str, context: Context | Attributes, default: bool) -> bool:
        """Decides a `bool` flag: its value, or `default`."""
        value: bool = self.decide(flag, context, type="bool").value_or(default)
        return value

    def string_value(self, flag: str, context: Context | Attributes, default: str) -> str:
        """Decides a `string` flag: its value, or `default`."""
        value: str = self.decide(flag, context, type="string").value_or(default)
        return value

    def int_value(self, flag: str, context: Context | Attributes, default: int) -> int:
        """Decides an `int` flag: its value, or `default`."""
        value: int = self.decide(flag, context, type="int").value_or(default)
        return value

    def float_value(self, flag: str, context: Context | Attributes, default: float) -> float:
        """Decides a `float` or `int` flag: its value, or `default`."""
        value = self.decide(flag, context, type="float").value_or(default)
        # An int of the flag lies within ±(2^53 - 1): exact. The caller's default stays what it is.
        return value if value is default else float(value)

    def json_value(self, flag: str, context: Context | Attributes, default: Any) -> Any:
        """Decides a `json` flag: its value, or `default`."""
        return self.decide(flag, context, type="json").value_or(default)

    def track(
        self,
        name: str,
        context: Context | Attributes,
        value: int | float | Decimal | str | None = None,
        properties: Mapping[str, Any] | None = None,
        timestamp_ms: int | None = None,
    ) -> str | None:
        """Queues an event of the units in a context; its id. What the server would refuse is logged, counted, and gives None."""
        try:
            event_id = self._track(
                name, context, value, None if properties is None else json.dumps(properties), timestamp_ms
            )
        except Exception as error:
            logger.error("the event %r is not queued: %s", name, error, extra={"evenhand_code": "track_refused"})
            return None
        self._notice()
        return event_id

    def override(self, flag: str, variation: str | None) -> None:
        """For tests: forces a variation of a flag from now on; None ends it."""
        overrides = dict(self._overrides)
        if variation is None:
            overrides.pop(flag, None)
        else:
            overrides[flag] = variation
        self._overrides = overrides
        self._plain = self._store is None and not overrides

    def _enriched(self, context: Context | Attributes) -> Context | Attributes:
        """The context with stored assignments and overrides; most clients have neither (`_plain`)."""
        if self._plain:
            return context
        try:
            whole = context if isinstance(context, Context) else Context(context)
            return whole.with_records(sticky=self._stored(whole), forced=self._overrides)
        except Exception:
            logger.exception("a context can't be joined with its records", extra={"evenhand_code": "fault"})
            return context

    def _stored(self, context: Context) -> Iterable[StickyRecord]:
        if self._store is None:
            return ()
        try:
            return [record for unit in self._unit_ids(context) for record in self._store.load(unit)]
        except Exception:
            logger.exception("the sticky store could not be read", extra={"evenhand_code": "sticky_store"})
            return ()

    def _keep(self, decision: Decision) -> None:
        try:
            record = self._sticky_record(decision)
            if record is not None and self._store is not None:
                self._store.save(
                    StickyRecord(
                        experiment=record["experiment"],
                        phase=record["phase"],
                        unit=record["unit"],
                        variation=record["variation"],
                    )
                )
        except Exception:
            logger.exception("the sticky store could not be written", extra={"evenhand_code": "sticky_store"})

    def update_manifest(self, manifest: bytes) -> None:
        """Puts a manifest from elsewhere in use, until the server has a newer one. Raises `ManifestError` when it is refused."""
        try:
            super().update_manifest(manifest)
        finally:
            self._tell()
            self._wake.set()
            self._announce()

    # Beginning and end.

    def _renew(self) -> None:
        """What a process has for itself: a forked child makes it anew."""
        self._wake = threading.Event()
        self._changed = threading.Condition()
        self._listeners: set[Callable[[], None]] = set()
        self._closing = threading.RLock()
        self._closed = self._over = False
        self._spool_watched = False
        self._stream: Stream | None = None
        self._listening: threading.Thread | None = None
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
        with self._changed:
            self._changed.notify_all()
        for listener in self._listeners.copy():
            listener()

    def _close_now(self, timeout: float) -> None:
        # A second caller waits for the first.
        with self._closing:
            if self._closed:
                return
            self._closed = True
            try:
                self._shutdown(int((time.time() + timeout) * 1000))
                self._wake.set()
                if self._thread is not None and self._thread is not threading.current_thread():
                    self._thread.join(timeout + 0.5)
            finally:
                # Also when an interrupt ends the waiting: what is left is for the spool.
                self._put_away()
                # Only now: until its threads have ended, a fork must find their lock free.
                _forks.forget(self)
                self._thread = None
                self._over = True
                self._announce()

    def _put_away(self) -> None:
        if self._stream is not None:
            self._stream.close()
        if self._listening is not None:
            self._listening.join(0.5)
        self._server.close()
        self._write_spool()
        if self._file is not None:
            self._file.close(empty=self.telemetry()["held_events"] == 0)
            self._file = None
        self._tell()

    def _close_at_exit(self) -> None:
        self._close_now(2.0)

    def _restart_in_child(self) -> None:
        self._after_fork_in_child(os.urandom(16))
        self._server.forget()
        if self._stream is not None:
            self._stream.forget()
        if self._file is not None:
            self._file.abandon()
            self._file = None
        self._renew()
        if self._spool_path is not None:
            self._file = Spool(self._spool_path, fresh=True)
        self._start()

    # The loop.

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
                self._fetch_manifest(ticket, etag)
            case ("list", ticket, sha256):
                self._fetch_list(ticket, sha256)
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

    def _fetch_manifest(self, ticket: int, etag: str | None) -> None:
        try:
            answer = self._server.ask("GET", f"/v1/manifest/{self._server.key}", {"If-None-Match": etag})
        except Exception as error:
            self._fetch_failed(ticket, _why(error))
            return
        headers = answer.headers
        self._manifest_response(ticket, answer.status, headers.get("etag"), headers.get("retry-after"), answer.body)

    def _fetch_list(self, ticket: int, sha256: str) -> None:
        try:
            answer = self._server.ask("GET", f"/v1/lists/{sha256}", {})
        except Exception as error:
            self._fetch_failed(ticket, _why(error))
            return
        self._list_response(ticket, answer.status, answer.headers.get("retry-after"), answer.body)

    def _send(self, batch: int, body: bytes, content_type: str) -> None:
        try:
            answer = self._server.ask("POST", "/v1/events", {"Content-Type": content_type}, body)
        except Exception as error:
            self._batch_failed(batch, _why(error))
            return
        self._batch_response(batch, answer.status, answer.headers.get("retry-after"), answer.body)

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
            elif answered == 200:
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


def _why(error: BaseException) -> str:
    with contextlib.suppress(Exception):
        return f"{type(error).__name__}: {error}"
    return type(error).__name__
