"""The table of bad requests: what is sent, and which 4xx (naming which fault) must come back.

Expected statuses and codes are those of docs/http-api.md and docs/contract/events.md. A case that names several statuses is one
where the documents leave the choice.
"""
from __future__ import annotations

import gzip
import json
import re
import zlib
from dataclasses import dataclass, field
from urllib.parse import quote

EVENTS, ASSIGN = "/v1/events", "/v1/assignments"
MIB = 1 << 20
GOOD_ID = "01a20776-0000-7000-8000-%012x"
NOW_MS = "@now@"  # replaced by the runner's clock when the request is built


@dataclass
class Case:
    """One request. `raw` overrides method, path, headers and body: bytes as they go over the wire."""

    group: str
    name: str
    method: str = "POST"
    path: str = EVENTS
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    key: str | None = "server"  # server, client, sidecar, admin, or None
    raw: bytes | None = None
    status: tuple[int, ...] = (400,)
    names: str = ""  # regular expression that code, field or message must match
    rejected: list[tuple[int, str]] | None = None  # of a 202: index and code of each event refused
    seconds: float = 10  # within which the answer must be there
    json_error: bool = True  # False: refused below our routes (HTTP itself), where a status is all there is


def event(number: int = 0, **fields) -> dict:
    return {"event_id": GOOD_ID % number, "event_name": "purchase", "timestamp": NOW_MS, "user_id": "u", **fields}


def dumps(value) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def deep(levels: int, opener: bytes = b'{"a":', closer: bytes = b"}", core: bytes = b"1") -> bytes:
    return opener * levels + core + closer * levels


def batch_bodies() -> list[Case]:
    """Bodies of which nothing can be read: 400 as a whole."""
    good = dumps([event(1)])
    bodies: list[tuple[str, bytes, str]] = [
        ("empty body", b"", ""), ("blanks only", b" \n ", ""), ("a word", b"nonsense", ""), ("a number", b"42", ""), ("null", b"null", ""),
        ("a string", b'"purchase"', ""), ("an open brace", b"{", "JSON"), ("an array cut short", good[:-5], "JSON"),
        ("text after the end", good + b" x", "JSON"), ("two arrays", good + good, "JSON"), ("a trailing comma", good[:-1] + b",]", "JSON"),
        ("single quotes", good.replace(b'"', b"'"), "JSON"), ("a comment", b"/* hi */" + good, ""), ("NaN", good.replace(b'"u"', b"NaN"), "JSON"),
        ("Infinity", good.replace(b'"u"', b"Infinity"), "JSON"), ("a hexadecimal number", good.replace(b'"u"', b"0x1F"), "JSON"),
        ("a leading zero", good.replace(b'"u"', b"007"), "JSON"), ("a bare plus", good.replace(b'"u"', b"+1"), "JSON"),
        ("a raw newline in a string", good.replace(b'"u"', b'"u\n"'), "JSON"), ("a raw NUL in a string", good.replace(b'"u"', b'"u\0"'), "JSON"),
        ("NUL bytes", b"\0" * 100, ""), ("invalid UTF-8", good.replace(b'"u"', b'"\xff\xfe"'), "UTF-8"),
        ("a surrogate in UTF-8", good.replace(b'"u"', b'"\xed\xa0\x80"'), "UTF-8"), ("an overlong slash", good.replace(b'"u"', b'"\xc0\xaf"'), "UTF-8"),
        ("UTF-16", good.decode().encode("utf-16"), ""), ("a byte order mark", b"\xef\xbb\xbf" + good, ""), ("latin-1", '["é"]'.encode("latin-1"), "UTF-8"),
        ("100,000 open brackets", b"[" * 100_000, "JSON"), ("100,000 open braces", b'{"a":' * 100_000, "JSON"),
        ("4 MiB of open brackets", b"[" * (4 * MIB), "JSON"), ("form data", b"event_name=purchase&user_id=u", ""), ("XML", b"<event/>", ""),
        ("events not an array", dumps({"events": event()}), "events"), ("events a number", b'{"events":7}', "events"),
        ("a foreign field beside events", dumps({"events": [event()], "evnts": 1}), "evnts"), ("events twice", b'{"events":[],"events":[]}', "events"),
        ("sent_at a word", dumps({"events": [event()], "sent_at": "yesterday"}), "sent_at"), ("sent_at an object", dumps({"events": [event()], "sent_at": {}}), "sent_at"),
        ("sent_at without offset", dumps({"events": [event()], "sent_at": "2026-11-23T09:00:00"}), "sent_at"),
        ("a deep envelope", b'{"events":' + deep(100_000) + b"}", "events"),
    ]
    return [Case("body", name, body=body, names=names) for name, body, names in bodies]


