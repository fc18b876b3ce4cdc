"""The spool file: the last good manifest and the events that are not delivered, for the next start.

Processes may share one path: the first to come has the file itself, each further one (a forked worker) a file beside it, and
whoever starts later takes over the files that nobody holds any more.
"""

import contextlib
import glob
import os
import secrets
from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # Windows has no fork, and no such locks: one process a path.
    fcntl = None  # type: ignore[assignment]


class Spool:
    """One process's spool."""

    def __init__(self, path: str, fresh: bool) -> None:
        """`fresh`: a file beside the path, as a forked child has it."""
        self._base = path
        self._lock: int | None = None
        self.path = path
        if not fresh:
            self._lock = _claim(path)
        if self._lock is None:
            self.path = f"{path}.{os.getpid()}-{secrets.token_hex(4)}"
            self._lock = _claim(self.path)

    def found(self) -> Iterator[bytes]:
        """The spools of processes that have ended. One is gone when the next is asked for, so write your own first."""
        for path in [self._base, *sorted(glob.glob(glob.escape(self._base) + ".*-????????"))]:
            lock = None if path == self.path else _claim(path)
            if lock is None and path != self.path:
                continue
            with contextlib.suppress(FileNotFoundError):
                with open(path, "rb") as file:
                    content = file.read()
                yield content
                if path != self.path:
                    os.unlink(path)
            if lock is not None:
                _release(path, lock)

    def write(self, content: bytes) -> None:
        """Replaces it as a whole: a process killed meanwhile leaves the old one."""
        new = f"{self.path}.new"
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
        os.replace(new, self.path)

    def close(self, empty: bool) -> None:
        """Gives it up; without events the file beside the path goes."""
        if empty and self.path != self._base:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
        if self._lock is not None:
            _release(self.path, self._lock)
            self._lock = None

    def abandon(self) -> None:
        """In a forked child: the file, and the lock on it, are the parent's."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _claim(path: str) -> int | None:
    """The lock of a spool; None when a living process has it."""
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
    return descriptor


def _release(path: str, descriptor: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{path}.lock")
    os.close(descriptor)
