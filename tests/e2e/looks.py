"""A group-sequential experiment: the server takes its looks where they were planned, once each, and what they said stands until the next."""
from __future__ import annotations

import time

from by_itself import SERVER, Traffic, units  # noqa: F401  (SERVER: looks of the steward come fast here, too)
from world import E, P, World, now_ms

PLAN = {"method": "group_sequential", "planned_units": 400, "looks": 4}
# One in five of control clicks, one in two of treatment: not to be told apart by 100 units (z = 3.3 of 4.3 standard errors), surely by 200 (4.7 of 3.0).
EVERY = {"control": 5, "treatment": 2}


class Clicks:
    """Who clicks, by turns, so that only the split is left to chance."""

    def __init__(self, every: dict[str, int]):
        self.every, self.seen = every, dict.fromkeys(every, 0)

    def __call__(self, variation: str) -> str | None:
        self.seen[variation] += 1
        return "click" if self.seen[variation] % self.every[variation] == 0 else None


def taken(world: World, key: str) -> list[dict]:
    return world.api("GET", f"{E}/experiments/{key}/looks").json()["looks"]


def treatment(results: dict) -> dict:
    return results["metrics"][0]["arms"][1]


def arrive(world: World, traffic: Traffic, key: str, names: range, does) -> dict[str, str]:
    """Who came into which variation."""
    before = units(world.results(f"{key}-test"))
    seen = traffic.visit(key, [f"{key}-{number}" for number in names], does)
    world.eventually(lambda: units(world.results(f"{key}-test")), lambda found: found == before + len(names), "the wave is counted")
    return seen


def play(world: World) -> None:
    traffic = Traffic(world)
    world.api("POST", f"{P}/metrics", {"key": "clicks", "kind": "conversion_rate", "event": {"event_name": "click"}, "minimum": {"units": 20, "conversions": 5}})
    world.flag("looked")
    no_plan = {"key": "looked-test", "flag": "looked", "unit": "user_id", "analysis": {"method": "group_sequential"}, "variations": [{"variation": key, "weight": 5_000} for key in ("control", "treatment")]}
    refused = world.api("POST", f"{P}/experiments", no_plan, status=400).json()
    world.equal(refused["error"]["field"], "analysis.planned_units", "looks are shares of planned units")
    world.experiment("looked-test", "looked", metrics=[{"metric": "clicks", "role": "primary"}], analysis=PLAN)
    world.act("looked-test", "start")
    nothing_moves_it(world, traffic, effect_is_found(world, traffic))
    looks_end(world, traffic)
    end_closes(world, traffic)


def effect_is_found(world: World, traffic: Traffic) -> dict[str, str]:
    does = Clicks(EVERY)
    seen = arrive(world, traffic, "looked", range(90), does)
    results = world.results("looked-test")
    arm, looks = treatment(results), results["looks"]
    world.equal((arm["verdict"], arm["lift"]["absolute"]["lower"], arm["lift"]["absolute"]["unavailable"]), ("too_early", None, "planned_look"), "before the first look there is no interval")
    world.equal((looks["shown"], looks["next"]), (None, {"number": 1, "units": 100}), "and it is said when it comes")
    world.check("waits for a planned look" in world.cli("results", "looked-test"), "`results` says so", "")
    seen |= arrive(world, traffic, "looked", range(90, 100), does)
    first = world.eventually(lambda: taken(world, "looked-test"), lambda found: len(found) == 1, "the first look is taken by itself")[0]
    world.equal((first["number"], first["units"], first["fraction"], first["is_last"]), (1, 100, 0.25, False), "at a quarter of the plan")
    # Two-sided 5 %, O'Brien-Fleming-like spending at a quarter: 4.3326 (Lan and DeMets' function, by R's gsDesign).
    world.check(abs(first["bound"] - 4.3326) < 5e-4, "with the bound of the design", first["bound"])
    world.equal(treatment(world.results("looked-test"))["verdict"], "undecided", "which shows nothing yet")
    seen |= arrive(world, traffic, "looked", range(100, 200), does)
    world.eventually(lambda: taken(world, "looked-test"), lambda found: [look["number"] for look in found] == [1, 2], "the second comes with its units")
    results = world.results("looked-test")
    world.equal((treatment(results)["verdict"], treatment(results)["decided_at_look"], results["guidance"]["advice"]), ("better", 2, "ship"), "it finds the effect")
    record = world.api("GET", "/api/audit?limit=1&target=experiment/looked-test").json()["items"][0]
    world.equal((record["action"], record["actor"]), ("experiment.look", "steward"), "a look is in the audit log")
    return seen


