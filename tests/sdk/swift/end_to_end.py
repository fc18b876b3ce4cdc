#!/usr/bin/env python3
"""The Swift client against a running server: each event counted once, kill switches seen, outages survived, spools taken over, what the README shows.

    end_to_end.py small|full FOLDER [PROOF…]      FOLDER is seen by the chroot; EVENHAND_BIN names the server

What the clients of C++ and of C promise is asked of this one by the same program (tests/sdk/c/end_to_end.py), word for word.
"""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "c"))
from end_to_end import FAST, NEVER, CppProofs, World, converted, define, units  # noqa: E402


class SwiftProofs(CppProofs):
    """What the Swift client has beside; each method's docstring says what holds."""

    def killed(self) -> str:
        """a process that is killed while it sends: nothing is lost, nothing is counted twice"""
        world, before = self.world, units(self.world)
        spool = world.directory / "killed"
        kills = 3 if SIZE == "small" else 20
        for at in range(kills):
            driver = self.driver(f"spool={spool}", "flush_interval_ms=1", "batch_max_events=5")
            driver.ask("ready 10000")
            driver.send(*[f"decide {self.user(f'killed-{at}-{i}')}" for i in range(40)])
            # All are in the spool, sent, or both: the server knows each by its id.
            time.sleep(0.4 + at * 0.05)
            driver.kill()
        heir = self.driver(f"spool={spool}", *FAST)
        world.equal(heir.ask("flush 10000"), True, "what is left is sent")
        world.eventually(lambda: units(world), lambda found: found == before + kills * 40, f"{kills * 40} units are counted")
        heir.end()
        doubled = world.sql("SELECT count(*) - count(DISTINCT event_id) FROM events")
        world.equal(doubled, [[0]], "no event is stored twice")
        return f"{kills} kills, {kills * 40} units"

    def exit(self) -> str:
        """a process with an open client ends by itself, and sends what is queued first"""
        world, before = self.world, units(self.world)
        driver = self.driver(NEVER)
        driver.ask("ready 10000")
        driver.send(*[f"decide {self.user(f'exit-{i}')}" for i in range(20)])
        began = time.monotonic()
        driver.process.stdin.close()
        world.equal(driver.process.wait(20), 0, "it ends well")
        took = time.monotonic() - began
        world.check(took < 3, "within 3 s", took)
        world.eventually(lambda: units(world), lambda found: found == before + 20, "the 20 units are counted")
        return f"{took * 1000:.0f} ms"

    def let_go(self) -> str:
        """a client that is let go of sends what it holds"""
        world, before = self.world, units(self.world)
        driver = self.driver(NEVER)
        driver.ask("ready 10000")
        driver.send(*[f"expose {self.user(f'let-go-{i}')}" for i in range(10)])
        world.equal(driver.ask("drop"), True, "it is let go of")
        world.eventually(lambda: units(world), lambda found: found == before + 10, "the 10 units are counted")
        driver.process.stdin.close()
        world.equal(driver.process.wait(20), 0, "it ends well")
        return ""

    def readme(self) -> str:
        """what the README shows runs as it stands there"""
        world, before, bought = self.world, units(self.world), converted(self.world)
        said = run("ReadmeClient", world.base, world.keys["server"])
        world.check(said in ("a true", "b true"), "the five lines decide, track and deliver", said)
        world.eventually(lambda: (units(world), converted(world)), lambda found: found == (before + 1, bought + 1), "its exposure and purchase are counted")
        world.equal(run("ReadmeContext"), "4\nNO_MANIFEST", "the context has four attributes")
        body = world.api("GET", "/api/environments/production/manifest").json()
        (world.directory / "manifest.json").write_text(json.dumps(body.get("manifest", body)))
        world.check(run("ReadmeEngine", folder=world.directory) in ("control", "treatment"), "the engine decides", "")
        return ""


PROOFS = ["readiness", "exactly_once", "etag", "push", "poll", "outage", "spool", "denied", "shared_spool", "bootstrap", "killed", "exit", "let_go", "readme"]


def run(program: str, *arguments: str, folder: Path | None = None) -> str:
    """A program of the README in the chroot; what it prints."""
    command = [HERE / "in-chroot", program, *arguments]
    if folder is not None:
        # Where its manifest.json lies: within the folder that the chroot sees.
        place = Path(os.environ["EVENHAND_CACHE"]) / "swift"
        command = [HERE.parent.parent.parent / "ci" / "trixie", place, "/bin/sh", "-ec", 'cd "$1"; exec "$0"', place / "Proofs/.build/release" / program, folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode != 0 or done.stderr:
        raise AssertionError(f"{program} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


def main() -> None:
    directory = Path(tempfile.mkdtemp(prefix="world-", dir=sys.argv[2]))
    # Programs have to choose the modes of their files by themselves.
    os.umask(0)
    world = World(directory)
    try:
        define(world)
        for name in sys.argv[3:] or PROOFS:
            method = getattr(SwiftProofs(world, "swift", str(HERE / "drive")), name)
            detail = method()
            print(f"  {method.__doc__}{f' ({detail})' if detail else ''}", flush=True)
    except BaseException:
        sys.stderr.write(world.server.tail() + "\n")
        raise
    finally:
        world.close()
        shutil.rmtree(directory, ignore_errors=True)
    print(f"  end to end: {world.checks} checks hold")


if __name__ == "__main__":
    SIZE = sys.argv[1]
    main()
