"""How the package is used, for type checkers: mypy --strict and pyright accept it. Every line of the last function is an error.

Each marker says that something is wrong there; a checker that finds nothing to be silent about complains (`unused`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import evenhand
from evenhand import (
    AsyncClient,
    Client,
    Context,
    Decision,
    Engine,
    FileStickyStore,
    MemoryStickyStore,
    StickyRecord,
    StickyStore,
    stats,
)
from typing_extensions import assert_type


class OwnStore:
    """Satisfies the protocol without being told of it."""

    def load(self, unit: str) -> Iterable[StickyRecord]:
        return [StickyRecord(experiment="e", phase=1, unit=unit, variation="a")]

    def save(self, record: StickyRecord) -> None:
        print(record["unit"])


def engine(manifest: bytes) -> None:
    one = Engine(manifest, keys={"k": "key"}, environment="production", audience="server", id_lists=[b""])
    context = Context({"user_id": 5, "tags": ["a"]}, forced={"checkout": "treatment"})
    decision = one.evaluate("checkout", context, now_ms=0, type="string")
    assert_type(decision, Decision)
    assert_type(decision.variation, "str | None")
    assert_type(decision.reason, str)
    assert_type(decision.bucket, "int | None")
    assert_type(one.evaluate_all({"user_id": "u"}), "dict[str, Decision]")
    assert_type(one.evaluate_many("checkout", [context, {"user_id": "u"}]), "list[Decision]")
    assert_type(one.bool_value("new", context, False), bool)
    assert_type(one.explain("checkout", context), "dict[str, Any]")
    assert_type(one.manifest, "dict[str, Any] | None")
    assert_type(evenhand.bucket("salt", "u").basis_point, int)
    assert_type(evenhand.verify_override("token", ["key"], "production").valid, bool)
    try:
        one.update_manifest(b"{}")
    except evenhand.ManifestError as error:
        assert_type(error.code, str)


def client(store: StickyStore, attributes: Mapping[str, Any]) -> None:
    with Client(
        "https://flags.example.com",
        "key",
        keys={},
        bootstrap=Path("manifest.json"),
        spool="spool",
        sticky_store=store,
        overrides={"checkout": "treatment"},
        timeout=5,
        poll_interval_ms=60_000,
    ) as one:
        assert_type(one, Client)
        assert_type(one.wait_ready(timeout=5), bool)
        one.expose(one.evaluate("checkout", attributes))
        assert_type(one.string_value("checkout", attributes, "plain"), str)
        assert_type(one.int_value("size", attributes, 3), int)
        assert_type(one.track("purchase", attributes, value=Decimal("1.5"), properties={"shop": "x"}), "str | None")
        assert_type(one.flush(), bool)
        assert_type(one.telemetry(), "dict[str, Any]")
        one.override("checkout", None)


async def asynchronous() -> None:
    async with AsyncClient("https://flags.example.com", "key", sticky_store=MemoryStickyStore(10)) as one:
        assert_type(one, AsyncClient)
        assert_type(await one.wait_ready(5), bool)
        assert_type(await one.flush(), bool)
        assert_type(one.decide("checkout", {"user_id": "u"}), Decision)
    client(FileStickyStore(Path("sticky")), {})
    client(OwnStore(), {})


def statistics() -> None:
    control = stats.Arm.from_conversions(5_000, 500)
    treatment = stats.Arm.from_values([1.0, 2, Decimal("0.5")])
    assert_type(treatment.value, "float | None")
    lift = stats.compare(control, treatment, stats.GroupSequential([0.5]), minimum_data=None)
    assert_type(lift.absolute.lower, "float | None")
    assert_type(lift.relative.significant, "bool | None")
    assert_type(lift.relative.reason, "stats.Reason | None")
    posterior = stats.effect_posterior(control, treatment, prior=stats.EffectPrior(scale="absolute"))
    assert_type(posterior.chance_to_beat_control("lower"), "float | None")
    assert_type(stats.compare_rates(stats.Conversions(9, 1), stats.Conversions(9, 2)).chance_higher, float)
    assert_type(stats.sample_ratio(stats.Epoch([5, 5], [1, 1])).mismatch, "bool | None")
    assert_type(stats.Plan.for_rate(0.05).sample_size(0.01).days(100), int)
    try:
        stats.Arm.from_sums(3, Decimal("1.5"), 2.25)
    except stats.StatsError as error:
        assert_type(error.code, str)


def wrong(one: Client, many: AsyncClient, decision: Decision) -> None:
    one.decide(5, {})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    one.decide("checkout", "user-42")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    one.evaluate("checkout", {}, type="text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    one.track("purchase", {}, value=[1])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    one.flag("checkout")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    Client("https://flags.example.com")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Client("https://flags.example.com", "key", audience="all")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Client("https://flags.example.com", "key", poll_interval_ms="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Client("https://flags.example.com", "key", sticky_store=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Engine("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    decision.reason = "SPLIT"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    stats.Arm.from_conversions("5", 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    stats.Arm.from_values(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    stats.FixedHorizon(alternative="up")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    stats.compare(5, 6)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with many:  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
