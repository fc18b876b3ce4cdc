"""The client for asyncio."""

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType

from ._base_client import BaseClient


class AsyncClient(BaseClient):
    """`Client` for asyncio: decisions are plain calls, waiting is awaited.

    All input and output is on the client's own threads: the event loop never waits for it, and a fork or a second loop does not
    disturb it. A sticky store is called on the event loop: be quick there.
    """

    async def wait_ready(self, timeout: float | None = None) -> bool:
        """Waits until there is a manifest, at most `timeout` seconds; whether there is one."""
        return await self._wait_for(self._is_ready, timeout)

    async def flush(self, timeout: float | None = 10.0) -> bool:
        """Sends what is queued now; whether all of it was delivered within `timeout` seconds."""
        return await self._wait_for(self._begin_flush(), timeout)

    async def close(self, timeout: float = 5.0) -> None:
        """Delivers what is queued, for at most `timeout` seconds; what is left stands in the spool.

        Afterwards decisions go on, and nothing is queued.
        """
        await asyncio.to_thread(self._close_now, timeout)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _wait_for(self, holds: Callable[[], bool], timeout: float | None) -> bool:
        """`_until` without a thread that waits: one of a cancelled task would keep `asyncio.run` from ending."""
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()

        def listen() -> None:
            # The loop may be closed by now, with this task cancelled.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(changed.set)

        until = None if timeout is None else loop.time() + timeout
        self._listeners.add(listen)
        try:
            while not holds() and not self._over:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(changed.wait(), None if until is None else until - loop.time())
                if until is not None and loop.time() >= until:
                    break
                changed.clear()
            return holds()
        finally:
            self._listeners.discard(listen)
