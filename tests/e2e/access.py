"""Who may do what: kinds of keys, rates, and forced variations by header, cookie and link."""
from __future__ import annotations

import time
from urllib.parse import parse_qs, quote, urlsplit

from world import E, P, World, event, now_ms

SERVER = {"options": ("--rate-key", "200")}


def play(world: World) -> None:
    world.flag("banner", client_visible=True)
    world.api("POST", f"{P}/metrics", {"key": "clicks", "kind": "conversion_rate", "event": {"event_name": "click"}})
    world.experiment("banner-test", "banner", metrics=[{"metric": "clicks", "role": "primary"}])
    world.act("banner-test", "start")
    world.eventually(lambda: world.decide({"user_id": "u"}, "banner")["banner"]["reason"], lambda reason: reason == "SPLIT", "the experiment runs")
    kinds(world)
    revoked(world)
    overrides(world)
    rates(world)


def kinds(world: World) -> None:
    keys = {**world.keys}
    keys.setdefault("sidecar", world.api("POST", f"{E}/keys", {"kind": "sidecar", "name": "edge"}).json()["key"])
    allowed = {
        "server": {"/v1/assignments?user_id=u": 200, f"/v1/manifest/{keys['server']}": 200},
        "client": {"/v1/assignments?user_id=u": 200, f"/v1/manifest/{keys['client']}": 200, "/v1/manifest/stream": 403},
        "sidecar": {"/v1/assignments?user_id=u": 403, f"/v1/manifest/{keys['sidecar']}": 200},
    }
    for kind, routes in allowed.items():
        for path, status in routes.items():
            answer = world.http("GET", path, key=keys[kind])
            world.equal(answer.status, status, f"{kind} key, {path}")
            if status == 403:
                world.check("server" in answer.json()["error"]["message"], "the refusal says which kinds are accepted", answer.body)
        world.check(world.http("GET", "/api/projects", key=keys[kind]).status in (401, 403), f"a {kind} key does not manage", "")
    world.equal(world.http("GET", "/v1/assignments?user_id=u").status, 401, "no key")
    world.equal(world.http("GET", "/v1/assignments?user_id=u", headers={"X-Evenhand-Key": keys["server"]}).status, 200, "the key as a header")
    world.equal(world.http("GET", f"/v1/assignments?user_id=u&key={keys['server']}").status, 200, "the key in the query")


def revoked(world: World) -> None:
    made = world.api("POST", f"{E}/keys", {"kind": "server", "name": "short-lived"}).json()
    world.eventually(lambda: world.http("GET", "/v1/assignments?user_id=u", key=made["key"]).status, lambda status: status == 200, "a new key works")
    listed = world.api("GET", f"{E}/keys").json()["items"]
    world.check(made["key"] not in str(listed) and any(key["id"] == made["id"] for key in listed), "a key is listed without its text", listed)
    world.api("DELETE", f"{E}/keys/{made['id']}")
    world.eventually(lambda: world.http("GET", "/v1/assignments?user_id=u", key=made["key"]).status, lambda status: status == 401, "a revoked key does not")


