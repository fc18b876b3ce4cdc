"""An experiment from DRAFT to ARCHIVED: what each step does to users, to whoever listens, and to the audit log."""
from __future__ import annotations

import json
import threading
import time

from connection import Connection
from world import E, P, World

UNITS = [f"user-{number}" for number in range(400)]


def given(world: World, flag: str) -> dict[str, tuple]:
    """What each of many users gets: variation and reason."""
    return {unit: (decision["variation"], decision["reason"]) for unit in UNITS for decision in [world.decide({"user_id": unit}, flag)[flag]]}


def shares(world: World, flag: str, variations: set[str], reason: str, what: str) -> dict[str, tuple]:
    return world.eventually(lambda: given(world, flag), lambda found: set(found.values()) == {(variation, reason) for variation in variations}, what)


class Listener:
    """The stream of manifest versions, with the instant at which each arrived."""

    def __init__(self, world: World):
        self.seen: list[tuple[int, float]] = []
        self.connection = Connection(world.server.port, timeout=60)
        self.key = world.keys["server"]
        threading.Thread(target=self._listen, daemon=True).start()
        world.eventually(lambda: self.seen, bool, "the stream tells the present version")

    def _listen(self) -> None:
        import socket

        stream = socket.create_connection(("127.0.0.1", self.connection.port))
        stream.sendall(f"GET /v1/manifest/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.key}\r\n\r\n".encode())
        for line in stream.makefile("rb"):
            if line.startswith(b"data:"):
                self.seen.append((json.loads(line[5:])["version"], time.monotonic()))


def play(world: World) -> None:
    world.flag("checkout")
    world.api("POST", f"{P}/layers", {"key": "page", "unit": "user_id"})
    world.experiment("checkout-test", "checkout", layer={"layer": "page", "slots": 500}, traffic=10_000)
    world.equal(set(given(world, "checkout").values()), {("control", "DEFAULT")}, "a draft decides nothing")

    preview = world.api("POST", f"{E}/experiments/checkout-test/preview", {"action": "start", "synthetic": 10_000}).json()
    world.equal((preview["shares"]["entering"], sum(preview["counts"][what] for what in ("entering", "outside"))), (0.5, 10_000), "a preview says who would move")
    world.act("checkout-test", "pause", status=409)
    listener = Listener(world)

    world.act("checkout-test", "start")
    before = world.eventually(lambda: given(world, "checkout"), lambda found: len(set(found.values())) == 3, "start: half the layer is split, the others get the default")
    inside = {unit: found for unit, found in before.items() if found[1] == "SPLIT"}
    world.check(150 <= len(inside) <= 250, "about half of the units are in the experiment's slots", len(inside))

    world.act("checkout-test", "pause")
    paused = world.eventually(lambda: given(world, "checkout"), lambda found: not any(reason == "SPLIT" for _, reason in found.values()), "pause: nobody is split")
    world.equal({unit for unit, found in paused.items() if found == ("control", "PAUSED")}, set(inside), "pause: those who were in get off")
    world.act("checkout-test", "resume")
    world.eventually(lambda: given(world, "checkout"), lambda found: found == before, "resume: everybody is back where they were")

    world.act("checkout-test", "change_traffic", {"traffic": 5_000})
    fewer = world.eventually(lambda: given(world, "checkout"), lambda found: found != before, "less traffic takes units out")
    world.check(all(before[unit] == found for unit, found in fewer.items() if found[1] == "SPLIT"), "less traffic moves nobody who stays", "")
    world.act("checkout-test", "change_traffic", {"traffic": 10_000})
    world.eventually(lambda: given(world, "checkout"), lambda found: found == before, "more traffic brings the same units back to the same place")
    world.act("checkout-test", "resize", {"slots": 1_000})
    wider = world.eventually(lambda: given(world, "checkout"), lambda found: all(reason == "SPLIT" for _, reason in found.values()), "all slots: everybody is in")
    world.check(all(wider[unit] == found for unit, found in inside.items()), "growing moves nobody who was in", "")

    world.act("checkout-test", "new_phase")
    again = world.eventually(lambda: given(world, "checkout"), lambda found: found != wider, "a new phase draws anew")
    moved = sum(again[unit] != wider[unit] for unit in UNITS)
    world.check(130 <= moved <= 270, "about half of the units move in a new phase", moved)
    world.equal(world.decide({"user_id": "user-1"}, "checkout")["checkout"]["phase"], 2, "the decision carries the phase")

    killed = time.monotonic()
    world.act("checkout-test", "kill")
    heard = world.eventually(lambda: [at for _, at in listener.seen if at > killed], bool, "the kill is heard on the stream")
    world.check(heard[0] - killed < 1, "the kill is heard within a second", heard[0] - killed)
    shares(world, "checkout", {"control"}, "KILLED", "kill: everybody gets off")
    world.act("checkout-test", "unkill")
    world.eventually(lambda: given(world, "checkout"), lambda found: found == again, "unkill: everybody is back")

    world.act("checkout-test", "ship", {"variation": "treatment"})
    shares(world, "checkout", {"treatment"}, "DEFAULT", "ship: everybody gets what was shipped")
    world.act("checkout-test", "start", status=409)
    world.act("checkout-test", "archive")
    state = world.api("GET", f"{E}/experiments/checkout-test").json()
    world.check('"ARCHIVED"' in json.dumps(state), "the experiment is archived", state)
    versions = [version for version, _ in listener.seen]
    world.check(versions == sorted(set(versions)) and len(versions) >= 11, "versions on the stream only grow, one for each change", versions)

    flag_switch(world)
    concurrency(world)
    audit(world)
    restart(world)