def single_events() -> list[Case]:
    """One bad event between two good ones costs only itself."""
    def text(**fields) -> bytes:
        return dumps(event(9, **fields))

    faults: list[tuple[str, bytes, str]] = [
        ("null", b"null", "not_an_object"), ("a number", b"3", "not_an_object"), ("a string", b'"x"', "not_an_object"), ("an array", b"[]", "not_an_object"),
        ("30,000 nested arrays", b"[" * 30_000 + b"]" * 30_000, "not_an_object"),
        ("100,000 nested arrays", b"[" * 100_000 + b"]" * 100_000, "event_too_large|not_an_object"), ("an empty object", b"{}", "missing_field"),
        ("no event_id", dumps({k: v for k, v in event().items() if k != "event_id"}), "missing_field"), ("event_id a number", text(event_id=7), "wrong_type"),
        ("event_id a word", text(event_id="seven"), "invalid_value"), ("event_id nil", text(event_id="0" * 8 + "-0000-0000-0000-" + "0" * 12), "invalid_value"),
        ("event_id null", text(event_id=None), "missing_field"), ("event_name empty", text(event_name=""), "invalid_value"),
        ("event_name reserved", text(event_name="$pageview"), "invalid_value"), ("event_name an object", text(event_name={}), "wrong_type"),
        ("event_name of 5 kB", text(event_name="x" * 5_000), "string_too_long"), ("event_name and event_type", text(event_type="purchase"), "duplicate_field"),
        ("no timestamp", text(timestamp=None), "missing_field"), ("timestamp a word", text(timestamp="now"), "invalid_value"),
        ("timestamp true", text(timestamp=True), "wrong_type"), ("timestamp without offset", text(timestamp="2026-11-23 09:00:00"), "invalid_value"),
        ("timestamp 1e400", text().replace(b'"@now@"', b"1e400"), "invalid_value"), ("timestamp in seconds", text(timestamp=1_790_000_000), "too_old"),
        ("timestamp of 1970", text(timestamp=0), "too_old"), ("timestamp in the year 12000", text(timestamp=316_500_000_000_000), "invalid_value"),
        ("no unit at all", text(user_id=None), "missing_unit"), ("user_id empty", text(user_id=""), "invalid_value"), ("user_id true", text(user_id=True), "wrong_type"),
        ("user_id a fraction", text(user_id=1.5), "invalid_value"), ("user_id beyond 2^53", text(user_id=2**53), "invalid_value"),
        ("user_id a list", text(user_id=["u"]), "wrong_type"), ("user_id of 5 kB", text(user_id="u" * 5_000), "string_too_long"),
        ("user_id a lone surrogate", text().replace(b'"u"', b'"\\ud800"'), "invalid_value"), ("units a string", text(units="d"), "wrong_type"),
        ("user_id inside units", text(units={"user_id": "x"}), "invalid_value"), ("17 unit ids", text(units={f"t{i}": "x" for i in range(17)}), "too_many_units"),
        ("value a word", text(value="much"), "invalid_value"), ("value with 7 fraction digits", text(value="0.1234567"), "invalid_value"),
        ("value beyond i64 micro-units", text(value="99999999999999999999"), "invalid_value"), ("value 1e400", text(value=5).replace(b'"value": 5', b'"value": 1e400'), "invalid_value"),
        ("value a list", text(value=[1]), "wrong_type"), ("phase 0", text(phase=0), "invalid_value"), ("phase negative", text(phase=-1), "invalid_value"),
        ("phase a fraction", text(phase=1.5), "invalid_value"), ("phase beyond 2^32", text(phase=2**40), "invalid_value"), ("phase a string", text(phase="1"), "wrong_type"),
        ("properties a list", text(properties=[]), "wrong_type"), ("properties 5 deep", text(properties=json.loads(deep(5))), "properties_too_deep"),
        ("properties 10,000 deep", dumps(event(9))[:-1] + b',"properties":' + deep(10_000) + b"}", "properties_too_deep"),
        ("101 properties", text(properties={f"p{i}": i for i in range(101)}), "too_many_properties"),
        ("a property of 5 kB", text(properties={"p": "x" * 5_000}), "string_too_long"), ("a property twice", dumps(event(9))[:-1] + b',"properties":{"a":1,"a":2}}', "duplicate_field"),
        ("an unknown field", text(usr_id="u"), "unknown_field"), ("a field twice", dumps(event(9))[:-1] + b',"user_id":"v"}', "duplicate_field"),
        ("__proto__", text(__proto__={}), "unknown_field"), ("70 kB", text(properties={f"p{i}": "x" * 4_000 for i in range(18)}), "event_too_large"),
        ("an exposure without experiment", text(event_name="$exposure", variation_id="a"), "missing_field"),
        ("an exposure without variation", text(event_name="$exposure", experiment_id="e"), "missing_field"),
        ("an exposure without its unit", text(event_name="$exposure", experiment_id="e", variation_id="a", unit="device_id"), "missing_unit"),
        ("sdk a number", text(sdk=1), "wrong_type"), ("manifest_version negative", text(manifest_version=-1), "invalid_value"),
    ]
    cases = []
    for number, (name, bad, code) in enumerate(faults):
        # Some values are wrong in type or in range depending on how one looks at them: both codes name the fault.
        expected = "wrong_type|invalid_value" if code in ("wrong_type", "invalid_value") else code
        before, after = dumps(event(1000 + 2 * number)), dumps(event(1001 + 2 * number))
        cases.append(Case("event", name, body=b"[" + before + b"," + bad + b"," + after + b"]", status=(202,), rejected=[(1, expected)]))
        if number % 8 == 0 and b"\n" not in bad:
            lines = b"\n".join((before, bad, after)) + b"\n"
            cases.append(Case("event", f"{name} (NDJSON)", body=lines, headers={"Content-Type": "application/x-ndjson"}, status=(202,), rejected=[(1, expected)]))
    broken = b"\n".join((dumps(event(900)), b'{"event_id": nonsense', dumps(event(901)), b"\xff\xfe", dumps(event(902))))
    cases.append(Case("event", "broken lines (NDJSON)", body=broken, headers={"Content-Type": "application/x-ndjson"}, status=(202,),
                      rejected=[(1, "invalid_json"), (3, "invalid_json")]))
    cases.append(Case("event", "every event bad", body=b"[{},{},7]", status=(202,), rejected=[(0, "missing_field"), (1, "missing_field"), (2, "not_an_object")]))
    return cases


