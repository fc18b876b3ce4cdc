"""`session.json`: timed scripts for the session. Some are written by hand, one for each rule of the page; in the others a host lives through a random
day: servers that answer, fail, deny and stall, clocks that jump, forks, spools."""

import base64
import hashlib

from authoring import write_cases
from exposure_scripts import carrying
from session_script import LISTS, MANIFESTS, SERVER_ERRORS, START, Host, Script, after_fetches


def fetching():
    script = Script("first fetch, 304, a changed manifest, denial, a missing manifest")
    now = script.begin()
    found, now = script.until("fetch_manifest", now)
    script.manifest_response(found["ticket"], 304, now + 5)
    found, now = script.until("fetch_manifest", now + 5)
    script.manifest_response(found["ticket"], 200, now + 5, 1, etag='W/"own"')
    found, now = script.until("fetch_manifest", now + 5)
    script.manifest_response(found["ticket"], 200, now + 5, 0)
    for status in (401, 404, 400, 301):
        found, now = script.until("fetch_manifest", now + 5)
        script.manifest_response(found["ticket"], status, now + 5, retry_after="7")
    yield script

    script = Script("304 without a manifest, no manifest at all, refused ones", {"environment": "production", "audience": "server"})
    now = script.start
    for status, body in ((304, None), (204, None), (200, 7), (200, 8), (200, 6), (500, None)):
        found, now = script.until("fetch_manifest", now)
        script.manifest_response(found["ticket"], status, now + 1, body)
        now += 1
    found, now = script.until("fetch_manifest", now)
    script.manifest_response(found["ticket"], 200, now, 9)
    script.update_manifest(9, now)
    script.update_manifest(0, now)
    script.update_manifest(10, now)
    script.update_manifest(4, now)
    yield script

    script = Script("backoff grows to its end, Retry-After is firm")
    now = script.begin()
    for at in range(9):
        found, now = script.until("fetch_manifest", now)
        script.manifest_response(found["ticket"], SERVER_ERRORS[at % 7], now)
    for header in ("7", " 3\t", "0", "100000", "soon", "-1", "1.5", ""):
        found, now = script.until("fetch_manifest", now)
        script.manifest_response(found["ticket"], 503, now, retry_after=header)
        script.announced(1, 9, now)
        script.next(now)
    yield script

    script = Script("stale, fresh again; the clock is set back and forth", {"stale_after_ms": 90_000})
    now = script.begin()
    for _ in range(4):
        found, now = script.until("fetch_manifest", now)
        script.fetch_failed(found["ticket"], now + 2_000)
        now += 2_000
        script.account(now)
    for jump in (-3_600_000, 10, 86_400_000, -1):
        now += jump
        found = script.next(now)
        if found["action"] == "fetch_manifest":
            script.manifest_response(found["ticket"], 304, now + 3)
            now += 3
        script.account(now)
    yield script

    script = Script("an action that is never reported on, and a report too late")
    now = script.begin()
    found, now = script.until("fetch_manifest", now)
    script.next(now + 119_999)
    script.next(now + 120_000)
    script.manifest_response(found["ticket"], 200, now + 120_001, 1)
    script.fetch_failed(99, now + 120_002)
    script.list_response(98, 200, now + 120_002, 0)
    script.batch_response(97, 202, now + 120_003)
    script.batch_failed(96, now + 120_003)
    script.stream_response(95, 200, now + 120_003)
    script.stream_bytes(94, ":\n\n", now + 120_003)
    script.stream_closed(93, now + 120_003)
    yield script

    script = Script("without fetches the host brings manifests", {"fetch": False, "poll_interval_ms": 5, "dedupe_capacity": 99_999_999, "sdk": "x" * 300})
    script.next(script.start)
    script.update_manifest(0, script.start + 1)
    script.update_manifest(0, script.start + 2)
    script.update_manifest(7, script.start + 3)
    script.next(script.start + 4)
    yield script


