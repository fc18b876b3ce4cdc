"""Client and AsyncClient against a running server: each event counted once, kill switches seen, outages survived.

python end_to_end.py small|full [WORD …]
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import logging
import signal
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeAlias

from evenhand import AsyncClient, Client, Context, EvenhandError, FileStickyStore, ManifestError, MemoryStickyStore

from served import EXPERIMENT, HOUR_MS, Shop, figures, finished, python, run

Kind: TypeAlias = "type[Client] | type[AsyncClient]"
NOWHERE = ("http://127.0.0.1:9", "key-of-nobody")
FAST = {"backoff_base_ms": 50, "backoff_max_ms": 200, "flush_interval_ms": 20}
told: list[str] = []
loop = asyncio.new_event_loop()


class Keep(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        told.append(f"{record.levelname} {record.evenhand_code}: {record.getMessage()}")  # type: ignore[attr-defined]


def done(answer: Any) -> Any:
    """What a client's method gives, awaited where it is to be."""
    return loop.run_until_complete(answer) if inspect.isawaitable(answer) else answer


def ready(shop: Shop, kind: Kind, **more: Any) -> Any:
    client = kind(shop.base, shop.key, **more)
    shop.check(done(client.wait_ready(15)), "it becomes ready", client.telemetry())
    return client


def begins(shop: Shop, kind: Kind) -> None:
    began = time.perf_counter()
    client = kind(*NOWHERE)
    took = time.perf_counter() - began
    shop.check(took < 0.25, "construction waits for nothing", took)
    decision = client.decide("checkout", {"user_id": "early"})
    shop.equal(
        (decision.reason, decision.variation, decision.value), ("NOT_READY", None, None), "before the first manifest"
    )
    shop.equal(client.string_value("checkout", {"user_id": "early"}, "mine"), "mine", "the caller's default counts")
    shop.equal(client.float_value("checkout", {"user_id": "early"}, None), None, "whatever it is")
    shop.check(done(client.wait_ready(0.1)) is False, "it is not ready in time")
    try:
        client.explain("checkout", {})
    except EvenhandError as error:
        shop.check("no manifest" in str(error), "explain says what is missing", str(error))
    else:
        shop.check(False, "explain raises without a manifest")
    done(client.close(0.1))
    shop.check(done(client.wait_ready()) is False and done(client.flush()) is True, "waiting ends with the client")


def once(shop: Shop, kind: Kind) -> None:
    units, bought, exposures, twice = shop.units(), shop.conversions(), shop.rows("$exposure"), shop.duplicates()
    client = ready(shop, kind, flush_interval_ms=50)
    before = shop.arms()
    expected = dict(before)
    for number in range(300):
        unit: Any = {"user_id": f"{kind.__name__}-{number}"}
        unit = Context(unit) if number % 2 else unit
        decision = client.decide("checkout", unit)
        for _ in range(3):
            shop.equal(client.string_value("checkout", unit, "mine"), decision.value, "the same again")
        expected[decision.variation] += 1
        if number % 3 == 0:
            value = (1.25, "1.25", Decimal("1.25"), 1)[number % 4]
            shop.check(
                client.track("purchase", unit, value, {"shop": "Zürich"}) is not None, "an event is queued", number
            )
    later = client.evaluate("checkout", {"user_id": f"{kind.__name__}-later"})
    many = client.evaluate_many("checkout", [{"user_id": f"unseen-{number}"} for number in range(50)])
    shop.equal(len(many), 50, "evaluate_many decides for all")
    client.expose(later)
    client.expose(later)
    expected[later.variation] += 1
    shop.check(done(client.flush()), "the queue is flushed", client.telemetry())
    shop.eventually(shop.arms, lambda found: found == expected, f"the arms are {expected}")
    shop.eventually(shop.conversions, lambda found: found == bought + 100, "100 conversions")
    shop.equal((shop.units() - units, shop.rows("$exposure") - exposures), (301, 301), "301 units by 301 exposures")
    shop.equal(shop.duplicates(), twice, "nothing came twice")
    sent = client.telemetry()
    shop.equal(
        (sent["exposures"]["sent"], sent["events"]["sent"], sent["held_events"]),
        (301, 100, 0),
        "and so say the numbers",
    )
    for name, context, more in (
        ("purchase", {}, {}),
        ("", {"user_id": "u"}, {}),
        ("purchase", {"user_id": "u"}, {"value": "much"}),
        ("purchase", {"user_id": "u"}, {"value": True}),
        ("purchase", {"user_id": "u"}, {"properties": {"x": object()}}),
        ("purchase", {"user_id": "u"}, {"properties": {"x": float("nan")}}),
        ("purchase", {"user_id": "u"}, {"timestamp_ms": 1 << 70}),
        ("purchase", 5, {}),
    ):
        seen = len(told)
        shop.equal(
            client.track(name, context, **more), None, f"no event, and nothing raised: {name!r} {context} {more}"
        )
        shop.check(any("ERROR track_refused" in line for line in told[seen:]), "it is told", told[seen:])
    done(client.close())


