"""gRPC beside HTTP: the same decisions, reasons and exposures, deadlines, TLS, reflection, health, the manifest stream, events that survive kill -9."""
from __future__ import annotations

import datetime
import ipaddress
import json
import random
import subprocess
import threading
import time
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from grpc_calls import Calls, address_of
from server_process import ServerProcess, server_command
from world import E, P, World, event, now_ms

SERVER = {"options": ("--grpc-listen", "127.0.0.1:0")}
CONTEXTS = 2_000
DIMENSIONS = {"text": ["premium", "country", "age"], "shape": ["plan"]}
EDGE = 2**53 - 1


def play(world: World) -> None:
    define(world)
    calls = Calls(address_of(world.server.log_path), world.keys["server"])
    described(world, calls)
    same_answers(world, calls)
    same_refusals(world, calls)
    overrides(world, calls)
    deadlines(world, calls)
    followed(world, calls)
    published(world, calls)
    calls.close()
    durable(world)
    stopping(world)
    over_tls(world)


def define(world: World) -> None:
    world.flag("text", client_visible=True)
    values = {"number": ("int", [EDGE, -EDGE]), "ratio": ("float", [0.1, 1e300]), "switch": ("bool", [False, True]), "shape": ("json", [{"b": [1, 2.5], "a": "é"}, [None]])}
    for key, (kind, pair) in values.items():
        variations = [{"key": name, "value": value} for name, value in zip(("control", "treatment"), pair)]
        world.api("POST", f"{P}/flags", {"key": key, "type": kind, "off": "control", "default": "control", "variations": variations, "client_visible": True})
    world.flag("hidden")
    world.api("POST", f"{P}/holdouts", {"key": "held-back", "unit": "user_id", "share": 1000})
    for key in ("text", *values):
        world.experiment(f"{key}-test", key, targeting={"op": "num_gte", "attr": "age", "value": 18} if key == "ratio" else None, traffic=8000, holdouts=["held-back"] if key in ("shape", "switch") else [],
                         dimensions=DIMENSIONS.get(key, []))
        world.act(f"{key}-test", "start")
    world.flag("by-device")
    weights = [{"variation": "control", "weight": 5000}, {"variation": "treatment", "weight": 5000}]
    world.api("POST", f"{P}/experiments", {"key": "device-test", "flag": "by-device", "unit": "device_id", "variations": weights, "sticky": True})
    world.act("device-test", "start")
    world.eventually(lambda: world.decide({"device_id": "d"}, "by-device")["by-device"], lambda d: d["reason"] == "SPLIT", "the last experiment is published")


def described(world: World, calls: Calls) -> None:
    services = set(calls.database.get_services())
    world.check({"evenhand.v1.AssignmentService", "evenhand.v1.EventService", "grpc.health.v1.Health"} <= services, "reflection names the services", services)
    check = calls.type("grpc.health.v1.HealthCheckRequest")
    for service in ("", "evenhand.v1.AssignmentService", "evenhand.v1.EventService"):
        answer = calls.call("grpc.health.v1.Health.Check", check(service=service), key="")
        world.equal(answer.status, 1, f"health of {service!r} is SERVING")


def contexts() -> list[dict]:
    """As odd as they come, and always the same."""
    draw = random.Random(20)
    odd = [{}, {"user_id": ""}, {"user_id": EDGE}, {"user_id": -EDGE}, {"user_id": EDGE + 2}, {"user_id": 1.5}, {"user_id": True}, {"user_id": "日本"}, {"user_id": [1]}, {"x" * 300: 1}, {"user_id": "u", "age": [1, [2]]}, {"user_id": "u", "age": "18"}, {"user_id": "é\u0000"}, {"user_id": "u", "list": [1] * 1001}]
    for number in range(CONTEXTS - len(odd)):
        context: dict = {"user_id": draw.choice([f"user-{number}", number, -number, float(number)])}
        if draw.random() < 0.5:
            context["device_id"] = f"device-{number}"
        if draw.random() < 0.7:
            context["age"] = draw.choice([17, 18, 18.5, -1])
        context |= {name: value for name, value in (("country", draw.choice(["NZ", "", "é" * 64, "é" * 65, 5])), ("premium", draw.random() < 0.5), ("plan", draw.choice(["a", ["a"]]))) if draw.random() < 0.6}
        odd.append(context)
    return odd


