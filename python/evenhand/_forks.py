"""Forks: gunicorn's prefork, multiprocessing, `os.fork`, a fork of a fork.

What the parent has queued stays the parent's. The child draws event ids of its own, forgets its copies, and starts a thread of
its own. No lock may be held over the fork by a thread that the child does not have, so the session's is taken before.
"""

import atexit
import os
import threading
import weakref
from typing import Any, Protocol

from ._log import logger


class Forked(Protocol):
    """What is told of forks, and of the process's end."""

    def _before_fork(self) -> None: ...
    def _after_fork_in_parent(self) -> None: ...
    def _restart_in_child(self) -> None: ...
    def _close_at_exit(self) -> None: ...


_alive: "weakref.WeakSet[Any]" = weakref.WeakSet()
# Two threads may fork at once: the second waits, or it would give back what the first has taken.
_fork = threading.Lock()
_forking: list[Any] = []


def watch(client: Forked) -> None:
    """From now on it is told."""
    _alive.add(client)
    _end_with_multiprocessing()


def forget(client: Forked) -> None:
    """It is told no more."""
    _alive.discard(client)


def _before() -> None:
    _fork.acquire()
    for client in list(_alive):
        client._before_fork()
        _forking.append(client)


def _in_parent() -> None:
    while _forking:
        _forking.pop()._after_fork_in_parent()
    _fork.release()


def _in_child() -> None:
    while _forking:
        try:
            _forking.pop()._restart_in_child()
        except Exception:
            # Such as no thread to be had: decisions go on, and the next client has its turn.
            logger.exception("a client could not start in a forked child", extra={"evenhand_code": "fault"})
    _fork.release()


def _close_all(*_: object) -> None:
    for client in list(_alive):
        client._close_at_exit()


def _end_with_multiprocessing() -> None:
    """A child of multiprocessing leaves by `os._exit`, past atexit: but it runs finalizers, once it has forgotten its parent's."""
    if _hooked:
        return
    from multiprocessing import util

    _hooked.append(util)
    util.register_after_fork(_Marker, _add_finalizer)
    _add_finalizer()


def _add_finalizer(*_: object) -> None:
    _hooked[0].Finalize(None, _close_all, exitpriority=10)


class _Marker:
    """What multiprocessing keys the hook by: a class lives as long as its module."""


_hooked: list[Any] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
atexit.register(_close_all)
