"""The settings that the binary knows, read from its source, and what deploy/ sets held against them: a misspelt key would keep every node from
starting. Where EVENHAND_CONFIG_CHECK names a command (the binary's own parser), each file goes through that too."""
from __future__ import annotations

import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

TEXT = {"Secret", "String", "PathBuf", "SocketAddr"}
WHOLE = {"NonZeroU32", "NonZeroU64", "u16", "u32", "u64", "usize"}


def known(source: Path) -> dict[str, dict[str, str]]:
    """Struct → field → type, of every struct that serde reads; enums as `enum a|b`."""
    structs: dict[str, dict[str, str]] = {}
    for path in sorted(source.glob("*.rs")):
        text = path.read_text()
        for kind, name, body in re.findall(r"#\[derive\([^\]]*Deserialize[^\]]*\)\](?:\s*#\[[^\]]*\])*\s*pub (struct|enum) (\w+) \{(.*?)\n\}", text, re.S):
            if kind == "enum":
                variants = re.findall(r"^\s{4}([A-Z]\w*)", body, re.M)
                structs[name] = {re.sub(r"(?<!^)([A-Z])", r"_\1", variant).lower(): "" for variant in variants}
            else:
                structs[name] = dict(re.findall(r"^\s*pub (\w+): (.+),$", body, re.M))
    if "Config" not in structs or len(structs["Config"]) < 10:
        raise SystemExit(f"settings: `pub struct Config` was not understood in {source}; mend tests/deploy/settings.py")
    return structs


def bare(kind: str) -> str:
    return re.sub(r"^Option<(.+)>$", r"\1", kind)


def fault(structs: dict, kind: str, value: object) -> str | None:
    """What is wrong with a value of a field of this type."""
    kind = bare(kind)
    if kind in structs and isinstance(value, str):
        return None if value in structs[kind] else f"`{value}` is none of {', '.join(structs[kind])}"
    if kind in TEXT:
        right = isinstance(value, str) and bool(value) and (kind != "SocketAddr" or re.fullmatch(r"[\d.]+:\d+|\[[0-9a-f:]+\]:\d+", value))
        return None if right else f"{value!r} is no {kind}"
    if kind in WHOLE:
        return None if isinstance(value, int) and not isinstance(value, bool) and value >= 1 else f"{value!r} is no {kind}"
    if kind == "bool":
        return None if isinstance(value, bool) else f"{value!r} is neither true nor false"
    if kind == "f64":
        return None if isinstance(value, (int, float)) and not isinstance(value, bool) else f"{value!r} is no number"
    if kind.startswith("Vec<"):
        return None if isinstance(value, list) else f"{value!r} is no list"
    if kind.startswith("BTreeMap<"):
        return None if isinstance(value, dict) and all(isinstance(v, str) for v in value.values()) else "every value must be a text"
    return f"the check does not know the type {kind}: mend tests/deploy/settings.py"


def table_faults(structs: dict, struct: str, table: dict, where: str) -> list[str]:
    faults = []
    for key, value in table.items():
        kind = structs[struct].get(key)
        if kind is None:
            faults.append(f"{where}: `{key}` is no setting; there are {', '.join(sorted(structs[struct]))}")
        elif isinstance(value, dict) and bare(kind) in structs:
            faults += table_faults(structs, bare(kind), value, f"{where}: [{key}]")
        elif message := fault(structs, kind, value):
            faults.append(f"{where}: {key}: {message}")
    return faults


def toml_faults(structs: dict, text: str, where: str) -> list[str]:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return [f"{where}: {error}"]
    faults = table_faults(structs, "Config", table, where)
    # What the binary itself asks for (Config::check).
    has = lambda section, key: key in table.get(section, {})
    if has("events", "kafka") != has("analytics", "clickhouse"):
        faults.append(f"{where}: events.kafka and analytics.clickhouse go together")
    for section, key in (("cache", "redis"), ("events", "kafka")):
        if has(section, key) and not has("definitions", "postgres"):
            faults.append(f"{where}: {section}.{key} needs definitions.postgres")
    for key, value in _texts(table):
        if re.search(r"://[^/@\s]*:[^/@\s]+@", value) or key.endswith("password"):
            faults.append(f"{where}: {key} holds a password; name a file")
    return faults + _own_parser(text, where)


def _texts(table: dict, path: str = ""):
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _texts(value, f"{path}{key}.")
        elif isinstance(value, str):
            yield f"{path}{key}", value


def _own_parser(text: str, where: str) -> list[str]:
    command = os.environ.get("EVENHAND_CONFIG_CHECK")
    if not command:
        return []
    # It takes the file's path as its last argument and fails with words.
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(text)
        file.flush()
        ran = subprocess.run([*shlex.split(command), file.name], capture_output=True, text=True, timeout=10)
    return [] if ran.returncode == 0 else [f"{where}: the binary refuses it: {(ran.stdout + ran.stderr).strip()[-500:]}"]


def variable_faults(structs: dict, name: str, value: str, where: str) -> list[str]:
    """Of a variable EVENHAND__SECTION__NAME."""
    if not name.startswith("EVENHAND__"):
        return []
    struct, *rest = "Config", *name.removeprefix("EVENHAND__").lower().split("__")
    for step in rest[:-1]:
        kind = bare(structs[struct].get(step, ""))
        if kind not in structs:
            return [f"{where}: {name}: there is no section `{step}`"]
        struct = kind
    kind = structs[struct].get(rest[-1])
    if kind is None:
        return [f"{where}: {name}: there is no setting `{rest[-1]}`"]
    if bare(kind) in TEXT and not value:
        return [f"{where}: {name} is empty"]
    return []
