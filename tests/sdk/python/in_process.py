"""What needs no server: a panic, memory, the interpreter's lock, updates while threads decide, the time of an import.

python in_process.py small|full
"""

from __future__ import annotations

import gc
import itertools
import json
import logging
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from evenhand import Client, Context, Engine, EvenhandError
from evenhand._native import Session, _panic_for_tests

from manifests import manifest
from served import figures

FULL = sys.argv[1] == "full"
MEGABYTE = 1 << 20


def check(holds: bool, what: str, found: object = "") -> None:
    if not holds:
        raise AssertionError(f"{what}; found: {found!r}")


def panic() -> None:
    for _ in range(3):
        try:
            _panic_for_tests()
        except EvenhandError as error:
            check("deliberate panic" in str(error), "the message says what", str(error))
        else:
            check(False, "the panic is raised")
    check(Engine(manifest(1)).evaluate("flag-0", {"user_id": "u"}).reason == "SPLIT", "decisions go on")


def resident() -> int:
    gc.collect()
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def memory() -> str:
    """1,000,000 decisions and 1,000 updates, in four parts, after a round that fills what is bounded."""
    engine = Engine(manifest(1))
    client = Client("http://127.0.0.1:9", "k", bootstrap=manifest(1), dedupe_capacity=1_000, queue_max_events=100)
    kept = Context({"user_id": "kept", "country": "NZ", "age": 30, "tags": ["a", "b"]})
    version = 1

    def part(decisions: int, updates: int) -> None:
        nonlocal version
        for number in range(decisions):
            attributes = {"user_id": f"user-{number}", "country": "NZ", "age": number % 90, "tags": ["a", "b"]}
            flag = f"flag-{number % 200}"
            match number % 4:
                case 0:
                    client.decide(flag, attributes)
                case 1:
                    engine.evaluate(flag, attributes)
                case 2:
                    engine.evaluate(flag, kept)
                case _:
                    engine.evaluate(flag, Context(attributes))
        for _ in range(updates):
            version += 1
            bytes_ = manifest(version)
            engine.update_manifest(bytes_)
            client.update_manifest(bytes_)
            engine.evaluate_all(kept)
            engine.evaluate_many("flag-1", [kept, {"user_id": "u"}])

    part(250_000, 250)
    before = resident()
    for _ in range(4):
        part(250_000, 250)
    grown = resident() - before
    client.close(0.1)
    # A leak of 8 bytes a decision, or of 5 % of a manifest an update, is more than this.
    check(grown < 8 * MEGABYTE, "less than 8 MB more", f"{grown / MEGABYTE:.1f} MB")
    figures("memory", grown_bytes=grown)
    return f"{grown / MEGABYTE:.1f} MB more"


class Counter(threading.Thread):
    """Counts until it is told that it is over."""

    count = 0
    over = False

    def run(self) -> None:
        while not self.over:
            self.count += 1


def others_run() -> str:
    """While a long call runs, a thread counts on."""
    engine = Engine(manifest(1, 4_000))
    contexts = [Context({"user_id": number, "country": "NZ", "age": 3}) for number in range(100_000)]
    engine.evaluate_many("flag-1", contexts)
    big = [manifest(version, 4_000) for version in range(2, 8)]
    told = []
    calls = [
        ("evaluate_many", lambda number: engine.evaluate_many("flag-1", contexts), 6),
        ("update_manifest", lambda number: engine.update_manifest(big[number]), 6),
        ("evaluate_all", lambda number: engine.evaluate_all(contexts[number]), 200),
    ]
    for name, call, times in calls:
        counter = Counter()
        counter.start()
        inside = []
        took = 0.0
        for number in range(times):
            # Between two calls the other thread would get its turn anyway: only what it does inside counts.
            first, began = counter.count, time.perf_counter()
            call(number)
            took += time.perf_counter() - began
            inside.append(counter.count - first)
        counter.over = True
        counter.join()
        check(sum(inside) > 0, f"a thread counts during {name}", inside)
        told.append(f"{name} {sum(inside) / took / 1e6:.1f} million/s")
    return ", ".join(told)


def two_threads() -> str:
    """Decisions of two threads together take no longer than one after the other: what holds both up is the interpreter."""
    engine = Engine(manifest(1))
    contexts = [Context({"user_id": number, "country": "NZ", "age": 3}) for number in range(20_000)]

    def decide() -> None:
        for context in contexts:
            engine.evaluate("flag-1", context)

    def together() -> float:
        threads = [threading.Thread(target=decide) for _ in range(2)]
        began = time.process_time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.process_time() - began

    def alone() -> float:
        began = time.process_time()
        decide()
        decide()
        return time.process_time() - began

    ratio = min(together() for _ in range(15)) / min(alone() for _ in range(15))
    check(ratio < 1.5, "two threads take the time of two runs", ratio)
    figures("two threads", ratio=ratio)
    return f"{ratio:.2f} of the time of two runs"


