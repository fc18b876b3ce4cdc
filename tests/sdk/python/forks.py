"""Forks against a running server: no exposure twice, none lost, no event id in two processes.

python forks.py small|full [WORD …]
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request

from evenhand import Client

from forking import PER_PROCESS
from served import HERE, HOUR_MS, Shop, finished, python, run


def options(shop: Shop, **more: object) -> dict[str, object]:
    return {"url": shop.base, "key": shop.key, "flush_interval_ms": HOUR_MS, **more}


def distinct(shop: Shop, ids: list[str], count: int) -> None:
    """So many ids, and no two alike even but for their time, which alone may keep two processes' apart."""
    shop.equal(len(ids), count, f"{count} ids are drawn")
    shop.equal(len({event_id[14:] for event_id in ids}), count, "no two processes draw alike")


def forked(shop: Shop, program: str, acts: int) -> None:
    """Each process's events arrive, once, and nobody sends another's."""
    before, twice, bought, exposures = shop.units(), shop.duplicates(), shop.rows("purchase"), shop.rows("$exposure")
    ids = finished(python(str(HERE / "forking.py"), program, json.dumps(options(shop)))).split()
    events = acts * PER_PROCESS
    distinct(shop, ids, events)
    shop.eventually(shop.units, lambda found: found == before + events, "every unit is counted")
    shop.eventually(lambda: shop.rows("purchase"), lambda found: found == bought + events, "every event has arrived")
    # A child decides again for the units that its parent had decided for: those exposures are the parent's.
    shop.equal(shop.rows("$exposure"), exposures + events, "every unit is exposed once")
    shop.equal(shop.duplicates(), twice, "nothing was sent by two processes")
    stored = {row[0] for row in shop.sql("SELECT event_id FROM events WHERE event_name = 'purchase'")}
    shop.check(set(ids) <= stored, "the ids that arrived are those that were given", len(set(ids) - stored))


def nested(shop: Shop) -> None:
    forked(shop, "nested", 3)


def processes(shop: Shop) -> None:
    forked(shop, "process", 6)


def pool(shop: Shop) -> None:
    forked(shop, "pool", 7)


def killed(shop: Shop) -> None:
    twice, exposures = shop.duplicates(), shop.rows("$exposure")
    spool = shop.directory / "killed" / "spool"
    spool.parent.mkdir()
    program = python(str(HERE / "forking.py"), "killed", json.dumps(options(shop, spool=str(spool))))
    ids = program.communicate(timeout=60)[0].split()
    shop.equal(program.returncode, -signal.SIGKILL, "it kills itself")
    distinct(shop, ids, 5 * PER_PROCESS)
    shop.equal(
        shop.sql(f"SELECT count(*) FROM events WHERE event_id IN ({','.join(map(repr, ids))})"),
        [[0]],
        "nothing was sent",
    )
    client = Client(shop.base, shop.key, spool=spool)
    shop.equal(client.telemetry()["events"]["restored"], len(ids), "all of it comes back from the spools")
    later = [str(client.track("purchase", {"user_id": f"later-{number}"})) for number in range(PER_PROCESS)]
    distinct(shop, [*ids, *later], 6 * PER_PROCESS)
    shop.check(client.flush(), "it is delivered", client.telemetry())
    client.close()
    shop.equal(sorted(path.name for path in spool.parent.iterdir()), ["spool"], "the files of the dead are gone")
    shop.eventually(
        lambda: shop.rows("$exposure"), lambda found: found == exposures + len(ids), "every unit is exposed once"
    )
    shop.equal(shop.duplicates(), twice, "nothing was sent twice")
    again = Client(shop.base, shop.key, spool=spool)
    shop.equal(again.telemetry()["events"]["restored"], 0, "and never again")
    again.close()


def copied(shop: Shop) -> None:
    """A spool restored by two processes (a copied disk): the old ids are one event each, the new ones all differ."""
    before = shop.rows("note")
    spools = [shop.directory / "copy-1", shop.directory / "copy-2"]
    script = (
        "import json, sys, time; from evenhand import Client; o = json.loads(sys.argv[1]); c = Client(**o); assert c.wait_ready(20)\n"
        "print('\\n'.join(c.track('note', {'user_id': 'n'}) for _ in range(50)), flush=True)\n"
    )
    first = python("-c", script + "time.sleep(60)", json.dumps(options(shop, spool=str(spools[0]))))
    assert first.stdout is not None
    ids = [first.stdout.readline().strip() for _ in range(50)]
    time.sleep(1.5)
    first.kill()
    first.wait()
    shutil.copy(*spools)
    for spool in spools:
        ids += finished(python("-c", script, json.dumps(options(shop, spool=str(spool))))).split()
    distinct(shop, ids, 150)
    shop.eventually(lambda: shop.rows("note"), lambda found: found == before + 150, "150 events")


