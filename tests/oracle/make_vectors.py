"""Writes `tests/vectors` (or, with `--check`, says which file differs from what would be written). Deterministic."""

import hashlib
import importlib
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
VECTORS = HERE.parent / "vectors"
SETS = ("hash", "bucket", "units", "targeting", "evaluate", "manifest_errors", "envelope", "tokens", "population", "session")


def count(value) -> dict:
    """Cases in a file, and how many need something that not every language has."""
    cases = value["cases"] if "cases" in value else [case for group in value["groups"] for case in group["cases"]]
    needs = {}
    for case in cases:
        for need in case.get("needs", ()):
            needs[need] = needs.get(need, 0) + 1
    counted = {"format": value["format"], "cases": len(cases)}
    if "groups" in value:
        counted["manifests"] = len(value["groups"])
    return {**counted, "needs": dict(sorted(needs.items()))}


def names_are_unique(file_name, value):
    if "groups" in value:
        names = [group["name"] for group in value["groups"]]
        names += [(group["name"], case["name"]) for group in value["groups"] for case in group["cases"]]
    else:
        names = [case["name"] for case in value["cases"]]
    doubles = {name for name in names if names.count(name) > 1} if len(set(names)) != len(names) else ()
    assert not doubles, f"{file_name}: {sorted(map(str, doubles))[:3]} more than once"


def build_all(only) -> dict:
    files, index = {}, {}
    for name in SETS:
        if only and name not in only:
            continue
        text = importlib.import_module("sets." + name).build()
        value = json.loads(text)
        names_are_unique(name, value)
        files[name + ".json"] = text
        index[name + ".json"] = {"sha256": hashlib.sha256(text.encode("utf-8")).hexdigest(), **count(value)}
    if not only:
        files["index.json"] = json.dumps({"files": index}, indent=1) + "\n"
    return files


def main(arguments):
    check = "--check" in arguments
    only = [argument for argument in arguments if argument != "--check"]
    different = []
    for name, text in build_all(only).items():
        path = VECTORS / name
        if check:
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                different.append(name)
        else:
            path.write_text(text, encoding="utf-8")
    if different:
        sys.exit("differs from what tests/oracle/make_vectors.py makes: " + ", ".join(different))


if __name__ == "__main__":
    main(sys.argv[1:])
