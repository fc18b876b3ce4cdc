"""From the kill switch's answer to a changed decision elsewhere: another node's API, and an SDK that listens to that node.

One node makes the change, another holds the feed, a third has neither database nor keys: PostgreSQL → change feed → Redis → the third node →
its stream → a remote SDK. What client keys get is delivered by the same node, with the time it may be kept. And many subscribers at once.
"""
from __future__ import annotations

import json
import selectors
import socket
import threading
import time
from pathlib import Path

import event_set
from cluster import Cluster, Node, Postgres, Redis, eventually
from connection import Connection

FLAG = "flag-by-user"


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


class RemoteSdk:
    """What an SDK does: it holds the manifest, is told of a version by the stream, and fetches it."""

    def __init__(self, node: Node, key: str):
        self.node, self.key = node, key
        self.killed: bool | None = None
        self.changed = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        stream = socket.create_connection(("127.0.0.1", self.node.port))
        stream.sendall(f"GET /v1/manifest/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.key}\r\n\r\n".encode())
        own = Connection(self.node.port)
        for line in stream.makefile("rb"):
            if line.startswith(b"data:"):
                envelope = own.request("GET", f"/v1/manifest/{self.key}").json()
                self.killed = envelope["manifest"]["flags"][FLAG].get("state") == "killed"
                self.changed.set()


def play(directory: Path, rounds: int, subscribers: int) -> dict:
    with Cluster(directory, (Postgres, Redis)) as cluster:
        try:
            return run(cluster, rounds, subscribers)
        except BaseException:
            cluster.report()
            raise


def run(cluster: Cluster, rounds: int, subscribers: int) -> dict:
    holding = cluster.serve("holds-the-feed")
    event_set.define(lambda method, path, body: holding.api(method, path, body))
    eventually(lambda: holding.metric("evenhand_feed_held"), lambda held: held == 1, "the first node holds the feed")
    managing = cluster.serve("manages")
    remote = cluster.serve("remote", without=("postgres",))
    key, client_key = cluster.keys["server"], cluster.keys["client"]
    only = remote.http("POST", f"{event_set.E}/flags/{FLAG}/kill", {}, cluster.token)
    if only.status != 503 or b"only_assigns" not in only.body:
        raise AssertionError(f"a node without definitions takes no changes, and says so: {only.status} {only.body[:300]!r}")
    sdk = RemoteSdk(remote, key)
    eventually(lambda: sdk.killed, lambda killed: killed is not None, "the SDK has its first manifest")
    to_sdk, to_api, to_client = [], [], []

    def client_manifest() -> tuple[str, str]:
        answer = remote.http("GET", f"/v1/manifest/{client_key}")
        return answer.headers.get("etag", ""), answer.headers.get("cache-control", "")

    before, kept = client_manifest()
    if "max-age=60" not in kept:
        raise AssertionError(f"client manifests may be kept for 60 s, and are delivered with {kept!r}")
    for number in range(rounds):
        wanted = number % 2 == 0
        sdk.changed.clear()
        managing.api("POST", f"{event_set.E}/flags/{FLAG}/{'kill' if wanted else 'unkill'}", {})
        answered = time.monotonic()
        while sdk.killed != wanted:
            if not sdk.changed.wait(10):
                raise AssertionError(f"the SDK was not told within 10 s of round {number}")
            sdk.changed.clear()
        to_sdk.append(time.monotonic() - answered)
        while (remote.http("GET", f"/v1/assignments?user_id=u&flags={FLAG}", key=key).json()["assignments"][FLAG]["reason"] == "KILLED") != wanted:
            if time.monotonic() - answered > 10:
                raise AssertionError("the remote node still decides the old way after 10 s")
        to_api.append(time.monotonic() - answered)
        before, _ = eventually(client_manifest, lambda found: found[0] != before, "client keys get the change too", 10)
        to_client.append(time.monotonic() - answered)
    p50, p99 = quantile(to_sdk, 0.5), quantile(to_sdk, 0.99)
    print(f"kill switch to a remote SDK: p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, {rounds} rounds", flush=True)
    if p99 >= 1.0:
        raise AssertionError(f"the kill switch takes {p99:.2f} s (p99) to a remote SDK; the bar is 1 s")
    if managing.metric("evenhand_feed_held") != 0 or managing.metric("evenhand_feed_announced_total") != 0:
        raise AssertionError("the node that made the changes told of them itself: the way through the feed was not measured")
    print(f"client keys: the origin has it after {quantile(to_client, 0.99) * 1000:.0f} ms (p99); a cache keeps it 60 s at most, then the client's poll", flush=True)
    told = crowd(managing, remote, key, subscribers)
    return {"rounds": rounds, "sdk_p50_ms": round(p50 * 1000, 1), "sdk_p99_ms": round(p99 * 1000, 1), "api_p99_ms": round(quantile(to_api, 0.99) * 1000, 1), "client_origin_p99_ms": round(quantile(to_client, 0.99) * 1000, 1), **told}


def crowd(managing: Node, remote: Node, key: str, subscribers: int) -> dict:
    """All subscribers of a node are told of one change; a hundred of them never read."""
    chooser = selectors.DefaultSelector()
    request = f"GET /v1/manifest/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
    sockets, idle = [], []
    for number in range(subscribers):
        one = socket.create_connection(("127.0.0.1", remote.port), 30)
        one.sendall(request)
        if number < subscribers // 50:
            idle.append(one)
            continue
        one.setblocking(False)
        sockets.append(one)
        chooser.register(one, selectors.EVENT_READ, bytearray())
    version = {}

    def read_until(wanted: int, deadline: float) -> list[float]:
        times = []
        while len(times) < len(sockets) and time.monotonic() < deadline:
            for selected, _ in chooser.select(0.5):
                data = selected.fileobj.recv(65536)
                if not data:
                    raise AssertionError("a subscriber was dropped")
                selected.data.extend(data)
                while b"\n\n" in selected.data:
                    message, _, rest = bytes(selected.data).partition(b"\n\n")
                    selected.data[:] = rest
                    for line in message.splitlines():
                        if line.startswith(b"data:"):
                            seen = json.loads(line[5:])["version"]
                            if seen >= wanted > version.get(selected.fd, 0):
                                times.append(time.monotonic())
                            version[selected.fd] = seen
        return times

    first = read_until(1, time.monotonic() + 60)
    if len(first) != len(sockets):
        raise AssertionError(f"{len(first)} of {len(sockets)} subscribers were told the present version")
    present = max(version.values())
    managing.api("POST", f"{event_set.E}/flags/{FLAG}/kill", {})
    answered = time.monotonic()
    told = [at - answered for at in read_until(present + 1, answered + 10)]
    if len(told) != len(sockets):
        raise AssertionError(f"{len(told)} of {len(sockets)} subscribers were told within 10 s")
    print(f"{len(sockets)} subscribers told of a change: p50 {quantile(told, 0.5):.2f} s, the last {max(told):.2f} s", flush=True)
    for one in [*sockets, *idle]:
        one.close()
    if max(told) >= 2.0:
        raise AssertionError(f"the last of {len(sockets)} subscribers was told after {max(told):.2f} s; the bar is 2 s")
    return {"subscribers": len(sockets), "told_p50_s": round(quantile(told, 0.5), 2), "told_last_s": round(max(told), 2)}