def killed_by_push(shop: Shop, kind: Kind) -> str:
    client = ready(shop, kind)
    shop.eventually(lambda: client.telemetry()["streaming"], bool, "the stream opens")
    took = kill_switch(shop, client, 1.0)
    done(client.close())
    figures(f"kill by push, {kind.__name__}", seconds=took)
    return f"{took * 1000:.0f} ms"


def killed_by_poll(shop: Shop, kind: Kind) -> str:
    client = ready(shop, kind, stream=False, poll_interval_ms=1_000)
    shop.eventually(lambda: client.telemetry()["manifest_confirmations"], bool, "an unchanged manifest is confirmed")
    shop.equal(client.telemetry()["snapshots"], 1, "and not taken again")
    took = kill_switch(shop, client, 1.3)
    done(client.close())
    return f"{took * 1000:.0f} ms"


def kill_switch(shop: Shop, client: Any, limit: float) -> float:
    def reason() -> str:
        return str(client.evaluate("checkout", {"user_id": "u-1"}).reason)

    began = time.monotonic()
    shop.act(EXPERIMENT, "kill")
    shop.eventually(reason, lambda found: found == "KILLED", "the kill is seen")
    took = time.monotonic() - began
    shop.check(took < limit, f"within {limit} s", took)
    shop.act(EXPERIMENT, "unkill")
    shop.eventually(reason, lambda found: found == "SPLIT", "so is its end")
    return took


def outage(shop: Shop, kind: Kind) -> None:
    before, notes = shop.units(), shop.rows("note")
    client = ready(shop, kind, **FAST)
    shop.kill()
    fresh = kind(shop.base, shop.key, **FAST)
    shop.check(not done(fresh.wait_ready(0.3)), "a client that finds no server is not ready")
    shop.equal(fresh.decide("checkout", {"user_id": "x"}).reason, "NOT_READY", "and says so")
    shop.check(fresh.track("note", {"user_id": "x"}) is not None, "it takes events nevertheless")
    for number in range(40):
        unit = {"user_id": f"outage-{kind.__name__}-{number}"}
        shop.equal(client.decide("checkout", unit).reason, "SPLIT", "decisions go on")
    shop.check(not done(client.flush(0.3)), "nothing can be sent")
    shop.revive()
    shop.check(done(client.flush()), "everything is sent", client.telemetry())
    shop.check(done(fresh.wait_ready(10)), "the other becomes ready by itself", fresh.telemetry())
    shop.eventually(shop.units, lambda found: found == before + 40, "the 40 units are counted")
    shop.eventually(
        lambda: shop.rows("note"),
        lambda found: found == notes + 1,
        "what was tracked before there was a manifest arrives",
    )
    done(client.close())
    done(fresh.close())


