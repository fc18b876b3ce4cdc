"""Load while things break: senders that remember what was acknowledged, and askers that remember every answer that was not a decision."""
from __future__ import annotations

import json
import threading
import time
import uuid
from dataclasses import dataclass, field

from cluster import Node
from connection import Broken, Connection

EVENTS_IN_BATCH = 20


@dataclass
class Senders:
    """Each sender plays users: an exposure and a purchase per user. A batch that is not acknowledged is sent again, to another node, until it is."""

    nodes: list[Node]
    key: str
    experiment: str
    threads: int = 4
    acknowledged: dict[str, str] = field(default_factory=dict)
    refused: int = 0
    broken: int = 0
    stopping: bool = False
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Users of its own: another sender may give them another variation.
        self.name = uuid.uuid4().hex[:8]
        self.lock = threading.Lock()
        self.running = [threading.Thread(target=self._play, args=(number,), daemon=True) for number in range(self.threads)]
        for thread in self.running:
            thread.start()

    def count(self) -> int:
        with self.lock:
            return len(self.acknowledged)

    def _play(self, number: int) -> None:
        try:
            self._send(number)
        except BaseException as error:
            # A thread that ends in silence would leave less load, and nobody would know why it was refused.
            self.failures.append(repr(error))

    def _send(self, number: int) -> None:
        turn, person = number, 0
        while not self.stopping:
            batch, now = [], time.time_ns() // 1_000_000
            for _ in range(EVENTS_IN_BATCH // 2):
                person += 1
                user = f"s{self.name}-{number}-{person}"
                variation = ("control", "treatment")[person & 1]
                batch.append({"event_id": new_id(now), "event_name": "$exposure", "timestamp": now - 2, "user_id": user, "experiment_id": self.experiment, "variation_id": variation, "reason": "SPLIT"})
                batch.append({"event_id": new_id(now), "event_name": "purchase", "timestamp": now - 1, "user_id": user, "value": "1.25"})
            body = json.dumps(batch).encode()
            while True:
                turn += 1
                node = self.nodes[turn % len(self.nodes)]
                connection = Connection(node.port, timeout=10)
                try:
                    answer = connection.request("POST", "/v1/events", body, {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"})
                    if answer.status == 202:
                        assert answer.json() == {"accepted": len(batch), "rejected": []}, answer.body
                        with self.lock:
                            self.acknowledged.update((event["event_id"], event["event_name"]) for event in batch)
                        break
                    # 503 with Retry-After is the one refusal that there may be.
                    assert answer.status == 503 and "retry-after" in answer.headers, (answer.status, answer.headers, answer.body[:300])
                    self.refused += 1
                except Broken:
                    self.broken += 1
                finally:
                    connection.close()
                if self.stopping:
                    return
                time.sleep(0.05)

    def stop(self) -> None:
        self.stopping = True
        for thread in self.running:
            thread.join(30)
        if self.failures:
            raise AssertionError(f"senders met what they should not: {self.failures}")


def new_id(now_ms: int) -> str:
    raw = bytearray(uuid.uuid4().bytes)
    raw[:6] = now_ms.to_bytes(6, "big")
    raw[6] = raw[6] & 0x0F | 0x70
    return str(uuid.UUID(bytes=bytes(raw)))


@dataclass
class Askers:
    """One asker a node: a decision every few milliseconds. A node that is down on purpose is left out while it is."""

    nodes: list[Node]
    key: str
    flag: str
    down: set[str] = field(default_factory=set)
    asked: int = 0
    wrong: list = field(default_factory=list)
    slowest: float = 0.0
    stopping: bool = False

    def __post_init__(self) -> None:
        self.running = [threading.Thread(target=self._ask, args=(node,), daemon=True) for node in self.nodes]
        for thread in self.running:
            thread.start()

    def _ask(self, node: Node) -> None:
        try:
            self._ask_on(node)
        except BaseException as error:
            self.wrong.append((node.name, "the asker ended", repr(error)))

    def _ask_on(self, node: Node) -> None:
        connection, number = Connection(node.port, timeout=10), 0
        while not self.stopping:
            if node.name in self.down:
                connection.close()
                time.sleep(0.02)
                continue
            number += 1
            began = time.monotonic()
            try:
                answer = connection.request("GET", f"/v1/assignments?user_id=asker-{number}&flags={self.flag}", None, {"Authorization": f"Bearer {self.key}"})
                took = time.monotonic() - began
                decision = answer.json()["assignments"][self.flag] if answer.status == 200 else None
                if decision is None or decision["reason"] != "SPLIT":
                    self.wrong.append((node.name, answer.status, answer.body[:200]))
                self.slowest = max(self.slowest, took)
                self.asked += 1
            except Broken as error:
                # A connection that a stopping node closes is no answer lost when the node is known to go.
                if node.name not in self.down:
                    self.wrong.append((node.name, "broken", str(error)))
            time.sleep(0.005)

    def stop(self) -> None:
        self.stopping = True
        for thread in self.running:
            thread.join(30)
