"""How fast `evenhand process` brings a backlog into ClickHouse: events wait in Kafka, then the processor starts and the clock runs."""
from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import event_set
from cluster import Cluster, eventually
from equality import BATCH, send

SENDERS = 4


def user_of(number: int, count: int) -> int:
    """Whose event it is. A fixed scramble instead of chance: the same events in every run, ten a user."""
    return number * 0x9E3779B97F4A7C15 % (1 << 64) % max(50, count // 10)


def bodies(count: int, base_ms: int):
    """Batches of NDJSON; each event names one user, every tenth is an exposure."""
    for first in range(0, count, BATCH):
        lines = []
        for number in range(first, min(first + BATCH, count)):
            user = user_of(number, count)
            start = f'{{"event_id":"{uuid.UUID(int=(0x0190A1B2C3D47 << 76) | (0x8 << 60) | number)}","timestamp":{base_ms + number // 100},"user_id":"u{user}",'
            if number % 10 == 0:
                rest = f'"event_name":"$exposure","experiment_id":"by-user","variation_id":"{("control", "treatment")[user & 1]}","reason":"SPLIT"}}'
            else:
                rest = f'"event_name":"purchase","value":"{number % 90}.25","properties":{{"region":"eu","path":"/shop/{number % 1000}"}}}}'
            lines.append(start + rest)
        yield "\n".join(lines).encode()


def used(process: int | str) -> float:
    """CPU seconds of a process (or, `PID/task/TID`, of a thread) so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def rekeying(process: int) -> float:
    """CPU seconds of the first stage: its thread, and all that Kafka's client does in the process, the second stage's reading too."""
    return sum(
        used(f"{process}/task/{task.name}") for task in Path(f"/proc/{process}/task").iterdir()
        if (task / "comm").read_text().startswith(("evenhand-rekey", "rdk:", "producer")))


def on_disk(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.glob("*.log"))


def sizes(cluster: Cluster, events: int) -> dict:
    """Bytes that an event takes in each topic, and a row in ClickHouse once merged."""
    log = cluster.servers["kafka"].directory
    clickhouse = cluster.servers["clickhouse"]
    clickhouse.sql("OPTIMIZE TABLE evenhand.unit_events FINAL")
    row = clickhouse.sql("SELECT sum(bytes_on_disk) / sum(rows) FROM system.parts WHERE active AND database = 'evenhand' AND table = 'unit_events'")
    topics = {topic: sum(on_disk(place) for place in log.rglob(f"evenhand.{topic}-*") if place.is_dir()) / events for topic in ("events", "units")}
    return {f"kafka_{topic}": round(bytes_an_event) for topic, bytes_an_event in topics.items()} | {"clickhouse_row": round(float(row))}


def play(directory: Path, count: int) -> dict:
    base_ms = (int(time.time() // 86_400) - 2) * 86_400_000
    with Cluster(directory) as cluster:
        try:
            serve = cluster.serve("serve")
            event_set.define(lambda method, path, body: serve.api(method, path, body))
            idle, began = used(serve.process.pid), time.monotonic()
            with ThreadPoolExecutor(SENDERS) as senders:
                sent = sum(senders.map(lambda body: send(serve.port, cluster.keys["server"], body), bodies(count, base_ms)))
            taken, served = time.monotonic() - began, used(serve.process.pid) - idle
            print(f"  {sent} events in Kafka after {taken:.0f} s", flush=True)
            processes = {name: cluster.servers[name].process.pid for name in ("kafka", "clickhouse")}
            before = {name: used(pid) for name, pid in processes.items()}
            began = time.monotonic()
            processor = cluster.process("process")
            eventually(lambda: processor.metric("evenhand_process_rows_total"), lambda rows: rows >= sent, "every event has its row", max(120.0, count / 1_000))
            path = f"{event_set.E}/experiments/by-user/results"
            found = eventually(lambda: serve.api("GET", path).json(), lambda found: found["lag_events"] == 0, "nothing waits", 60)
            took = time.monotonic() - began
            pid = processor.process.pid
            cpu = {name: round(used(of) - before[name], 1) for name, of in processes.items()}
            cpu |= {"serve": round(served, 1), "process": round(used(pid), 1), "of which re-keying": round(rekeying(pid), 1)}
            units = sum(variation["units"] for variation in found["variations"])
            memory = int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
            held = sizes(cluster, sent)
            exposed = len({user_of(number, count) for number in range(0, count, 10)})
            if units != exposed:
                raise AssertionError(f"{exposed} users were exposed, {units} are counted: {found['variations']}")
        except BaseException:
            cluster.report()
            raise
    figures = {"events": sent, "seconds": round(took, 1), "events_per_second": round(sent / took), "cpu_seconds": cpu, "memory_mb": round(memory), "bytes": held}
    print(f"  {sent} events through `evenhand process` in {took:.1f} s: {sent / took:.0f} events/s; CPU seconds: {cpu}; {memory:.0f} MB at most; bytes: {held}", flush=True)
    return figures
