#!/usr/bin/env python3
"""Writes 200 experiments and 1,000 users, the same on every run: workload.py DIRECTORY gives evenhand_200.json and users.json.

The mix of the side-by-side harness (benches/peers): 2 to 4 variations, traffic of 100 %, 50 % or 20 %, half with targeting: one to three
conditions that must all hold, five with an allow list of 1,000 ids.
"""
import json
import random
import sys
from pathlib import Path

COUNTRIES = "US CA MX BR AR GB DE FR ES IT NL SE PL TR IN JP KR CN AU ZA".split()
DEVICES = ["mobile"] * 6 + ["desktop"] * 3 + ["tablet"]
OSES = {"mobile": ["ios", "android"], "desktop": ["windows", "macos", "linux"], "tablet": ["ios", "android"]}
WEIGHTS = {2: [[5000, 5000], [9000, 1000]], 3: [[3400, 3300, 3300], [5000, 2500, 2500]], 4: [[2500] * 4, [4000, 2000, 2000, 2000]]}
SETS = ["c", "cd", "cdv", "d", "v", "dv", "cv"]
WHOLE = 2**32


def bound(weight: int) -> int:
    return -(-weight * WHOLE // 10_000)


def user(draw: random.Random, at: int) -> dict:
    device = draw.choice(DEVICES)
    return {
        "id": f"u_{draw.getrandbits(80):020x}",
        "country": draw.choice(COUNTRIES),
        "device": device,
        "os": draw.choice(OSES[device]),
        "app_version": f"{draw.randint(1, 6)}.{draw.randint(0, 20)}.{draw.randint(0, 9)}",
        "plan": draw.choice(["free", "pro", "enterprise"]),
        "age": 13 + at % 68,
    }


def leaf(draw: random.Random, letter: str) -> dict:
    if letter == "c":
        return {"op": "str_in", "attr": "country", "values": draw.sample(COUNTRIES, draw.randint(3, 8))}
    if letter == "d":
        return {"op": "str_eq", "attr": "device", "value": "mobile"}
    return {"op": "semver_gte", "attr": "app_version", "value": f"{draw.randint(2, 5)}.{draw.randint(0, 20)}.0"}


def flag(draw: random.Random, at: int, kind: str, users: list[dict]) -> dict:
    weights = draw.choice(WEIGHTS[draw.choice([2, 2, 3, 4])])
    ranges, before = [], 0
    for arm, weight in enumerate(weights):
        ranges.append([bound(before), bound(before + weight), f"v{arm}"])
        before += weight
    rule = {
        "id": "rule",
        "kind": "experiment",
        "experiment": f"experiment-{at}",
        "phase": 1,
        "unit": "id",
        "traffic": {"hash": "murmur3_32", "salt": f"bench-{at}-traffic", "ranges": [[0, bound(draw.choice([10_000, 5_000, 2_000]))]]},
        "split": {"hash": "murmur3_32", "salt": f"bench-{at}-split", "ranges": ranges},
    }
    if kind == "allow":
        rule["when"] = {"all": [{"op": "str_in", "attr": "id", "values": [one["id"] for one in users[:500]] + [f"x{i}" for i in range(500)]}]}
    elif kind == "conditions":
        rule["when"] = {"all": [leaf(draw, letter) for letter in SETS[at % len(SETS)]]}
    variations = [{"key": "off", "value": "off"}, *({"key": f"v{arm}", "value": f"v{arm}"} for arm in range(len(weights)))]
    return {"type": "string", "variations": variations, "off": "off", "default": "off", "rules": [rule]}


def main() -> None:
    directory, draw = Path(sys.argv[1]), random.Random(20261126)
    users = [user(draw, at) for at in range(1_000)]
    kinds = ["none"] * 100 + ["allow"] * 5 + ["conditions"] * 95
    draw.shuffle(kinds)
    flags = {f"experiment_{at:04}": flag(draw, at, kind, users) for at, kind in enumerate(kinds)}
    manifest = {"schema": 1, "environment": "bench", "audience": "server", "generation": 1, "version": 1, "issued_at_ms": 0, "flags": flags}
    (directory / "evenhand_200.json").write_text(json.dumps(manifest))
    (directory / "users.json").write_text(json.dumps(users))


if __name__ == "__main__":
    main()
