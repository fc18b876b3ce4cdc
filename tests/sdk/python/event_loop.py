"""AsyncClient never holds the event loop up: not at its start, not in an outage, not with a server that never answers.

python event_loop.py small|full [WORD …]
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator

from evenhand import AsyncClient

from served import Shop, finished, python, run

# What a loaded machine may keep a thread from running (0.27 s were seen); a loop that a wait below held up would be away for WAIT.
PAUSE, WAIT = 0.75, 1.5


@contextlib.contextmanager
def silent_server() -> Iterator[str]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        kept: list[socket.socket] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    kept.append(listener.accept()[0])

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in kept:
            connection.close()


class Watch:
    """How long the loop was away at most."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def __aenter__(self) -> Watch:
        self._task = asyncio.create_task(self._tick())
        await asyncio.sleep(0)
        return self

    async def _tick(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            self.longest = max(self.longest, time.perf_counter() - began)

    async def __aexit__(self, *_: object) -> None:
        # What came last is to be seen, too.
        await asyncio.sleep(0.01)
        self._task.cancel()


def silence(shop: Shop) -> str:
    async def main(url: str) -> float:
        async with Watch() as watch:
            client = AsyncClient(url, "k", bootstrap=shop.manifest().encode(), stream=True, timeout=30)
            other = AsyncClient(url, "k", timeout=30)
            shop.check(not await other.wait_ready(WAIT), "a server that never answers makes nobody ready")
            shop.equal(client.decide("checkout", {"user_id": "u"}).reason, "SPLIT", "decisions go on")
            shop.check(not await client.flush(WAIT), "nor takes anything")
            began = time.perf_counter()
            await asyncio.gather(client.close(WAIT), other.close(WAIT))
            shop.check(time.perf_counter() - began < 6, "closing ends in time", time.perf_counter() - began)
        return watch.longest

    with silent_server() as url:
        longest = asyncio.run(main(url))
    shop.check(longest < PAUSE, "the loop is never away for long", longest)
    return f"away for {longest * 1000:.0f} ms at most"


def work(shop: Shop) -> str:
    async def main() -> float:
        async with Watch() as watch, AsyncClient(shop.base, shop.key, flush_interval_ms=20) as client:
            shop.check(await client.wait_ready(10), "ready", client.telemetry())

            async def visit(who: int) -> None:
                for number in range(100):
                    client.decide("checkout", {"user_id": f"visit-{who}-{number}"})
                    client.track("note", {"user_id": f"visit-{who}-{number}"})
                    await asyncio.sleep(0)

            await asyncio.gather(*(visit(who) for who in range(20)))
            shop.check(await client.flush(), "flushed", client.telemetry())
        return watch.longest

    before = shop.units()
    longest = asyncio.run(main())
    shop.check(longest < PAUSE, "the loop is never away for long", longest)
    shop.eventually(shop.units, lambda found: found == before + 2_000, "the 2,000 visitors of 20 tasks are counted")
    return f"away for {longest * 1000:.0f} ms at most"


def cancelled(shop: Shop) -> None:
    script = """
import asyncio, evenhand, sys
async def main():
    client = evenhand.AsyncClient(sys.argv[1], "k", timeout=60)
    for waiting in (client.wait_ready, client.flush):
        client.decide("x", {"user_id": "u"})
        client.track("x", {"user_id": "u"})
        try:
            await asyncio.wait_for(waiting(None), 0.2)
        except asyncio.TimeoutError:
            print("cancelled", flush=True)
asyncio.run(main())
print("ended", flush=True)
import os; os._exit(0)
"""
    with silent_server() as url:
        began = time.monotonic()
        out = finished(python("-c", script, url), 20)
    shop.equal(
        out.split(), ["cancelled", "cancelled", "ended"], "a cancelled wait leaves nothing that `asyncio.run` waits for"
    )
    shop.check(time.monotonic() - began < 10, "it ends at once", time.monotonic() - began)


def many_loops(shop: Shop) -> None:
    """One client, used from one loop after another, and after a fork."""
    client = AsyncClient(shop.base, shop.key)

    async def use(number: int) -> None:
        shop.check(await client.wait_ready(10), "ready")
        client.track("note", {"user_id": f"loop-{number}"})
        shop.check(await client.flush(), "flushed", client.telemetry())

    before = shop.rows("note")
    for number in range(3):
        asyncio.run(use(number))
    child = os.fork()
    if child == 0:
        code = 3
        with contextlib.suppress(BaseException):
            asyncio.run(use(3))
            code = 0
        os._exit(code)
    shop.equal(os.waitpid(child, 0)[1], 0, "a child has a loop of its own")
    asyncio.run(client.close())
    shop.eventually(lambda: shop.rows("note"), lambda found: found == before + 4, "four events")


PROOFS = [
    ("a server that never answers", silence),
    ("20 tasks decide and track", work),
    ("waiting can be cancelled", cancelled),
    ("several loops, and one behind a fork", many_loops),
]

if __name__ == "__main__":
    run("event loop", PROOFS)
