"""What the server does by itself: experiments that do harm are stopped, ramps climb, bandits turn; and what is written down when people decide."""
from __future__ import annotations

import hashlib
import json
import random
import re
import time
from decimal import Decimal
from pathlib import Path

from world import E, P, World, event, now_ms

SERVER = {"options": ("--config", str(Path(__file__).parent / "steward.toml"))}


class Traffic:
    """Visitors that are decided about, log what they saw and do something."""

    def __init__(self, world: World):
        self.world, self.number, self.random = world, 0, random.Random(7)

    def event(self, name: str, user: str, **more) -> dict:
        self.number += 1
        return event(self.number, name, user, now_ms(), **more)

    def visit(self, flag: str, users: list[str], does) -> dict[str, str]:
        """`does(variation)` names the event that a user then sends, if any. Who was in which variation."""
        seen, events = {}, []
        for user in users:
            decision = self.world.decide({"user_id": user}, flag)[flag]
            if "exposure" not in decision:
                continue
            seen[user] = decision["variation"]
            events.append({**decision["exposure"], **self.event("$exposure", user)})
            if name := does(decision["variation"]):
                events.append(self.event(name, user))
        for at in range(0, len(events), 2_000):
            self.world.send(events[at : at + 2_000])
        return seen


def state(world: World, key: str) -> dict:
    return world.api("GET", f"{E}/experiments/{key}").json()


def stewardship(world: World, key: str) -> dict:
    return world.api("GET", f"{E}/experiments/{key}/stewardship").json()


def units(results: dict) -> int:
    return sum(variation["units"] for variation in results["variations"])


def play(world: World) -> None:
    traffic = Traffic(world)
    errors_kill(world, traffic)
    dry_run(world, traffic)
    ramp_climbs(world, traffic)
    ramp_is_rolled_back(world, traffic)
    bandit(world, traffic)
    decided(world, traffic)


def errors_kill(world: World, traffic: Traffic) -> None:
    for name in ("broken", "sound"):
        world.flag(name)
        world.experiment(f"{name}-test", name)
        world.act(f"{name}-test", "start")
    users = [f"e-{number}" for number in range(300)]
    coin = traffic.random.random
    traffic.visit("sound", users, lambda _: "error" if coin() < 0.1 else None)
    world.eventually(lambda: units(world.results("sound-test")), lambda found: found == 300, "the sound experiment's units are counted")
    sent = time.monotonic()
    traffic.visit("broken", users, lambda variation: "error" if variation == "treatment" and coin() < 0.5 else None)
    killed = world.eventually(lambda: state(world, "broken-test"), lambda found: found["killed"], "an experiment that makes the service fail is killed by itself")
    world.check(time.monotonic() - sent < 5, "within a look and the time of processing", time.monotonic() - sent)
    world.equal(killed["state"], "RUNNING", "it is killed, not stopped: it can be taken back")
    answers = {(found["variation"], found["reason"]) for user in users for found in [world.decide({"user_id": user}, "broken")["broken"]]}
    world.equal(answers, {("control", "KILLED")}, "its users get control")
    entry = stewardship(world, "broken-test")["entries"][-1]
    world.equal((entry["cause"], entry["act"], entry["done"], entry["metric"], entry["variation"]), ("harm", "kill", True, "error", "treatment"), "what was done is written down")
    record = world.api("GET", "/api/audit?limit=1&target=experiment/broken-test").json()["items"][0]
    world.equal((record["action"], record["actor"]), ("experiment.kill", "steward"), "it is an action like any other")
    world.check("error" in record["after"]["reason"] and "treatment" in record["after"]["reason"], "with its reason", record["after"].get("reason"))
    world.check("evenhand_steward_acts_total{act=\"kill\"} 1" in world.http("GET", "/metrics").body.decode(), "and counted", "")
    # Equal errors in both arms are no harm of the treatment.
    world.check(not state(world, "sound-test")["killed"] and not stewardship(world, "sound-test")["entries"], "a sound experiment is left alone", stewardship(world, "sound-test"))
    shown = world.cli("results", "broken-test")
    world.check("done by itself: kill" in shown and "watched for harm: treatment" in shown, "`results` tells of it", shown)
    # Who takes it back answers for it: the same harm is not acted on twice in a phase.
    world.act("broken-test", "unkill", {"reason": "the errors are known"})
    time.sleep(1)
    world.check(not state(world, "broken-test")["killed"], "a person's word holds", "")


