"""Providers in every state, of the installed package; and the events that they emit."""

from __future__ import annotations

import json
import time
from typing import Any

from behave import given, then, use_step_matcher, when
from evenhand.openfeature import EvenhandProvider
from openfeature import api
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import OpenFeatureError
from openfeature.provider import ProviderStatus

NOWHERE = "http://127.0.0.1:9"
EVENTS = {
    "ready": ProviderEvent.PROVIDER_READY,
    "error": ProviderEvent.PROVIDER_ERROR,
    "stale": ProviderEvent.PROVIDER_STALE,
    "change": ProviderEvent.PROVIDER_CONFIGURATION_CHANGED,
}
PATIENCE = 10.0

use_step_matcher("re")


def until(holds: Any, what: str, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.01)


def provider_of(context: Any, url: str = NOWHERE, key: str = "nobody", **options: Any) -> EvenhandProvider:
    provider = EvenhandProvider.connect(url, key, **{"close_timeout": 0.2, "stream": False, **options})
    context.providers.append(provider)
    context.provider = provider
    context.client = api.get_client()
    return provider


@given("a stable provider")
def stable(context: Any) -> None:
    api.set_provider_and_wait(provider_of(context, bootstrap=context.manifest))


@given("a not ready provider")
def not_ready(context: Any) -> None:
    api.set_provider(provider_of(context, ready_timeout=5.0))


@given("a(?:n)? (?:error|unavailable) provider")
def unavailable(context: Any) -> None:
    try:
        api.set_provider_and_wait(provider_of(context, ready_timeout=0.3))
    except OpenFeatureError as error:
        context.initialization = error
    else:
        raise AssertionError("the initialization ends well, with no server")


@given("a fatal provider")
def fatal(context: Any) -> None:
    try:
        api.set_provider_and_wait(provider_of(context, context.served().base, "wrong-key"))
    except OpenFeatureError as error:
        context.initialization = error
    else:
        raise AssertionError("the initialization ends well, with a key that the server does not know")


@given("a stale provider")
def stale(context: Any) -> None:
    api.set_provider_and_wait(provider_of(context, bootstrap=context.manifest, stale_after_ms=1_000))
    until(lambda: context.client.get_provider_status() == ProviderStatus.STALE, "the provider grows stale")


@given("a provider of a running server")
def served(context: Any) -> None:
    shop = context.served()
    quick = {"poll_interval_ms": 1_000, "stale_after_ms": 4_000, "backoff_base_ms": 50, "backoff_max_ms": 200}
    api.set_provider_and_wait(provider_of(context, shop.base, shop.key, **quick))


@when("the connection is lost")
def lost(context: Any) -> None:
    context.handled.clear()
    context.served().kill()


@when("the connection is restored")
def restored(context: Any) -> None:
    context.handled.clear()
    context.served().revive()


@given("a(?:n)? (ready|error|stale|change) event handler")
def handler(context: Any, name: str) -> None:
    def handle(details: EventDetails) -> None:
        context.handled.setdefault(name, []).append(details)

    context.client.add_handler(EVENTS[name], handle)


@when("a(?:n)? (ready|error|stale|change) event was fired")
@then("the (ready|error|stale|change) event handler should have been executed")
def handled(context: Any, name: str) -> None:
    until(lambda: name in context.handled, f"the event {name}")
    assert all(details.provider_name == "Evenhand" for details in context.handled[name]), context.handled


@then(r"the (ready|error|stale|change) event handler should have been executed within (\d+)ms")
def handled_within(context: Any, name: str, milliseconds: str) -> None:
    until(lambda: name in context.handled, f"the event {name}", int(milliseconds) / 1000)


@then("the client should be in (ready|error|stale) state")
def in_state(context: Any, name: str) -> None:
    until(lambda: context.client.get_provider_status().value == name.upper(), f"the client is in {name} state")


@then('the provider status should be "(.*)"')
def status(context: Any, expected: str) -> None:
    assert context.client.get_provider_status().value == expected, context.client.get_provider_status()


@then('the provider name should be "(.*)"')
def name(context: Any, expected: str) -> None:
    assert context.client.provider.get_metadata().name == expected
    assert api.get_provider_metadata().name == expected


@when("the flag was modified")
def modified(context: Any) -> None:
    manifest = json.loads(context.manifest.read_text())
    key, _, _ = context.flag
    flag = manifest["flags"][key]
    flag["default"] = next(variation["key"] for variation in flag["variations"] if variation["key"] != flag["default"])
    manifest["version"] += 1
    context.provider.client.update_manifest(json.dumps(manifest).encode())


@when("the provider is shut down")
def shut(context: Any) -> None:
    api.clear_providers()
    assert context.provider.client is None, "its own client is closed"


@when("the provider is set again")
def set_again(context: Any) -> None:
    api.set_provider_and_wait(context.provider)