def sizes_and_encodings() -> list[Case]:
    good = dumps([event(1)])
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb_bytes = b"".join([bomb.compress(b" " * MIB) for _ in range(512)]) + bomb.flush()
    nested_bomb = gzip.compress(bomb_bytes)
    packed = gzip.compress(good)
    gz = {"Content-Encoding": "gzip"}
    chunked = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer @server@\r\nTransfer-Encoding: chunked\r\n\r\n"
    return [
        Case("size", "6 MiB", body=b"[" + b" " * (6 * MIB) + b"]", status=(413,), names="5242880|5 ?MiB|body"),
        Case("size", "one byte too much", body=b" " * (5 * MIB - len(good) + 1) + good, status=(413,)),
        Case("size", "20 MiB of events", body=b"[" + b",".join([good[1:-1]] * 200_000) + b"]", status=(413,)),
        Case("size", "6 MiB chunked", raw=chunked + (b"100000\r\n" + b" " * MIB + b"\r\n") * 6 + b"0\r\n\r\n", status=(413,)),
        Case("size", "a Content-Length of 100 GiB", raw=chunked.replace(b"Transfer-Encoding: chunked", b"Content-Length: 107374182400") + b"[", status=(413,)),
        Case("size", "100 GiB expected politely", raw=chunked.replace(b"Transfer-Encoding: chunked", b"Content-Length: 107374182400\r\nExpect: 100-continue"), status=(413, 417)),
        Case("size", "5,001 events", body=b"[" + b",".join([b"{}"] * 5_001) + b"]", status=(413,), names="5000|5,000"),
        Case("size", "5,001 lines", body=b"{}\n" * 5_001, headers={"Content-Type": "application/x-ndjson"}, status=(413,), names="5000|5,000"),
        Case("size", "2 million commas", body=b"[" + b"1," * 2_000_000 + b"1]", status=(413,)),
        Case("encoding", "a zip bomb of 512 MiB", body=bomb_bytes, headers=gz, status=(413,)),
        Case("encoding", "a zip bomb in a zip bomb", body=nested_bomb, headers={"Content-Encoding": "gzip, gzip"}, status=(400, 413, 415)),
        Case("encoding", "plain text called gzip", body=good, headers=gz, names="gzip"),
        Case("encoding", "gzip cut short", body=packed[:-9], headers=gz, names="gzip"),
        Case("encoding", "gzip with a wrong checksum", body=packed[:-8] + b"\0\0\0\0" + packed[-4:], headers=gz, names="gzip"),
        Case("encoding", "gzip of nothing", body=gzip.compress(b""), headers=gz),
        Case("encoding", "gzip of invalid UTF-8", body=gzip.compress(b'["\xff"]'), headers=gz, names="UTF-8"),
        Case("encoding", "gzip called plain", body=packed),
        Case("encoding", "an unknown encoding", body=good, headers={"Content-Encoding": "rot13"}, status=(400, 415), names="rot13|gzip|ncoding"),
        Case("encoding", "brotli", body=b"\x0b\x02\x80[]\x03", headers={"Content-Encoding": "br"}, status=(400, 415)),
        Case("encoding", "zstd", body=b"\x28\xb5\x2f\xfd", headers={"Content-Encoding": "zstd"}, status=(400, 415)),
        Case("size", "a parameter that is no boolean", path="/v1/events?import=maybe", body=good, names="import"),
        Case("encoding", "an import with a client key", path="/v1/events?import=true", body=good, key="client", status=(403,), names="server"),
    ]


