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
        """`fresh`: a file beside the path, as a forked child has it; nothing is made before the first writing."""
        self._base = path
        self._lock = None if fresh else _claim(path)
        self.path = path if self._lock is not None else f"{path}.{os.getpid()}-{secrets.token_hex(4)}"

    def found(self) -> Iterator[bytes]:
        """The spools of processes that have ended. One is gone when the next is asked for, so write your own first."""
        if self.path == self._base:
            with contextlib.suppress(FileNotFoundError):
                yield _read(self._base)
        beside = glob.escape(self._base) + ".*-????????"
        locks = (name.removesuffix(".lock") for name in glob.glob(f"{beside}.lock"))
        for path in sorted({*glob.glob(beside), *locks} - {self.path}):
            lock = _claim(path)
            if lock is None:
                continue
            try:
                # A process may have ended before it wrote, or while it did.
                with contextlib.suppress(FileNotFoundError):
                    yield _read(path)
                for name in (path, f"{path}.new"):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(name)
            finally:
                _release(path, lock)

    def write(self, content: bytes) -> None:
        """Replaces it as a whole: a process killed meanwhile leaves the old one."""
        if self._lock is None:
            self._lock = _claim(self.path)
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


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _claim(path: str) -> int | None:
    """The lock of a spool; None when a living process has it."""
    name = f"{path}.lock"
    while True:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
        if fcntl is None:
            return descriptor
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever had it may have removed the file meanwhile: a lock on a file without a name keeps nobody out.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(name)):
                    return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _release(path: str, descriptor: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{path}.lock")
    os.close(descriptor)
