"""Writing manifests for the vectors, and asking the oracle what they give."""

import base64
import json

from bucketing import share, split
from canonical_json import canonical
from context import revive
from evaluation import load

NOW = 1_700_000_000_000  # 2023-11-14T22:13:20Z
HASH = "murmur3_32"
EVERYBODY = [[0, 1 << 32]]


def manifest(flags: dict, **parts) -> dict:
    return {"schema": 1, "environment": "production", "audience": "server", "generation": 1, "version": 17, "issued_at_ms": NOW,
            "flags": flags, **parts}


def flag(rules=(), kind="string", values=None, off="off", default="default", **more) -> dict:
    """A flag with variations `off`, `default`, `a`, `b` unless told otherwise."""
    values = {"off": "off!", "default": "default!", "a": "A", "b": "B"} if values is None else values
    variations = [{"key": key, "value": value} for key, value in values.items()]
    return {"type": kind, "variations": variations, "off": off, "default": default, "rules": list(rules), **more}


def targeted(when=None, serve="a", name="r", **more) -> dict:
    rule = {"id": name, "kind": "targeted", "serve": serve, **more}
    return rule if when is None else {**rule, "when": when}


def draws(salt, ranges) -> dict:
    return {"hash": HASH, "salt": salt, "ranges": ranges}


def rollout(basis_points=10000, serve="a", name="r", unit="user_id", salt="rollout-salt", **more) -> dict:
    return {"id": name, "kind": "rollout", "serve": serve, "unit": unit, "traffic": draws(salt, share(basis_points)), **more}


def experiment(name="exp", weights=(("off", 5000), ("a", 5000)), traffic=10000, unit="user_id", **more) -> dict:
    return {"id": "rule-" + name, "kind": "experiment", "unit": unit, "experiment": name, "phase": 1,
            "traffic": draws(name + "-traffic", share(traffic)), "split": draws(name + "-split", split(list(weights))), **more}


def bucket_entry(salt, ranges, unit="user_id") -> dict:
    """A layer (without ranges) or a holdout."""
    return {"unit": unit, "hash": HASH, "salt": salt, **({} if ranges is None else {"ranges": ranges})}


class Group:
    """One manifest with the cases asked of it; the expected answers are the oracle's."""

    def __init__(self, name, source, lists=None):
        self.name = name
        self.text = source if isinstance(source, str) else canonical(source)
        self.lists = lists or {}
        self.engine, self.refusal = load(self.text.encode("utf-8"), self.lists)
        self.cases = []

    def ask(self, name, flag, context, now_ms=NOW, needs=(), **more):
        """`more`: sticky, forced, type. `context` may hold the marks of tests/oracle/README.md; what it takes of a language is in `needs`."""
        attributes = {key: revive(value) for key, value in context.items()}
        expect = self.engine.evaluate(flag, attributes, now_ms, more.get("sticky", ()), more.get("forced"), more.get("type"))
        case = {"name": name, "flag": flag, "context": context, "now_ms": now_ms, **more}
        if needs:
            case["needs"] = sorted(needs)
        self.cases.append({**case, "expect": expect})
        return expect

    def written(self) -> dict:
        manifest = self.engine.manifest
        return {
            "name": self.name,
            "manifest": self.text,
            "lists": {name: base64.b64encode(blob).decode() for name, blob in self.lists.items()},
            "error": None if manifest else "refused",
            "unsupported": manifest.unsupported() if manifest else [],
        }


def dump(value) -> str:
    """One line, ASCII only (no editor normalises it), order as built."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def write_groups(groups) -> str:
    """A file of format `decisions`: one group's head and one case a line."""
    lines = ['{"format":"decisions","groups":[']
    for index, group in enumerate(groups):
        lines.append(dump(group.written())[:-1] + ',"cases":[')
        lines += [dump(case) + ("," if at < len(group.cases) - 1 else "") for at, case in enumerate(group.cases)]
        lines.append("]}" + ("," if index < len(groups) - 1 else ""))
    return "\n".join(lines + ["]}", ""])


def write_cases(format_name, cases, **head) -> str:
    """A file of another format: one case a line."""
    lines = [dump({"format": format_name, **head})[:-1] + ',"cases":[']
    lines += [dump(case) + ("," if at < len(cases) - 1 else "") for at, case in enumerate(cases)]
    return "\n".join(lines + ["]}", ""])


def check_names(names):
    seen = set()
    for name in names:
        assert name not in seen, f"two cases are called {name!r}"
        seen.add(name)