def what_exposures_carry(world: World, context: dict, decisions: dict) -> set[str]:
    """Of the context's attributes that an experiment names: texts of at most 64 characters and booleans, and nothing else."""
    carried = set()
    for flag, decision in decisions.items():
        fit = {name: value for name, value in context.items() if name in DIMENSIONS.get(flag, ()) and (isinstance(value, bool) or (isinstance(value, str) and len(value) <= 64))}
        for seen in [decision.get("exposure"), *decision.get("holdout_exposures", [])]:
            if seen is not None:
                world.equal(seen.get("properties", {}), fit, f"what an exposure of {flag} carries of {str(context)[:80]}")
                carried |= fit.keys()
    return carried


def same_answers(world: World, calls: Calls) -> None:
    """Every flag for every context, by both, with both kinds of keys."""
    asked, batch = contexts(), calls.type("BatchGetRequest")
    reasons, carried = set(), set()
    for kind in ("server", "client"):
        key = world.keys[kind]
        for at in range(0, len(asked), 200):
            some = asked[at : at + 200]
            answer = calls.call("AssignmentService.BatchGet", batch(contexts=[calls.context(context) for context in some]), key=key)
            world.equal(len(answer.answers), len(some), "one answer a context")
            for context, told in zip(some, answer.answers):
                http = world.http("POST", "/v1/assignments", {"context": context}, key).json()
                decisions = {decision.flag: calls.as_http(decision) for decision in told.decisions}
                # As texts: values, field order and all.
                if json.dumps(decisions) != json.dumps(http["assignments"]):
                    world.equal(decisions, http["assignments"], f"{kind}: the same decisions for {str(context)[:80]}")
                    world.equal(json.dumps(decisions), json.dumps(http["assignments"]), f"{kind}: the same text for {str(context)[:80]}")
                warnings = [{"attribute": w.attribute, "message": w.message} for w in told.warnings]
                if warnings != http.get("warnings", []) or answer.manifest_version != http["manifest_version"]:
                    world.equal((warnings, answer.manifest_version), (http.get("warnings", []), http["manifest_version"]), f"{kind}: the same warnings for {str(context)[:80]}")
                reasons |= {decision["reason"] for decision in decisions.values()}
                if kind == "server":
                    carried |= what_exposures_carry(world, context, decisions)
        world.checks += len(asked)
    world.check({"SPLIT", "DEFAULT", "NO_UNIT", "HOLDOUT"} <= reasons, "the contexts reach every kind of rule", reasons)
    # (One context has its age as a text; whether it is in the experiment is drawn anew each time.)
    world.equal(carried - {"age"}, {"country", "premium", "plan"}, "exposures carry the dimensions of their experiments")

    get = calls.type("GetRequest")
    for number in range(200):
        context = {"user_id": f"user-{number}", "age": 20}
        for flag in ("text", "number", "shape", "nowhere"):
            answer = calls.call("AssignmentService.Get", get(context=calls.context(context), flag=flag))
            http = world.decide(context, flag)[flag]
            told = calls.as_http(answer.decision)
            if json.dumps(told) != json.dumps(http):
                world.equal(told, http, f"Get and HTTP agree on {flag} for {context}")
    world.checks += 200
    kept = {"experiment": "device-test", "phase": 1, "unit": "kept", "variation": "treatment"}
    by_http = world.http("POST", "/v1/assignments", {"context": {"device_id": "kept"}, "flags": ["by-device"], "sticky": [kept]}, world.keys["server"]).json()
    by_grpc = calls.call("AssignmentService.Get", get(context=calls.context({"device_id": "kept"}, [kept]), flag="by-device"))
    world.equal(calls.as_http(by_grpc.decision), by_http["assignments"]["by-device"], "a kept assignment is kept")
    world.equal(by_http["assignments"]["by-device"]["reason"], "STICKY", "it is the kept one")