def announcing():
    script = Script("announcements: during a fetch, unmet, forgotten")
    now = script.begin()
    script.announced(1, 1, now)
    script.announced(1, 2, now)
    script.announced(1, 2, now)
    found, now = script.until("fetch_manifest", now)
    script.announced(1, 3, now)
    script.manifest_response(found["ticket"], 200, now + 10, 1)
    now += 10
    for _ in range(6):
        found, now = script.until("fetch_manifest", now)
        script.manifest_response(found["ticket"], 304, now + 10)
        now += 10
    script.announced(2, 1, now)
    found, now = script.until("fetch_manifest", now)
    script.manifest_response(found["ticket"], 200, now + 10, 5)
    script.next(now + 10)
    yield script

    script = Script("the stream: opened, heard in pieces, closed, denied", {"stream": True})
    now = script.begin()
    found = script.next(now)
    script.stream_response(found["ticket"], 200, now + 5)
    message = ': hello\n\nevent: manifest\nid: 2\ndata: {"generation":1,"version":2,"hash":"x"}\n\n'
    for at in range(0, len(message), 7):
        script.stream_bytes(found["ticket"], message[at : at + 7], now + 6 + at)
    asked, now = script.until("fetch_manifest", now + 200)
    script.manifest_response(asked["ticket"], 200, now, 1)
    script.stream_closed(found["ticket"], now + 100_000)
    for status in (500, 503, 403, 200):
        again, now = script.until("open_stream", now + 100_000) if status == 500 else after_fetches(script, "open_stream", now)
        script.stream_response(again["ticket"], status, now, retry_after="2" if status == 503 else None)
    script.stream_closed(again["ticket"], now + 10)
    script.stream_closed(again["ticket"], now + 10)
    yield script


def listing():
    script = Script("id lists: wanted, held, refused, denied, forgotten")
    now = script.begin(3)
    first = script.next(now)
    script.list_response(first["ticket"], 500, now + 1)
    second = script.next(now + 1)
    wrong = 0 if hashlib.sha256(LISTS[0]).hexdigest() != second["sha256"] else 1
    script.list_response(second["ticket"], 200, now + 2, wrong)
    script.provide_list(1, now + 3)
    script.provide_list(1, now + 3)
    found, now = script.until("fetch_list", now + 3)
    script.list_response(found["ticket"], 404, now)
    found, now = after_fetches(script, "fetch_list", now)
    script.list_response(found["ticket"], 200, now, 0)
    script.account(now)
    script.update_manifest(5, now)
    script.account(now)
    yield script


def delivering():
    script = Script("exposures once, and again after their time", {"sdk": "evenhand-test/1", "dedupe_ttl_ms": 1_000, "dedupe_capacity": 3})
    now = script.begin()
    contexts = [{"user_id": "u1"}, {"user_id": "u2", "account": "acc"}, {"user_id": "forced"}, {"device_id": 7.0}, {"account": "acc"}, {"user_id": True}, {}]
    for at in (0, 10, 999, 1_000, 1_500, 5_000):
        for key in ("colour", "device", "plain"):
            for context in contexts:
                script.expose(key, context, now + at)
    script.account(now + 5_000)
    script.next(now + 5_000)
    yield script

    script = Script("tracked events, good and bad")
    now = script.start
    script.track("before the manifest", {"user_id": "u1"}, now)
    now = script.begin()
    script.track("purchase", {"user_id": "u1", "device_id": "d"}, now, value="12.5", properties={"b": [1, {"c": None}], "a": "\u00e9\u20ac"}, timestamp=5)
    script.track("purchase", {"device_id": "d"}, now, value="-0.000001")
    script.track("before 1970", {"user_id": "u"}, -5)
    script.track_fault(now, "missing_unit", True, units={})
    script.track_fault(now, "invalid_value", True, name="$own")
    script.track_fault(now, "invalid_value", True, value="0.0000001")
    script.track_fault(now, "invalid_value", True, name="")
    script.track_fault(now, "string_too_long", True, units={"user_id": "x" * 5000})
    script.track("after them", {"user_id": "u"}, now)
    script.flush(now)
    script.next(now)
    yield script

    script = Script("batches: full, flushed, late, split, refused, rejected", {"batch_max_events": 4, "flush_interval_ms": 1_000})
    now = script.begin()
    for at in range(3):
        script.track(f"e{at}", {"user_id": "u"}, now + at)
    found, now = after_fetches(script, "send_events", now + 3)
    script.batch_response(found["batch_id"], 202, now)
    for at in range(10):
        script.track(f"f{at}", {"user_id": "u"}, now)
    for status in (413, 413, 422, 202, 202, 400, 202, 202):
        found = script.next(now)
        if found["action"] != "send_events":
            found, now = after_fetches(script, "send_events", now)
        script.batch_response(found["batch_id"], status, now)
        script.account(now)
    for at in range(9):
        script.track(f"g{at}", {"user_id": "u"}, now)
    rejected = ",".join(f'{{"index":{index},"event_id":null,"code":"too_old","message":"m{index}"}}' for index in (0, 1, 2, 3, 9))
    found = script.next(now)
    script.batch_response(found["batch_id"], 202, now, body='{"accepted":0,"rejected":[' + rejected + "]}")
    found = script.next(now)
    script.batch_response(found["batch_id"], 200, now, body="<html>")
    script.account(now)
    yield script

    script = Script("a server that fails, denies, asks to wait; flush between")
    now = script.begin()
    script.track("e", {"user_id": "u"}, now)
    script.flush(now)
    for status, header in ((503, None), (503, "20"), (401, None), (500, None), (304, None), (0, None)):
        found, now = after_fetches(script, "send_events", now)
        if status == 0:
            script.batch_failed(found["batch_id"], now)
        else:
            script.batch_response(found["batch_id"], status, now, retry_after=header)
        script.flush(now)
        script.track("more", {"user_id": "u"}, now)
        script.account(now)
    yield script

    script = Script("a full queue drops the oldest, and their exposures are forgotten", {"queue_max_events": 10, "batch_max_events": 2})
    now = script.begin()
    for at in range(8):
        script.expose("colour", {"user_id": f"u{at}"}, now)
    found = script.next(now)
    for at in range(12):
        script.track("e", {"user_id": "u"}, now)
    script.expose("colour", {"user_id": "u4"}, now)
    script.account(now)
    script.batch_response(found["batch_id"], 500, now)
    script.track("last", {"user_id": "u"}, now)
    script.expose("colour", {"user_id": "u0"}, now)
    yield script

    script = Script("a queue full by bytes", {"queue_max_bytes": 1, "batch_max_bytes": 1})
    now = script.begin()
    for at in range(70):
        script.track("e", {"user_id": "u"}, now, properties={"text": "x" * 4_000})
    script.account(now)
    found = script.next(now)
    script.batch_response(found["batch_id"], 200, now)
    yield script