def no_mixture() -> str:
    """Version v gives everybody `even-…` or `odd-…`: a table of another version, or an index into one, would show."""
    versions = 3_000 if FULL else 400
    engine = Engine(manifest(1, 20, "odd"))
    client = Client("http://127.0.0.1:9", "k", bootstrap=manifest(1, 20, "odd"))
    context = Context({"user_id": "u", "country": "NZ"})
    over = False
    wrong: list[object] = []
    decisions = [0] * 4

    def decide(who: int) -> None:
        last = 0
        of = engine if who % 2 else client
        while not over:
            # More flags or fewer from version to version, so that an index means another flag.
            for number in (0, 3, 7):
                found = of.evaluate(f"flag-{number}", context if who < 2 else {"user_id": "u", "country": "NZ"})
                version, value = found.manifest_version, found.value
                right = ("odd" if version % 2 else "even", f"experiment-{number}")
                if found.reason != "SPLIT" or (value[:-2], found.experiment) != right or version < last:
                    wrong.append((version, last, value, found.reason, found.experiment))
                    return
                last = version
                decisions[who] += 1

    threads = [threading.Thread(target=decide, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    # Two threads update the same engine: the lower version is refused, or put in use before the higher.
    refused = [0]

    def update(first: int) -> None:
        for version in range(first, versions, 2):
            bytes_ = manifest(version, 10 + version % 13, "odd" if version % 2 else "even")
            for of in (engine, client):
                try:
                    of.update_manifest(bytes_)
                except EvenhandError:
                    refused[0] += 1

    updating = [threading.Thread(target=update, args=(first,)) for first in (2, 3)]
    for thread in updating:
        thread.start()
    for thread in [*updating]:
        thread.join()
    over = True
    for thread in threads:
        thread.join()
    client.close(0.1)
    check(not wrong, "no decision is of two versions, and none goes back", wrong[:3])
    check(all(decisions), "every thread decides", decisions)
    check(
        engine.manifest == client.manifest and engine.manifest["version"] == versions - 1,
        "the last is in use",
        (engine.manifest, client.manifest),
    )
    return f"{sum(decisions):,} decisions, {versions * 2} updates, {refused[0]} of them late and refused"


UNITS = itertools.count()


class Decider(threading.Thread):
    """Decides, each time for somebody else, until it is told that it is over; the longest time from one decision to the next."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.begun = threading.Event()
        self.over = False
        self.longest = 0.0
        self.wrong: list[object] = []

    def run(self) -> None:
        last = time.perf_counter()
        while not self.over:
            decision, queued = self.session._decide("flag-1", {"user_id": next(UNITS), "country": "NZ"})
            now = time.perf_counter()
            if decision.reason != "SPLIT" or not queued:
                self.wrong.append(decision)
            if self.begun.is_set():
                self.longest = max(self.longest, now - last)
            last = now
            self.begun.set()


def updates_hold_up_nobody() -> str:
    """20,000 flags are put in use while another thread decides: none of its exposures waits until they are compiled."""
    session = Session(bytes(16), numbers={"poll_interval_ms": 1_000})
    first = manifest(1, 20_000)

    def by_hand(body: bytes) -> None:
        session.update_manifest(body)

    def by_the_server(body: bytes) -> None:
        for _ in range(2_000):
            action = session._next()
            if action[0] == "manifest":
                break
            time.sleep(0.01)
        check(action[0] == "manifest", "it is asked for", action[0])
        began[0] = time.perf_counter()
        session._manifest_response(action[1], 200, None, None, body)

    session.update_manifest(first)
    version = 1
    told = []
    for name, update in (("by hand", by_hand), ("by the server", by_the_server)):
        shares = []
        # What else the machine does may hold a thread up as long; waiting for the update would, each time.
        while not shares or (min(shares) >= 1 / 3 and len(shares) < 6):
            version += 1
            body = first.replace(b'"version": 1,', b'"version": %d,' % version, 1)
            decider = Decider(session)
            decider.start()
            check(decider.begun.wait(20), "the other thread decides")
            began = [time.perf_counter()]
            update(body)
            took = time.perf_counter() - began[0]
            decider.over = True
            decider.join()
            check(not decider.wrong, "every exposure is queued", decider.wrong[:3])
            check((session.manifest or {})["version"] == version, "it is in use", session.manifest)
            shares.append(decider.longest / took)
        check(min(shares) < 1 / 3, f"{name}: no decision takes a third of the update's time", shares)
        told.append(f"{name} {min(shares):.2f} of its {took * 1000:.0f} ms")
        figures(f"update {name}", longest_decide_share=min(shares), update_ms=took * 1000)
    return "at the longest " + ", ".join(told)


def importing() -> str:
    """In fresh interpreters, by their CPU time: what else the machine does is not in it. From files that are in memory."""

    def milliseconds(code: str) -> float:
        code = f"import time; b = time.process_time(); {code}; print(time.process_time() - b)"
        done = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True)
        return float(done.stdout) * 1000

    bare = statistics.median(milliseconds("import evenhand") for _ in range(15))
    client = statistics.median(milliseconds("from evenhand import Client") for _ in range(15))
    figures("import", evenhand_ms=bare, client_ms=client)
    check(bare < 30, "the median of fifteen is below 30 ms", bare)
    return f"{bare:.1f} ms; with Client and its HTTP {client:.1f} ms"


def cycles() -> None:
    """A context that holds its own decision is garbage like any other."""

    class Attributes(dict[str, object]):
        pass

    class Flag:
        pass

    engine = Engine(manifest(1, 2))
    client = Client("http://127.0.0.1:9", "k", bootstrap=manifest(1, 2), stream=False)
    for decide in (engine.evaluate, client.evaluate, client.decide):
        context = Attributes(user_id="u", country="NZ")
        context["decision"] = decide("flag-1", context)
        flag = Flag()
        flag.decision = decide(flag, {})  # type: ignore[arg-type, attr-defined]
        alive = weakref.ref(context), weakref.ref(flag)
        del context, flag
        gc.collect()
        check([one() for one in alive] == [None, None], f"{decide.__qualname__}: nothing is left of it", alive)
        kept = Attributes(user_id="u")
        decision = decide("flag-1", kept)
        alive = (weakref.ref(kept),) * 2
        del kept
        gc.collect()
        check(alive[0]() is not None and decision.variation is not None, "a decision keeps what it was made with")
    client.close(0.1)


def kept_contexts() -> str:
    """Contexts that were last used before an update don't keep its manifest in memory."""
    grown = []
    for keeping in (False, True):
        engine = Engine(manifest(1, 3_000))
        kept = []
        # The first few fill what the allocator keeps.
        for version in range(2, 27):
            engine.update_manifest(manifest(version, 3_000))
            context = Context({"user_id": f"u{version}"})
            for _ in range(2):
                check(engine.evaluate("flag-0", context).manifest_version == version, "the manifest in use decides")
            if keeping:
                kept.append(context)
                # Also those that have seen another before.
                kept[0] = kept[0] if version % 2 else context
                engine.evaluate("flag-0", kept[0])
            if version == 6:
                before = resident()
        grown.append(resident() - before)
    # Twenty manifests would be 25 MB more.
    check(grown[1] - max(grown[0], 0) < 12 * MEGABYTE, "twenty kept contexts keep no manifests", grown)
    return f"{grown[1] / MEGABYTE:.1f} MB more, {grown[0] / MEGABYTE:.1f} without"


def arguments() -> None:
    """What is wrong with an optional argument is told, and nothing is raised: a clock in floating point is a clock."""

    class Index:
        def __index__(self) -> int:
            return 1

    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    # The client's server is none, and it tells that, too.
    handler.addFilter(lambda record: getattr(record, "evenhand_code", "") == "fault")
    logger = logging.getLogger("evenhand")
    logger.addHandler(handler)
    of: Any
    client = Client("http://127.0.0.1:9", "k", bootstrap=manifest(1, 2), stream=False, keys={})
    unit = {"user_id": "u", "country": "NZ"}
    for of in (Engine(manifest(1, 2)), client):
        for decide in (of.evaluate, getattr(of, "decide", of.evaluate)):
            for good in (None, 0, 1, -1, True, 1.5, -0.5, 9e18, Index(), (1 << 63) - 1, time.time() * 1000):
                check(decide("flag-0", unit, good).reason == "SPLIT", "taken", good)
            check(not lines, "and nothing is told", lines)
            for wrong in (1 << 70, -(1 << 70), 1e300, float("inf"), float("nan"), "5", object(), [], 1j):
                found = decide("flag-0", unit, now_ms=wrong)
                check((found.reason, found.variation) == ("ERROR", None), "the caller's default counts", wrong)
                check(len(lines) == 1 and "now_ms" in lines.pop(), "and it is told how to mend it", lines)
            for wrong in (5, "text", "", "\ud800", b"string", object(), float("nan")):
                found = decide("flag-0", unit, type=wrong)
                check((found.reason, found.variation) == ("ERROR", None), "the caller's default counts", wrong)
                check(len(lines) == 1 and "bool, string, int, float, json" in lines.pop(), "and it is told", lines)
            check(decide("flag-0", unit, type="string").reason == "SPLIT", "the right type")
            check(decide("flag-0", unit, type="int").reason == "TYPE_MISMATCH", "another type")
        for wrong in (1 << 70, float("nan"), "5"):
            found = {decision.reason for decision in of.evaluate_all(unit, wrong).values()}
            check(found == {"ERROR"}, "of all flags", found)
            found = {decision.reason for decision in of.evaluate_many("flag-0", [unit, unit], wrong)}
            check(found == {"ERROR"}, "for many", found)
            check(len(lines) == 2, "told once each", lines)
            lines.clear()
        check({one.reason for one in of.evaluate_all(unit, 1.5).values()} == {"SPLIT"}, "all take a float")
        check(of.evaluate_many("flag-0", [unit], 1.5)[0].reason == "SPLIT", "and so do many")
        check(of.explain("flag-0", unit, 1.5) == of.explain("flag-0", unit, 1), "and explain")
    client.close(0.1)
    logger.removeHandler(handler)
    early = Client("http://127.0.0.1:9", "k", stream=False)
    check(early.decide("flag-0", unit, now_ms=1 << 70).reason == "NOT_READY", "without a manifest it does not matter")
    early.close(0.1)
    check(scheduled() == ["SPLIT", "DEFAULT", "SPLIT"], "a float is cut off", scheduled())


def scheduled() -> list[str]:
    """An experiment that ends at 1000: before, at, and a little before in floating point."""
    body = json.loads(manifest(1, 1))
    body["flags"]["flag-0"]["rules"][0]["end_ms"] = 1_000
    engine = Engine(json.dumps(body).encode())
    moments: list[Any] = [999, 1_000, 999.99]
    return [engine.evaluate("flag-0", {"user_id": "u"}, moment).reason for moment in moments]


def carried() -> str:
    """The vectors' contexts, as dicts, as kept contexts and by `expose`: the events carry what the vectors say."""
    script = json.loads((pathlib.Path(__file__).parents[2] / "vectors/session.json").read_text())
    name = "exposures carry attributes: strings of at most 64 characters and booleans"
    case = next(case for case in script["cases"] if case["name"] == name)
    taken = [step["body"] for step in case["steps"] if step["do"] == "manifest_response"]
    steps = [step for step in case["steps"] if step["do"] == "expose"]
    sent = next(step["expect"]["body"] for step in case["steps"] if step["do"] == "next" and "body" in step["expect"])
    expected = [(event["user_id"], event.get("properties")) for event in json.loads(sent)["events"]]
    count = len(expected)
    check(
        count == len(steps) > 30 and sum(found is not None for _, found in expected) > 15,
        "the case is a good one",
        count,
    )
    ways: dict[str, Callable[[Client, str, dict[str, Any]], object]] = {
        "decide": lambda client, flag, context: client.decide(flag, context),
        "decide with a Context": lambda client, flag, context: client.decide(flag, Context(context)),
        "expose": lambda client, flag, context: client.expose(client.evaluate(flag, context)),
        "expose with a Context": lambda client, flag, context: client.expose(client.evaluate(flag, Context(context))),
    }
    for way, seen in ways.items():
        with tempfile.TemporaryDirectory() as directory:
            spool = os.path.join(directory, "spool")
            bootstrap = script["manifests"][taken[0]].encode()
            client = Client("http://127.0.0.1:9", "k", bootstrap=bootstrap, spool=spool, stream=False)
            for step in steps:
                seen(client, step["flag"], step["context"])
            client.close(0.1)
            with open(spool, "rb") as file:
                events = json.loads(file.read().split(b"\n")[1])["events"]
        check([(event["user_id"], event.get("properties")) for event in events] == expected, way, events)
    return f"{count} contexts, {len(ways)} ways"


PROOFS = [
    ("a panic inside becomes an exception, and the process lives", panic),
    ("1,000,000 decisions and 1,000 updates leave no memory behind", memory),
    ("a context that holds its own decision is collected", cycles),
    ("contexts that are kept hold no old manifests", kept_contexts),
    ("optional arguments that are wrong are told, and nothing is raised", arguments),
    ("exposures carry the attributes that the vectors say", carried),
    ("other threads run during long calls", others_run),
    ("two deciding threads don't wait for each other", two_threads),
    ("updates while four threads decide never mix two snapshots", no_mixture),
    ("an update of 20,000 flags holds up no other thread's decisions", updates_hold_up_nobody),
    ("the import takes less than 30 ms", importing),
]

if __name__ == "__main__":
    for title, prove in PROOFS:
        if len(sys.argv) > 2 and not any(word in title for word in sys.argv[2:]):
            continue
        began = time.monotonic()
        detail = prove()
        print(f"  {title} ({f'{detail}, ' if detail else ''}{time.monotonic() - began:.1f} s)", flush=True)
