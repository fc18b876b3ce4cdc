"""The session (docs/contract/session.md), a second time: the page's rules as plain Python, slow and straight. Its events are in session_events."""

import copy
import hashlib
import json
from collections import OrderedDict

from evaluation import Engine
from id_list import MAGIC
from manifest import Manifest, Refused
from session_events import Events
from session_rules import DEFAULTS, Jitter, answer, retry_after_ms
from signatures import Holder
from strict_json import Fault, NotJson

LONGEST_WAIT = 60_000
UNMET = 5
MASK74 = (1 << 74) - 1
COUNTS = ("queued", "restored", "sent", "rejected", "refused", "dropped", "disowned")


class Session(Events):
    def __init__(self, options, entropy, now):
        self.keys, self.environment, self.audience = options.get("keys") or {}, options.get("environment"), options.get("audience")
        sdk = options.get("sdk")
        self.sdk = sdk if sdk and len(sdk.encode()) <= 256 else None
        self.fetch, self.streams = options.get("fetch", True), options.get("stream", False)
        self.said, self.lost = [], 0
        self.options = {}
        for name, (default, least, greatest) in DEFAULTS.items():
            given = options.get(name, default)
            self.options[name] = min(max(given, least), greatest)
            if self.options[name] != given:
                self.say("option_clamped", name)
        self.host = self.T = self.began = now
        self.seed(entropy)
        self.tickets = self.marks = 0
        self.manifest = self.text = self.hash = self.engine = self.etag = None
        self.due, self.under_way, self.failures, self.firm = now, None, 0, False
        self.announcement, self.unmet, self.meanwhile = None, 0, False
        self.confirmed, self.stale = None, False
        self.held, self.wanted, self.list_under_way, self.fresh = {}, {}, None, False
        self.stream, self.stream_failures, self.tail = (("due", now) if self.streams else ("off",)), 0, b""
        self.memory = OrderedDict()
        self.waiting, self.taken = [], []
        self.batch, self.batch_failures, self.not_before, self.batch_firm, self.limit, self.flushed = None, 0, None, False, None, 0
        self.draining, self.over, self.sleeping = None, False, None
        self.counts = {"exposures": dict.fromkeys(COUNTS, 0), "events": dict.fromkeys(COUNTS, 0), "exposures_deduped": 0, "exposures_without_unit": 0, "track_errors": 0,
                       "batches_sent": 0, "batches_failed": 0, "manifest_fetches": 0, "manifest_confirmations": 0, "manifest_failures": 0, "manifest_refusals": 0, "snapshots": 0}

    # ---- time, entropy, diagnostics ----

    def tick(self, now):
        self.T += max(0, now - self.host)
        self.host = now

    def to_host(self, moment):
        return self.host + moment - self.T

    def seed(self, entropy):
        self.jitter, self.high, self.drawn = Jitter(entropy, self.options), int.from_bytes(entropy, "big") >> 54, 0

    def draw_id(self, timestamp):
        number = (self.high + self.drawn) & MASK74
        self.drawn += 1
        value = timestamp << 80 | 7 << 76 | (number >> 62) << 64 | 2 << 62 | number & ((1 << 62) - 1)
        text = f"{value:032x}"
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))

    def say(self, code, about=""):
        """`about` stands for the message: two in a row that are equal in it are one."""
        if self.said and self.said[-1][:2] == [code, about]:
            self.said[-1][2] += 1
            return
        if len(self.said) == 100:
            self.said.pop(0)
            self.lost += 1
        self.said.append([code, about, 1])

    def take_diagnostics(self):
        """Code and how often, for runs of the same code: messages are not the contract's."""
        runs = []
        for code, _, times in self.said:
            if runs and runs[-1][0] == code:
                runs[-1][1] += times
            else:
                runs.append([code, times])
        self.said = []
        return runs

    def ticket(self):
        self.tickets += 1
        return self.tickets

    # ---- next ----

    def next(self, now):
        self.tick(now)
        self.sleeping = None
        patience = self.options["report_timeout_ms"]
        for what in ("manifest", "list", "stream", "batch"):
            found = self.action_under_way(what)
            if found and self.T - found[1] >= patience:
                self.say("report_overdue", found[0])
                self.no_answer(found[0], "overdue")
        if self.draining is not None and not self.over:
            due = self.batch_due()
            behind = not self.batch and due is not None and due > self.draining
            self.over = not (self.waiting or self.taken) or self.T >= self.draining or behind
        if self.over:
            return {"action": "done"}
        if self.draining is None:
            if not self.stale and self.T >= self.stale_at():
                self.stale = True
                self.say("manifest_stale")
            if self.fetch and not self.under_way and self.due <= self.T:
                self.under_way, self.meanwhile = (self.ticket(), self.T), False
                self.counts["manifest_fetches"] += 1
                return {"action": "fetch_manifest", "ticket": self.under_way[0], "etag": self.etag}
            ready = sorted((due, address) for address, (due, _) in self.wanted.items() if due <= self.T)
            if ready and not self.list_under_way:
                self.list_under_way = (self.ticket(), self.T, ready[0][1])
                return {"action": "fetch_list", "ticket": self.list_under_way[0], "sha256": ready[0][1]}
        due = self.batch_due()
        if due is not None and due <= self.T:
            return self.begin_batch()
        if self.draining is None and self.stream[0] == "due" and self.stream[1] <= self.T:
            self.stream, self.tail = ("opening", self.ticket(), self.T), b""
            last = f"{self.manifest.generation}.{self.manifest.version}" if self.manifest else None
            return {"action": "open_stream", "ticket": self.stream[1], "last_event_id": last}
        self.sleeping = self.until()
        return {"action": "wait", "until": self.to_host(self.sleeping)}

    def action_under_way(self, what):
        """(ticket, since)"""
        if what == "stream":
            return self.stream[1:] if self.stream[0] == "opening" else None
        return {"manifest": self.under_way, "list": self.list_under_way and self.list_under_way[:2], "batch": self.batch}[what]

    def stale_at(self):
        return (self.began if self.confirmed is None else self.confirmed) + self.options["stale_after_ms"]

    def until(self):
        moments, patience = [self.T + LONGEST_WAIT], self.options["report_timeout_ms"]
        due = self.batch_due()
        moments += [] if due is None else [due]
        moments += [self.batch[1] + patience] if self.batch else []
        if self.draining is not None:
            return min(moments + [self.draining])
        moments += [self.under_way[1] + patience] if self.under_way else [self.due] if self.fetch else []
        moments += [self.list_under_way[1] + patience] if self.list_under_way else [due for due, _ in self.wanted.values()]
        moments += [self.stream[2] + patience] if self.stream[0] == "opening" else [self.stream[1]] if self.stream[0] == "due" else []
        moments += [] if self.stale else [self.stale_at()]
        return min(moments)

    def wakes(self):
        return self.sleeping is not None and not self.over and self.until() < self.sleeping

    def no_answer(self, ticket, why):
        """Whether the ticket was under way."""
        if self.under_way and self.under_way[0] == ticket:
            self.under_way = None
            self.say("manifest_fetch_failed", why)
            self.manifest_failed(None)
        elif self.list_under_way and self.list_under_way[0] == ticket:
            address, self.list_under_way = self.list_under_way[2], None
            self.say("list_fetch_failed", (why, address))
            self.list_failed(address, None)
        elif self.stream[0] == "opening" and self.stream[1] == ticket:
            self.stream_failed(None, why)
        elif self.batch and self.batch[0] == ticket:
            self.batch = None
            self.say("events_send_failed", why)
            self.batch_passing(None)
        else:
            return False
        return True

    def fetch_failed(self, ticket, why, now):
        self.tick(now)
        if not self.no_answer(ticket, why):
            self.say("report_unknown", ticket)

    # ---- manifests ----

    def judge(self, text):
        """("taken", manifest, hash), ("same",), ("older",) or ("refused",)"""
        try:
            manifest, content = Holder(self.keys)._judge(text)
        except (Refused, Fault, NotJson):
            return ("refused",)
        content = content or hashlib.sha256(text.encode()).hexdigest()
        for name in ("environment", "audience"):
            wanted = getattr(self, name)
            if wanted is not None and wanted != getattr(manifest, name):
                return ("refused",)
            if self.manifest and getattr(self.manifest, name) != getattr(manifest, name):
                return ("refused",)
        if self.manifest:
            before, now = (self.manifest.generation, self.manifest.version), (manifest.generation, manifest.version)
            if now < before:
                return ("older",)
            if now == before:
                return ("same",) if content == self.hash else ("refused",)
        return ("taken", manifest, content)

    def take(self, text):
        judged = self.judge(text)
        if judged[0] in ("refused", "older"):
            self.counts["manifest_refusals"] += 1
        elif judged[0] == "taken":
            _, self.manifest, self.hash = judged
            self.text, self.etag = text, f'"{self.hash}"'
            named = {self.manifest.parts.list(name)["sha256"] for name in self.manifest.parts.list_names()}
            self.held = {address: blob for address, blob in self.held.items() if address in named}
            self.wanted = {address: state for address, state in self.wanted.items() if address in named}
            for address in named - self.held.keys() - self.wanted.keys():
                self.wanted[address] = (self.T, 0)
            if self.list_under_way and self.list_under_way[2] not in named:
                self.list_under_way = None
            self.compile()
            if self.manifest.unsupported():
                self.say("manifest_faults", self.hash)
        return judged[0]

    def compile(self):
        names = {name: self.manifest.parts.list(name)["sha256"] for name in self.manifest.parts.list_names()}
        self.engine = Engine(self.manifest, {name: self.held[address] for name, address in names.items() if address in self.held})
        self.fresh = False
        self.counts["snapshots"] += 1

    def update_manifest(self, text, now):
        self.tick(now)
        taken = self.take(text)
        if taken in ("refused", "older"):
            self.say("manifest_refused", (taken, text))
        elif not self.fetch:
            self.confirm()
        return taken

    def confirm(self):
        self.confirmed = self.T
        if self.stale:
            self.stale = False
            self.say("manifest_fresh")

    def manifest_response(self, ticket, status, etag, retry_after, body, now):
        self.tick(now)
        if not self.under_way or self.under_way[0] != ticket:
            return self.say("report_unknown", ticket)
        self.under_way = None
        kind = answer(status, good_only_200=True)
        if kind == "good":
            taken = self.take(body)
            if taken == "refused":
                self.say("manifest_refused", body)
                return self.manifest_failed(None)
            if taken == "older":
                self.say("manifest_older", body)
            else:
                self.etag = etag if etag is not None else self.etag
                self.confirm()
                self.counts["manifest_confirmations"] += 1
            return self.plan()
        if kind == "not modified" and self.manifest:
            self.confirm()
            self.counts["manifest_confirmations"] += 1
            return self.plan()
        if kind in ("denied", "unreadable"):
            self.say("manifest_denied", status)
            self.failures += 1
            self.counts["manifest_failures"] += 1
            self.due, self.firm = self.T + self.jitter.shorter(self.options["denied_retry_ms"]), True
            return None
        self.say("manifest_fetch_failed", status)
        return self.manifest_failed(retry_after_ms(retry_after))

    def manifest_failed(self, after):
        self.failures += 1
        self.counts["manifest_failures"] += 1
        self.due, self.firm = self.T + self.jitter.retry(self.failures, after), after is not None

    def version(self):
        return (self.manifest.generation, self.manifest.version) if self.manifest else (0, 0)

    def poll(self):
        return self.jitter.shorter(self.options["stream_poll_interval_ms" if self.stream[0] == "open" else "poll_interval_ms"])

    def plan(self):
        self.failures, self.firm = 0, False
        if self.announcement is None or self.announcement <= self.version():
            self.announcement, self.unmet, wait = None, 0, self.poll()
        elif self.meanwhile:
            wait = self.jitter.up_to(self.options["announce_jitter_ms"])
        else:
            self.unmet += 1
            if self.unmet == UNMET:
                self.say("announcement_unmet", self.announcement)
                self.announcement, self.unmet, wait = None, 0, self.poll()
            else:
                wait = self.jitter.backoff(self.unmet)
        self.due = self.T + wait

    def announced(self, generation, version, now):
        self.tick(now)
        pair = (generation, version)
        if pair <= self.version() or (self.announcement is not None and pair <= self.announcement):
            return
        self.announcement, self.unmet = pair, 0
        if self.under_way:
            self.meanwhile = True
        elif not self.firm:
            self.due = min(self.due, self.T + self.jitter.up_to(self.options["announce_jitter_ms"]))

    # ---- id lists ----

    def list_response(self, ticket, status, retry_after, body, now):
        self.tick(now)
        if not self.list_under_way or self.list_under_way[0] != ticket:
            return self.say("report_unknown", ticket)
        address, self.list_under_way = self.list_under_way[2], None
        kind = answer(status)
        if kind == "good":
            if is_list(body) and hashlib.sha256(body).hexdigest() == address:
                return self.got(address, body)
            self.say("list_refused", address)
            return self.list_failed(address, None)
        if kind == "passing":
            self.say("list_fetch_failed", (status, address))
            return self.list_failed(address, retry_after_ms(retry_after))
        self.say("list_denied", (status, address))
        self.wanted[address] = (self.T + self.jitter.shorter(self.options["denied_retry_ms"]), self.wanted[address][1] + 1)
        return self.compile_if_settled()

    def list_failed(self, address, after):
        failures = self.wanted[address][1] + 1
        self.wanted[address] = (self.T + self.jitter.retry(failures, after), failures)
        self.compile_if_settled()

    def got(self, address, blob):
        del self.wanted[address]
        self.held[address], self.fresh = blob, True
        self.compile_if_settled()

    def compile_if_settled(self):
        if self.fresh and all(failures for _, failures in self.wanted.values()):
            self.compile()

    def provide_list(self, blob, now):
        self.tick(now)
        address = hashlib.sha256(blob).hexdigest()
        if not is_list(blob) or address not in self.wanted:
            return False
        self.got(address, blob)
        return True

    # ---- the stream ----

    def stream_response(self, ticket, status, retry_after, now):
        self.tick(now)
        if self.stream[0] != "opening" or self.stream[1] != ticket:
            return self.say("report_unknown", ticket)
        kind = answer(status)
        if kind == "good":
            self.stream = ("open", ticket, self.T)
        elif kind in ("denied", "unreadable"):
            self.say("stream_denied", status)
            self.stream = ("due", self.T + self.jitter.shorter(self.options["denied_retry_ms"]))
        else:
            self.stream_failed(retry_after_ms(retry_after), status)
        return None

    def stream_failed(self, after, why):
        self.say("stream_failed", why)
        self.stream_failures += 1
        self.stream = ("due", self.T + self.jitter.retry(self.stream_failures, after))

    def stream_bytes(self, ticket, data, now):
        """Data of whole `manifest` events only: the scripts hold no other text than the server writes, cut anywhere."""
        self.tick(now)
        if self.stream[:2] != ("open", ticket):
            return self.say("report_unknown", ticket)
        *events, self.tail = (self.tail + data).split(b"\n\n")
        for event in events:
            fields = dict(line.split(": ", 1) for line in event.decode().split("\n") if not line.startswith(":"))
            if fields.get("event") == "manifest":
                heard = json.loads(fields["data"])
                self.announced(heard["generation"], heard["version"], now)
        return None

    def stream_closed(self, ticket, now):
        self.tick(now)
        if self.stream[:2] != ("open", ticket):
            return self.say("report_unknown", ticket)
        if self.T - self.stream[2] >= self.options["backoff_max_ms"]:
            self.stream_failures = 0
        self.stream_failed(None, "closed")
        wait = self.jitter.shorter(self.options["poll_interval_ms"])
        if not self.firm:
            self.due = min(self.due, self.T + wait)
        return None

    def telemetry(self, now):
        self.tick(now)
        return {**copy.deepcopy(self.counts), "held_events": len(self.waiting + self.taken), "held_bytes": self.bytes(self.waiting + self.taken), "dedupe_entries": len(self.memory),
                "manifest": list(self.version()) if self.manifest else None, "manifest_age_ms": None if self.confirmed is None else self.T - self.confirmed,
                "stale": self.stale, "streaming": self.stream[0] == "open", "lists_held": len(self.held), "lists_missing": len(self.wanted)}


def is_list(blob):
    entries = [blob[at : at + 8] for at in range(16, len(blob), 8)]
    return len(blob) >= 16 and blob[:8] == MAGIC and (len(blob) - 16) % 8 == 0 and int.from_bytes(blob[8:16], "little") == len(entries) and all(a < b for a, b in zip(entries, entries[1:]))