def ending():
    for name, wait, status in (("delivered", 5_000, 200), ("too late", 5_000, 503), ("no time", 0, 200), ("denied", 400_000, 403)):
        script = Script(f"shutdown: {name}")
        now = script.begin()
        script.track("e", {"user_id": "u"}, now)
        script.shutdown(now, now + wait)
        found = script.next(now)
        if found["action"] == "send_events":
            script.track("while draining", {"user_id": "u"}, now)
            script.batch_response(found["batch_id"], status, now + 30)
            for _ in range(6):
                found = script.next(now + 30)
                if found["action"] == "send_events":
                    script.batch_response(found["batch_id"], status, now + 30)
                elif found["action"] == "wait":
                    now = found["until"] - 30
                else:
                    break
        script.next(now + 30)
        script.spool()
        yield script

    script = Script("a fork: the child forgets events and what is under way", {"stream": True})
    now = script.begin(3)
    script.expose("colour", {"user_id": "u1"}, now)
    script.track("e", {"user_id": "u1"}, now)
    for _ in range(2):
        script.next(now)
    script.reseed(b"\x99" * 16, now + 5)
    script.expose("colour", {"user_id": "u1"}, now + 5)
    script.track("child's", {"user_id": "u1"}, now + 5)
    script.reseed(b"\xff" * 16, now + 6)
    script.track("grandchild's", {"user_id": "u1"}, now + 6)
    script.track("grandchild's second", {"user_id": "u1"}, now + 6)
    for _ in range(4):
        script.next(now + 7)
    script.shutdown(now + 8, now + 1_000)
    script.reseed(b"\x01" * 16, now + 9)
    script.next(now + 9)
    yield script

    script = Script("a spool: saved, restored in the next life, spoilt ones ignored")
    now = script.begin(2)
    script.expose("colour", {"user_id": "u1"}, now)
    script.track("e", {"user_id": "u1"}, now, properties={"z": 1.5})
    script.flush(now)
    script.next(now)
    script.next(now)
    script.track("f", {"user_id": "u1"}, now)
    script.spool()
    saved = script.spools[-1]
    yield script
    later = Script("a spool restored in the next life", {"queue_max_events": 10}, b"\x42" * 16, START + 700_000)
    later.restore(saved, b"\x43" * 16, START + 700_001)
    later.account(START + 700_001)
    later.restore(saved, b"\x44" * 16, START + 700_002)
    later.account(START + 700_002)
    for spoilt in ("", "EHSPOOL2" + saved[8:], saved[:-1], saved + " ", saved[:80] + "X" + saved[81:], saved[:60], "EHSPOOL1" + hashlib.sha256(b"{}").hexdigest() + "\n{}"):
        later.restore(spoilt, b"\x45" * 16, START + 700_003)
    for _ in range(4):
        later.next(START + 700_004)
    later.spool()
    yield later


def build() -> str:
    scripts = [script for group in (fetching, announcing, listing, delivering, ending) for script in group()]
    scripts += [Host(number).live(120) for number in range(60)]
    scripts += carrying()
    return write_cases("session", [script.written() for script in scripts], manifests=MANIFESTS, lists=[base64.b64encode(blob).decode() for blob in LISTS])
