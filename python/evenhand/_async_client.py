"""The client for asyncio."""

import asyncio
from types import TracebackType

from ._base_client import BaseClient


class AsyncClient(BaseClient):
    """`Client` for asyncio: decisions are plain calls, waiting is awaited.

    All input and output is on the client's own thread: the event loop never waits for it, and a fork or a second loop does not
    disturb it. A sticky store is called on the event loop: be quick there.
    """

    async def wait_ready(self, timeout: float | None = None) -> bool:
        """Waits until there is a manifest, at most `timeout` seconds; whether there is one."""
        return self.manifest is not None or await asyncio.to_thread(self._wait_ready, timeout)

    async def flush(self, timeout: float | None = 10.0) -> bool:
        """Sends what is queued now; whether all of it was delivered within `timeout` seconds."""
        return await asyncio.to_thread(self._flush_now, timeout)

    async def close(self, timeout: float = 5.0) -> None:
        """Delivers what is queued, for at most `timeout` seconds; what is left stands in the spool. Decisions go on."""
        await asyncio.to_thread(self._close_now, timeout)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