def dry_run(world: World, traffic: Traffic) -> None:
    world.flag("rehearsed")
    world.experiment("rehearsed-test", "rehearsed", guard={"dry_run": True})
    world.act("rehearsed-test", "start")
    traffic.visit("rehearsed", [f"d-{number}" for number in range(300)], lambda variation: "error" if variation == "treatment" else None)
    entries = world.eventually(lambda: stewardship(world, "rehearsed-test")["entries"], bool, "a dry run is written down")
    time.sleep(0.6)
    world.equal([(entry["act"], entry["done"]) for entry in stewardship(world, "rehearsed-test")["entries"]], [("kill", False)], "once, as what would have been done")
    world.check(not state(world, "rehearsed-test")["killed"], "and nothing is done", entries)


def ramp_climbs(world: World, traffic: Traffic) -> None:
    world.flag("slow")
    world.experiment("slow-test", "slow", ramp={"min_hours": 0.5})
    planned = stewardship(world, "slow-test")["plan"]
    world.equal([step["traffic"] for step in planned], [100, 500, 1_000, 2_500, 5_000, 10_000], "the preview says the steps")
    gaps = [after["earliest_ms"] - before["earliest_ms"] for before, after in zip(planned, planned[1:])]
    world.equal(gaps, [600] * 5, "and when they come")
    world.act("slow-test", "start")
    world.equal(state(world, "slow-test")["phases"][-1]["traffic"], 100, "it begins with one per cent")
    world.act("slow-test", "pause_ramp")
    paused = state(world, "slow-test")["phases"][-1]["traffic"]
    time.sleep(1)
    world.equal((state(world, "slow-test")["phases"][-1]["traffic"], stewardship(world, "slow-test")["plan"]), (paused, []), "a paused ramp stands still")
    world.act("slow-test", "resume_ramp")
    users = [f"r-{number}" for number in range(300)]
    inside: dict[str, str] = {}
    moved = []
    until = time.monotonic() + 20
    while stewardship(world, "slow-test")["ramp"]["status"] != "done":
        world.check(time.monotonic() < until, "the ramp ends in time", stewardship(world, "slow-test"))
        now = traffic.visit("slow", users, lambda _: None)
        moved += [user for user, variation in inside.items() if now.get(user) != variation]
        inside |= now
    world.equal(moved, [], "whoever was in stays where they were, step by step")
    world.equal(state(world, "slow-test")["phases"][-1]["traffic"], 10_000, "the ramp climbs to the top")
    entries = stewardship(world, "slow-test")["entries"]
    world.equal([entry["cause"] for entry in entries], ["ramp"] * 5, "each step is in the history")
    world.check("100 % of traffic" in entries[-1]["because"], "and says where it led", entries[-1])
    world.act("slow-test", "abort_ramp", status=409)


def ramp_is_rolled_back(world: World, traffic: Traffic) -> None:
    world.api("POST", f"{P}/metrics", {"key": "complaints", "kind": "conversion_rate", "direction": "decrease", "event": {"event_name": "complaint"}})
    world.flag("harmful")
    world.experiment("harmful-test", "harmful", metrics=[{"metric": "complaints", "role": "guardrail"}], ramp={"steps": [5_000, 10_000], "min_hours": 700})
    world.act("harmful-test", "start")
    seen = traffic.visit("harmful", [f"h-{number}" for number in range(600)], lambda variation: "complaint" if traffic.random.random() < {"control": 0.1, "treatment": 0.6}[variation] else None)
    world.eventually(lambda: state(world, "harmful-test"), lambda found: found["killed"], "harm on a guardrail of its own kills while a ramp climbs")
    kept = stewardship(world, "harmful-test")
    world.equal((kept["ramp"]["status"], kept["entries"][-1]["metric"]), ("rolled_back", "complaints"), "the ramp is rolled back")
    # A look that comes while control has less than the minimum data judges by the converting units alone, and then there is no bound to say yet.
    because = kept["entries"][-1]["because"]
    told = re.fullmatch(r"treatment does harm on the guardrail complaints: (\d+) units with one, (\d+) in control(, at least 0\.\d+ per unit more than control)? \(one-sided, anytime-valid: p = \S+e-\d+\)", because)
    world.check(told and int(told[1]) > 2 * int(told[2]), "the reason has the counts and the evidence", kept["entries"])
    whole = world.eventually(lambda: world.results("harmful-test"), lambda found: units(found) == len(seen), "all units are counted")
    harm = next(metric for metric in whole["metrics"] if metric["id"] == "complaints")["arms"][1]["harm"]
    # The true difference is 0.5.
    world.check(0 < harm["at_least"] < 0.5, "of all of them the bound is there", harm)
    world.act("harmful-test", "resume_ramp", status=409)
    world.act("harmful-test", "unkill")
    world.act("harmful-test", "resume_ramp")
    world.equal(stewardship(world, "harmful-test")["ramp"]["status"], "climbing", "a person may let it go on")


