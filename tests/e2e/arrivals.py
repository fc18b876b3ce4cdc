"""Who was decided and whose exposure never came, and what comes late: found by the health checks, told by the command line."""
from __future__ import annotations

import json
import uuid
from pathlib import Path

from grpc_calls import Calls, address_of
from world import E, P, World, now_ms

SERVER = {"options": ("--grpc-listen", "127.0.0.1:0", "--config", str(Path(__file__).with_name("arrivals.toml")))}
USERS = 20_000
HOUR, DAY = 3_600_000, 86_400_000


def play(world: World) -> None:
    world.flag("cart", client_visible=True)
    world.flag("menu")
    world.flag("banner")
    world.experiment("cart-test", "cart")
    world.api("POST", f"{P}/holdouts", {"key": "held-back", "unit": "user_id", "share": 1000})
    world.experiment("menu-test", "menu", holdouts=["held-back"])
    world.experiment("banner-test", "banner")
    for experiment in ("cart-test", "menu-test", "banner-test"):
        world.act(experiment, "start")
    world.eventually(lambda: world.decide({"user_id": "first"}, "banner")["banner"], lambda found: found["reason"] == "SPLIT", "the experiments run")
    nothing = checks(world, "cart-test")["exposure_loss"]
    world.equal((nothing["finding"], nothing["decided_sampled"], nothing["since_ms"]), ("unknown", 0, None), "nobody was decided yet")

    exposures = decided(world)
    sent = [number for number in range(USERS) if number % 10 < 7]
    send(world, exposures, sent)
    # One in 32 is looked at: 625 of them, with a standard deviation of 25; the share's is 0.018.
    half = lambda found: 0.45 < found["by_name"]["decided"] / max(found["decided_sampled"], 1) < 0.55  # noqa: E731
    loss = world.eventually(lambda: checks(world, "cart-test")["exposure_loss"], lambda found: 530 < found["decided_sampled"] < 720 and half(found), "decisions are looked at when their exposure is due, half of them asked for by name")
    world.check(abs(loss["share_lost"] - 0.3) < 0.08, "three in ten are found to be lost", loss)
    world.equal((loss["finding"], loss["share_lost"]), ("failure", (loss["decided_sampled"] - loss["received"]) / loss["decided_sampled"]), "which is a failure")
    world.equal(checks(world, "cart-test")["finding"], "failure", "of the whole")
    world.check("of the units decided no exposure came" in world.cli("results", "cart-test"), "the command line tells it")
    send(world, exposures, sorted(set(range(USERS)) - set(sent)))
    loss = world.eventually(lambda: checks(world, "cart-test")["exposure_loss"], lambda found: found["share_lost"] == 0, "nothing is lost when all have come")
    world.equal((loss["finding"], loss["received"]), ("healthy", loss["decided_sampled"]), "and it is well again")
    world.check("no exposure came" not in world.cli("results", "cart-test"), "the command line tells nothing")

    holdouts_and_overrides(world)
    erased(world, loss["decided_sampled"])
    late(world)


def checks(world: World, experiment: str) -> dict:
    return world.api("GET", f"{E}/experiments/{experiment}/results/health").json()


def decided(world: World) -> dict[int, dict]:
    """The exposures handed out, on every way that there is: all flags and one, with both kinds of keys, over HTTP and gRPC."""
    calls = Calls(address_of(world.server.log_path), world.keys["server"])
    exposures, by_grpc = {}, []
    for number in range(USERS):
        user = f"user-{number}"
        match number % 4:
            case 0:
                answer = world.http("GET", f"/v1/assignments?user_id={user}", key=world.keys["server"]).json()["assignments"]["cart"]
            case 1:
                answer = world.http("POST", "/v1/assignments", {"context": {"user_id": user}, "flags": ["cart"]}, world.keys["server"]).json()["assignments"]["cart"]
            case 2:
                answer = next(iter(world.http("GET", f"/v1/assignments?user_id={user}", key=world.keys["client"]).json()["assignments"].values()))
            case _:
                by_grpc.append((number, user))
                continue
        exposures[number] = answer["exposure"]
    for at in range(0, len(by_grpc), 500):
        some = by_grpc[at : at + 500]
        request = calls.type("BatchGetRequest")(contexts=[calls.context({"user_id": user}) for _, user in some], flags=["cart"])
        for (number, _), told in zip(some, calls.call("AssignmentService.BatchGet", request).answers):
            exposures[number] = calls.as_http(told.decisions[0])["exposure"]
    calls.close()
    world.equal(len(exposures), USERS, "everyone is decided")
    return exposures