def keys_and_methods() -> list[Case]:
    good = dumps([event(1)])
    cases = [
        Case("key", "none", body=good, key=None, status=(401,), names="key"),
        Case("key", "unknown", body=good, key=None, headers={"Authorization": "Bearer evs_" + "x" * 32}, status=(401,), names="key"),
        Case("key", "not even one", body=good, key=None, headers={"Authorization": "Bearer"}, status=(401,)),
        Case("key", "Basic", body=good, key=None, headers={"Authorization": "Basic dTpw"}, status=(401,)),
        Case("key", "bytes beyond ASCII", body=good, key=None, headers={"Authorization": "Bearer \xff\xfe"}, status=(400, 401)),
        Case("key", "10 kB", body=good, key=None, headers={"X-Evenhand-Key": "e" * 10_000}, status=(401, 431)),
        Case("key", "the admin token for events", body=good, key="admin", status=(401, 403)),
        Case("key", "a client key on the stream", method="GET", path="/v1/manifest/stream", key="client", status=(403,), names="sidecar"),
        Case("key", "a sidecar key for assignments", method="GET", path=ASSIGN + "?user_id=u", key="sidecar", status=(403,), names="client|server"),
        Case("key", "an unknown key in the manifest path", method="GET", path="/v1/manifest/evs_nobody", key=None, status=(401, 404)),
        Case("key", "a server key for management", method="GET", path="/api/projects", status=(401, 403), names="admin|token"),
        Case("key", "no key for management", method="GET", path="/api/projects", key=None, status=(401,)),
        Case("key", "no key for SQL", path="/api/environments/production/sql", body=b'{"query":"select 1"}', key=None, status=(401,)),
        Case("path", "nowhere", method="GET", path="/v2/everything", status=(404,)),
        Case("path", "nowhere, encoded", method="GET", path="/%00/%ff", status=(400, 404)),
        Case("path", "up and away", method="GET", path="/v1/lists/..%2f..%2fadmin-token", status=(400, 404)),
        Case("path", "up and away, plainly", method="GET", path="/v1/lists/../../admin-token", status=(400, 404)),
        Case("path", "an unknown list", method="GET", path="/v1/lists/" + "0" * 64, status=(404,)),
        Case("override", "no token", method="GET", path="/v1/override", key=None, status=(400, 401)),
        Case("override", "a token of rubbish", method="GET", path="/v1/override?token=abc.def&redirect=/", key=None, status=(400, 401, 403)),
        Case("override", "away to another site", method="GET", path="/v1/override?token=x&redirect=https://evil.example/", key=None, status=(400, 401, 403)),
    ]
    for method in ("GET", "PUT", "DELETE", "PATCH", "PURGE"):
        cases.append(Case("method", f"{method} /v1/events", method=method, body=b"[]" if method != "GET" else None, status=(405,), names="method"))
    cases.append(Case("method", "DELETE /v1/assignments", method="DELETE", path=ASSIGN, status=(405,)))
    cases.append(Case("method", "POST /healthz", path="/healthz", body=b"", status=(405,)))
    return cases


