"""The session's events (docs/contract/session.md): exposures, tracked events, the queue, batches, fork and spool."""

import hashlib
import json

from canonical_json import canonical
from context import BOOLEAN, STRING, Context
from session_rules import answer, retry_after_ms, within


def carried(names, attributes) -> dict:
    """What an exposure carries of a context."""
    found = {name: Context(attributes).attribute(name) for name in names}
    return {name: value for name, (kind, value) in found.items() if kind == BOOLEAN or (kind == STRING and len(value) <= 64)}


class Events:
    """The half of the model that holds events; the other half is session_model.Session."""

    # ---- events ----

    def expose(self, flag, attributes, now):
        queued = deduped = without = 0
        decision = self.engine.evaluate(flag, attributes, now)
        if not decision["exposure"] and not decision["holdout_exposures"]:
            return [0, 0, 0]
        self.tick(now)
        seen = []
        rules = self.manifest.flags[self.engine.key_of(flag)].rules
        # The packed form's rule: of an OVERRIDE, the one whose ids it carries.
        properties = carried(rules[(decision["packed"] >> 27 & 0xFFF) - 1].exposure_attributes, attributes)
        if decision["exposure"]:
            unit = next(rule.unit for rule in rules if rule.experiment == decision["experiment"])
            seen.append((decision["experiment"], decision["phase"], decision["epoch"], decision["variation"], unit, decision["reason"]))
        seen += [(entry["holdout"], 1, 1, entry["arm"], entry["unit"], None) for entry in decision["holdout_exposures"]]
        for experiment, phase, epoch, variation, unit, reason in seen:
            unit_id = Context(attributes).unit(unit)
            if unit_id is None:
                without += 1
                self.counts["exposures_without_unit"] += 1
                continue
            key = (experiment, phase, epoch, variation, unit, unit_id, reason == "OVERRIDE")
            known = self.memory.get(key)
            if known is not None and self.T - known[0] < self.options["dedupe_ttl_ms"]:
                self.memory.move_to_end(key)
                deduped += 1
                self.counts["exposures_deduped"] += 1
                continue
            queued += 1
            event = {"event_name": "$exposure", "timestamp": within(now), "experiment_id": experiment, "variation_id": variation, "manifest_version": self.manifest.version}
            event |= {"user_id": unit_id} if unit == "user_id" else {"units": {unit: unit_id}, "unit": unit}
            event |= {name: value for name, value in (("phase", phase), ("epoch", epoch)) if value != 1}
            event |= {"reason": reason} if reason else {}
            event |= {"properties": properties} if properties else {}
            self.memory.pop(key, None)
            self.queue("exposures", event, key)
        return [queued, deduped, without]

    def track(self, name, units, value, properties, timestamp, now):
        """A good event: its units are strings, its value decimal text in its shortest form."""
        self.tick(now)
        event = {"event_name": name, "timestamp": within(now) if timestamp is None else timestamp}
        others = {unit: text for unit, text in units.items() if unit != "user_id"}
        event |= {"user_id": units["user_id"]} if "user_id" in units else {}
        event |= {"units": others} if others else {}
        event |= {"value": value} if value is not None else {}
        event |= {"properties": properties} if properties else {}
        event |= {"manifest_version": self.manifest.version} if self.manifest else {}
        return self.queue("events", event, None)

    def track_fault(self, now, draws):
        """An event the rules of events.md refuse."""
        self.tick(now)
        if draws:
            self.drawn += 1
        self.counts["track_errors"] += 1

    def queue(self, kind, event, key):
        event["event_id"] = self.draw_id(event["timestamp"])
        event |= {"sdk": self.sdk} if self.sdk else {}
        self.marks += 1
        if key is not None and self.options["dedupe_capacity"]:
            while len(self.memory) >= self.options["dedupe_capacity"]:
                self.memory.popitem(last=False)
            self.memory[key] = (self.T, self.marks)
        self.counts[kind]["queued"] += 1
        self.waiting.append({"kind": kind, "text": canonical(event), "id": event["event_id"], "mark": self.marks, "key": key, "since": self.T})
        self.shrink()
        return event["event_id"]

    def bytes(self, events):
        return sum(len(event["text"].encode()) + 1 for event in events)

    def shrink(self):
        dropped = 0
        while self.waiting and (len(self.waiting) + len(self.taken) > self.options["queue_max_events"] or self.bytes(self.waiting + self.taken) > self.options["queue_max_bytes"]):
            oldest = self.waiting.pop(0)
            dropped += 1
            self.counts[oldest["kind"]]["dropped"] += 1
            known = self.memory.get(oldest["key"])
            if known is not None and known[1] == oldest["mark"]:
                del self.memory[oldest["key"]]
        if dropped:
            self.say("events_dropped")
        return dropped

    def most(self):
        return self.options["batch_max_events"] if self.limit is None else min(self.limit, self.options["batch_max_events"])

    def batch_due(self):
        if self.batch or not self.waiting:
            return None
        oldest = self.waiting[0]
        full = len(self.waiting) >= self.most() or self.bytes(self.waiting) >= self.options["batch_max_bytes"]
        due = oldest["since"] + (0 if full or oldest["mark"] <= self.flushed else self.options["flush_interval_ms"])
        return due if self.not_before is None else max(due, self.not_before)

    def begin_batch(self):
        self.batch = (self.ticket(), self.T)
        while self.waiting and (not self.taken or (len(self.taken) < self.most() and self.bytes(self.taken + self.waiting[:1]) <= self.options["batch_max_bytes"])):
            self.taken.append(self.waiting.pop(0))
        self.not_before, self.batch_firm = None, False
        body = '{"events":[' + ",".join(event["text"] for event in self.taken) + '],"sent_at":' + str(within(self.host)) + "}"
        return {"action": "send_events", "batch_id": self.batch[0], "body": body}

    def put_back(self):
        self.waiting, self.taken = self.taken + self.waiting, []

    def batch_passing(self, after):
        self.counts["batches_failed"] += 1
        self.put_back()
        self.batch_failures += 1
        self.not_before, self.batch_firm = self.T + self.jitter.retry(self.batch_failures, after), after is not None

    def batch_failed(self, batch_id, why, now):
        self.tick(now)
        if not self.batch or self.batch[0] != batch_id:
            return self.say("report_unknown", batch_id)
        return self.no_answer(batch_id, why)

    def batch_response(self, batch_id, status, retry_after, body, now):
        self.tick(now)
        if not self.batch or self.batch[0] != batch_id:
            return self.say("report_unknown", batch_id)
        self.batch, kind = None, answer(status)
        if kind == "good":
            self.batch_taken(body)
        elif kind == "unreadable":
            self.counts["batches_failed"] += 1
            if len(self.taken) > 1:
                self.limit = -(-len(self.taken) // 2)
                self.say("batch_split", (status, len(self.taken)))
                self.put_back()
            else:
                self.counts[self.taken[0]["kind"]]["refused"] += 1
                self.say("events_refused", self.taken[0]["id"])
                self.taken = []
        elif kind in ("denied", "not modified"):
            self.say("events_denied", status)
            self.counts["batches_failed"] += 1
            self.put_back()
            self.not_before, self.batch_firm = self.T + self.jitter.shorter(self.options["denied_retry_ms"]), True
        else:
            self.say("events_send_failed", status)
            self.batch_passing(retry_after_ms(retry_after))
        return None

    def batch_taken(self, body):
        try:
            rejected = json.loads(body).get("rejected", [])
        except (ValueError, AttributeError):
            rejected = []
            self.say("answer_unreadable", body)
        indices = {entry["index"] for entry in rejected}
        for at, event in enumerate(self.taken):
            self.counts[event["kind"]]["rejected" if at in indices else "sent"] += 1
        real = [entry for entry in rejected if entry["index"] < len(self.taken)]
        for entry in real[:3]:
            self.say("events_rejected", (entry["code"], entry["message"]))
        if len(real) > 3:
            self.say("events_rejected", len(real) - 3)
        self.taken = []
        self.counts["batches_sent"] += 1
        self.batch_failures = 0
        if self.limit is not None:
            self.limit = None if self.limit * 2 >= self.options["batch_max_events"] else self.limit * 2

    def flush(self, now):
        self.tick(now)
        self.flushed = self.marks
        self.hurry()

    def hurry(self):
        if not self.batch_firm:
            self.not_before = None

    def shutdown(self, now, deadline):
        self.tick(now)
        if not self.over:
            self.draining, self.flushed = self.T + deadline - self.host, 1 << 64
            self.hurry()

    # ---- fork and spool ----

    def reseed(self, entropy, now):
        self.tick(now)
        self.seed(entropy)
        for event in self.waiting + self.taken:
            self.counts[event["kind"]]["disowned"] += 1
        self.waiting, self.taken = [], []
        self.batch, self.batch_failures, self.not_before, self.batch_firm, self.limit, self.flushed = None, 0, None, False, None, 0
        self.stream, self.stream_failures = (("due", self.T) if self.streams else ("off",)), 0
        self.list_under_way = None
        self.wanted = {address: (self.T, 0) for address in self.wanted}
        self.under_way, self.failures, self.firm = None, 0, False
        self.due = self.T + (self.poll() if self.manifest else 0)
        self.draining, self.over, self.sleeping = None, False, None

    def spool(self):
        head = {"confirmed_at_ms": None if self.confirmed is None else self.to_host(self.confirmed)}
        line = canonical(head)[:-1] + ',"events":[' + ",".join(event["text"] for event in self.taken + self.waiting) + '],"lists":' + canonical(sorted(self.held.keys() | self.wanted.keys())) + "}"
        payload = line + "\n" + (self.text or "")
        return "EHSPOOL1" + hashlib.sha256(payload.encode()).hexdigest() + "\n" + payload

    def restore(self, spool, entropy, now):
        self.tick(now)
        self.seed(entropy)
        payload = spool[73:]
        if not spool.startswith("EHSPOOL1") or spool[72:73] != "\n" or hashlib.sha256(payload.encode()).hexdigest() != spool[8:72] or "\n" not in payload:
            self.say("spool_ignored", "whole")
            return [False, 0]
        line, text = payload.split("\n", 1)
        head = json.loads(line)
        changed = False
        if text:
            taken = self.take(text)
            if taken in ("refused", "older"):
                self.say("spool_ignored", "manifest")
            changed = taken == "taken"
            if changed and head["confirmed_at_ms"] is not None:
                moment = min(self.T, self.T + head["confirmed_at_ms"] - self.host)
                self.confirmed = moment if self.confirmed is None else max(self.confirmed, moment)
        known = {event["id"] for event in self.taken + self.waiting}
        back = []
        for event in head["events"]:
            if event["event_id"] in known:
                continue
            known.add(event["event_id"])
            self.marks += 1
            kind = "exposures" if event["event_name"] == "$exposure" else "events"
            self.counts[kind]["restored"] += 1
            back.append({"kind": kind, "text": canonical(event), "id": event["event_id"], "mark": self.marks, "key": None, "since": self.T})
        self.waiting = back + self.waiting
        dropped = self.shrink()
        self.flushed = max(self.flushed, self.marks)
        return [changed, max(0, len(back) - dropped)]
