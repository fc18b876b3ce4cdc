"""Bare manifests of many experiments, as the proofs without a server need them."""

import json
from typing import Any

WHOLE = 4_294_967_296


def manifest(version: int, count: int = 200, prefix: str = "arm") -> bytes:
    """`count` experiments `flag-N`; half take everybody, half have targeting."""
    return json.dumps(
        {
            "schema": 1,
            "environment": "e",
            "audience": "server",
            "generation": 1,
            "version": version,
            "issued_at_ms": 0,
            "flags": {f"flag-{number}": flag(number, prefix) for number in range(count)},
        }
    ).encode()


def flag(number: int, prefix: str) -> dict[str, Any]:
    country = {"op": "str_in", "attr": "country", "values": ["NZ", "DE", "US"]}
    age = {"op": "num_gte", "attr": "age", "value": 18}
    return {
        "type": "string",
        "off": "a",
        "default": "a",
        "variations": [{"key": "a", "value": f"{prefix}-a"}, {"key": "b", "value": f"{prefix}-b"}],
        "rules": [
            {
                "id": f"rule-{number}",
                "kind": "experiment",
                "experiment": f"experiment-{number}",
                "phase": 1,
                "unit": "user_id",
                "when": {"any": [country, age]} if number % 2 else {"all": []},
                "traffic": {"hash": "murmur3_32", "salt": f"t{number}", "ranges": [[0, WHOLE]]},
                "split": {
                    "hash": "murmur3_32",
                    "salt": f"s{number}",
                    "ranges": [[0, WHOLE // 2, "a"], [WHOLE // 2, WHOLE, "b"]],
                },
            }
        ],
    }