def assignments() -> list[Case]:
    def query(name: str, text: str, status: tuple[int, ...] = (400,), names: str = "", json_error: bool = True) -> Case:
        encoded = quote(text, safe="=&%,")
        return Case("assign GET", name, method="GET", path=ASSIGN + "?" + encoded, status=status, names=names, json_error=json_error)

    cases = [
        query("context no JSON", "user_id=u&context={", names="context"), query("context a list", "user_id=u&context=[]", names="context"),
        query("context a number", "user_id=u&context=7", names="context"), query("context NaN", 'user_id=u&context={"a":NaN}', names="context"),
        query("context 100 kB deep", "user_id=u&context=" + "[" * 7_000, (400, 413, 414, 431)), query("context twice", "user_id=u&context={}&context={}", (200, 400)),
        query("invalid percent encoding", "user_id=%zz", (200, 400)), query("invalid UTF-8", "user_id=%ff%fe", (400,)),
        query("user_id of 5 kB", "user_id=" + "u" * 5_000, (200, 400)), query("user_id empty", "user_id=", (200, 400)),
        query("a query of 200 kB", "user_id=" + "u" * 200_000, (400, 413, 414, 431), json_error=False), query("an unknown flag", "user_id=u&flags=no-such-flag", (200, 404)),
        query("10,000 flags", "user_id=u&flags=" + ",".join(["f"] * 10_000), (200, 400, 413)), query("a NUL", "user_id=%00", (200, 400)),
    ]
    for name, body, names in [
        ("empty", b"", ""), ("no JSON", b"{", "body|JSON"), ("a list", b"[]", ""), ("invalid UTF-8", b'{"context":{"user_id":"\xff"}}', ""),
        ("NaN", b'{"context":{"user_id":"u","a":NaN}}', ""), ("context a string", b'{"context":"u"}', "context"), ("no context", b'{"flags":["a"]}', "context"),
        ("flags a string", b'{"context":{"user_id":"u"},"flags":"a"}', "flags"), ("flags of numbers", b'{"context":{"user_id":"u"},"flags":[1]}', "flags"),
        ("sticky a number", b'{"context":{"user_id":"u"},"sticky":7}', "sticky"), ("an unknown field", b'{"context":{"user_id":"u"},"flag":["a"]}', "flag"),
        ("brackets for ever", b"[" * 200_000, ""), ("text after the end", b'{"context":{}} x', ""),
    ]:
        cases.append(Case("assign POST", name, path=ASSIGN, body=body, headers={"Content-Type": "application/json"}, names=names))
    cases += [
        Case("assign POST", "300 KiB", path=ASSIGN, body=b'{"context":{"a":"' + b"x" * (300 << 10) + b'"}}', headers={"Content-Type": "application/json"}, status=(413,)),
        # An attribute that nothing can use is missing, and named among the warnings.
        Case("assign POST", "40,000 deep", path=ASSIGN, body=b'{"context":' + deep(40_000) + b"}", headers={"Content-Type": "application/json"}, status=(200, 400)),
        Case("assign POST", "a lone surrogate", path=ASSIGN, body=b'{"context":{"user_id":"\\ud800"}}', headers={"Content-Type": "application/json"}, status=(200, 400)),
        Case("assign POST", "1e999", path=ASSIGN, body=b'{"context":{"user_id":"u","age":1e999}}', headers={"Content-Type": "application/json"}, status=(200, 400)),
        Case("assign POST", "a wrong content type", path=ASSIGN, body=b"user_id=u", headers={"Content-Type": "application/x-www-form-urlencoded"}, status=(400, 415)),
    ]
    return cases