def refused(world: World, code: grpc.StatusCode, text: str, what: str, ask) -> None:
    try:
        found = ask()
    except grpc.RpcError as error:
        world.check(error.code() == code and text in error.details() and len(error.details()) > 20, f"{what}: {code} with {text!r}", (error.code(), error.details()))
    else:
        world.check(False, f"{what} is refused", found)


def same_refusals(world: World, calls: Calls) -> None:
    code, get, batch = grpc.StatusCode, calls.type("GetRequest"), calls.type("BatchGetRequest")
    fine = get(context=calls.context({"user_id": "u"}), flag="text")
    ask = lambda request=fine, path="AssignmentService.Get", **more: calls.call(path, request, **more)  # noqa: E731
    refused(world, code.UNAUTHENTICATED, "no_key", "a call without a key", lambda: ask(key=""))
    refused(world, code.UNAUTHENTICATED, "unknown_key", "a call with a wrong key", lambda: ask(key="nonsense"))
    refused(world, code.PERMISSION_DENIED, "wrong_key_kind", "a sidecar's question", lambda: ask(key=world.keys["sidecar"]))
    refused(world, code.INVALID_ARGUMENT, "bad_context", "a call without a context", lambda: ask(get(flag="text")))
    refused(world, code.INVALID_ARGUMENT, "bad_context", "a context beyond 256 KiB", lambda: ask(get(context=calls.context({f"a{n}": "x" * 60_000 for n in range(5)}), flag="text")))
    refused(world, code.INVALID_ARGUMENT, "no_flag", "a call without a flag", lambda: ask(get(context=calls.context({}))))
    refused(world, code.INVALID_ARGUMENT, "twice", "a sticky record twice", lambda: ask(get(context=calls.context({}, [{"experiment": "e", "phase": 1, "unit": "u", "variation": "v"}] * 2), flag="text")))
    refused(world, code.INVALID_ARGUMENT, "contexts", "a batch without contexts", lambda: ask(batch(), "AssignmentService.BatchGet"))
    refused(world, code.INVALID_ARGUMENT, "too_many_flags", "a batch of too many flags", lambda: ask(batch(contexts=[calls.context({})], flags=["f"] * 5_001), "AssignmentService.BatchGet"))
    refused(world, code.INVALID_ARGUMENT, "too_many_decisions", "a batch of too many decisions", lambda: ask(batch(contexts=[calls.context({})] * 20, flags=[f"f{n}" for n in range(4_000)]), "AssignmentService.BatchGet"))
    follow = calls.type("StreamManifestRequest")
    refused(world, code.PERMISSION_DENIED, "wrong_key_kind", "a client that follows manifests", lambda: next(iter(ask(follow(), "AssignmentService.StreamManifest", key=world.keys["client"]))))
    refused(world, code.INVALID_ARGUMENT, "half_known", "half a version", lambda: next(iter(ask(follow(known_version=1), "AssignmentService.StreamManifest"))))


def overrides(world: World, calls: Calls) -> None:
    token = world.api("POST", f"{E}/override-tokens", {"flag": "text", "variation": "treatment", "expires_in_s": 3600}).json()["token"]
    request = calls.type("GetRequest")(context=calls.context({"user_id": "qa"}), flag="text")
    answer = calls.call("AssignmentService.Get", request, metadata=[("x-evenhand-override", f"{token}, nonsense")])
    http = world.http("POST", "/v1/assignments", {"context": {"user_id": "qa"}, "flags": ["text"]}, world.keys["server"], {"X-Evenhand-Override": f"{token}, nonsense"}).json()
    world.equal(calls.as_http(answer.decision), http["assignments"]["text"], "a forced variation is the same by both")
    world.equal((answer.decision.variation, answer.decision.exposure.reason), ("treatment", "OVERRIDE"), "it is forced, and marked")
    world.equal([{"code": i.code, "message": i.message} for i in answer.ignored_overrides], http["ignored_overrides"], "a token that is no good is told")


