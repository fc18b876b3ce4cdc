"""The provider of the installed package against a running server: exposures and tracking arrive once, changes are heard.

python end_to_end.py small|full [WORD …]
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import os
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

ROOT = Path(os.environ["EVENHAND_ROOT"])
sys.path.insert(0, str(ROOT / "tests" / "sdk" / "python"))

from evenhand import AsyncClient, Client, MemoryStickyStore  # noqa: E402
from evenhand.openfeature import EvenhandProvider  # noqa: E402
from openfeature import api  # noqa: E402
from openfeature.evaluation_context import EvaluationContext  # noqa: E402
from openfeature.event import EventDetails, ProviderEvent  # noqa: E402
from openfeature.flag_evaluation import FlagEvaluationOptions, Reason  # noqa: E402
from openfeature.hook import Hook  # noqa: E402
from openfeature.telemetry import create_evaluation_event  # noqa: E402
from openfeature.track import TrackingEventDetails  # noqa: E402
from served import EXPERIMENT, Shop, run  # noqa: E402

MANIFEST = ROOT / "tests" / "openfeature" / "manifest.json"
NOWHERE = ("http://127.0.0.1:9", "nobody")
QUICK = {"flush_interval_ms": 20, "backoff_base_ms": 50, "backoff_max_ms": 200}


def user(key: str, **attributes: Any) -> EvaluationContext:
    return EvaluationContext(key, attributes)


def counted_once(shop: Shop) -> str:
    units, bought = shop.units(), shop.conversions()
    provider = EvenhandProvider.connect(shop.base, shop.key, **QUICK)
    api.set_provider_and_wait(provider)
    client = api.get_client()
    arms = {"a": 0, "b": 0}
    for number in range(60):
        someone = user(f"of-{number}", country="NZ", since=datetime.now(timezone.utc))
        details = client.get_string_details("checkout", "mine", someone)
        shop.equal(details.reason, Reason.SPLIT, "it is drawn")
        shop.equal(details.flag_metadata["experiment"], EXPERIMENT, "the metadata name the experiment")
        arms[details.value] += 1
        for _ in range(3):
            shop.equal(client.get_string_value("checkout", "mine", someone), details.value, "the same again")
        if number % 3 == 0:
            more = {"plan": "pro", "at": datetime(2026, 1, 2, tzinfo=timezone.utc), "cart": {"items": [1, 2]}}
            client.track("purchase", someone, TrackingEventDetails(value=9.99, attributes=more))
    shop.check(min(arms.values()) > 10, "both arms are dealt", arms)
    # No unit: refused with a log, and nothing raised.
    client.track("purchase", EvaluationContext(attributes={"country": "NZ"}))
    api.shutdown()
    shop.equal(provider.client, None, "its own client is closed, with all delivered")
    shop.takes(units + 60, bought + 20)
    query = "SELECT DISTINCT value, properties FROM events WHERE event_name = 'purchase'"
    shop.equal(
        tracked(shop.sql(query)),
        [("9.99", {"plan": "pro", "at": "2026-01-02T00:00:00.000Z", "cart": {"items": [1, 2]}})],
        "value and attributes of the tracking arrive",
    )
    return f"{arms['a']} and {arms['b']} units"


def tracked(rows: list[list]) -> list[tuple[str, Any]]:
    return [
        (str(value), json.loads(properties) if isinstance(properties, str) else properties)
        for value, properties in rows
    ]


def asynchronous(shop: Shop) -> None:
    units = shop.units()

    async def ask() -> list[Any]:
        async with AsyncClient(shop.base, shop.key, **QUICK) as client:
            # `set_provider` begins on a thread of the SDK: the event loop goes on.
            loop, ready = asyncio.get_running_loop(), asyncio.Event()
            of = api.get_client("async")

            def told(details: EventDetails) -> None:
                if details.provider_name == "Evenhand":
                    loop.call_soon_threadsafe(ready.set)

            of.add_handler(ProviderEvent.PROVIDER_READY, told)
            api.set_provider(EvenhandProvider(client), "async")
            await asyncio.wait_for(ready.wait(), 10)
            found = await asyncio.gather(
                *(of.get_string_details_async("checkout", "mine", user(f"async-{number}")) for number in range(40))
            )
            shop.equal(
                [of.get_string_value("checkout", "mine", user(f"async-{n}")) for n in range(40)],
                [d.value for d in found],
                "as synchronously",
            )
            return found

    found = asyncio.run(ask())
    shop.equal({details.reason for details in found}, {Reason.SPLIT}, "all are drawn")
    api.shutdown()
    shop.takes(units + 40)


def changes_are_heard(shop: Shop) -> str:
    heard: list[EventDetails] = []
    client = Client(shop.base, shop.key, **QUICK)
    api.set_provider_and_wait(EvenhandProvider(client))
    of = api.get_client()
    of.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, heard.append)
    before = of.get_string_details("checkout", "mine", user("watcher"))
    shop.equal(before.reason, Reason.SPLIT, "it runs")
    began = time.monotonic()
    shop.act(EXPERIMENT, "pause")
    shop.eventually(lambda: len(heard), bool, "the pause is told")
    took = time.monotonic() - began
    paused = of.get_string_details("checkout", "mine", user("watcher"))
    shop.equal(
        (paused.reason, paused.variant, paused.flag_metadata["evenhandReason"]),
        (Reason.DISABLED, "control", "PAUSED"),
        "and applied",
    )
    shop.check(paused.flag_metadata["manifestVersion"] > before.flag_metadata["manifestVersion"], "by a newer manifest")
    shop.act(EXPERIMENT, "resume")
    shop.eventually(
        lambda: of.get_string_details("checkout", "mine", user("watcher")).reason,
        lambda found: found == Reason.SPLIT,
        "and back",
    )
    shop.equal(of.get_string_value("checkout", "mine", user("watcher")), before.value, "with the same variation")
    api.shutdown()
    # A client that was handed in is its owner's.
    shop.equal(client.decide("checkout", {"user_id": "watcher"}).value, before.value, "it goes on")
    shop.check(client.track("still-open", {"user_id": "watcher"}) is not None, "and is open")
    client.close()
    shop.eventually(lambda: shop.rows("still-open"), lambda found: found == 1, "what its owner tracks arrives")
    return f"heard within {took * 1000:.0f} ms"


def closed_elsewhere(shop: Shop) -> None:
    client = Client(shop.base, shop.key)
    api.set_provider_and_wait(EvenhandProvider(client))
    of = api.get_client()
    errors: list[EventDetails] = []
    of.add_handler(ProviderEvent.PROVIDER_ERROR, errors.append)
    client.close()
    shop.eventually(lambda: of.get_provider_status().value, lambda found: found == "ERROR", "the SDK learns of it")
    shop.eventually(lambda: errors, bool, "its handler is told")
    shop.check("closed" in (errors[0].message or ""), "and why", errors)
    shop.equal(of.get_string_value("checkout", "mine", user("watcher")) in ("a", "b"), True, "decisions go on")
    api.shutdown()


def late_manifest(shop: Shop) -> None:
    """Not ready in time: an error; the manifest comes later: ready, and no change of configuration."""
    events: list[str] = []
    provider = EvenhandProvider.connect(*NOWHERE, ready_timeout=0.2, close_timeout=0.2)
    of = api.get_client("late")

    def told(name: str, details: EventDetails) -> None:
        # Until ours is set, the SDK's own is there, and ready.
        if details.provider_name == "Evenhand":
            events.append(name)

    for event in ProviderEvent:
        of.add_handler(event, functools.partial(told, event.value))
    began = time.monotonic()
    try:
        api.set_provider_and_wait(provider, "late")
    except Exception as error:
        shop.check("no manifest within 0.2 s" in str(error.error_message), "it says what is missing", error)  # type: ignore[attr-defined]
    else:
        shop.check(False, "the initialization fails")
    shop.check(time.monotonic() - began < 2, "in time")
    provider.client.update_manifest(MANIFEST.read_bytes())  # type: ignore[union-attr]
    shop.eventually(lambda: of.get_provider_status().value, lambda found: found == "READY", "it becomes ready")
    expected = ["PROVIDER_ERROR", "PROVIDER_READY"]
    shop.eventually(lambda: events, lambda found: found == expected, "the events, in order")
    shop.equal(of.get_boolean_value("boolean-flag", False), True, "and decides")
    api.shutdown()


def what_is_exposed(shop: Shop) -> None:
    """Only what was handed out; sticky assignments are kept; the unit is what was asked for."""
    store = MemoryStickyStore()
    provider = EvenhandProvider.connect(*NOWHERE, bootstrap=MANIFEST, sticky_store=store, close_timeout=0.1)
    api.set_provider_and_wait(provider)
    of = api.get_client()

    def queued() -> int:
        return provider.client.telemetry()["exposures"]["queued"]  # type: ignore[union-attr]

    of.get_integer_value("split-flag", 1, user("u1"))
    of.get_object_value("bare-json-flag", {}, user("u1"))
    of.get_string_value("missing-flag", "", user("u1"))
    of.get_string_value("split-flag", "", EvaluationContext())
    of.get_boolean_value("rollout-flag", False, user("u1"))
    shop.equal(queued(), 0, "what was not shown, or is no experiment, is not exposed")
    of.get_string_value("split-flag", "", user("u1"))
    of.get_string_value("split-flag", "", user("u1"))
    shop.equal(queued(), 1, "what was shown is, once")
    first = of.get_string_details("sticky-flag", "", user("u1"))
    again = of.get_string_details("sticky-flag", "", user("u1"))
    shop.equal(
        (again.value, again.reason, again.flag_metadata["evenhandReason"]),
        (first.value, Reason.SPLIT, "STICKY"),
        "an assignment that was kept is of the split",
    )
    both = EvaluationContext("u1", {"user_id": "tester"})
    shop.equal(
        of.get_string_details("split-flag", "", both).flag_metadata["evenhandReason"],
        "OVERRIDE",
        "an attribute of the unit's name goes before the targeting key",
    )
    api.shutdown()
    company = EvenhandProvider.connect(*NOWHERE, bootstrap=MANIFEST, unit="company_id", close_timeout=0.1)
    api.set_provider_and_wait(company)
    shop.equal(of.get_string_details("company-flag", "", user("c-1")).reason, Reason.SPLIT, "another unit")
    shop.equal(
        of.get_string_details("company-flag", "mine").error_code.value, "TARGETING_KEY_MISSING", "which is missing then"
    )  # type: ignore[union-attr]
    api.shutdown()


def dates(shop: Shop) -> None:
    provider = EvenhandProvider.connect(*NOWHERE, bootstrap=MANIFEST, close_timeout=0.1)
    api.set_provider_and_wait(provider)
    of = api.get_client()
    east = timezone(timedelta(hours=13))
    for since, expected in [
        (datetime(2026, 1, 1), True),
        (datetime(2025, 12, 31, 23, 59, 59, 999_999), False),
        (datetime(2026, 1, 1, 12, 59, tzinfo=east), False),
        (datetime(2026, 1, 1, 13, 0, tzinfo=east), True),
        # Out of the calendar: unusable, and nothing raised.
        (datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))), False),
    ]:
        shop.equal(of.get_boolean_value("date-flag", False, user("u", since=since)), expected, f"since {since}")
    shop.equal(provider.client.unusable_attributes(), {"since": 1}, "the last one is counted")  # type: ignore[union-attr]
    api.shutdown()


def telemetry_hook(shop: Shop) -> None:
    """OpenFeature's own telemetry finds the names that it knows."""
    events: list[Any] = []

    class Telemetry(Hook):
        def finally_after(self, hook_context: Any, details: Any, hints: Any) -> None:
            events.append(create_evaluation_event(hook_context, details))

    api.set_provider_and_wait(EvenhandProvider.connect(*NOWHERE, bootstrap=MANIFEST, close_timeout=0.1))
    of = api.get_client()
    of.get_string_details("split-flag", "", user("u1"), FlagEvaluationOptions(hooks=[Telemetry()]))
    found = {str(getattr(name, "value", name)): value for name, value in events[0].attributes.items()}
    shop.equal(
        {
            name: found.get(name)
            for name in (
                "feature_flag.evaluation.reason",
                "feature_flag.set.id",
                "feature_flag.version",
                "feature_flag.provider_name",
            )
        },
        {
            "feature_flag.evaluation.reason": "split",
            "feature_flag.set.id": "gherkin",
            "feature_flag.version": "7",
            "feature_flag.provider_name": "Evenhand",
        },
        "reason, flag set, version and provider",
    )
    api.shutdown()


