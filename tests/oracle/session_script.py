"""Scripts for the session: calls with the model's answers, and a host that lives through a random day."""

import json
import random

from authoring import bucket_entry, experiment, flag, manifest, rollout, targeted
from bucketing import bound
from canonical_json import canonical
from carrying_manifests import CARRYING
from id_list import describe, make_blob
from session_model import Session
from sets.envelope import envelope

START = 1_700_000_000_000
LISTS = [make_blob("friends", [f"u{n}" for n in range(20)]), make_blob("foes", ["u1", "u3"])]
SERVER_ERRORS = (500, 502, 503, 429, 408, 599, 100)


def text_of(version, generation=1, listed=False, environment="production", broken=False) -> str:
    flags = {
        "colour": flag([experiment("colour", [("off", 5000), ("a", 5000)], holdouts=["h"])], overrides={"user_id": {"forced": "a"}}),
        "device": flag([experiment("device", unit="device_id", phase=3, epoch=2)]),
        "plain": flag([rollout(5000)]),
    }
    parts = {"holdouts": {"h": bucket_entry("hold", [[0, bound(2000, 10_000)]], unit="account")}}
    if listed:
        names = ["friends", "foes"][: 2 if listed == "both" else 1]
        parts["lists"] = {name: describe(name, blob) for name, blob in zip(names, LISTS)}
        for name in names:
            flags[name] = flag([targeted({"op": "in_list", "unit": "user_id", "list": name})])
    if broken:
        flags["broken"] = flag([targeted({"op": "nonsense", "attr": "x"})])
    return canonical({**manifest(flags, **parts), "environment": environment, "generation": generation, "version": version})


MANIFESTS = [
    text_of(1), text_of(2), text_of(3, listed=True), text_of(4, listed="both"), text_of(5, broken=True), text_of(1, generation=2), text_of(6, environment="elsewhere"),
    "{", "", envelope(json.loads(text_of(7))), text_of(8),
]
# What random days take; scripts of their own take those that came later.
DAILY = len(MANIFESTS)
MANIFESTS += CARRYING