def flag_switch(world: World) -> None:
    world.api("POST", f"{E}/flags/checkout/kill", {})
    shares(world, "checkout", {"control"}, "KILLED", "the flag's own switch: off")
    world.api("POST", f"{E}/flags/checkout/unkill", {})
    shares(world, "checkout", {"treatment"}, "DEFAULT", "and back")


def concurrency(world: World) -> None:
    stored = world.api("GET", f"{P}/flags/checkout").json()
    body = {key: value for key, value in stored.items() if key not in ("version", "created_ms", "updated_ms")}
    body["description"] = "what the first writer says"
    world.api("PUT", f"{P}/flags/checkout", body, headers={"If-Match": f'"{stored["version"]}"'})
    body["description"] = "what the second writer says"
    refused = world.api("PUT", f"{P}/flags/checkout", body, status=409, headers={"If-Match": f'"{stored["version"]}"'}).json()
    world.check(str(stored["version"] + 1) in refused["error"]["message"], "the refusal names the version that is stored", refused)
    world.equal(world.api("GET", f"{P}/flags/checkout").json()["description"], "what the first writer says", "the second writer has changed nothing")
    wrong = world.api("POST", f"{P}/experiments", {"key": "lame", "flag": "chekout", "unit": "user_id", "variations": []}, status=400).json()
    world.check(bool(wrong["error"].get("field")), "a bad definition names its field", wrong)


def audit(world: World) -> None:
    records = world.api("GET", "/api/audit?limit=500").json()["items"]
    actions = [record["action"] for record in records if record["target"] == "experiment/checkout-test"]
    expected = ["archive", "ship", "unkill", "kill", "new_phase", "resize", "change_traffic", "change_traffic", "resume", "pause", "start"]
    world.equal([action.split(".")[-1] for action in actions][: len(expected)], expected, "every action is in the audit log, newest first")
    chain = world.api("GET", "/api/audit/verify").json()
    world.check(chain.get("intact", chain.get("valid")) is True, "the audit chain is whole", chain)


def restart(world: World) -> None:
    before = given(world, "checkout")
    version = world.http("GET", f"/v1/manifest/{world.keys['server']}").headers["etag"]
    world.server.kill()
    world.connection.close()
    world.server.start()
    world.equal(given(world, "checkout"), before, "after kill -9 everybody gets the same")
    world.equal(world.http("GET", f"/v1/manifest/{world.keys['server']}").headers["etag"], version, "after kill -9 the manifest is the same")
