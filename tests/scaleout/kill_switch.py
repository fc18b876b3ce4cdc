"""From the kill switch's answer to a changed decision elsewhere: another node's API, and an SDK that listens to that node.

PostgreSQL → change feed → Redis → the other node → its stream → a remote SDK. And many subscribers at once.
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
        for line in stream.makefile("rb"):
            if line.startswith(b"data:"):
                envelope = self.node.http("GET", f"/v1/manifest/{self.key}").json()
                flag = envelope["manifest"]["flags"][FLAG] if isinstance(envelope["manifest"]["flags"], dict) else next(one for one in envelope["manifest"]["flags"] if one["key"] == FLAG)
                self.killed = bool(flag.get("killed"))
                self.changed.set()


def play(directory: Path, rounds: int, subscribers: int) -> dict:
    with Cluster(directory, (Postgres, Redis)) as cluster:
        try:
            return run(cluster, rounds, subscribers)
        except BaseException:
            cluster.report()
            raise


def run(cluster: Cluster, rounds: int, subscribers: int) -> dict:
    managing = cluster.serve("manage")
    event_set.define(lambda method, path, body: managing.api(method, path, body))
    remote = cluster.serve("remote")
    key = cluster.keys["server"]
    sdk = RemoteSdk(remote, key)
    eventually(lambda: sdk.killed, lambda killed: killed is not None, "the SDK has its first manifest")
    to_sdk, to_api = [], []
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
    p50, p99 = quantile(to_sdk, 0.5), quantile(to_sdk, 0.99)
    print(f"kill switch to a remote SDK: p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, {rounds} rounds", flush=True)
    if p99 >= 1.0:
        raise AssertionError(f"the kill switch takes {p99:.2f} s (p99) to a remote SDK; the bar is 1 s")
    told = crowd(managing, remote, key, subscribers)
    return {"rounds": rounds, "sdk_p50_ms": round(p50 * 1000, 1), "sdk_p99_ms": round(p99 * 1000, 1), "api_p99_ms": round(quantile(to_api, 0.99) * 1000, 1), **told}


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