class Script:
    """Calls of a session and what the model answers."""

    def __init__(self, name, options=None, entropy=b"\x07" * 16, start=START):
        self.name, self.options, self.entropy, self.start, self.steps = name, options or {}, entropy, start, []
        self.session = Session(self.options, entropy, start)
        self.spools = []

    def step(self, do, expect=None, **given):
        self.steps.append({"do": do, **given, **({} if expect is None else {"expect": expect})})
        return expect

    def next(self, now):
        return self.step("next", self.session.next(now), now=now)

    def wakes(self):
        return self.step("wakes", self.session.wakes())

    def manifest_response(self, ticket, status, now, body=None, etag=None, retry_after=None):
        self.session.manifest_response(ticket, status, etag, retry_after, "" if body is None else MANIFESTS[body], now)
        self.step("manifest_response", ticket=ticket, status=status, etag=etag, retry_after=retry_after, body=body, now=now)

    def fetch_failed(self, ticket, now):
        self.session.fetch_failed(ticket, "no route", now)
        self.step("fetch_failed", ticket=ticket, now=now)

    def list_response(self, ticket, status, now, body=None, retry_after=None):
        self.session.list_response(ticket, status, retry_after, b"" if body is None else LISTS[body], now)
        self.step("list_response", ticket=ticket, status=status, body=body, retry_after=retry_after, now=now)

    def provide_list(self, body, now):
        self.step("provide_list", self.session.provide_list(LISTS[body], now), body=body, now=now)

    def update_manifest(self, body, now):
        self.step("update_manifest", self.session.update_manifest(MANIFESTS[body], now), body=body, now=now)

    def announced(self, generation, version, now):
        self.session.announced(generation, version, now)
        self.step("announced", generation=generation, version=version, now=now)

    def stream_response(self, ticket, status, now, retry_after=None):
        self.session.stream_response(ticket, status, retry_after, now)
        self.step("stream_response", ticket=ticket, status=status, retry_after=retry_after, now=now)

    def stream_bytes(self, ticket, text, now):
        self.session.stream_bytes(ticket, text.encode(), now)
        self.step("stream_bytes", ticket=ticket, text=text, now=now)

    def stream_closed(self, ticket, now):
        self.session.stream_closed(ticket, now)
        self.step("stream_closed", ticket=ticket, now=now)

    def expose(self, key, context, now):
        if self.session.engine is None:
            return None
        found = self.session.expose(key, context, now)
        self.step("expose", found, flag=key, context=context, now=now)
        self.wakes()
        return found

    def track(self, name, units, now, value=None, properties=None, timestamp=None):
        found = self.session.track(name, units, value, properties, timestamp, now)
        self.step("track", {"event_id": found}, name=name, units=units, value=value, properties=properties, timestamp=timestamp, now=now)
        self.wakes()
        return found

    def track_fault(self, now, code, draws, **given):
        self.session.track_fault(now, draws)
        given = {"name": "purchase", "units": {"user_id": "u1"}, "value": None, "properties": None, "timestamp": None, **given}
        self.step("track", {"error": code}, now=now, **given)

    def batch_response(self, batch_id, status, now, body="{}", retry_after=None):
        self.session.batch_response(batch_id, status, retry_after, body, now)
        self.step("batch_response", batch_id=batch_id, status=status, retry_after=retry_after, body=body, now=now)

    def batch_failed(self, batch_id, now):
        self.session.batch_failed(batch_id, "no route", now)
        self.step("batch_failed", batch_id=batch_id, now=now)

    def flush(self, now):
        self.session.flush(now)
        self.step("flush", now=now)
        self.wakes()

    def shutdown(self, now, deadline):
        self.session.shutdown(now, deadline)
        self.step("shutdown", now=now, deadline=deadline)

    def reseed(self, entropy, now):
        self.session.reseed(entropy, now)
        self.step("reseed", entropy=entropy.hex(), now=now)

    def spool(self):
        self.spools.append(self.session.spool())
        self.step("spool", self.spools[-1])

    def restore(self, spool, entropy, now):
        self.step("restore", self.session.restore(spool, entropy, now), spool=spool, entropy=entropy.hex(), now=now)

    def account(self, now):
        """Everything that can be seen, and that no event was lost on the way."""
        telemetry = self.session.telemetry(now)
        held = 0
        for kind in ("exposures", "events"):
            counts = telemetry[kind]
            held += counts["queued"] + counts["restored"] - sum(counts[end] for end in ("sent", "rejected", "refused", "dropped", "disowned"))
        assert held == telemetry["held_events"], self.name
        self.step("telemetry", telemetry, now=now)
        self.step("diagnostics", self.session.take_diagnostics())

    def until(self, action, now, most=50):
        """Asks until that action comes, sleeping where it is told to."""
        for _ in range(most):
            found = self.next(now)
            if found["action"] == action:
                return found, now
            assert found["action"] == "wait", (self.name, action, found)
            now = found["until"]
        raise AssertionError(f"{self.name}: no {action}")

    def begin(self, body=0):
        """With a manifest."""
        first = self.next(self.start)
        self.manifest_response(first["ticket"], 200, self.start + 40, body)
        return self.start + 40

    def written(self):
        self.account(self.session.host)
        return {"name": self.name, "options": self.options, "entropy": self.entropy.hex(), "start": self.start, "steps": self.steps}


def after_fetches(script, action, now):
    """As `until`, with polls answered on the way."""
    for _ in range(60):
        found = script.next(now)
        if found["action"] == action:
            return found, now
        if found["action"] == "fetch_manifest":
            script.manifest_response(found["ticket"], 304, now)
        else:
            now = found["until"]
    raise AssertionError(script.name)


