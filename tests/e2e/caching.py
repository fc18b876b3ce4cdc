"""The manifest on its way to SDKs: validators, compression, signatures' audience, what a client may see."""
from __future__ import annotations

import gzip
import hashlib
import json

from world import E, P, World


def play(world: World) -> None:
    world.flag("seen", client_visible=True)
    world.flag("hidden")
    world.experiment("seen-test", "seen", targeting={"op": "str_eq", "attr": "country", "value": "Atlantis"})
    world.act("seen-test", "start")
    path = f"/v1/manifest/{world.keys['server']}"
    answer = world.eventually(lambda: world.http("GET", path), lambda answer: b"Atlantis" in answer.body, "the server's manifest has the experiment")
    etag = answer.headers["etag"]
    world.check("max-age=60" in answer.headers["cache-control"] and "stale-if-error" in answer.headers["cache-control"], "the manifest may be cached", answer.headers)
    same = world.http("GET", path, headers={"If-None-Match": etag})
    world.check(same.status == 304 and not same.body and same.headers["etag"] == etag, "an unchanged manifest is answered 304", (same.status, same.headers))
    zipped = world.http("GET", path, headers={"Accept-Encoding": "gzip"})
    world.check(zipped.headers.get("content-encoding") == "gzip" and gzip.decompress(zipped.body) == answer.body, "gzip", zipped.headers)
    brotli = world.http("GET", path, headers={"Accept-Encoding": "br, gzip"})
    world.check(brotli.headers.get("content-encoding") == "br" and len(brotli.body) < len(answer.body), "brotli", brotli.headers)

    client = world.http("GET", f"/v1/manifest/{world.keys['client']}")
    for secret in (b"Atlantis", b"seen-test", b'"seen"', b"hidden", b"treatment"):
        world.check(secret not in client.body, f"a client's manifest has no {secret!r}", client.body[:400])
    # The manifest is a string inside its envelope.
    text = client.body.decode().replace('\\"', '"')
    salt = text.split('"obfuscation":{"salt":"')[1].split('"')[0]
    hashed = hashlib.sha256(f"{salt}:seen".encode()).hexdigest()[:16]
    world.check(hashed in text, "the flag stands under its hashed key", text[:400])
    listed = world.decide({"user_id": "u1"}, key=world.keys["client"])
    world.equal(list(listed), [hashed], "a client lists visible flags under hashed keys")
    named = world.decide({"user_id": "u1", "country": "Atlantis"}, "seen", key=world.keys["client"])
    plain = world.decide({"user_id": "u1", "country": "Atlantis"}, "seen")
    world.equal(named["seen"]["value"], plain["seen"]["value"], "a client is dealt the same hand as a server")
    world.check(named["seen"]["variation"] != plain["seen"]["variation"], "a client sees opaque ids", named)

    post = world.http("POST", "/v1/assignments", {"context": {"user_id": "u1"}}, world.keys["server"])
    get = world.http("GET", "/v1/assignments?user_id=u1", key=world.keys["server"])
    world.equal(post.json(), get.json(), "GET and POST give the same answer")
    world.check("no-store" in post.headers["cache-control"] and "no-store" in get.headers["cache-control"], "assignments are not stored by caches", post.headers)

    versions = world.api("GET", f"{E}/manifest/versions").json()["items"]
    world.check(len(versions) >= 2, "published versions are kept", versions)
    for probe, status in (("/healthz", 200), ("/readyz", 200), ("/metrics", 200)):
        world.equal(world.http("GET", probe).status, status, probe)
    ids(world)


def ids(world: World) -> None:
    """A segment of uploaded ids, at its address as a blob, and targeting by it."""
    world.api("POST", f"{P}/segments", {"key": "friends", "list": {"unit": "user_id"}})
    members = [f"friend-{number}" for number in range(10_000)]
    answer = world.http("PUT", f"{P}/segments/friends/ids", "\n".join(members).encode(), world.token, {"Content-Type": "text/plain"})
    world.check(answer.status in (200, 201, 204), "ids are uploaded", (answer.status, answer.body[:300]))
    world.flag("for-friends", rules=[{"kind": "targeted", "id": "friends", "when": {"op": "in_segment", "segment": "friends"}, "serve": "treatment"}])
    world.eventually(lambda: world.decide({"user_id": "friend-9999"}, "for-friends")["for-friends"], lambda found: found["reason"] == "TARGETED", "who is on the list is targeted")
    world.equal(world.decide({"user_id": "stranger"}, "for-friends")["for-friends"]["reason"], "DEFAULT", "who is not on the list is not")
    text = world.http("GET", f"/v1/manifest/{world.keys['server']}").body.decode().replace('\\"', '"')
    address = text.split('"lists":{')[1].split('"sha256":"')[1].split('"')[0]
    blob = world.http("GET", f"/v1/lists/{address}", key=world.keys["server"])
    world.equal(hashlib.sha256(blob.body).hexdigest(), address, "the list stands at its address")
    world.check(len(blob.body) < 20 * len(members) and b"friend-1" not in blob.body and "immutable" in blob.headers["cache-control"], "a list is small, hashed and immutable", blob.headers)
    huge = world.http("PUT", f"{P}/segments/friends/ids", b"", world.token, {"Content-Type": "text/plain"})
    world.check(huge.status in (200, 204) or huge.json()["error"]["message"] != "", "an empty list is answered clearly", huge.body[:300])