def deadlines(world: World, calls: Calls) -> None:
    request = calls.type("GetRequest")(context=calls.context({"user_id": "u"}), flag="text")
    world.check(calls.call("AssignmentService.Get", request, timeout=5).HasField("decision"), "a deadline that has not passed is no matter")
    stream = calls.call("AssignmentService.StreamManifest", calls.type("StreamManifestRequest")(), timeout=0.5)
    began, seen = time.monotonic(), 0
    try:
        for _ in stream:
            seen += 1
    except grpc.RpcError as error:
        world.equal(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED, "a stream ends with its deadline")
    world.check(seen == 1 and 0.3 < time.monotonic() - began < 5, "after the manifest in force", (seen, time.monotonic() - began))


def followed(world: World, calls: Calls) -> None:
    follow = calls.type("StreamManifestRequest")
    stream = calls.call("AssignmentService.StreamManifest", follow(), timeout=30)
    first = next(stream)
    bytes_of = lambda: world.http("GET", f"/v1/manifest/{world.keys['server']}").body  # noqa: E731
    world.equal(first.envelope, bytes_of(), "the stream begins with the manifest of HTTP")
    world.flag("new-one")
    second = next(stream)
    world.check(second.version > first.version and b"new-one" in second.envelope, "a change is told", (first.version, second.version))
    world.equal(second.envelope, bytes_of(), "with the bytes of HTTP")
    # Who reads nothing for a while gets the newest, and little before it.
    for number in range(30):
        world.flag(f"many-{number}")
    newest = world.eventually(bytes_of, lambda body: b"many-29" in body, "all are published")
    versions = []
    for told in stream:
        versions.append(told.version)
        if told.envelope == newest:
            break
    world.check(versions == sorted(versions), "versions only grow", versions)
    resumed = calls.call("AssignmentService.StreamManifest", follow(known_generation=told.generation, known_version=told.version), timeout=30)
    heard: list = []
    reader = threading.Thread(target=lambda: heard.append(next(resumed)), daemon=True)
    reader.start()
    time.sleep(0.3)
    world.equal(heard, [], "who knows the manifest in force waits for the next")
    world.flag("last-one")
    reader.join(10)
    world.check(len(heard) == 1 and b"last-one" in heard[0].envelope, "and gets it")
    stream.cancel()
    resumed.cancel()


