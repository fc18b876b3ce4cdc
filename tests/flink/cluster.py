"""Flink as it is deployed: one JobManager that runs one SQL script (application mode), and a TaskManager that can be killed."""
from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "servers"))
from servers import CACHE, free_port, required  # noqa: E402

START_SECONDS = 300.0
SLOTS = 2
# What flink's own scripts pass to Java 17: Kryo and RocksDB look into the JDK.
OPENED = ("java.base/java.lang", "java.base/java.net", "java.base/java.io", "java.base/java.nio", "java.base/sun.nio.ch", "java.base/java.lang.reflect",
          "java.base/java.text", "java.base/java.time", "java.base/java.util", "java.base/java.util.concurrent", "java.base/java.util.concurrent.atomic",
          "java.base/java.util.concurrent.locks")
# Short-lived processes: compiling well costs more than it brings.
QUICK = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
LOGGING = """status=error
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=OUT
logger.metrics.name=org.apache.flink.metrics.MetricGroup
logger.metrics.level=ERROR
logger.checkpoints.name=org.apache.flink.runtime.checkpoint
logger.checkpoints.level=INFO
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %-5p %c{1} %m%n%throwable
"""


class FlinkError(RuntimeError):
    pass


class Flink:
    def __init__(self, directory: Path, script: str, jobs: int = 1):
        self.directory = Path(directory).resolve()
        self.directory.mkdir(parents=True)
        self.library = required(CACHE / "flink" / "lib", "Flink")
        self.jobs: list[str] = []
        self.job_count = jobs
        self.rest, self.rpc = free_port(), free_port()
        self.processes: dict[str, subprocess.Popen] = {}
        self.peak_mb: dict[str, int] = {}
        (self.directory / "pipeline.sql").write_text(script)
        (self.directory / "log4j2.properties").write_text(LOGGING)
        # The heaps are small on purpose: the state is RocksDB's, and the machine is shared.
        settings = {
            "jobmanager.rpc.address": "127.0.0.1", "jobmanager.rpc.port": self.rpc, "jobmanager.bind-host": "127.0.0.1", "rest.address": "127.0.0.1",
            "rest.port": self.rest, "rest.bind-port": self.rest, "rest.bind-address": "127.0.0.1", "taskmanager.bind-host": "127.0.0.1", "taskmanager.host": "127.0.0.1",
            "taskmanager.numberOfTaskSlots": SLOTS * jobs, "parallelism.default": SLOTS, "taskmanager.cpu.cores": SLOTS, "taskmanager.memory.task.heap.size": "512m",
            "taskmanager.memory.task.off-heap.size": "64m", "taskmanager.memory.framework.heap.size": "128m", "taskmanager.memory.framework.off-heap.size": "128m",
            "taskmanager.memory.network.min": "64m", "taskmanager.memory.network.max": "64m", "taskmanager.memory.managed.size": "384m",
            "taskmanager.memory.jvm-metaspace.size": "256m", "taskmanager.memory.jvm-overhead.min": "128m", "taskmanager.memory.jvm-overhead.max": "128m",
            "execution.checkpointing.dir": f"file://{self.directory}/checkpoints", "io.tmp.dirs": f"{self.directory}/tmp",
            # A dead TaskManager is noticed at the second refused heartbeat, a slow one is waited for.
            "heartbeat.interval": 1000, "heartbeat.timeout": 30000, "slot.request.timeout": 120000, "env.log.dir": str(self.directory),
        }
        (self.directory / "tmp").mkdir()
        (self.directory / "config.yaml").write_text("".join(f"{name}: {value}\n" for name, value in settings.items()))
        self.settings = settings

    # ---- processes ----

    def _java(self, name: str, heap: str, main: str, *arguments: str) -> None:
        opened = [f"--add-opens={package}=ALL-UNNAMED" for package in OPENED]
        command = ["java", f"-Xmx{heap}", *opened, *QUICK, f"-Dlog4j2.configurationFile={self.directory}/log4j2.properties",
                   "-cp", f"{self.library}/*", main, "--configDir", str(self.directory), *arguments]
        with open(self.directory / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory, start_new_session=True)

    def start_task_manager(self) -> None:
        self._java("taskmanager", "640m", "org.apache.flink.runtime.taskexecutor.TaskManagerRunner")

    def start(self) -> "Flink":
        self.began = time.monotonic()
        self._java("jobmanager", "512m", "org.apache.flink.container.entrypoint.StandaloneApplicationClusterEntryPoint",
                   "--job-classname", "org.apache.flink.table.runtime.application.SqlDriver", "--", "--scriptUri", f"file://{self.directory}/pipeline.sql")
        self.start_task_manager()
        return self

    def kill_task_manager(self) -> None:
        """kill -9."""
        self.measure_memory()
        self.processes["taskmanager"].kill()
        self.processes["taskmanager"].wait()

    def close(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()

    def measure_memory(self) -> None:
        for name, process in self.processes.items():
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
            except OSError:
                continue
            for line in status.splitlines():
                if line.startswith("VmHWM"):
                    self.peak_mb[name] = max(self.peak_mb.get(name, 0), int(line.split()[1]) // 1024)

    def tail(self, lines: int = 60) -> str:
        texts = []
        for name in ("jobmanager", "taskmanager"):
            path = self.directory / f"{name}.log"
            if path.exists():
                texts.append(f"---- {path}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-lines:]))
        return "\n".join(texts)

    # ---- what the job says of itself ----

    def ask(self, path: str) -> dict:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.rest}{path}", timeout=20) as answer:
            return json.load(answer)

    def wait_running(self) -> None:
        """Every task of every job runs."""
        until = time.monotonic() + START_SECONDS
        found: object = "nothing"
        while time.monotonic() < until:
            if self.processes["jobmanager"].poll() is not None:
                raise FlinkError(f"the JobManager ended by itself\n{self.tail()}")
            try:
                jobs = self.ask("/jobs/overview")["jobs"]
                found = [(job["name"], job["state"], job["tasks"]) for job in jobs]
                for job in jobs:
                    if job["state"] in ("FAILED", "CANCELED", "FINISHED"):
                        raise FlinkError(f"the job is {job['state']}\n{self.why(job['jid'])}\n{self.tail()}")
                if len(jobs) == self.job_count and all(job["state"] == "RUNNING" and job["tasks"]["running"] == job["tasks"]["total"] for job in jobs):
                    self.jobs = [job["jid"] for job in sorted(jobs, key=lambda job: job["start-time"])]
                    return self.measure_memory()
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.2)
        raise FlinkError(f"not all jobs run after {START_SECONDS:.0f} s: {found}\n{self.tail()}")

    def why(self, job: str) -> str:
        try:
            entries = self.ask(f"/jobs/{job}/exceptions")["exceptionHistory"]["entries"]
            return "\n".join(entry["stacktrace"][:3000] for entry in entries[:2])
        except (urllib.error.URLError, OSError, KeyError):
            return "(it says no reason)"

    def state_bytes(self) -> int:
        """Size of the first job's whole state in its newest complete checkpoint."""
        newest = self.ask(f"/jobs/{self.jobs[0]}/checkpoints")["latest"]["completed"]
        return newest["state_size"] if newest else 0

    def restored(self) -> int:
        """How many times the last job went on from a checkpoint."""
        return self.ask(f"/jobs/{self.jobs[-1]}/checkpoints")["counts"]["restored"]