def bandit(world: World, traffic: Traffic) -> None:
    world.api("POST", f"{P}/metrics", {"key": "clicks", "kind": "conversion_rate", "event": {"event_name": "click"}})
    variations = [{"key": key, "value": key} for key in ("a", "b", "c")]
    world.api("POST", f"{P}/flags", {"key": "picks", "type": "string", "off": "a", "default": "a", "variations": variations})
    definition = {"key": "picks-test", "flag": "picks", "unit": "user_id", "metrics": [{"metric": "clicks", "role": "primary"}], "bandit": {"metric": "clicks", "update_minutes": 15, "floor": 1_000},
                  "variations": [{"variation": "a", "weight": 3_400}, {"variation": "b", "weight": 3_300}, {"variation": "c", "weight": 3_300}]}
    refused = world.api("POST", f"{P}/experiments", definition, status=400).json()
    world.equal(refused["error"]["field"], "sticky", "a bandit must be sticky")
    world.api("POST", f"{P}/experiments", {**definition, "sticky": True})
    world.act("picks-test", "start")
    truth = {"a": 0.10, "b": 0.12, "c": 0.22}

    def weights() -> dict[str, int]:
        epoch = state(world, "picks-test")["phases"][-1]["epochs"][-1]
        return {arm["variation"]: arm["weight"] for arm in epoch["weights"]}

    sent = 0
    for wave in range(20):
        users = [f"b-{wave}-{number}" for number in range(500)]
        traffic.visit("picks", users, lambda variation: "click" if traffic.random.random() < truth[variation] else None)
        sent += len(users)
        counted = lambda: sum(arm["pooled"]["units"] if arm.get("pooled") else arm["units"] for arm in world.results("picks-test")["metrics"][0]["arms"])  # noqa: E731
        world.eventually(counted, lambda found: found == sent, "the wave is counted")
        time.sleep(0.7)  # a look after the 15 rehearsed minutes
        if wave >= 4 and weights()["c"] >= 7_500:
            break
    held = weights()
    world.check(held["c"] >= 7_500 and min(held.values()) >= 1_000 and sum(held.values()) == 10_000, "the traffic goes to the best, and the others keep their floor", held)
    kept = stewardship(world, "picks-test")
    world.check(kept["rounds"] and {arm["variation"]: arm["weight"] for arm in kept["rounds"][-1]["arms"]} == held, "the history says how the weights came about", kept["rounds"])
    world.check(kept["rounds"][-1]["arms"][2]["probability"] > 0.9, "with the probabilities", kept["rounds"][-1])
    winner = world.eventually(lambda: [entry for entry in stewardship(world, "picks-test")["entries"] if entry["cause"] == "winner"], bool, "the stop rule is said")
    world.equal((winner[0]["variation"], winner[0]["act"], state(world, "picks-test")["state"]), ("c", "notify", "RUNNING"), "and people decide")
    epochs = state(world, "picks-test")["phases"][-1]["epochs"]
    world.check(len(epochs) >= 2 and len(epochs[-1]["split"]) <= 100 and not epochs[0]["split"], "epochs are kept, the split of the last only", [len(epoch["split"]) for epoch in epochs])
    results = world.results("picks-test")
    arm = next(arm for arm in results["metrics"][0]["arms"] if arm["variation_id"] == "c")
    shown = arm["over_epochs"]["lift"]["absolute"]
    # Five standard errors: what chance leaves is one in a million.
    world.check(abs(shown["estimate"] - (truth["c"] - truth["a"])) < 5 * shown["standard_error"], "the effect over all epochs is the true one", shown)
    world.equal(arm["over_epochs"]["epochs"], len(results["epochs"]), "no epoch is left out")
    shown = world.cli("results", "picks-test")
    world.check(f"over {len(results['epochs'])} epochs: c" in shown and "weights of epoch" in shown, "`results` shows weights and the effect over all epochs", shown)
    world.check(results["srm_sequential"]["mismatch"] is False, "changes of weights are epochs, and no alarm", results["srm_sequential"])