def listeners(shop: Shop) -> None:
    """`on_change`, without OpenFeature: each kind, in order, until it is ended; one that raises disturbs nobody."""
    logging.getLogger("evenhand").setLevel(logging.CRITICAL)
    heard: list[str] = []
    threads: set[threading.Thread] = set()
    client = Client(shop.base, shop.key, stream=False, poll_interval_ms=1_000, stale_after_ms=4_000, **QUICK)

    def broken(change: str) -> None:
        raise ValueError(change)

    def listener(change: str) -> None:
        heard.append(change)
        threads.add(threading.current_thread())

    end_broken, end = client.on_change(broken), client.on_change(listener)
    shop.check(client.wait_ready(10), "it is ready")
    shop.eventually(lambda: heard, lambda found: found == ["manifest"], "the first manifest")
    shop.kill()
    shop.eventually(lambda: heard, lambda found: found == ["manifest", "stale"], "stale")
    shop.revive()
    shop.eventually(lambda: heard, lambda found: found[:3] == ["manifest", "stale", "fresh"], "fresh again")
    shop.check(threading.main_thread() not in threads, "on threads of the client", threads)
    told = len(heard)
    end()
    end()
    end_broken()
    client.close()
    shop.equal(len(heard), told, "what has ended hears nothing more")
    denied = Client(shop.base, "wrong-key")
    found: list[str] = []
    denied.on_change(found.append)
    shop.eventually(lambda: found, lambda told: told == ["denied"], "a wrong key")
    denied.update_manifest(MANIFEST.read_bytes())
    shop.eventually(lambda: found, lambda told: told == ["denied", "manifest", "fresh"], "a manifest after all")
    denied.close(0.1)
    shop.equal(found[-1], "closed", "the end")
    logging.getLogger("evenhand").setLevel(logging.NOTSET)