SPOOLING = """
import json, sys, time, {module}evenhand
async def main():
    client = evenhand.{kind}(**json.loads(sys.argv[1]))
    {ready}
    for number in range(60):
        client.decide("checkout", {{"user_id": f"spooled-{kind}-{{number}}"}})
    time.sleep(1.2)
    print("written", flush=True)
    time.sleep(60)
"""


def spooled(shop: Shop, kind: Kind) -> None:
    before, twice = shop.units(), shop.duplicates()
    spool = shop.directory / f"spool-{kind.__name__}"
    options = json.dumps({"url": shop.base, "key": shop.key, "spool": str(spool), "flush_interval_ms": HOUR_MS})
    waiting = "client.wait_ready(15)" if kind is Client else "await client.wait_ready(15)"
    script = SPOOLING.format(module="asyncio, ", kind=kind.__name__, ready=waiting) + "asyncio.run(main())"
    child = python("-c", script, options)
    assert child.stdout is not None
    shop.equal(child.stdout.readline().strip(), "written", "the child decides")
    child.send_signal(signal.SIGKILL)
    child.wait()
    shop.equal(shop.units(), before, "nothing was sent yet")
    shop.equal(oct(spool.stat().st_mode & 0o777), "0o600", "the spool is its owner's alone")
    shop.kill()
    client = kind(shop.base, shop.key, spool=spool, **FAST)
    offline = client.decide("checkout", {"user_id": f"offline-{kind.__name__}"})
    shop.equal(offline.reason, "SPLIT", "the spooled manifest decides at once, without a server")
    shop.equal(client.telemetry()["exposures"]["restored"], 60, "sixty exposures come back")
    shop.revive()
    shop.check(done(client.flush()), "they are sent", client.telemetry())
    shop.eventually(shop.units, lambda found: found == before + 61, "61 units are counted")
    done(client.close())
    again = kind(shop.base, shop.key, spool=spool)
    shop.equal(again.telemetry()["exposures"]["restored"], 0, "and never again")
    done(again.close())
    shop.equal(shop.duplicates(), twice, "nothing came twice")


def spool_files(shop: Shop, kind: Kind) -> None:
    folder = shop.directory / f"shared-{kind.__name__}"
    folder.mkdir()
    spool = folder / "spool"
    clients = [kind(*NOWHERE, spool=spool, bootstrap=shop.manifest().encode()) for _ in range(3)]
    for client in clients:
        client.track("note", {"user_id": "a"})
    names = lambda: sorted(path.name for path in folder.iterdir() if not path.name.endswith((".lock", ".new")))  # noqa: E731
    shop.eventually(names, lambda found: len(found) == 3, "each client has its file")
    for client in clients:
        done(client.close(0.1))
    heir = kind(*NOWHERE, spool=spool)
    shop.equal(heir.telemetry()["events"]["restored"], 3, "whoever comes later takes over all of them")
    shop.equal(names(), ["spool"], "into its own")
    done(heir.close(0.1))
    spool.write_bytes(b"EHSPOOL1 damaged")
    seen = len(told)
    damaged = kind(*NOWHERE, spool=spool)
    shop.check(
        any("spool_ignored" in line for line in told[seen:]), "a damaged spool is told, and ignored", told[seen:]
    )
    done(damaged.close(0.1))
    done(kind(*NOWHERE, spool=folder / "nowhere" / "spool").close(0.1))
    failed = [line for line in told[seen:] if "ERROR spool_failed" in line]
    shop.check(bool(failed) and "nowhere" in failed[0], "a folder that is not there is told", told[seen:])