class Host:
    """A host in a world that is seldom kind."""

    def __init__(self, number):
        self.random = random.Random(number)
        pick = self.random.choice
        options = {"stream": pick((True, False)), "batch_max_events": pick((1, 3, 500)), "flush_interval_ms": pick((1, 500, 5_000)), "queue_max_events": pick((10, 25, 10_000)),
                   "poll_interval_ms": pick((1_000, 60_000)), "dedupe_capacity": pick((0, 2, 50_000)), "dedupe_ttl_ms": pick((1_000, 3_600_000)),
                   "stale_after_ms": pick((5_000, 600_000)), "report_timeout_ms": pick((1_000, 120_000)), "announce_jitter_ms": pick((0, 250)), "backoff_max_ms": pick((500, 60_000))}
        self.script = Script(f"a random day, {number}", options, self.random.randbytes(16), START + self.random.randrange(1 << 40))
        self.now, self.open, self.stream = self.script.start, [], None

    def live(self, steps):
        for _ in range(steps):
            self.random.choices((self.ask, self.report, self.application, self.heard, self.trouble), (8, 6, 6, 2, 1))[0]()
        self.script.account(self.now)
        return self.script

    def ask(self):
        found = self.script.next(self.now)
        if found["action"] == "wait":
            self.now = found["until"] if self.random.random() < 0.7 else self.now + self.random.randrange(0, 2_000)
        elif found["action"] == "done":
            self.child()
        else:
            self.open.append(found)

    def report(self):
        if not self.open:
            return self.ask()
        found = self.open.pop(self.random.randrange(len(self.open)))
        self.now += self.random.choice((0, 3, 40, 900))
        script, luck, header = self.script, self.random.random(), self.random.choice((None, None, "1", "30"))
        status = 200 if luck < 0.5 else self.random.choice((304, 400, 403, 413, 429, 500, 503))
        number = found.get("ticket", found.get("batch_id"))
        if luck > 0.9:
            return script.batch_failed(number, self.now) if "batch_id" in found else script.fetch_failed(number, self.now)
        if found["action"] == "fetch_manifest":
            script.manifest_response(number, status, self.now, self.random.randrange(DAILY), self.random.choice((None, '"tag"')), header)
        elif found["action"] == "fetch_list":
            script.list_response(number, status, self.now, self.random.randrange(2), header)
        elif found["action"] == "open_stream":
            script.stream_response(number, status, self.now, header)
            self.stream = number if status == 200 else None
        else:
            entries = ",".join(f'{{"index":{index},"code":"too_old","message":"m"}}' for index in range(5) if self.random.random() < 0.3)
            script.batch_response(number, status, self.now, self.random.choice(("", "{}", '{"rejected":[' + entries + "]}")), header)
        return None

    def application(self):
        what = self.random.randrange(10)
        user = f"u{self.random.randrange(6)}"
        if what < 5:
            self.script.expose(self.random.choice(("colour", "device", "plain")), {"user_id": user, "account": "a" + user, **({"device_id": user} if what else {})}, self.now)
        elif what < 8:
            self.script.track("purchase", {"user_id": user}, self.now, value=self.random.choice((None, "1.25")))
        elif what == 8:
            self.script.flush(self.now)
        else:
            self.script.update_manifest(self.random.randrange(DAILY), self.now)

    def child(self):
        self.script.reseed(self.random.randbytes(16), self.now)
        self.open, self.stream = [], None

    def heard(self):
        version = self.random.randrange(1, 9)
        if self.stream is None:
            self.script.announced(1, version, self.now)
        elif self.random.random() < 0.3:
            self.script.stream_closed(self.stream, self.now)
            self.stream = None
        else:
            self.script.stream_bytes(self.stream, f'event: manifest\ndata: {{"generation":1,"version":{version}}}\n\n', self.now)

    def trouble(self):
        what = self.random.randrange(5)
        if what == 0:
            self.now += self.random.choice((-5_000, -3_600_000, 86_400_000, 5_000))
        elif what == 1:
            self.child()
        elif what == 2:
            self.script.spool()
        elif what == 3 and self.script.spools:
            self.script.restore(self.random.choice(self.script.spools), self.random.randbytes(16), self.now)
        else:
            self.script.shutdown(self.now, self.now + self.random.choice((0, 2_000, 60_000)))