def forked(shop: Shop) -> None:
    """A child's provider goes on: it hears of changes, and its exposures arrive. (The SDK's own event threads don't survive a fork.)"""
    units = shop.units()
    provider = EvenhandProvider.connect(shop.base, shop.key, **QUICK)
    api.set_provider_and_wait(provider)
    reader, writer = os.pipe()
    heard = threading.Event()
    provider.client.on_change(lambda change: heard.set() if change == "manifest" else None)  # type: ignore[union-attr]
    child = os.fork()
    if child == 0:
        code = 1
        try:
            api.get_client().get_string_value("checkout", "mine", user("child"))
            os.write(writer, b"?")
            code = 0 if heard.wait(15) else 2
            if api.get_client().get_string_details("checkout", "mine", user("child")).reason != Reason.DISABLED:
                code = 3
            provider.shutdown()
        finally:
            os._exit(code)
    os.read(reader, 1)
    shop.act(EXPERIMENT, "pause")
    _, status = os.waitpid(child, 0)
    shop.equal(os.waitstatus_to_exitcode(status), 0, "the child hears of the change")
    shop.act(EXPERIMENT, "resume")
    api.shutdown()
    shop.takes(units + 1)


if __name__ == "__main__":
    run(
        "OpenFeature for Python",
        [
            ("counted once", counted_once),
            ("asynchronous", asynchronous),
            ("changes are heard", changes_are_heard),
            ("a client closed elsewhere", closed_elsewhere),
            ("a late manifest", late_manifest),
            ("what is exposed", what_is_exposed),
            ("dates", dates),
            ("OpenFeature's telemetry", telemetry_hook),
            ("listeners", listeners),
            ("forked", forked),
        ],
    )