def at_exit(shop: Shop, kind: Kind) -> str:
    before = shop.units()
    script = (
        "import json, sys, evenhand; client = evenhand.{kind}(**json.loads(sys.argv[1]))\n"
        "while client.manifest is None: pass\n"
        "for number in range(20): client.decide('checkout', {{'user_id': f'exit-{kind}-{{number}}'}})"
    )
    options = json.dumps({"url": shop.base, "key": shop.key, "flush_interval_ms": HOUR_MS})
    began = time.monotonic()
    finished(python("-X", "dev", "-W", "error", "-c", script.format(kind=kind.__name__), options), 20)
    took = time.monotonic() - began
    shop.eventually(shop.units, lambda found: found == before + 20, "what was queued is sent before the process ends")
    return f"{took:.1f} s in all"


def bootstrap(shop: Shop, kind: Kind) -> None:
    manifest = shop.manifest().encode()
    file = shop.directory / "manifest.json"
    file.write_bytes(manifest)
    unit = {"user_id": "u"}
    for source in (manifest, file, str(file)):
        client = kind(*NOWHERE, bootstrap=source, overrides={"checkout": "treatment"})
        shop.check(done(client.wait_ready(0)), "ready at once", "")
        forced = client.decide("checkout", unit)
        shop.equal((forced.reason, forced.value), ("OVERRIDE", "b"), "an override of the options holds")
        shop.equal(client.evaluate_many("checkout", [unit])[0].reason, "OVERRIDE", "for many too")
        shop.check("OVERRIDE" in json.dumps(client.explain("checkout", unit)), "and in what is explained")
        shop.equal(client.evaluate_all(unit)["checkout"].reason, "OVERRIDE", "and for all flags")
        linked = Context(unit, forced={"checkout": "control"})
        shop.equal(client.evaluate("checkout", linked).value, "a", "what a context forces counts before the client's")
        client.override("checkout", None)
        shop.equal(client.decide("checkout", unit).reason, "SPLIT", "it ends")
        client.override("checkout", "control")
        shop.equal(client.decide("checkout", unit).value, "a", "another begins")
        done(client.close(0.05))
    empty = kind(*NOWHERE, bootstrap=shop.directory / "nowhere.json")
    shop.check(
        any("ERROR bootstrap_ignored" in line and "nowhere.json" in line for line in told),
        "a missing bootstrap is told",
        told[-3:],
    )
    try:
        empty.update_manifest(b"{}")
    except ManifestError as error:
        shop.check(bool(error.code) and len(error.message) > 15, "a refused manifest is explained", str(error))
    else:
        shop.check(False, "a manifest that is none is refused")
    empty.update_manifest(manifest)
    shop.equal(empty.decide("checkout", unit).reason, "SPLIT", "a manifest from elsewhere decides")
    done(empty.close(0.05))


def sticky(shop: Shop, kind: Kind) -> None:
    body = json.loads(shop.api("GET", "/api/environments/production/manifest").body)
    body = body.get("manifest", body)
    body["flags"]["checkout"]["rules"][0]["sticky"] = True
    other = json.loads(json.dumps(body))
    other["version"] += 1
    other["flags"]["checkout"]["rules"][0]["split"]["ranges"] = [[0, 1, "control"], [1, 4294967296, "treatment"]]
    memory = MemoryStickyStore()
    file = shop.directory / f"sticky-{kind.__name__}"
    for store in (lambda: memory, lambda: FileStickyStore(file)):
        first = kind(*NOWHERE, bootstrap=json.dumps(body).encode(), sticky_store=store())
        given = [first.decide("checkout", {"user_id": number}).variation for number in range(50)]
        done(first.close(0.05))
        second = kind(*NOWHERE, bootstrap=json.dumps(other).encode(), sticky_store=store())
        after = [second.decide("checkout", {"user_id": number}) for number in range(50)]
        shop.equal(
            [(one.variation, one.reason) for one in after],
            [(one, "STICKY") for one in given],
            "everybody keeps what they had",
        )
        shop.check("control" in given, "also the arm that nobody new gets")
        shop.equal(second.decide("checkout", {"user_id": "new"}).variation, "treatment", "a new unit does not")
        own = {
            "experiment": EXPERIMENT,
            "phase": 1,
            "unit": "0",
            "variation": "control" if given[0] == "treatment" else "treatment",
        }
        kept = second.evaluate("checkout", Context({"user_id": 0}, sticky=[own]))
        shop.equal(kept.variation, own["variation"], "what a context has itself counts before the store")
        done(second.close(0.05))

    class Broken:
        def load(self, unit: str) -> Any:
            raise OSError(f"no shelf for {unit}")

        def save(self, record: Any) -> None:
            raise OSError("no shelf")

    client = kind(*NOWHERE, bootstrap=json.dumps(body).encode(), sticky_store=Broken())
    seen = len(told)
    shop.equal(client.decide("checkout", {"user_id": "u"}).reason, "SPLIT", "a broken store does not stop a decision")
    shop.equal(sum("ERROR sticky_store" in line for line in told[seen:]), 2, "it is told")
    done(client.close(0.05))


