"""The command line over a manifest file: evaluate, explain, validate, simulate agree with the server."""
from __future__ import annotations

import json

from world import E, P, World


def play(world: World) -> None:
    world.flag("search")
    world.api("POST", f"{P}/layers", {"key": "page", "unit": "user_id"})
    for name in ("one", "two"):
        world.flag(f"flag-{name}")
        world.experiment(f"layered-{name}", f"flag-{name}", layer={"layer": "page", "slots": 500})
        world.act(f"layered-{name}", "start")
        world.equal(world.results(f"layered-{name}")["phase"], 1, "results are there as soon as the start is answered")
    world.experiment("search-test", "search", targeting={"all": [{"op": "str_in", "attr": "country", "values": ["DE", "FR"]}, {"op": "semver_gte", "attr": "app_version", "value": "2.0.0"}]})
    world.act("search-test", "start")
    file = world.directory / "manifest.json"
    answer = world.eventually(lambda: world.http("GET", f"/v1/manifest/{world.keys['server']}"), lambda answer: b"search-test" in answer.body, "the manifest is published")
    file.write_bytes(answer.body)

    for number in range(5):
        context = {"user_id": f"u-{number}", "country": "DE" if number % 2 else "US", "app_version": "2.3.4"}
        served = world.decide(context, "search")["search"]
        local = json.loads(world.cli("evaluate", "search", "-m", str(file), "-c", json.dumps(context), remote=False))
        local = local.get("search", local)
        world.equal((local["variation"], local["reason"], local.get("bucket")), (served["variation"], served["reason"], served.get("bucket")), f"`evaluate` and the server agree on {context}")
        told = world.cli("explain", "search", "-m", str(file), "-c", json.dumps(context), remote=False)
        world.check("country" in told and served["reason"] in told and ("DE" in told or "US" in told), "`explain` names the condition, the value and the outcome", told)

    world.cli("validate", str(file), remote=False)
    bare = json.loads(world.api("GET", f"{E}/manifest").body)
    bare = bare.get("manifest", bare)
    text = json.dumps(bare, indent=2)
    at = next(number for number, line in enumerate(text.splitlines(), 1) if '"semver_gte"' in line or '"op": "semver_gte"' in line)
    (world.directory / "bad.json").write_text(text.replace('"semver_gte"', '"semver_gta"'))
    told = world.cli("validate", str(world.directory / "bad.json"), remote=False, fails=True)
    world.check("semver_gta" in told and str(at) in told and "search" in told, f"`validate` names the operator and line {at}", told)
    (world.directory / "cut.json").write_text(text[: len(text) // 2])
    told = world.cli("validate", str(world.directory / "cut.json"), remote=False, fails=True)
    world.check("line" in told, "`validate` says where a cut file ends", told)
    told = world.cli("evaluate", "search", "-m", str(world.directory / "nowhere.json"), remote=False, fails=True)
    world.check("nowhere.json" in told, "a missing file is named", told)

    told = world.cli("simulate", "-m", str(file), "--units", "20000", "-c", '{"country":"FR","app_version":"3.0.0"}', remote=False)
    world.check("flag-one" in told and "treatment" in told, "`simulate` shows shares", told)
    world.check("layer" in told, "`simulate` shows the layers", told)
    offline = world.cli("sql", "SELECT 1", "--server", "http://127.0.0.1:9", "--token", "x", remote=False, fails=True)
    world.check("127.0.0.1:9" in offline, "a server that is not there is named", offline)
