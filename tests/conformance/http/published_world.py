"""Definitions as a team would author them, so that what is published holds every kind of draw and of rule."""
from __future__ import annotations

from world import E, P, World

FLAGS = ["banner", "checkout", "killed", "paused", "prices", "ranking"]
VARIATIONS = ("off", "default", "a", "b")


def flag(world: World, key: str, *rules: dict) -> None:
    variations = [{"key": name, "value": f"{key}-{name}"} for name in VARIATIONS]
    world.api("POST", f"{P}/flags", {"key": key, "type": "string", "off": "off", "default": "default", "variations": variations, "rules": list(rules)})


def experiment(world: World, key: str, of_flag: str, weights: dict[str, int], **more) -> None:
    arms = [{"variation": name, "weight": weight} for name, weight in weights.items()]
    world.api("POST", f"{P}/experiments", {"key": key, "flag": of_flag, "unit": "user_id", "variations": arms, **more})
    world.act(key, "start")


def define(world: World) -> None:
    world.api("POST", f"{P}/layers", {"key": "page", "unit": "user_id"})
    world.api("POST", f"{P}/holdouts", {"key": "global", "unit": "user_id", "share": 500})
    flag(world, "checkout")
    experiment(world, "checkout-test", "checkout", {"off": 5000, "a": 5000}, layer={"layer": "page", "slots": 300}, holdouts=["global"])
    flag(world, "ranking")
    experiment(world, "ranking-test", "ranking", {"off": 3333, "a": 3333, "b": 3334}, layer={"layer": "page", "slots": 650}, traffic=2_500)
    # Whoever has the new checkout; then half of the others, in an experiment; of the rest a stable share.
    flag(
        world,
        "banner",
        {"kind": "targeted", "id": "with-checkout", "serve": "a", "requires": [{"flag": "checkout", "variations": ["a"]}]},
        {"kind": "rollout", "id": "some", "serve": "b", "unit": "user_id", "traffic": 1_234, "holdouts": ["global"]},
    )
    experiment(world, "banner-test", "banner", {"off": 1, "b": 9_999}, traffic=5_001)
    flag(world, "prices", {"kind": "targeted", "id": "named", "serve": "b", "when": {"op": "str_suffix", "attr": "user_id", "values": ["7@example.com"]}})
    experiment(world, "prices-test", "prices", {"off": 2_500, "default": 2_500, "a": 2_500, "b": 2_500})
    flag(world, "paused")
    experiment(world, "paused-test", "paused", {"off": 5_000, "b": 5_000}, traffic=4_000)
    world.act("paused-test", "pause")
    flag(world, "killed")
    experiment(world, "killed-test", "killed", {"off": 5_000, "b": 5_000})
    world.api("POST", f"{E}/flags/killed/kill", {})
