#!/usr/bin/env python3
"""Writes two bare manifests of 200 experiments with targeting: manifests.py DIRECTORY gives even.json and odd.json.

Every name and value in one says which it is, and the odd one has a flag more, before all others, so that the index of one
means another flag in the other. Programs write their own version over `"version":1,`.
"""
import json
import sys
from pathlib import Path

WHOLE = 4_294_967_296


def flag(name: str, at: int) -> dict:
    when = {"all": []} if at % 2 == 0 else {"any": [{"op": "str_in", "attr": "country", "values": ["NZ", "DE", "US"]}, {"op": "num_gte", "attr": "age", "value": 18}]}
    return {
        "type": "string",
        "off": f"{name}-a",
        "default": f"{name}-a",
        "variations": [{"key": f"{name}-{arm}", "value": f"{name}-{arm}-{at}"} for arm in "ab"],
        "rules": [
            {
                "id": f"{name}-rule-{at}",
                "kind": "experiment",
                "experiment": f"{name}-experiment-{at}",
                "phase": 1,
                "unit": "user_id",
                "when": when,
                "traffic": {"hash": "murmur3_32", "salt": f"t{at}", "ranges": [[0, WHOLE]]},
                "split": {"hash": "murmur3_32", "salt": f"s{at}", "ranges": [[0, WHOLE // 2, f"{name}-a"], [WHOLE // 2, WHOLE, f"{name}-b"]]},
            }
        ],
    }


def main() -> None:
    directory = Path(sys.argv[1])
    for name in ("even", "odd"):
        flags = {f"flag-{at:03}": flag(name, at) for at in range(200)}
        if name == "odd":
            flags = {"a-first": flag(name, 999), **flags}
        manifest = {"schema": 1, "environment": "e", "audience": "server", "generation": 1, "version": 1, "issued_at_ms": 0, "flags": flags}
        (directory / f"{name}.json").write_text(json.dumps(manifest, separators=(",", ":")))


if __name__ == "__main__":
    main()