def filled(exposure: dict, at_ms: int | None = None) -> dict:
    return {**exposure, "event_id": str(uuid.uuid4()), "timestamp": at_ms or now_ms()}


def send(world: World, exposures: dict[int, dict], numbers: list[int]) -> None:
    for kind in ("server", "client"):
        of_kind = [filled(exposures[number]) for number in numbers if (number % 4 == 2) == (kind == "client")]
        for at in range(0, len(of_kind), 1_000):
            answer = world.http("POST", "/v1/events", of_kind[at : at + 1_000], world.keys[kind])
            world.check(answer.status == 202 and not answer.json()["rejected"], "exposures are accepted", answer.body[:300])


def holdouts_and_overrides(world: World) -> None:
    """A holdout's exposures are due like an experiment's; a forced decision's are not."""
    held = []
    token = world.api("POST", f"{E}/override-tokens", {"flag": "banner", "variation": "treatment", "expires_in_s": 3600}).json()["token"]
    before = checks(world, "banner-test")["exposure_loss"]["decided_sampled"]
    for number in range(5_000):
        answer = world.http("POST", "/v1/assignments", {"context": {"user_id": f"menu-{number}"}, "flags": ["menu", "banner"]}, world.keys["server"], {"X-Evenhand-Override": token}).json()["assignments"]
        held += [filled(exposure) for exposure in answer["menu"]["holdout_exposures"]]
        if answer["banner"]["reason"] != "OVERRIDE":
            raise AssertionError(answer["banner"])
    world.equal(len(held), 5_000, "everyone has an exposure of the holdout")
    for at in range(0, len(held), 1_000):
        world.send(held[at : at + 1_000])
    holdout = world.eventually(lambda: checks(world, "held-back")["exposure_loss"], lambda found: found["by_name"]["received"] > 120, "the holdout's exposures are there")
    world.equal(holdout["by_name"]["decided"], holdout["by_name"]["received"], "all of them")
    world.check(holdout["finding"] == "warning" and holdout["share_lost"] > 0.5, "those that stood in answers of all flags are not, for which a warning is enough", holdout)
    menu = checks(world, "menu-test")["exposure_loss"]
    world.check(menu["finding"] == "failure" and menu["share_lost"] == 1 and menu["by_name"]["decided"] >= 100, "nor are those of the experiment it guards", menu)
    world.equal(checks(world, "banner-test")["exposure_loss"]["decided_sampled"], before, "forced decisions are not waited for")


def erased(world: World, sampled: int) -> None:
    """Erased users' exposures are gone, and not lost."""
    for number in range(150):
        world.api("POST", f"{E}/erase", {"unit": "user_id", "id": f"user-{number}"})
    loss = checks(world, "cart-test")["exposure_loss"]
    world.check(loss["share_lost"] == 0 and loss["decided_sampled"] < sampled, "whoever is erased is not looked for", loss)


def late(world: World) -> None:
    before = checks(world, "cart-test")["late_events"]
    world.equal((before["finding"], before["over_a_minute"], before["exposures"]["accepted"]), ("healthy", 0, USERS + 5_000), "exposures came in time")
    now = now_ms()
    delays = [0] * 180 + [2 * 60_000] * 5 + [2 * HOUR] * 10 + [2 * DAY] * 5
    world.send([{"event_id": str(uuid.uuid4()), "event_name": "purchase", "user_id": "late", "timestamp": now - delay} for delay in delays])
    old = {"event_id": str(uuid.uuid4()), "event_name": "purchase", "user_id": "old", "timestamp": now - 300 * DAY}
    (world.directory / "old.ndjson").write_text(json.dumps(old) + "\n")
    world.cli("events", "import", str(world.directory / "old.ndjson"))
    after = checks(world, "cart-test")["late_events"]
    told = [after[field] for field in ("accepted", "over_a_minute", "over_an_hour", "over_a_day")]
    world.equal(told, [before["accepted"] + 200, 20, 15, 5], "late events are counted, and imports are not")
    world.equal((after["finding"], after["exposures"]), ("warning", before["exposures"]), "seven in a hundred are too many")
    world.check("15 of" in world.cli("results", "cart-test"), "the command line tells it")
    metrics = world.http("GET", "/metrics").body.decode()
    series = 'evenhand_events_delay_seconds_bucket{environment="production",kind="other",le='
    found = [line.removeprefix(series) for line in metrics.splitlines() if line.startswith(series)]
    world.equal(found, ['"60.0"} 180', '"3600.0"} 185', '"86400.0"} 195', '"+Inf"} 200'], "and shown as a histogram")
