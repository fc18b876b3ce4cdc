"""The client for threads."""

from types import TracebackType

from ._base_client import BaseClient


class Client(BaseClient):
    """Decides locally in under a microsecond; threads of its own fetch the manifest and send events.

    Make one for the process, as early as you like (before a prefork, too), and `close` it at the end.
    """

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Waits until there is a manifest, at most `timeout` seconds; whether there is one."""
        return self._wait_ready(timeout)

    def flush(self, timeout: float | None = 10.0) -> bool:
        """Sends what is queued now; whether all of it was delivered within `timeout` seconds."""
        return self._flush_now(timeout)

    def close(self, timeout: float = 5.0) -> None:
        """Delivers what is queued, for at most `timeout` seconds; what is left stands in the spool.

        Afterwards decisions go on, and nothing is queued.
        """
        self._close_now(timeout)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