def overrides(world: World) -> None:
    natural = {unit: world.decide({"user_id": unit}, "banner")["banner"]["variation"] for unit in ("a", "b", "c", "d", "e", "f", "g", "h")}
    unit = next(unit for unit, variation in natural.items() if variation == "control")
    minted = world.api("POST", f"{E}/override-tokens", {"flag": "banner", "variation": "treatment", "expires_in_s": 3600, "redirect": "/shop?colour=red"}).json()
    token = minted["token"]
    by_header = world.decide({"user_id": unit}, "banner", headers={"X-Evenhand-Override": token})["banner"]
    world.equal((by_header["variation"], by_header["reason"]), ("treatment", "OVERRIDE"), "override by header")
    by_cookie = world.decide({"user_id": unit}, "banner", headers={"Cookie": f"theme=dark; evenhand_override={token}"})["banner"]
    world.equal(by_cookie["reason"], "OVERRIDE", "override by cookie")
    link = urlsplit(minted["link"])
    answer = world.http("GET", f"{link.path}?{link.query}")
    world.equal(answer.status, 302, "the link redirects")
    target = answer.headers["location"]
    world.check(target == "/shop?colour=red" and token not in target, "to a clean URL", target)
    cookie = answer.headers["set-cookie"].split(";")[0]
    by_link = world.decide({"user_id": unit}, "banner", headers={"Cookie": cookie})["banner"]
    world.equal((by_link["variation"], by_link["reason"]), ("treatment", "OVERRIDE"), "override by the link's cookie")
    world.check("httponly" in answer.headers["set-cookie"].lower() or "samesite" in answer.headers["set-cookie"].lower(), "the cookie is guarded", answer.headers["set-cookie"])

    payload, _, signature = token.partition(".")
    swapped = payload[:-4] + ("AAAA" if payload[-4:] != "AAAA" else "BBBB") + "." + signature
    spoilt = world.decide({"user_id": unit}, "banner", headers={"X-Evenhand-Override": swapped})["banner"]
    world.equal((spoilt["variation"], spoilt["reason"]), ("control", "SPLIT"), "a changed token is ignored")
    refused = world.http("GET", f"{link.path}?token={quote(swapped)}&redirect=/")
    world.check(400 <= refused.status < 500 and "token" in refused.json()["error"]["message"], "a changed token in a link is refused", refused.body)
    elsewhere = world.http("GET", f"{link.path}?token={parse_qs(link.query)['token'][0]}&redirect=https://evil.example/")
    world.check(elsewhere.status == 400 and "location" not in elsewhere.headers, "a link leads nowhere else", elsewhere.body)
    short = world.api("POST", f"{E}/override-tokens", {"flag": "banner", "variation": "treatment", "expires_in_s": 1}).json()["token"]
    world.eventually(lambda: world.decide({"user_id": unit}, "banner", headers={"X-Evenhand-Override": short})["banner"]["reason"], lambda reason: reason == "SPLIT", "a token ends when it says")
    world.api("POST", f"{E}/override-tokens", {"flag": "banner", "variation": "treatment", "expires_in_s": 8 * 86_400}, status=400)

    # What was forced is no evidence.
    exposures = [{**by_header["exposure"], **event(1, "$exposure", unit, now_ms())}]
    normal = next(other for other, variation in natural.items() if other != unit)
    exposures.append({**world.decide({"user_id": normal}, "banner")["banner"]["exposure"], **event(2, "$exposure", normal, now_ms())})
    world.send(exposures)
    found = world.eventually(lambda: world.results("banner-test")["variations"], lambda arms: sum(arm["units"] for arm in arms) == 1, "results count the unit that was drawn, not the forced one")
    world.equal({arm["id"]: arm["units"] for arm in found if arm["units"]}, {natural[normal]: 1}, "in the arm it was drawn into")


def rates(world: World) -> None:
    time.sleep(1.1)
    statuses = [(answer.status, answer.headers.get("retry-after"), answer.body) for answer in (world.http("GET", "/v1/assignments?user_id=u&flags=banner", key=world.keys["server"]) for _ in range(1_500))]
    refused = [entry for entry in statuses if entry[0] == 429]
    world.check(bool(refused) and all(retry and int(retry) >= 1 for _, retry, _ in refused), "beyond the rate of a key: 429 with Retry-After", statuses[-1])
    world.check(len(refused) < len(statuses) and {status for status, _, _ in statuses} == {200, 429}, "within it: 200", "")
    world.check(b"200 requests a second" in refused[0][2], "the refusal says what the limit is", refused[0][2])
    time.sleep(float(refused[-1][1]))
    world.equal(world.http("GET", "/v1/assignments?user_id=u&flags=banner", key=world.keys["server"]).status, 200, "after Retry-After it works again")

    world.connection.close()
    world.server.stop()
    world.server.command = [part.replace("--rate-key", "--rate-address") for part in world.server.command]
    world.server.start()
    other = world.api("POST", f"{E}/keys", {"kind": "server", "name": "another"}).json()["key"]
    both = [world.http("GET", "/v1/assignments?user_id=u&flags=banner", key=key) for _ in range(500) for key in (world.keys["server"], other)]
    world.equal({answer.status for answer in both}, {200, 429}, "two keys of one address share its rate")
    world.check(all(b"address" in answer.body for answer in both if answer.status == 429), "the refusal says that it is the address", "")
