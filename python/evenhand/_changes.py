"""Who wants to hear that a client's manifest has changed, has grown stale, or can't be had."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

from ._log import logger

Change: TypeAlias = Literal["manifest", "stale", "fresh", "denied", "closed"]


class State(NamedTuple):
    """What is compared."""

    snapshots: int
    confirmations: int
    denials: int
    stale: bool
    closed: bool


class Changes:
    """Compares what a client is with what it was, whenever its threads have done something; without watchers, nothing."""

    def __init__(self) -> None:
        self.denials = 0
        # The server's last word on it.
        self.denial = ""
        self._watchers: tuple[Callable[[Change], None], ...] = ()
        self.renew()

    def renew(self) -> None:
        """A forked child has a lock of its own: another thread may have held its parent's."""
        self._lock = threading.Lock()
        self._told: collections.deque[Change] = collections.deque()
        self._telling = self._denied = False
        self._seen: State | None = None

    def deny(self, message: str) -> None:
        self.denial = message
        self.denials += 1

    def watch(self, watcher: Callable[[Change], None], state: Callable[[], State]) -> Callable[[], None]:
        with self._lock:
            if not self._watchers:
                self._seen = state()
            self._watchers = (*self._watchers, watcher)
        ended = False

        def end() -> None:
            nonlocal ended
            with self._lock:
                if ended:
                    return
                ended = True
                kept = list(self._watchers)
                kept.remove(watcher)
                self._watchers = tuple(kept)

        return end

    def look(self, state: Callable[[], State]) -> None:
        """On any thread. Whoever finds nobody telling tells, in order, with no lock held."""
        if not self._watchers:
            return
        with self._lock:
            now = state()
            before, self._seen = self._seen, now
            if before is not None:
                self._told.extend(self._between(before, now))
            if self._telling:
                return
            self._telling = True
        while True:
            with self._lock:
                if not self._told:
                    self._telling = False
                    return
                change = self._told.popleft()
            for watcher in self._watchers:
                try:
                    watcher(change)
                except Exception:
                    logger.exception("a listener of the client failed", extra={"evenhand_code": "fault"})

    def _between(self, before: State, now: State) -> list[Change]:
        changes: list[Change] = []
        heard = now.snapshots != before.snapshots or now.confirmations != before.confirmations
        fresh = (before.stale and not now.stale) or (self._denied and heard)
        if heard:
            self._denied = False
        if now.snapshots != before.snapshots:
            changes.append("manifest")
        if fresh:
            changes.append("fresh")
        if now.denials != before.denials and not self._denied:
            self._denied = True
            changes.append("denied")
        if now.stale and not before.stale:
            changes.append("stale")
        if now.closed and not before.closed:
            changes.append("closed")
        return changes
