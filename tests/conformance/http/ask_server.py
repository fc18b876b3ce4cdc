"""Populations through `GET /v1/assignments` of a real `evenhand serve`.

    ask_server.py vectors VECTORS_DIR OUT.ndjson     the manifest of tests/vectors, restored as the server's last published one
    ask_server.py published VECTORS_DIR OUT.ndjson   experiments defined by the management API; VECTORS_DIR is written
"""
from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "e2e"))
from published_world import FLAGS, define  # noqa: E402
from world import World  # noqa: E402

# How often a population is asked of the server: the units of the vectors' own.
UNITS = 200_000
CHECKPOINTS = ("1000", "10000")


def client(*arguments: str, given: bytes = b"") -> bytes:
    program = Path(os.environ["CARGO_TARGET_DIR"], "release", "evenhand-conformance")
    done = subprocess.run([program, *arguments], input=given, capture_output=True, timeout=900)
    if done.returncode != 0:
        raise SystemExit(f"evenhand-conformance {arguments[0]}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def ask(world: World, vectors: Path, out: Path) -> None:
    client("http", str(vectors), str(out), f"127.0.0.1:{world.server.port}", world.keys["server"])


def delivered(world: World) -> bytes:
    answer = world.http("GET", f"/v1/manifest/{world.keys['server']}")
    if answer.status != 200:
        raise SystemExit(f"GET /v1/manifest answers {answer.status}: {answer.body[:300]!r}")
    return answer.body


# ---- the vectors' manifest ----


def run_vectors(vectors: Path, out: Path) -> None:
    index = json.loads((vectors / "index.json").read_bytes())["files"]
    cases = [case for name, entry in index.items() if entry["format"] == "population" for case in json.loads((vectors / name).read_bytes())["cases"]]
    if len(cases) != 1:
        raise SystemExit(f"{vectors} has {len(cases)} populations; a server has one manifest: ask for one after the other here")
    with tempfile.TemporaryDirectory(prefix="evenhand-conformance-") as directory:
        world = World(Path(directory))
        try:
            world.server.stop()
            restore(world.server.data, cases[0]["manifest"].encode())
            world.server.start()
            world.connection.close()
            if json.loads(delivered(world))["manifest"] != json.loads(cases[0]["manifest"]):
                raise SystemExit("the server delivers another manifest than the one that was restored")
            ask(world, vectors, out)
            # Still as signed: a generation raised on the way would be another manifest.
            if json.loads(delivered(world))["manifest"] != json.loads(cases[0]["manifest"]):
                raise SystemExit("the server published something while it was asked")
        finally:
            world.close()


def restore(data: Path, manifest: bytes) -> None:
    """Makes the manifest the newest that this installation has published: sealed with its environment's own key, written where
    published manifests are kept. At its start the server checks the signature and puts it in force, as after every restart."""
    head = json.loads(manifest)
    key = json.loads((data / "signing-keys.json").read_text())[head["environment"]]["manifest"]
    sealed = client("seal", key["key_id"], key["seed"], given=manifest)
    digest = hashlib.sha256(manifest).hexdigest()
    store = sqlite3.connect(data / "definitions.sqlite")
    try:
        with store:
            written = store.execute(
                "INSERT INTO manifests (environment, version, generation, issued_at_ms, server_hash, client_hash, audit_seq, server_bytes, client_bytes) "
                "SELECT environment, ?, ?, ?, ?, client_hash, audit_seq, ?, client_bytes FROM manifests WHERE environment = ? ORDER BY version DESC LIMIT 1",
                (head["version"], head["generation"], head["issued_at_ms"], digest, sealed, head["environment"]),
            ).rowcount
    finally:
        store.close()
    if written != 1:
        raise SystemExit(f"the server has published nothing in {head['environment']!r} to stand beside")


# ---- a manifest of the server's own ----


def run_published(vectors: Path, out: Path) -> None:
    vectors.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="evenhand-conformance-") as directory:
        world = World(Path(directory))
        try:
            define(world)
            envelope = delivered(world)
            case = {"name": "published", "manifest": envelope.decode(), "now_ms": 0, "flags": FLAGS, "units": UNITS}
            # What the server has no answer to yet: the instant, which no rule of these looks at, and the sums.
            write(vectors, {**case, "sha256": None, "checkpoints": dict.fromkeys(CHECKPOINTS), "counts": {}})
            ask(world, vectors, out)
            if delivered(world) != envelope:
                raise SystemExit("the server published something while it was asked")
        finally:
            world.close()
    found = next(line for line in map(json.loads, out.read_text("ascii").splitlines()) if "case" in line)
    reasons = {arm.split("/")[1] for arms in found["counts"].values() for arm in arms}
    if not {"SPLIT", "HOLDOUT", "ROLLOUT", "TARGETED", "DEFAULT", "KILLED", "PAUSED"} <= reasons:
        raise SystemExit(f"the population is poorer than it was meant to be: only the reasons {sorted(reasons)}")
    write(vectors, {**case, "sha256": found["sha256"], "checkpoints": found["checkpoints"], "counts": found["counts"]})


def write(vectors: Path, case: dict) -> None:
    content = json.dumps({"format": "population", "cases": [case]}).encode("ascii")
    (vectors / "published.json").write_bytes(content)
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "format": "population", "cases": 1, "needs": {}}
    (vectors / "index.json").write_text(json.dumps({"files": {"published.json": entry}}), "ascii")


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("vectors", "published"):
        raise SystemExit("usage: ask_server.py vectors|published VECTORS_DIR OUT.ndjson")
    (run_vectors if sys.argv[1] == "vectors" else run_published)(Path(sys.argv[2]), Path(sys.argv[3]))