def decided(world: World, traffic: Traffic) -> None:
    world.flag("ended")
    world.experiment("ended-test", "ended", metrics=[{"metric": "clicks", "role": "primary"}])
    world.act("ended-test", "start")
    world.api("GET", f"{E}/experiments/ended-test/decision", status=404)
    traffic.visit("ended", [f"s-{number}" for number in range(400)], lambda variation: "click" if traffic.random.random() < {"control": 0.2, "treatment": 0.6}[variation] else None)
    before = world.eventually(lambda: world.results("ended-test"), lambda found: units(found) == 400 and found["guidance"]["rule"] == "primary_better", "the treatment is better")
    version = world.http("GET", f"/v1/manifest/{world.keys['server']}").json()["manifest"]["version"]
    world.api("POST", f"{E}/experiments/ended-test/ship", {"variation": "treatment", "reason": "More clicks, no harm."}, headers={"X-Evenhand-Actor": "ana"})
    record = world.api("GET", f"{E}/experiments/ended-test/decision").json()
    world.equal((record["actor"], record["action"], record["shipped"], record["reason"], record["manifest"]["version"]), ("ana", "ship", "treatment", "More clicks, no harm.", version), "who, what, why, on which manifest")
    then, arm = record["results"], record["results"]["metrics"][0]["arms"][1]
    lift = before["metrics"][0]["arms"][1]["lift"]["absolute"]
    world.equal((then["guidance"]["rule"], arm["verdict"], arm["absolute"]["lower"], arm["absolute"]["p_value"]), ("primary_better", "better", lift["lower"], lift["p_value"]), "the results as they were")
    world.equal([metric["metric"] for metric in then["metrics"]], ["clicks", "error"], "primary metrics and guardrails")
    bare = {**record, "sha256": ""}
    world.equal(hashlib.sha256(canonical(bare).encode()).hexdigest(), record["sha256"], "its hash is of its contents")
    audited = world.api("GET", "/api/audit?limit=1&target=experiment/ended-test").json()["items"][0]
    world.equal((audited["after"]["decision/production/ended-test"]["sha256"], audited["after"]["reason"]), (record["sha256"], "More clicks, no harm."), "the audit chain has it")
    # What comes in later changes the results, never the record.
    traffic.world.send([traffic.event("click", f"s-{number}") for number in range(400)])
    world.eventually(lambda: world.results("ended-test")["guidance"]["rule"], lambda rule: rule != "primary_better", "late events count")
    world.server.kill()
    world.connection.close()
    world.server.start()
    world.equal(world.api("GET", f"{E}/experiments/ended-test/decision").json(), record, "the record survives a restart as it was")
    world.equal(world.results("ended-test")["decision"], record, "it stands beside the results")
    shown = world.cli("results", "ended-test")
    world.check("shipped treatment by ana" in shown and "More clicks, no harm." in shown and record["sha256"] in shown, "`results` shows it", shown)
    page = world.directory / "ended.html"
    world.cli("results", "ended-test", "--html", str(page))
    world.check("shipped treatment by ana" in page.read_text(), "and the report does", "")
    chain = world.api("GET", "/api/audit/verify").json()
    world.check(chain["intact"] is True, "the audit chain is whole", chain)


def canonical(value: object) -> str:
    """RFC 8785, of what stands in a record."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{canonical(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, float):
        if value == int(value) and abs(value) < 1e21:
            return str(int(value))
        mantissa, _, exponent = repr(value).partition("e")
        if not exponent:
            return mantissa
        power = int(exponent)
        return format(Decimal(repr(value)), "f") if -7 < power < 21 else f"{mantissa.removesuffix('.0')}e{power:+d}"
    return json.dumps(value, ensure_ascii=False)