def nothing_moves_it(world: World, traffic: Traffic, seen: dict[str, str]) -> None:
    before = world.results("looked-test")
    kept, lift = taken(world, "looked-test"), treatment(before)["lift"]
    # Now everybody clicks but the 1st, 3rd, 7th and 9th of each variation, who had not: the effect is gone.
    of = {variation: [user for user, was in seen.items() if was == variation] for variation in EVERY}
    silent = {users[turn - 1] for users in of.values() for turn in (1, 3, 7, 9)}
    world.send([traffic.event("click", user) for user in seen if user not in silent])
    world.eventually(lambda: treatment(world.results("looked-test"))["current_lift"]["absolute"]["estimate"], lambda now: abs(now) < 0.05, "in between that is told as a point")
    for _ in range(20):
        after = world.results("looked-test")
        world.equal((treatment(after)["lift"], treatment(after)["verdict"], after["guidance"]["advice"]), (lift, "better", "ship"), "the figures are the look's, however often one asks")
    days = world.api("GET", f"{E}/experiments/looked-test/results/days").json()["days"]
    world.equal({day["metrics"][0]["arms"][1]["lift_so_far"]["absolute"]["unavailable"] for day in days}, {"planned_look"}, "days have points")
    page = world.cli("results", "looked-test")
    for words in ("look 2 of 4 on", "next look: 3 of 4, at 300 units", "better (since look 2)", "all units so far, without interval: treatment"):
        world.check(words in page, f"`results` says {words!r}", page)
    report = world.directory / "looked.html"
    world.cli("results", "looked-test", "--html", str(report))
    world.check("next look: 3 of 4, at 300 units" in report.read_text(), "the report does", "")
    world.server.kill()
    world.connection.close()
    world.server.start()
    world.equal(taken(world, "looked-test"), kept, "looks survive kill -9 digit by digit")
    time.sleep(1)
    world.equal((taken(world, "looked-test"), treatment(world.results("looked-test"))["lift"]), (kept, lift), "and are not taken again")


def looks_end(world: World, traffic: Traffic) -> None:
    for number in (3, 4):
        arrive(world, traffic, "looked", range(number * 100 - 100, number * 100), Clicks({"control": 2, "treatment": 2}))
        world.eventually(lambda: [look["number"] for look in taken(world, "looked-test")], lambda found, number=number: found == [*range(1, number + 1)], f"look {number} is taken")
    results = world.results("looked-test")
    arm, looks = treatment(results), results["looks"]
    world.equal((looks["taken"][3]["is_last"], looks["next"], round(looks["taken"][3]["spent"], 12)), (True, None, 0.05), "the last spends what is left")
    world.equal((arm["lift"]["absolute"]["significant"], arm["verdict"], arm["decided_at_look"]), (False, "better", 2), "a later interval takes nothing back")
    arrive(world, traffic, "looked", range(400, 500), lambda _: None)
    time.sleep(1)
    world.equal(len(taken(world, "looked-test")), 4, "nothing is looked at beyond the plan")
    world.act("looked-test", "ship", {"variation": "treatment", "reason": "Found at look 2."})
    then = world.api("GET", f"{E}/experiments/looked-test/decision").json()["results"]
    world.equal((then["method"], then["metrics"][0]["arms"][1]["absolute"]["lower"]), ("group_sequential", arm["lift"]["absolute"]["lower"]), "the decision record has the look's figures")
    world.equal(treatment(world.results("looked-test"))["lift"], arm["lift"], "and results keep them after the end")


def end_closes(world: World, traffic: Traffic) -> None:
    world.flag("short")
    end_ms = now_ms() + 8_000
    world.experiment("short-test", "short", metrics=[{"metric": "clicks", "role": "primary"}], analysis=PLAN, planned_end_ms=end_ms)
    world.act("short-test", "start")
    arrive(world, traffic, "short", range(120), Clicks({"control": 4, "treatment": 4}))
    world.eventually(lambda: [look["number"] for look in taken(world, "short-test")], lambda found: found == [1], "the first look comes with a quarter")
    arrive(world, traffic, "short", range(120, 160), Clicks({"control": 4, "treatment": 4}))
    world.equal((len(taken(world, "short-test")), now_ms() < end_ms), (1, True), "before the planned end nothing more is due")
    time.sleep(max(0, end_ms - now_ms()) / 1_000)
    looks = world.eventually(lambda: taken(world, "short-test"), lambda found: len(found) == 2, "the planned end brings the last look")
    world.equal((looks[1]["number"], looks[1]["units"], looks[1]["is_last"], round(looks[1]["spent"], 12)), (4, 160, True, 0.05), "with the units that are there and all of α")
    world.equal(world.results("short-test")["guidance"]["rule"], "planned_end_without_effect", "and the plan is over")