def refused(shop: Shop, kind: Kind) -> None:
    for more, part in (
        ({"url": "flags.example.com"}, "url"),
        ({"url": "http://h:x"}, "url"),
        ({"key": ""}, "key"),
        ({"key": "two\nlines"}, "key"),
        ({"timeout": 0}, "timeout"),
        ({"keys": {"k": "no key"}}, "k"),
        ({"audience": "nobody"}, "audience"),
        ({"poll_interval_ms": 1}, "poll_interval_ms"),
        ({"poll_interval_ms": -1}, "poll_interval_ms"),
        ({"poll_interval_ms": 1.5}, "poll_interval_ms"),
        ({"poll_interval": 5_000}, "poll_interval"),
    ):
        try:
            kind(**{"url": shop.base, "key": shop.key, **more})  # type: ignore[arg-type]
        except ValueError as error:
            shop.check(part in str(error), f"{more} is refused by name", str(error))
        else:
            shop.check(False, f"{more} is refused")
    client = kind(shop.base, "wrong")
    shop.eventually(
        lambda: [line for line in told if line.startswith("ERROR manifest_denied")], bool, "a denied key is told"
    )
    done(client.close(0.05))
    seen = len(told)
    open_client = ready(shop, kind)
    shop.equal(open_client.evaluate("nope", {"user_id": "u"}).reason, "FLAG_UNKNOWN", "an unknown flag")
    shop.equal(open_client.evaluate("checkout", 5).reason, "ERROR", "what is no context")
    shop.equal(open_client.decide("checkout", {"user_id": "u"}, type="int").reason, "TYPE_MISMATCH", "another type")
    shop.check(
        all("WARNING" in line for line in told[seen:]) and len(told) > seen, "what is wrong is told", told[seen:]
    )
    done(open_client.close())


def both(prove: Callable[[Shop, Any], str | None], kind: Kind) -> Callable[[Shop], str | None]:
    return functools.partial(lambda shop, prove, kind: prove(shop, kind), prove=prove, kind=kind)


TITLES: list[tuple[str, Callable[[Shop, Any], str | None]]] = [
    ("before the first manifest", begins),
    ("exposures and conversions arrive exactly once", once),
    ("a kill is seen within a second by push", killed_by_push),
    ("and within the poll interval without push", killed_by_poll),
    ("a dead server: decisions go on, what is queued arrives after its return", outage),
    ("killed with events in the spool: the next start has the manifest, and sends them", spooled),
    ("spool files: shared, inherited, damaged", spool_files),
    ("the end of the process sends what is queued", at_exit),
    ("bootstrap and overrides", bootstrap),
    ("sticky stores", sticky),
    ("what can't be right is refused by name, or told", refused),
]

if __name__ == "__main__":
    logging.getLogger("evenhand").addHandler(Keep())
    logging.getLogger("evenhand").propagate = False
    logging.getLogger("evenhand").setLevel(logging.INFO)
    kinds: list[Kind] = [Client, AsyncClient]
    run("end to end", [(f"{kind.__name__}: {title}", both(prove, kind)) for title, prove in TITLES for kind in kinds])