def management(project: str, environment: str) -> list[Case]:
    flags, sql = f"/api/projects/{project}/flags", f"/api/environments/{environment}/sql"
    js = {"Content-Type": "application/json"}
    flag = {"key": "bad-input", "type": "bool", "off": "no", "default": "no", "variations": [{"key": "no", "value": False}, {"key": "yes", "value": True}]}

    def post(name: str, path: str, body, status=(400, 422), names: str = "", seconds: float = 10) -> Case:
        return Case("manage", name, path=path, key="admin", headers=js, seconds=seconds, body=body if isinstance(body, bytes) else dumps(body), status=status, names=names)

    cases = [
        post("a flag that is no JSON", flags, b"{"), post("a flag that is empty", flags, b""), post("a flag that is a list", flags, b"[]"),
        post("invalid UTF-8", flags, b'{"key":"\xff"}'), post("40,000 deep", flags, deep(40_000)), post("NaN", flags, b'{"key":NaN}'),
        post("an unknown field", flags, {**flag, "varations": []}, names="varations"), post("a missing field", flags, {k: v for k, v in flag.items() if k != "type"}, names="type"),
        post("a key with a slash", flags, {**flag, "key": "../admin-token"}, names="key"), post("a key of 10 kB", flags, {**flag, "key": "k" * 10_000}, names="key"),
        post("an empty key", flags, {**flag, "key": ""}, names="key"), post("a value of another type", flags, {**flag, "variations": [{"key": "no", "value": "x"}, {"key": "yes", "value": True}]}, names="variations"),
        post("no such off", flags, {**flag, "off": "maybe"}, names="off"), post("a variation twice", flags, {**flag, "variations": [flag["variations"][0]] * 2}, names="variations"),
        post("300 variations", flags, {**flag, "variations": [{"key": f"v{i}", "value": True} for i in range(300)], "off": "v0", "default": "v0"}, names="variations"),
        post("a rule 5,000 deep", flags, json.dumps({**flag, "rules": [{"kind": "targeted", "id": "r", "serve": "yes", "when": "@"}]}).encode().replace(b'"@"', deep(5_000, b'{"not":', b"}", b'{"all":[]}'))),
        post("an unknown operator", flags, {**flag, "rules": [{"kind": "targeted", "id": "r", "serve": "yes", "when": {"telepathy": ["x"]}}]}, names="rules|telepathy|when"),
        post("9 MiB", flags, b'{"name":"' + b"x" * (9 * MIB) + b'"}', status=(413,)),
        post("a metric of no kind", f"/api/projects/{project}/metrics", {"key": "m", "kind": "vibes", "event": {"event_name": "x"}}, names="kind|vibes"),
        post("an experiment on no flag", f"/api/projects/{project}/experiments", {"key": "e", "flag": "nowhere", "unit": "user_id", "variations": [{"variation": "a", "weight": 5000}, {"variation": "b", "weight": 5000}]}, status=(400, 404, 409, 422), names="flag|nowhere"),
        post("weights that make 9,999", f"/api/projects/{project}/experiments", {"key": "e", "flag": "durability-flag", "unit": "user_id", "variations": [{"variation": "control", "weight": 5000}, {"variation": "treatment", "weight": 4999}]}, names="10000|10,000|weight"),
        post("a negative weight", f"/api/projects/{project}/experiments", {"key": "e", "flag": "durability-flag", "unit": "user_id", "variations": [{"variation": "control", "weight": -1}, {"variation": "treatment", "weight": 10001}]}, names="weight"),
        post("starting nothing", f"/api/environments/{environment}/experiments/nothing/start", {}, status=(404,)),
        post("a project that is not there", "/api/projects/nowhere/flags", flag, status=(404,)),
        post("SQL that is none", sql, {"query": "slect 1"}, names="slect|syntax|query"), post("no SQL", sql, {"query": ""}), post("SQL a number", sql, {"query": 7}, names="query"),
        post("two statements", sql, {"query": "select 1; select 2"}), post("a write", sql, {"query": "delete from events"}, status=(400, 403, 422)),
        post("a write in a select", sql, {"query": "with x as (select 1) insert into events select 1"}, status=(400, 403, 422)), post("attach", sql, {"query": "attach '/etc/passwd' as p"}, status=(400, 403, 422)),
        post("a pragma", sql, {"query": "pragma writable_schema=1"}, status=(400, 403, 422)), post("load_extension", sql, {"query": "select load_extension('x')"}, status=(400, 403, 422)),
        post("readfile", sql, {"query": "select readfile('/etc/passwd')"}), post("vacuum into", sql, {"query": "vacuum into '/tmp/evenhand-stolen'"}, status=(400, 403, 422)),
        post("a blob of 2 GB", sql, {"query": "select zeroblob(2000000000)"}, status=(400, 413, 422)), post("a table that is not there", sql, {"query": "select * from secrets"}, names="secrets"),
        post("an endless query", sql, {"query": "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"}, status=(400, 408, 413, 422, 429), seconds=45),
        post("a negative limit", sql, {"query": "select 1", "limit": -1}), post("an unknown field in SQL", sql, {"query": "select 1", "sql": "x"}, names="sql"),
        Case("manage", "a list that is not there", method="GET", path="/api/nothing", key="admin", status=(404,)),
        Case("manage", "results of nothing", method="GET", path=f"/api/environments/{environment}/experiments/nothing/results", key="admin", status=(404,)),
        Case("manage", "results of a phase that is a word", method="GET", path=f"/api/environments/{environment}/experiments/durability/results?phase=two", key="admin"),
        Case("manage", "a flag that is not there", method="GET", path=flags + "/nothing", key="admin", status=(404,)),
        Case("manage", "an export in no format", method="GET", path=f"/api/environments/{environment}/export?format=docx", key="admin"),
        Case("manage", "a method it does not take", method="PURGE", path=flags, key="admin", status=(405,)),
    ]
    return cases


