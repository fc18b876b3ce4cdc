"""A zone is lost: the network between it and everything else is cut, and comes back. Then a disk is full.

The lost zone is a network namespace with a serving node and a processor of its own, and with its own users: load that runs inside it.
"""
from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import event_set
import faults
from cluster import Cluster, Node, eventually
from load import Askers, Senders

ZONE, OUTSIDE, INSIDE, HERE_END, THERE_END = "evenhand-zone", "10.77.0.1", "10.77.0.2", "evenhand-v0", "evenhand-v1"


def ip(*arguments: str, check: bool = True) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if check and done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


class Network:
    """Two ends of a cable, one of them in a namespace."""

    def __enter__(self) -> "Network":
        self.__exit__()
        ip("netns", "add", ZONE)
        ip("link", "add", HERE_END, "type", "veth", "peer", "name", THERE_END)
        ip("link", "set", THERE_END, "netns", ZONE)
        ip("addr", "add", f"{OUTSIDE}/24", "dev", HERE_END)
        ip("link", "set", HERE_END, "up")
        ip("-n", ZONE, "addr", "add", f"{INSIDE}/24", "dev", THERE_END)
        ip("-n", ZONE, "link", "set", THERE_END, "up")
        ip("-n", ZONE, "link", "set", "lo", "up")
        return self

    def cut(self) -> None:
        # The zone's end goes down: nothing is refused, packets just vanish, as when a cable is cut.
        ip("-n", ZONE, "link", "set", THERE_END, "down")

    def mend(self) -> None:
        ip("-n", ZONE, "link", "set", THERE_END, "up")

    def __exit__(self, *_: object) -> None:
        ip("link", "del", HERE_END, check=False)
        ip("netns", "del", ZONE, check=False)


def play(directory: Path, hold: float) -> dict:
    with Network() as network, Cluster(directory, host=OUTSIDE) as cluster:
        try:
            return run(cluster, network, hold)
        except BaseException:
            cluster.report()
            raise


def run(cluster: Cluster, network: Network, hold: float) -> dict:
    first = cluster.serve("serve-1")
    event_set.define(lambda method, path, body: first.api(method, path, body))
    lost = [Node(cluster, name, role) for name, role in (("zone-serve", "serve"), ("zone-process", "process"))]
    for node in lost:
        # Beside loopback of the namespace, the engines are reached over the cable.
        node.inside = ("ip", "netns", "exec", ZONE)
        cluster.nodes[node.name] = node
        node.host = "127.0.0.1"
        node.start(ready=False)
    cluster.process("process-1")
    flag, key = "flag-by-user", cluster.keys["server"]
    asker = InsideLoad(lost[0], key, flag)
    asker.wait()
    senders, askers = Senders([first], key, "by-user", threads=2), Askers([first], key, flag)
    time.sleep(1)
    before, before_inside = senders.count(), asker.progress()
    network.cut()
    print("the zone's network is cut", flush=True)
    time.sleep(hold)
    during, during_inside = senders.count() - before, asker.progress()
    network.mend()
    acknowledged_inside = during_inside["acknowledged"] - before_inside["acknowledged"]
    wrong = during_inside["wrong"]
    print(f"zone lost for {hold:.0f} s: {during} events acknowledged outside, {acknowledged_inside} inside (kept on the node's disk), "
          f"{during_inside['asked'] - before_inside['asked']} decisions inside, {wrong} not answered", flush=True)
    if during == 0 or acknowledged_inside == 0 or during_inside["asked"] == before_inside["asked"]:
        raise AssertionError("nothing happened during the cut on one of the sides, so it has proved nothing")
    time.sleep(hold)
    senders.stop()
    askers.stop()
    inside = asker.stop()
    if inside["wrong"] or askers.wrong:
        raise AssertionError(f"decisions were not answered: inside {inside['wrong']} {inside['examples']}, outside {askers.wrong[:3]}")
    senders.acknowledged.update(dict.fromkeys(inside["ids"], "event"))
    # Only loopback of the zone reaches its metrics.
    figures = faults.settle_and_count(Outside(cluster), senders)
    figures |= {"acknowledged_outside_during": during, "acknowledged_inside_during": acknowledged_inside}
    figures["disk_full"] = disk_full(cluster, key)
    return figures


