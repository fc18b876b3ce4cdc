"""Programs that fork, each run by forks.py in an interpreter of its own. They print the ids of the events they tracked.

python forking.py PROGRAM OPTIONS_AS_JSON
"""

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path

from evenhand import Client

PER_PROCESS = 40
# Units of different programs are different people.
PROGRAM = sys.argv[1] if len(sys.argv) > 1 else ""
begun: set[int] = set()


def act(client: Client, who: str) -> None:
    """Decides for units of its own, and for those that the first process had before the fork."""
    lines = []
    for number in range(PER_PROCESS):
        unit = {"user_id": f"{PROGRAM}-{who}-{number}"}
        for _ in range(2):
            assert client.decide("checkout", unit).reason == "SPLIT", who
        client.decide("checkout", {"user_id": f"{PROGRAM}-first-{number}"})
        event_id = client.track("purchase", unit)
        assert event_id is not None, who
        lines.append(event_id)
    # One write, so that processes do not come between each other's lines.
    os.write(1, ("\n".join(lines) + "\n").encode())


def begin(options: dict[str, object]) -> Client:
    client = Client(**options)  # type: ignore[arg-type]
    assert client.wait_ready(20), client.telemetry()
    return client


def is_new(client: Client) -> None:
    """In a child, before it has done anything: what it copied from its parent is not its own."""
    if os.getpid() in begun:
        return
    begun.add(os.getpid())
    held, disowned = (client.telemetry()[name] for name in ("held_events", "events"))
    assert held == 0, f"a child holds {held} events of its parent"
    assert disowned["disowned"] >= PER_PROCESS, disowned


def wait_for(child: int) -> None:
    _, status = os.waitpid(child, 0)
    assert status == 0, f"a child ended with {status}"


def nested(options: dict[str, object]) -> None:
    """Three generations; each ends in its own way."""
    client = begin(options)
    act(client, "first")
    child = os.fork()
    if child == 0:
        is_new(client)
        act(client, "second")
        grandchild = os.fork()
        if grandchild == 0:
            is_new(client)
            act(client, "third")
            # By atexit.
            sys.exit(0)
        wait_for(grandchild)
        client.close()
        os._exit(0)
    wait_for(child)


def worker(who: str) -> None:
    is_new(CLIENT)
    act(CLIENT, who)


def process(options: dict[str, object]) -> None:
    """multiprocessing.Process, its children by `os._exit`; one of them has a child again."""
    global CLIENT
    CLIENT = begin(options)
    act(CLIENT, "first")
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=worker, args=(f"process-{number}",)) for number in range(3)]
    children.append(context.Process(target=parent_and_child))
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0, child.exitcode


def parent_and_child() -> None:
    worker("process-3")
    child = multiprocessing.get_context("fork").Process(target=worker, args=("process-4",))
    child.start()
    child.join()
    assert child.exitcode == 0


def pool(options: dict[str, object]) -> None:
    """A pool that is closed and joined: its workers deliver at their end."""
    global CLIENT
    CLIENT = begin(options)
    act(CLIENT, "first")
    with multiprocessing.get_context("fork").Pool(3) as workers:
        workers.map(worker, [f"pool-{number}" for number in range(6)], chunksize=1)
        workers.close()
        workers.join()


def killed(options: dict[str, object]) -> None:
    """Children and parent end by SIGKILL: what they had stands in the spool."""
    global CLIENT
    CLIENT = begin(options)
    act(CLIENT, "first")
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=work_on, args=([f"{number}-one", f"{number}-two"],)) for number in range(2)]
    for child in children:
        child.start()
    # The spool is written every quarter of a second.
    time.sleep(2)
    for child in children:
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL, child.exitcode
    os.kill(os.getpid(), signal.SIGKILL)


def work_on(names: list[str]) -> None:
    for who in names:
        worker(who)
    time.sleep(60)


def busy(options: dict[str, object]) -> None:
    """Forks from two threads while others decide, track, update and wait: no child finds a lock that nobody gives back."""
    client = begin(options)
    second = begin(options)
    manifest = Path(str(options["bootstrap"])).read_bytes()
    over = threading.Event()

    def repeat(work: object) -> None:
        number = 0
        while not over.is_set():
            number += 1
            work(number)  # type: ignore[operator]

    works = [
        lambda number: client.decide("checkout", {"user_id": f"busy-{number}"}),
        lambda number: second.track("note", {"user_id": f"busy-{number}"}),
        lambda number: client.update_manifest(manifest),
        lambda number: second.flush(0.001),
    ]
    threads = [threading.Thread(target=repeat, args=(work,), daemon=True) for work in works]
    failures: list[object] = []

    def fork_often() -> None:
        for number in range(60):
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                good = client.decide("checkout", {"user_id": f"child-{number}"}).reason == "SPLIT"
                good = (
                    good
                    and second.track("note", {"user_id": "child"}) is not None
                    and client.telemetry()["held_events"] > 0
                )
                client.update_manifest(manifest)
                os._exit(0 if good else 3)
            _, status = os.waitpid(child, 0)
            if status != 0:
                failures.append(status)
                return
            # A client made between two forks of other threads.
            Client(**options).close(0)  # type: ignore[arg-type]

    threads += [threading.Thread(target=fork_often) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads[-2:]:
        thread.join()
    over.set()
    assert not failures, f"children ended with {failures} (14: by their alarm)"
    client.close(0)
    second.close(0)


if __name__ == "__main__":
    {"nested": nested, "process": process, "pool": pool, "killed": killed, "busy": busy}[sys.argv[1]](
        json.loads(sys.argv[2])
    )
