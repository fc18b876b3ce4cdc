"""`population.json`: 200,000 units through experiments over layers, traffic and holdouts, as one checksum."""

import hashlib
from collections import Counter

from authoring import NOW, bucket_entry, experiment, flag, manifest, rollout, targeted, write_cases
from bucketing import bound, slots
from canonical_json import canonical
from context import Context, unit_id
from evaluation import load

UNITS, CHECKPOINTS = 200_000, (1_000, 10_000)


def unit(number: int):
    kind = number % 5
    if kind == 0:
        return f"user-{number}"
    if kind == 1:
        return number
    if kind == 2:
        return f"{number:08x}@example.com"
    return f"\u00fc{number}" if kind == 3 else -number


def source() -> dict:
    layers = {"layer-a": bucket_entry("mQ4tZ81kPwXc0RbN", None), "layer-b": bucket_entry("7Hs2vLk9TqYd3JfA", None)}
    holdouts = {"global": bucket_entry("hG5nB2xW8eRt6UuI", [[0, bound(500, 10000)]])}
    flags = {
        "a-first": flag([experiment("a1", [("off", 5000), ("a", 5000)], layer="layer-a", slots=slots(0, 300), holdouts=["global"])]),
        "a-second": flag([experiment("a2", [("off", 3334), ("a", 3333), ("b", 3333)], layer="layer-a", slots=slots(300, 1000), traffic=2500, holdouts=["global"])]),
        "b-only": flag([experiment("b1", [("off", 9000), ("a", 1000)], layer="layer-b", slots=[[bound(0, 1000), bound(100, 1000)], [bound(500, 1000), bound(900, 1000)]], traffic=9999)]),
        "free": flag([experiment("free", [("off", 1), ("a", 9999)], traffic=1), rollout(1234, "b", "then", salt="then-salt", holdouts=["global"])]),
        "hundred": flag([experiment("hundred", [(f"v{at:02}", 100) for at in range(100)], traffic=5000)], values={"off": "-", "default": "-", **{f"v{at:02}": f"{at}" for at in range(100)}}),
        "after": flag([targeted({"op": "flag_is", "flag": "a-first", "variations": ["a"]}, "a"), experiment("after", state="paused", traffic=3000)]),
    }
    return manifest(flags, layers=layers, holdouts=holdouts)


def build() -> str:
    text = canonical(source())
    engine, refusal = load(text.encode("utf-8"))
    assert refusal is None and not engine.manifest.unsupported()
    flags = sorted(engine.manifest.flags)
    digest, counts, checkpoints = hashlib.sha256(), {key: Counter() for key in flags}, {}
    for number in range(UNITS):
        value = unit(number)
        name = unit_id(Context({"u": value}).attribute("u"))
        lines = []
        for decision in engine.evaluate_all(flags, {"user_id": value}, NOW):
            bucket = "" if decision["bucket"] is None else decision["bucket"]
            lines.append(f"{name}\t{decision['flag']}\t{decision['variation']}\t{decision['reason']}\t{bucket}\n")
            counts[decision["flag"]][f"{decision['variation']}/{decision['reason']}"] += 1
        digest.update("".join(lines).encode("utf-8"))
        if number + 1 in CHECKPOINTS:
            checkpoints[str(number + 1)] = digest.copy().hexdigest()
    # The shares are what was asked for: 5 % held of those that would have got in; 12.34 % of 95 %; …
    total = sum(counts["a-first"].values())
    assert total == UNITS and abs(counts["a-first"]["off/HOLDOUT"] / UNITS - 0.05) < 0.002
    assert abs(sum(n for key, n in counts["hundred"].items() if key.endswith("SPLIT")) / UNITS - 0.5) < 0.005
    case = {"name": "population", "manifest": text, "now_ms": NOW, "flags": flags, "units": UNITS, "sha256": digest.hexdigest(), "checkpoints": checkpoints,
            "counts": {key: dict(sorted(counter.items())) for key, counter in counts.items()}}
    return write_cases("population", [case])