def published(world: World, calls: Calls) -> None:
    batch, request = calls.type("PublishBatchRequest"), calls.type("PublishRequest")
    bad = [event(1, "seen", "u", now_ms()), {"event_id": "nonsense"}, event(2, "seen", "u", now_ms(), colour="red"), event(3, "seen", "u", 1000)]
    body = json.dumps(bad).encode()
    by_http = world.http("POST", "/v1/events", body, world.keys["server"], {"Content-Type": "application/json"}).json()
    answer = calls.call("EventService.PublishBatch", batch(events={"events": body})).outcome
    told = lambda r: {"index": r.index, **({"event_id": r.event_id} if r.HasField("event_id") else {}), "code": r.code, **({"field": r.field} if r.field else {}), "message": r.message}  # noqa: E731
    world.equal((answer.accepted, [told(r) for r in answer.rejected]), (by_http["accepted"], by_http["rejected"]), "events are refused one by one, in the words of HTTP")
    refused(world, grpc.StatusCode.INVALID_ARGUMENT, "unreadable", "a batch that is no JSON", lambda: calls.call("EventService.PublishBatch", batch(events={"events": b"{"})))
    refused(world, grpc.StatusCode.PERMISSION_DENIED, "server key", "an import with a client's key", lambda: calls.call("EventService.PublishBatch", batch(events={"events": body, "import": True}), key=world.keys["client"]))
    lines = b"\n".join(json.dumps(event(10 + n, "lines", "u", now_ms())).encode() for n in range(3))

    def batches():
        yield request(batch=7, events={"events": lines, "format": "EVENT_FORMAT_NDJSON"})
        yield request(batch=8, events={"events": b"nonsense"})
        yield request(batch=9, events={"events": json.dumps([event(20, "lines", "u", now_ms())]).encode()})
        yield request(batch=10, events={"events": b"[" + b" " * (5 << 20) + b"]"})
    outcomes = [(a.batch, a.WhichOneof("outcome"), a.taken.accepted, a.refused.code) for a in calls.call("EventService.Publish", batches())]
    world.equal(outcomes, [(7, "taken", 3, ""), (8, "refused", 0, "unreadable"), (9, "taken", 1, ""), (10, "refused", 0, "too_large")], "a stream answers each batch in order, and a refused one ends nothing")
    # The exposure of a decision is an event once it has an id and a time.
    decision = calls.call("AssignmentService.Get", calls.type("GetRequest")(context=calls.context({"user_id": "shown"}), flag="switch")).decision
    exposure = calls.as_http(decision).get("exposure")
    if exposure:
        whole = {**exposure, "event_id": "00000000-0000-7000-8000-0000000000ff", "timestamp": now_ms()}
        outcome = calls.call("EventService.PublishBatch", batch(events={"events": json.dumps(whole).encode()})).outcome
        world.equal((outcome.accepted, len(outcome.rejected)), (1, 0), "the exposure in an answer is an event")
    world.eventually(lambda: world.sql("SELECT count(*) FROM events WHERE event_name = 'lines'"), lambda rows: rows == [[4]], "what was taken is in the results")


