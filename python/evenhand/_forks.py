"""Forks: gunicorn's prefork, multiprocessing, `os.fork`, a fork of a fork.

What the parent has queued stays the parent's. The child draws event ids of its own, forgets its copies, and starts a thread of
its own. No lock may be held over the fork by a thread that the child does not have, so the session's is taken before.
"""

import atexit
import os
import sys
import weakref
from typing import Any, Protocol


class Forked(Protocol):
    """What is told of forks, and of the process's end."""

    def _before_fork(self) -> None: ...
    def _after_fork_in_parent(self) -> None: ...
    def _restart_in_child(self) -> None: ...
    def _close_at_exit(self) -> None: ...


_alive: "weakref.WeakSet[Any]" = weakref.WeakSet()
_forking: list[Forked] = []


def watch(client: Forked) -> None:
    """From now on it is told."""
    _alive.add(client)
    _end_with_multiprocessing()


def forget(client: Forked) -> None:
    """It is told no more."""
    _alive.discard(client)


def _before() -> None:
    for client in list(_alive):
        client._before_fork()
        _forking.append(client)


def _in_parent() -> None:
    while _forking:
        _forking.pop()._after_fork_in_parent()


def _in_child() -> None:
    while _forking:
        _forking.pop()._restart_in_child()


def _close_all(*_: object) -> None:
    for client in list(_alive):
        client._close_at_exit()


def _end_with_multiprocessing(*_: object) -> None:
    """A child of multiprocessing leaves by `os._exit`, past atexit: but it runs these finalizers, and forgets its parent's."""
    util: Any = sys.modules.get("multiprocessing.util")
    if util is None:
        from multiprocessing import util as imported

        util = imported
    if not _state:
        _state.append(util)
        util.register_after_fork(_Marker, _end_with_multiprocessing)
    util.Finalize(None, _close_all, exitpriority=10)


class _Marker:
    """What multiprocessing keys the hook by: a class lives as long as its module."""


_state: list[Any] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
atexit.register(_close_all)