def busy(shop: Shop) -> None:
    manifest = shop.directory / "busy.json"
    manifest.write_text(shop.manifest())
    # To nowhere: what 120 children have is theirs, and they leave by `os._exit`.
    told = {"url": "http://127.0.0.1:9", "key": "k", "bootstrap": str(manifest), "flush_interval_ms": HOUR_MS}
    finished(python(str(HERE / "forking.py"), "busy", json.dumps(told)), 240)


HOOKED = """
import os, signal, sys
box = []
def say(*words):
    # One write, so that two processes do not come between each other's lines.
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
def use():
    for client in box:
        say(sys.argv[1], client.track("hooked", {"user_id": "u"}), client.decide("flag-0", {"user_id": "u"}).reason)
        client.expose(decision)
        for call in (client.telemetry, lambda: client.update_manifest(b"{}"), lambda: client.flush(0), lambda: client.close(0)):
            try:
                call()
            except evenhand.EvenhandError as error:
                say("raised", "import evenhand before" in str(error))
# Before the client's own: it runs first behind the fork, and last before it.
os.register_at_fork(**{sys.argv[1]: use})
import logging
import evenhand
from manifests import manifest
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(evenhand_code)s")
logging.getLogger("evenhand").addFilter(lambda record: record.evenhand_code in ("track_refused", "exposure_lost", "fault"))
client = evenhand.Client("http://127.0.0.1:9", "k", stream=False, bootstrap=manifest(1, 1), backoff_base_ms=60_000)
decision = client.evaluate("flag-0", {"user_id": "u"})
box.append(client)
pid = os.fork()
signal.alarm(20)
box.clear()
if pid == 0:
    held = client.telemetry()["held_events"]
    good = client.track("later", {"user_id": "u"}) is not None
    say("child", held, good, client.telemetry()["held_events"])
    os._exit(0)
say("status", os.waitpid(pid, 0)[1], client.telemetry()["held_events"], client.track("later", {"user_id": "u"}) is not None)
logging.disable()
client.close(0)
"""


def hooked(shop: Shop) -> None:
    """A fork hook that came before `import evenhand` runs while its own thread holds the client's lock."""
    for when in ("before", "after_in_parent", "after_in_child"):
        out = finished(python("-c", HOOKED, when), 60).splitlines()
        shop.check(f"{when} None SPLIT" in out, "no event is taken, and the decision is made", out)
        shop.check({"ERROR track_refused", "ERROR exposure_lost", "WARNING fault"} <= set(out), "that is told", out)
        shop.equal(out.count("raised True"), 4, "what can't be answered raises, and says how to mend it")
        shop.check("child 0 True 1" in out, "the child goes on", out)
        shop.check("status 0 0 True" in out, "and so does the parent", out)


def gunicorn(shop: Shop) -> str:
    before, twice, exposures = shop.units(), shop.duplicates(), shop.rows("$exposure")
    environment = {**os.environ, "EVENHAND_URL": shop.base, "EVENHAND_KEY": shop.key, "PYTHONPATH": str(HERE)}
    command = ["-m", "gunicorn", "--preload", "--workers", "3", "--bind", "127.0.0.1:0", "gunicorn_shop:application"]
    master = python(*command, env=environment, stderr=subprocess.PIPE)
    try:
        assert master.stderr is not None
        address = next(line.split()[-2] for line in master.stderr if "Listening at" in line)
        with concurrent.futures.ThreadPoolExecutor(8) as asking:
            answers = list(asking.map(lambda number: ask(f"{address}/guest-{number}"), range(300)))
        master.send_signal(signal.SIGTERM)
        rest = master.communicate(timeout=60)[1]
        shop.equal(master.returncode, 0, f"gunicorn ends well: {rest[-500:]}")
    finally:
        if master.poll() is None:
            master.kill()
            master.wait()
    workers = {answer["pid"] for answer in answers}
    shop.check(len(workers) >= 2 and answers[0]["master"] not in workers, "several workers answer", workers)
    ids = [answer["id"] for answer in answers] + answers[0]["ids"]
    distinct(shop, ids, 320)
    shop.eventually(shop.units, lambda found: found == before + 320, "300 guests and the 20 of the master are counted")
    shop.equal(shop.rows("$exposure"), exposures + 320, "by one exposure each")
    shop.equal(shop.duplicates(), twice, "nothing was sent by two processes")
    return f"{len(workers)} workers"


def ask(address: str) -> dict[str, object]:
    with urllib.request.urlopen(address, timeout=20) as answer:
        found: dict[str, object] = json.load(answer)
        return found


PROOFS = [
    ("os.fork, and a fork of the fork", nested),
    ("multiprocessing.Process, with a child of its own", processes),
    ("multiprocessing.Pool", pool),
    ("killed children and parent: the next start delivers from all their spools", killed),
    ("a spool restored twice", copied),
    ("two threads fork while four others work", busy),
    ("a hook that was registered before the client's", hooked),
    ("gunicorn, preloaded, prefork", gunicorn),
]

if __name__ == "__main__":
    run("forks", PROOFS)