def durable(world: World) -> None:
    """Whatever was acknowledged before kill -9 is there after it."""
    for round_ in range(3):
        calls = Calls(address_of(world.server.log_path), world.keys["server"])
        request = calls.type("PublishRequest")
        acknowledged: list[int] = []
        over = threading.Event()

        def batches():
            for number in range(100_000):
                if over.is_set():
                    return
                base = 1_000_000 * (round_ + 1) + number * 20
                yield request(batch=number, events={"events": json.dumps([event(base + n, f"kept-{round_}", f"u{n}", now_ms()) for n in range(20)]).encode()})
        killer = threading.Timer(0.7, world.server.kill)
        killer.start()
        try:
            for answer in calls.call("EventService.Publish", batches(), timeout=30):
                world.equal(answer.taken.accepted, 20, "a batch is taken")
                acknowledged.append(answer.batch)
        except grpc.RpcError as error:
            world.check(error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED), "the stream breaks", error.code())
        killer.join()
        over.set()
        calls.close()
        world.check(len(acknowledged) > 5, "batches were acknowledged before the kill", len(acknowledged))
        world.server.log_path.write_text("")
        world.server.start()
        world.connection.close()
        expected = {base + n for number in acknowledged for base in [1_000_000 * (round_ + 1) + number * 20] for n in range(20)}
        rows = world.eventually(lambda: world.sql(f"SELECT event_id FROM events WHERE event_name = 'kept-{round_}'"), lambda rows: len(rows) >= min(len(expected), 1_000), "events are there after the restart")
        count = world.eventually(lambda: world.sql(f"SELECT count(DISTINCT event_id) FROM events WHERE event_name = 'kept-{round_}'")[0][0], lambda count: count >= len(expected), "every acknowledged event is there")
        # How many answers died with the connection nobody knows. But a stream has eight batches under way, and the others are in order.
        last = world.sql(f"SELECT max(event_id) FROM events WHERE event_name = 'kept-{round_}'")[0][0]
        taken = (int(last.rsplit("-", 1)[1], 16) - 1_000_000 * (round_ + 1)) // 20 + 1
        world.check(count % 20 == 0 and taken - count // 20 < 8, "batches are whole, and none is stored before those eight ahead of it", (count, taken, len(acknowledged)))


def stopping(world: World) -> None:
    """SIGTERM: streams are told, the process ends at once."""
    calls = Calls(address_of(world.server.log_path), world.keys["server"])
    stream = calls.call("AssignmentService.StreamManifest", calls.type("StreamManifestRequest")(), timeout=30)
    next(stream)
    began = time.monotonic()
    world.server.process.terminate()
    refused(world, grpc.StatusCode.UNAVAILABLE, "stopping", "a stream at the stop", lambda: next(stream))
    world.server.process.wait(10)
    world.check(time.monotonic() - began < 4, "the stop does not wait for streams", time.monotonic() - began)
    calls.close()
    world.server.start()
    world.connection.close()


def over_tls(world: World) -> None:
    """A private authority; then clients must show its certificates too."""
    place = world.directory / "tls"
    place.mkdir()
    authority, ca_key = certificate("Test authority", None)
    server, server_key = certificate("localhost", (authority, ca_key))
    client, client_key = certificate("client", (authority, ca_key))
    stranger, stranger_key = certificate("stranger", None)
    for name, (cert, key) in {"ca": (authority, ca_key), "server": (server, server_key)}.items():
        (place / f"{name}.pem").write_bytes(pem(cert))
        (place / f"{name}.key").write_bytes(pem_key(key))
    for wanted in (False, True):
        config = place / "evenhand.toml"
        config.write_text(f'[grpc]\nlisten = "127.0.0.1:0"\ntls_certificate = "{place}/server.pem"\ntls_key = "{place}/server.key"\n' + (f'client_ca = "{place}/ca.pem"\n' if wanted else ""))
        base = place / f"world-{wanted}"
        base.mkdir()
        process = ServerProcess([*server_command(None), "--config", str(config)], base, faultfs=False)
        process.start()
        try:
            address = address_of(process.log_path).replace("127.0.0.1", "localhost")
            key = json.loads((process.data / "keys.json").read_text())["server"]
            shows = {"ours": (pem_key(client_key), pem(client)), "none": (None, None), "a stranger's": (pem_key(stranger_key), pem(stranger))}
            for who, (private, chain) in shows.items():
                credentials = grpc.ssl_channel_credentials(pem(authority), private, chain)
                calls = Calls(address, key, credentials)
                ask = lambda: calls.call("grpc.health.v1.Health.Check", calls.type("grpc.health.v1.HealthCheckRequest")(), key="").status  # noqa: E731,B023
                if who == "ours" or not wanted and who == "none":
                    world.equal(ask(), 1, f"TLS, client certificates {'wanted' if wanted else 'not wanted'}, {who} shown")
                elif wanted:
                    try:
                        world.check(False, f"{who} is let in", ask())
                    except (grpc.RpcError, KeyError) as error:
                        world.check(True, f"{who} is not let in", error)
                calls.close()
            foreign = Calls(address, key, grpc.ssl_channel_credentials(pem(stranger)))
            try:
                world.check(False, "a client that trusts another authority connects", list(foreign.database.get_services()))
            except grpc.RpcError as error:
                world.equal(error.code(), grpc.StatusCode.UNAVAILABLE, "a client that trusts another authority does not connect")
            foreign.close()
        finally:
            process.destroy()
    (place / "server.key").write_text("nonsense")
    binary = server_command(None)[0]
    done = subprocess.run([binary, "serve", "--config", str(place / "evenhand.toml"), "--data-dir", str(place / "x"), "--listen", "127.0.0.1:0"], capture_output=True, text=True, timeout=30)
    world.check(done.returncode != 0 and "tls_key" in done.stderr and "server.key" in done.stderr, "a key that can't be read is named", done.stderr)


def certificate(name: str, signer):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(signer[0].subject if signer else subject).public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name.replace(" ", "-")), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
    return builder.sign(signer[1] if signer else key, hashes.SHA256()), key


def pem(cert) -> bytes:
    return cert.public_bytes(serialization.Encoding.PEM)


def pem_key(key) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