def protocol() -> list[Case]:
    """HTTP itself is broken: a status, or the connection closed, is all that can be said."""
    auth = b"Host: x\r\nAuthorization: Bearer @server@\r\n"
    start = b"POST /v1/events HTTP/1.1\r\n" + auth
    raws: list[tuple[str, bytes, tuple[int, ...]]] = [
        ("rubbish", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)), (400,)), ("no version", b"GET /healthz\r\n\r\n", (400,)),
        ("HTTP/9.9", b"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n", (400, 505)), ("a space in the path", b"GET /health z HTTP/1.1\r\nHost: x\r\n\r\n", (400,)),
        ("a NUL in a header", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n", (400,)), ("a header without colon", b"GET /healthz HTTP/1.1\r\nHost: x\r\nrubbish\r\n\r\n", (400,)),
        ("a header of 1 MB", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n", (400, 431)),
        ("2,000 headers", b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: a\r\n" % i for i in range(2_000)) + b"\r\n", (400, 431)),
        ("a path of 200 kB", b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", (400, 404, 414, 431)),
        ("Content-Length a word", start + b"Content-Length: many\r\n\r\n[]", (400,)), ("Content-Length negative", start + b"Content-Length: -1\r\n\r\n[]", (400,)),
        ("Content-Length beyond 2^64", start + b"Content-Length: 99999999999999999999999\r\n\r\n[]", (400, 413)),
        ("two Content-Lengths", start + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n[]", (400,)),
        ("an unknown Transfer-Encoding", start + b"Transfer-Encoding: lzw\r\n\r\n[]", (400, 501)),
        ("a bad chunk size", start + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n[]\r\n0\r\n\r\n", (400,)),
        ("a chunk size beyond 2^64", start + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffff\r\n[]\r\n0\r\n\r\n", (400, 413)),
    ]
    return [Case("protocol", name, raw=raw, status=status, json_error=False) for name, raw, status in raws]


def all_cases(project: str, environment: str) -> list[Case]:
    return (batch_bodies() + single_events() + sizes_and_encodings() + keys_and_methods() + assignments()
            + management(project, environment) + protocol())


def fault_of(case: Case, status: int, body: bytes) -> str | None:
    """What is wrong with the answer, or None."""
    shown = f"{status} {body[:240]!r}"
    if status >= 500 and status not in case.status:
        return f"a fault of the server: {shown}"
    if status not in case.status:
        return f"expected {' or '.join(map(str, case.status))}: {shown}"
    if case.rejected is not None:
        return wrong_rejections(case, body)
    if status < 400 or not case.json_error:
        return None
    try:
        error = json.loads(body)["error"]
        code, message, where = error["code"], error["message"], error.get("field", "")
    except (ValueError, KeyError, TypeError):
        return f"the body is not the documented error object: {shown}"
    if not re.fullmatch(r"[a-z][a-z0-9_]*", code) or len(message) < 12:
        return f"code or message say nothing: {shown}"
    if case.names and not re.search(case.names, f"{code}\n{where}\n{json.dumps(error, ensure_ascii=False)}"):
        return f"nothing in it names the fault ({case.names}): {shown}"
    return None


def wrong_rejections(case: Case, body: bytes) -> str | None:
    answer = json.loads(body)
    said = [(entry["index"], entry["code"]) for entry in answer["rejected"]]
    fits = len(said) == len(case.rejected) and all(
        index == wanted and re.fullmatch(codes, code) for (index, code), (wanted, codes) in zip(said, case.rejected))
    if not fits:
        return f"expected the refusals {case.rejected}: {body[:300]!r}"
    if any(len(entry.get("message", "")) < 12 for entry in answer["rejected"]):
        return f"a refusal without a message: {body[:300]!r}"
    return None


def prove_the_judge() -> None:
    """Answers that must be found at fault, and some that must not: a table that lets everything through proves nothing."""
    plain = Case("judge", "", names="timestamp")
    batch = Case("judge", "", status=(202,), rejected=[(1, "too_old")])
    good = b'{"error":{"code":"bad_value","message":"events[0].timestamp is not a time; send RFC 3339","field":"events[0].timestamp"}}'
    refusal = b'{"accepted":2,"rejected":[{"index":1,"code":"too_old","message":"older than thirty days"}]}'
    verdicts = [
        (plain, 400, good, False), (plain, 500, good, True), (plain, 200, good, True), (plain, 422, good, True), (plain, 400, b"", True),
        (plain, 400, b"Bad Request", True), (plain, 400, b'{"error":"timestamp"}', True), (plain, 400, good.replace(b"timestamp", b"something"), True),
        (plain, 400, b'{"error":{"code":"timestamp","message":""}}', True), (batch, 202, refusal, False), (batch, 400, good, True),
        (batch, 202, refusal.replace(b"too_old", b"invalid_json"), True), (batch, 202, refusal.replace(b'"index":1', b'"index":0'), True),
        (batch, 202, b'{"accepted":3,"rejected":[]}', True), (batch, 202, refusal.replace(b"older than thirty days", b""), True),
    ]
    for case, status, body, must_be_a_fault in verdicts:
        if bool(fault_of(case, status, body)) != must_be_a_fault:
            raise AssertionError(f"the judge is wrong about {status} {body!r}")
