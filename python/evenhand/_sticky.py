"""Stores of sticky assignments: what a unit was given stays with it, whatever weights and targeting become."""

import json
import os
import sqlite3
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Protocol, TypedDict, runtime_checkable


class StickyRecord(TypedDict):
    """A variation that a unit was given. `unit` is the unit id as text."""

    experiment: str
    phase: int
    unit: str
    variation: str


@runtime_checkable
class StickyStore(Protocol):
    """What a client asks before a decision, and tells after one. Called on the thread that decides: be quick.

    An exception of a store is logged; the decision is then made without its records.
    """

    def load(self, unit: str) -> Iterable[StickyRecord]:
        """All records of a unit id."""
        ...

    def save(self, record: StickyRecord) -> None:
        """Keeps a record, replacing one of the same unit and experiment."""
        ...


class MemoryStickyStore:
    """Records in memory, of the units seen last; `capacity` counts units."""

    def __init__(self, capacity: int = 100_000) -> None:
        if capacity < 1:
            raise ValueError("capacity is at least 1")
        self._capacity = capacity
        self._units: OrderedDict[str, dict[str, StickyRecord]] = OrderedDict()
        self._lock = threading.Lock()
        _in_memory.add(self)

    def load(self, unit: str) -> Iterable[StickyRecord]:
        with self._lock:
            records = self._units.get(unit)
            if records is None:
                return ()
            self._units.move_to_end(unit)
            return tuple(records.values())

    def save(self, record: StickyRecord) -> None:
        with self._lock:
            self._units.setdefault(record["unit"], {})[record["experiment"]] = record
            self._units.move_to_end(record["unit"])
            while len(self._units) > self._capacity:
                self._units.popitem(last=False)


_in_memory: "weakref.WeakSet[Any]" = weakref.WeakSet()


def _new_locks() -> None:
    """In a forked child: another thread of the parent may have held one."""
    for store in list(_in_memory):
        store._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_locks)


class FileStickyStore:
    """Records in an SQLite file, which processes of one machine may share."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        self._own = threading.local()
        self._inherited: list[sqlite3.Connection] = []
        self._connect().close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=5.0, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS sticky "
            "(unit TEXT, experiment TEXT, record TEXT NOT NULL, PRIMARY KEY (unit, experiment)) WITHOUT ROWID"
        )
        return connection

    def _connection(self) -> sqlite3.Connection:
        # SQLite's connections must not cross a fork, not even to be closed, nor be used by two threads.
        own = self._own
        if getattr(own, "process", None) != os.getpid():
            if hasattr(own, "connection"):
                self._inherited.append(own.connection)
            own.connection, own.process = self._connect(), os.getpid()
        connection: sqlite3.Connection = own.connection
        return connection

    def load(self, unit: str) -> Iterable[StickyRecord]:
        rows = self._connection().execute("SELECT record FROM sticky WHERE unit = ?", (unit,))
        return [json.loads(text) for (text,) in rows]

    def save(self, record: StickyRecord) -> None:
        self._connection().execute(
            "INSERT OR REPLACE INTO sticky VALUES (?, ?, ?)",
            (record["unit"], record["experiment"], json.dumps(record)),
        )
