"""What both clients are: decisions, and the session with its thread behind them."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ._changes import Change
from ._http import Server
from ._log import logger
from ._loop import Loop
from ._native import Context, Decision, Session, __version__
from ._sticky import StickyRecord, StickyStore

if TYPE_CHECKING:
    from typing_extensions import Self

Attributes: TypeAlias = Mapping[str, Any]
FlagType: TypeAlias = Literal["bool", "string", "int", "float", "json"]

SDK = f"evenhand-python/{__version__}"
# Looked up once: `super()` costs a decision half its time again.
_evaluate = Session.evaluate


def _check_number(name: str, number: object) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise ValueError(f"`{name}` is {number!r}: give it a whole number from 0 up, or leave it out")


class BaseClient(Loop):
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
        self._begin(bootstrap, spool)

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
        try:
            queued = self._expose(decision)
        except Exception as error:
            logger.error("an exposure is lost: %s", error, extra={"evenhand_code": "exposure_lost"})
            return
        if queued:
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
        """Queues an event of the units in a context; its id. What the server would refuse is logged, counted, and gives None.

        So is, uncounted, an event that comes when `close` has sent what was queued or its time is over.
        """
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

    def on_change(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Calls `listener` from now on, with what has changed; the answer ends that.

        `"manifest"`: another one is in use. `"stale"`: the server has not confirmed it for `stale_after_ms`. `"denied"`: the
        server denies it (a wrong key or address). `"fresh"`: confirmed again after either. `"closed"`: the client was closed.
        On a thread of the client (or the one that calls `update_manifest` or `close`), one call at a time: be quick, and hand
        work on. What it raises is told to the logger.
        """
        return self._changes.watch(listener, self._state)

    def update_manifest(self, manifest: bytes) -> None:
        """Puts a manifest from elsewhere in use, until the server has a newer one. Raises `ManifestError` when it is refused."""
        try:
            super().update_manifest(manifest)
        finally:
            self._tell()
            self._wake.set()
            self._announce()