class Outside:
    """The cluster, with the zone's nodes asked from inside their namespace."""

    def __init__(self, cluster: Cluster):
        self.servers = cluster.servers
        self.nodes = {name: node if not node.inside else InsideNode(node) for name, node in cluster.nodes.items()}


class InsideNode:
    def __init__(self, node: Node):
        self.node, self.role, self.name = node, node.role, node.name

    def metric(self, name: str) -> float:
        text = subprocess.run([*self.node.inside, "curl", "-sS", f"http://127.0.0.1:{self.node.port}/metrics"], capture_output=True, text=True, check=True).stdout
        found = [line.rsplit(" ", 1)[1] for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name]
        if not found:
            raise AssertionError(f"{self.name} exports no {name}")
        return sum(map(float, found))


class InsideLoad:
    """Senders and askers in the lost zone: a process of their own, which tells how far it is."""

    def __init__(self, node: Node, key: str, flag: str):
        self.node = node
        self.process = subprocess.Popen(
            [*node.inside, sys.executable, __file__, str(node.port), key, flag], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def _ask(self, what: str) -> dict:
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise AssertionError(f"the load inside the zone ended\n{self.node.tail()}")
        return json.loads(answer)

    def wait(self) -> None:
        self._ask("ready")

    def progress(self) -> dict:
        return self._ask("progress")

    def stop(self) -> dict:
        found = self._ask("stop")
        self.process.wait(30)
        return found


def disk_full(cluster: Cluster, key: str) -> dict:
    """Kafka is away and the spool's disk is full: nothing is acknowledged that can't be kept, and what was is delivered afterwards."""
    node = Node(cluster, "small-disk", "serve")
    (node.directory / "data").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(node.directory / "data")], check=True)
    try:
        cluster.nodes[node.name] = node
        node.start()
        cluster.servers["kafka"].kill()
        senders = Senders([node], key, "by-device", threads=2)
        eventually(lambda: senders.refused, lambda refused: refused > 20, "a full disk is told to senders", 120)
        refused, kept = senders.refused, senders.count()
        if kept == 0:
            raise AssertionError("no event was acknowledged before the disk was full, so it has proved nothing")
        cluster.servers["kafka"].start()
        eventually(senders.count, lambda count: count > kept + 100, "after the outage events are taken again", 60)
        senders.stop()
        eventually(lambda: node.metric("evenhand_spool_events"), lambda left: left == 0, "the spool is empty", 120)
        eventually(
            lambda: set(senders.acknowledged) - set(cluster.servers["clickhouse"].sql("SELECT event_id FROM evenhand.events FORMAT TSV").splitlines()),
            lambda missing: not missing, "every event acknowledged around the full disk is stored", 120)
        print(f"disk full: {kept} events acknowledged before it was, {refused} batches told to come back, none lost", flush=True)
        return {"acknowledged": len(senders.acknowledged), "refused_batches": senders.refused, "lost": 0}
    finally:
        node.kill()
        subprocess.run(["umount", str(node.directory / "data")], check=False)


def inside(port: int, key: str, flag: str) -> None:
    """The load's own process."""
    from types import SimpleNamespace

    node = SimpleNamespace(port=port, name="zone-serve")
    from connection import Broken, Connection

    until = time.monotonic() + 60
    while True:
        try:
            answer = Connection(port, 5).request("GET", f"/v1/assignments?user_id=x&flags={flag}", None, {"Authorization": f"Bearer {key}"})
            if answer.status == 200 and answer.json()["assignments"][flag]["reason"] == "SPLIT":
                break
        except Broken:
            pass
        if time.monotonic() > until:
            raise SystemExit("the zone's node does not serve")
        time.sleep(0.05)
    senders, askers = Senders([node], key, "by-user", threads=2), Askers([node], key, flag)
    for line in sys.stdin:
        told = {"acknowledged": senders.count(), "asked": askers.asked, "wrong": len(askers.wrong), "refused": senders.refused}
        if line.strip() == "stop":
            senders.stop()
            askers.stop()
            told |= {"ids": list(senders.acknowledged), "wrong": len(askers.wrong), "examples": askers.wrong[:3]}
        print(json.dumps(told), flush=True)
        if line.strip() == "stop":
            return


if __name__ == "__main__":
    inside(int(sys.argv[1]), sys.argv[2], sys.argv[3])
