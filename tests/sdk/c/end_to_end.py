#!/usr/bin/env python3
"""The C++ client and the C host of bindings/c/examples against a running server: each event counted once, kill switches seen, outages survived.

    end_to_end.py NAME=PROGRAM…      NAME is `c` or `cpp` for what was built from drive.c or drive.cpp, `shop-…` for an example; EVENHAND_BIN names the server
"""
from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent.parent
sys.path.insert(0, str(REPOSITORY / "tests" / "e2e"))
from world import Connection, E, P, World  # noqa: E402

EXPERIMENT = "checkout-test"
FAST = ("backoff_base_ms=50", "backoff_max_ms=200", "flush_interval_ms=20")
NEVER = "flush_interval_ms=3600000"


class Driver:
    """One process of the program under test."""

    def __init__(self, program: str, url: str, key: str, *options: str):
        self.log = tempfile.TemporaryFile("w+")
        # Reading it here moves the place where the process would write on, which is the same file to the system.
        fcntl.fcntl(self.log, fcntl.F_SETFL, os.O_APPEND)
        self.process = subprocess.Popen([program, url, key, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, bufsize=1)
        self.constructed_us = self.answer()["constructed_us"]

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"{self.process.args} ended with {self.process.wait(10)}: {self.told()[-2000:]}")
        return json.loads(line)

    def send(self, *lines: str) -> list:
        """Commands in one go, and their answers."""
        self.process.stdin.write("".join(f"{line}\n" for line in lines))
        self.process.stdin.flush()
        return [self.answer() for _ in lines]

    def ask(self, line: str):
        return self.send(line)[0]

    def told(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def end(self, timeout_ms: int = 5_000) -> bool:
        delivered = self.ask(f"close {timeout_ms}")
        self.process.stdin.close()
        code = self.process.wait(20)
        if code != 0:
            raise AssertionError(f"{self.process.args} ended with {code}: {self.told()[-2000:]}")
        return delivered


def define(world: World) -> None:
    world.flag("checkout")
    world.api("POST", f"{P}/metrics", {"key": "purchases", "kind": "conversion_rate", "event": {"event_name": "purchase"}})
    world.experiment(EXPERIMENT, "checkout", metrics=[{"metric": "purchases", "role": "primary"}])
    world.act(EXPERIMENT, "start")


def restart(world: World) -> None:
    world.server.start()
    world.connection.close()
    world.connection = Connection(world.server.port)


def arms(world: World) -> dict[str, int]:
    return {found["id"]: found["units"] for found in world.results(EXPERIMENT)["variations"]}


def units(world: World) -> int:
    return sum(arms(world).values())


def converted(world: World) -> int:
    return round(sum((arm["estimate"] or {"total": 0})["total"] for arm in world.results(EXPERIMENT)["metrics"][0]["arms"]))


class Proofs:
    """Each method is one; its docstring says what holds."""

    def __init__(self, world: World, name: str, program: str):
        self.world, self.name, self.program = world, name, program

    def driver(self, *options: str, url: str | None = None, key: str | None = None) -> Driver:
        return Driver(self.program, url or self.world.base, key or self.world.keys["server"], *options)

    def user(self, text: str) -> str:
        return f"{self.name}-{text}"

    def readiness(self) -> str:
        """construction does not wait; before the first manifest the caller's default counts"""
        world = self.world
        nowhere = self.driver(url="http://127.0.0.1:9")
        world.check(nowhere.constructed_us < 50_000, "construction takes less than 50 ms", nowhere.constructed_us)
        early = nowhere.ask("decide u")
        world.check(early["reason"] in ("NOT_READY", "NO_MANIFEST") and early["value"] == "mine" and early["variation"] is None, "the caller's default", early)
        world.equal(nowhere.ask("ready 200"), False, "it is not ready")
        world.equal(nowhere.end(100), True, "nothing is left over")
        world.check("manifest_fetch_failed" in nowhere.told(), "the logger is told", nowhere.told())
        driver = self.driver()
        world.equal(driver.ask("ready 10000"), True, "with a server it becomes ready")
        world.equal(driver.ask("decide early")["reason"], "SPLIT", "and decides")
        driver.end()
        return f"{nowhere.constructed_us} us"

    def exactly_once(self) -> str:
        """exposures and conversions arrive exactly once in the results"""
        world, driver = self.world, self.driver("flush_interval_ms=50")
        driver.ask("ready 10000")
        before, bought = arms(world), converted(world)
        expected = dict(before)
        for i in range(300):
            user = self.user(f"once-{i}")
            decisions = driver.send(*[f"decide {user}"] * 3)
            expected[decisions[0]["variation"]] += 1
        # The time of an event is corrected by how long its batch was under way: a purchase of the same moment, in another batch, could come
        # before its exposure, and is then no conversion.
        world.equal(driver.ask("flush 10000"), True, "the exposures are there")
        for i in range(0, 300, 3):
            world.check(isinstance(driver.ask(f"track {self.user(f'once-{i}')} purchase 1.25"), str), "an event id", driver.told()[-500:])
        driver.ask(f"evaluate {self.user('never')}")
        world.equal(driver.ask("flush 10000"), True, "the queue is flushed")
        world.eventually(lambda: arms(world), lambda found: found == expected, f"the arms are {expected}")
        world.eventually(lambda: converted(world), lambda found: found == bought + 100, "100 units have converted")
        told = driver.ask("telemetry")
        world.equal((told["exposures"]["sent"], told["events"]["sent"], told["held"]), (300, 100, 0), "sent, and held")
        world.equal(told["evaluations"], 901, "evaluations are counted")
        world.equal(driver.ask("track - purchase"), None, "an event without a unit is refused")
        driver.end()
        stored = world.sql(f"SELECT count(*), count(DISTINCT event_id) FROM events WHERE sdk = 'evenhand-{self.name}/0.1.0' AND event_name = 'purchase'")
        world.equal(stored, [[100, 100]], "each conversion is stored once")
        return "300 exposures, 100 conversions"

    def manifest_answers(self) -> dict[str, int]:
        """How often the server has answered a fetch of the manifest, by status."""
        text = self.world.http("GET", "/metrics").body.decode()
        found = re.findall(r'^evenhand_http_requests_total\{route="/v1/manifest/[^s"][^"]*",status="(\d+)"\} (\d+)$', text, re.M)
        return {status: int(count) for status, count in found}

    def etag(self) -> str:
        """a manifest that has not changed is confirmed by ETag, and does not travel again"""
        world, before = self.world, self.manifest_answers()
        driver = self.driver("stream=0", "poll_interval_ms=1000")
        driver.ask("ready 10000")
        told = world.eventually(lambda: driver.ask("telemetry"), lambda found: found["confirmations"] >= 3, "three confirmations")
        after = self.manifest_answers()
        world.equal(told["snapshots"], 1, "one snapshot")
        world.equal(after["200"] - before.get("200", 0), 1, "the manifest was sent once")
        world.check(after.get("304", 0) - before.get("304", 0) >= 2, "and is not modified afterwards", (before, after))
        driver.end()
        return f"{told['confirmations']} confirmations"

    def seen_kill(self, driver: Driver, limit: float) -> str:
        world = self.world

        def wait_for(reason: str) -> float:
            began = time.monotonic()
            world.eventually(lambda: driver.ask("evaluate u-1")["reason"], lambda found: found == reason, f"{reason} is seen")
            return time.monotonic() - began

        world.act(EXPERIMENT, "kill")
        took = wait_for("KILLED")
        world.check(took < limit, f"the kill is seen within {limit} s", took)
        world.act(EXPERIMENT, "unkill")
        wait_for("SPLIT")
        driver.end()
        return f"{took * 1000:.0f} ms"

    def push(self) -> str:
        """a kill is seen within a second by push"""
        driver = self.driver()
        driver.ask("ready 10000")
        self.world.eventually(lambda: driver.ask("telemetry")["streaming"], bool, "the stream opens")
        return self.seen_kill(driver, 1.0)

    def poll(self) -> str:
        """and within the poll interval without push"""
        driver = self.driver("stream=0", "poll_interval_ms=1000")
        driver.ask("ready 10000")
        # The interval, and what a loaded machine takes to ask and answer.
        return self.seen_kill(driver, 1.5)

    def outage(self) -> str:
        """a dead server leaves decisions as they are; what is queued arrives after its return"""
        world = self.world
        before = units(world)
        driver = self.driver(*FAST)
        driver.ask("ready 10000")
        world.server.kill()
        fresh = self.driver(*FAST)
        world.equal(fresh.ask("ready 300"), False, "a client that finds no server is not ready")
        world.check(fresh.ask("decide x")["value"] == "mine", "its caller's default counts", "")
        decisions = driver.send(*[f"decide {self.user(f'outage-{i}')}" for i in range(40)])
        world.check(all(found["reason"] == "SPLIT" for found in decisions), "decisions go on", decisions)
        world.equal(driver.ask("flush 300"), False, "nothing can be sent")
        restart(world)
        world.equal(driver.ask("flush 10000"), True, "everything is sent")
        world.equal(fresh.ask("ready 10000"), True, "the other becomes ready by itself")
        world.eventually(lambda: units(world), lambda found: found == before + 40, "the 40 units are counted")
        driver.end()
        fresh.end()
        return "40 units"

    def spool(self) -> str:
        """killed with events in the spool: the next start decides offline and sends them, once"""
        world, before = self.world, units(self.world)
        spool = world.directory / f"spool-{self.name}"
        driver = self.driver(f"spool={spool}", NEVER)
        driver.ask("ready 10000")
        driver.send(*[f"decide {self.user(f'spooled-{i}')}" for i in range(60)])
        # A spool is written a quarter of a second after a change.
        world.eventually(lambda: spool.read_bytes().count(b'"$exposure"') if spool.exists() else 0, lambda found: found == 60, "the spool holds 60 events")
        driver.kill()
        world.equal(f"{spool.stat().st_mode & 0o777:o}", "600", "a spool is its owner's alone")
        world.equal(units(world), before, "nothing was sent yet")
        world.server.kill()
        driver = self.driver(f"spool={spool}", *FAST)
        world.equal(driver.ask(f"decide {self.user('offline')}")["reason"], "SPLIT", "the spooled manifest decides at once, without a server")
        world.equal(driver.ask("telemetry")["exposures"]["restored"], 60, "sixty exposures come back")
        restart(world)
        world.equal(driver.ask("flush 10000"), True, "they are sent")
        world.eventually(lambda: units(world), lambda found: found == before + 61, "61 units are counted")
        driver.end()
        driver = self.driver(f"spool={spool}", *FAST)
        world.equal(driver.ask("telemetry")["exposures"]["restored"], 0, "and never again")
        driver.end()
        # Closed while the server is away: what is left over waits in the spool.
        driver = self.driver(f"spool={spool}", NEVER)
        driver.ask("ready 10000")
        world.server.kill()
        driver.ask(f"decide {self.user('late')}")
        world.equal(driver.end(300), False, "not everything is delivered")
        restart(world)
        driver = self.driver(f"spool={spool}", *FAST)
        world.equal(driver.ask("flush 10000"), True, "the next start delivers it")
        world.eventually(lambda: units(world), lambda found: found == before + 62, "62 units are counted")
        driver.end()
        broken = world.directory / f"broken-{self.name}"
        broken.write_bytes(b"EHSPOOL1 is not all there is to it")
        driver = self.driver(f"spool={broken}")
        world.equal(driver.ask("ready 10000"), True, "a broken spool is no obstacle")
        driver.end()
        world.check("spool_ignored" in driver.told(), "but it is told", driver.told())
        return "62 units"

    def denied(self) -> str:
        """a key that the server does not know is told, and decisions are the caller's"""
        world, driver = self.world, self.driver(key="wrong")
        world.eventually(lambda: "manifest_denied" in driver.told(), bool, "the denial is told")
        world.equal(driver.ask("decide u")["value"], "mine", "the caller's default counts")
        driver.end(100)
        return ""


class CppProofs(Proofs):
    """What the C++ client has beside."""

    def shared_spool(self) -> str:
        """two clients share a spool path; files of the dead are taken over and removed"""
        world = self.world
        spool = world.directory / "shared"
        files = lambda: sorted(path.name for path in world.directory.iterdir() if path.name.startswith("shared") and not path.name.endswith((".lock", ".new")))  # noqa: E731
        both = [self.driver(f"spool={spool}", NEVER) for _ in range(2)]
        before = units(world)
        for at, driver in enumerate(both):
            driver.ask("ready 10000")
            driver.ask(f"decide {self.user(f'shared-{at}')}")
        spooled = lambda: sum((world.directory / name).read_bytes().count(b'"$exposure"') for name in files())  # noqa: E731
        world.eventually(lambda: (len(files()), spooled()), lambda found: found == (2, 2), "each has its file, with its event")
        for driver in both:
            driver.kill()
        heir = self.driver(f"spool={spool}", *FAST)
        world.equal(heir.ask("telemetry")["exposures"]["restored"], 2, "both events come back")
        world.equal(heir.ask("flush 10000"), True, "they are sent")
        world.eventually(lambda: units(world), lambda found: found == before + 2, "2 units are counted")
        heir.end()
        world.equal(files(), ["shared"], "one file is left")
        return ""

    def bootstrap(self) -> str:
        """bootstrap from a file, overrides, sticky assignments in a file"""
        world = self.world
        body = world.api("GET", f"{E}/manifest").json()
        body = body.get("manifest", body)
        body["flags"]["checkout"]["rules"][0]["sticky"] = True
        first = world.directory / "first.json"
        first.write_text(json.dumps(body))
        body["version"] += 1
        body["flags"]["checkout"]["rules"][0]["split"]["ranges"] = [[0, 1, "control"], [1, 4294967296, "treatment"]]
        second = world.directory / "second.json"
        second.write_text(json.dumps(body))
        nowhere = "http://127.0.0.1:9"
        forced = self.driver(f"bootstrap={first}", "override=checkout:treatment", url=nowhere)
        found = forced.ask("decide u")
        world.equal((found["reason"], found["value"]), ("OVERRIDE", "b"), "an override of the options holds")
        forced.end(50)
        missing = self.driver(f"bootstrap={world.directory}/nowhere.json", url=nowhere)
        world.check(missing.ask("decide u")["reason"] == "NOT_READY", "a bootstrap that is not there is no obstacle", "")
        missing.end(50)
        world.check("bootstrap_ignored" in missing.told(), "but it is told", missing.told())
        sticky = world.directory / "sticky"
        users = [f"decide {i}" for i in range(50)]
        driver = self.driver(f"bootstrap={first}", f"sticky={sticky}", url=nowhere)
        given = [found["variation"] for found in driver.send(*users)]
        driver.end(50)
        driver = self.driver(f"bootstrap={second}", f"sticky={sticky}", url=nowhere)
        after = driver.send(*users)
        world.equal([(found["variation"], found["reason"]) for found in after], [(variation, "STICKY") for variation in given], "everybody keeps what they had")
        world.check("control" in given, "also the arm that nobody new gets", given)
        world.equal(driver.ask("decide new")["variation"], "treatment", "a new unit does not")
        driver.end(50)
        return ""


def prove_example(world: World, name: str, program: str) -> None:
    """An example as its user runs it: decides, tracks, and has delivered everything when it ends."""
    before, bought = units(world), converted(world)
    users = [f"{name}-{i}" for i in range(10)]
    environment = {**os.environ, "EVENHAND_URL": world.base, "EVENHAND_KEY": world.keys["server"]}
    done = subprocess.run([program, *users], env=environment, capture_output=True, text=True, timeout=30)
    world.equal((done.returncode, done.stderr), (0, ""), f"{name} ends well")
    lines = [re.fullmatch(r"(.*): ([ab]) \(SPLIT\)", line) for line in done.stdout.splitlines()]
    world.equal([line and line[1] for line in lines], users, f"{name} decides for each user")
    world.eventually(lambda: (units(world), converted(world)), lambda found: found == (before + 10, bought + 10), "10 units and 10 purchases are counted")
    print(f"  {name}: the example decides, tracks, and has delivered everything when it ends")


def main() -> None:
    directory = Path(tempfile.mkdtemp(prefix="evenhand-c-"))
    # Programs have to choose the modes of their files by themselves.
    os.umask(0)
    world = World(directory)
    drivers = dict(argument.split("=", 1) for argument in sys.argv[1:])
    try:
        define(world)
        for name, program in drivers.items():
            if name.startswith("shop-"):
                prove_example(world, name, program)
                continue
            kinds = CppProofs if name == "cpp" else Proofs
            names = ["readiness", "exactly_once", "etag", "push", "poll", "outage", "spool", "denied"]
            if kinds is CppProofs:
                names += ["shared_spool", "bootstrap"]
            for proof in names:
                method = getattr(kinds(world, name, program), proof)
                detail = method()
                print(f"  {name}: {method.__doc__}{f' ({detail})' if detail else ''}", flush=True)
    except BaseException:
        sys.stderr.write(world.server.tail() + "\n")
        raise
    finally:
        world.close()
        shutil.rmtree(directory, ignore_errors=True)
    print(f"end to end: {world.checks} checks hold for {' and '.join(drivers)}")


if __name__ == "__main__":
    main()
