"""The server under test as a process: started on a free port, killed, rolled back to what a power cut leaves."""
from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "faultfs"))
import rollback  # noqa: E402
from connection import Broken, Connection  # noqa: E402

READY_SECONDS = 60.0
REPOSITORY = HERE.parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def library() -> Path:
    built = subprocess.run([str(HERE / "faultfs" / "build")], check=True, capture_output=True, text=True)
    return Path(built.stdout.strip()).resolve()


def server_command(binary: Path | None) -> list[str]:
    """This binary, else that of EVENHAND_BIN, else the release one, built if need be."""
    if binary is None and os.environ.get("EVENHAND_BIN"):
        binary = Path(os.environ["EVENHAND_BIN"])
    if binary is None:
        subprocess.run(["cargo", "build", "--release", "--quiet", "-p", "evenhand"], cwd=REPOSITORY, check=True)
        binary = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"), "release", "evenhand")
    return [str(binary.resolve()), "serve", "--data-dir", "{data}", "--listen", "127.0.0.1:{port}"]


class ServerProcess:
    """`command` holds {data} and {port}. Everything the server stores lies below `state`, secrets beside the data included."""

    def __init__(self, command: list[str], base: Path, faultfs: bool):
        self.command, self.faultfs = command, faultfs
        self.state, self.undo = (base / "state").resolve(), (base / "undo").resolve()
        self.data = self.state / "data"
        self.wipe()
        self.log_path = base / "server.log"
        self.port = free_port()
        self.library = library() if faultfs else None
        self.process: subprocess.Popen | None = None
        self.ready_seconds: list[float] = []
        self.writes_undone = self.names_undone = 0

    def wipe(self) -> None:
        """Back to before the first start."""
        for directory in (self.state, self.undo):
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
        self.control = rollback.Control(self.undo) if self.faultfs else None

    def declare_durable(self) -> None:
        """As if somebody had synced the whole machine."""
        if self.faultfs:
            rollback.clear(self.undo)

    def spawn(self) -> None:
        """Starts it without waiting."""
        environment = dict(os.environ)
        if self.faultfs:
            environment |= {"LD_PRELOAD": str(self.library), "FAULTFS_DIR": str(self.state), "FAULTFS_UNDO": str(self.undo)}
        command = [part.format(data=self.data, port=self.port) for part in self.command]
        self._spawned = time.monotonic()
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)

    def wait_ready(self) -> None:
        while time.monotonic() - self._spawned < READY_SECONDS:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended by itself with {self.process.returncode}\n{self.tail()}")
            probe = Connection(self.port, timeout=5)
            try:
                if probe.request("GET", "/readyz").status == 200:
                    self.ready_seconds.append(time.monotonic() - self._spawned)
                    return
            except Broken:
                pass
            finally:
                probe.close()
            time.sleep(0.01)
        raise RuntimeError(f"not ready after {READY_SECONDS:.0f} s\n{self.tail()}")

    def start(self) -> None:
        self.spawn()
        self.wait_ready()

    def kill(self) -> None:
        """kill -9, as abrupt as it gets for a process."""
        ended = self.process.poll()
        if ended is not None:
            raise RuntimeError(f"the server ended by itself with {ended} before the kill\n{self.tail()}")
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def power_cut(self, subset: int | None) -> None:
        """After a kill: what was not synced is gone, all of it or a seeded random part."""
        report = rollback.rollback(self.state, self.undo, subset)
        self.writes_undone += report.writes_undone
        self.names_undone += report.names_undone

    def stop(self) -> None:
        """Asks politely; a server that does not go within 20 s is at fault."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise RuntimeError("the server did not stop within 20 s of SIGTERM") from None

    def destroy(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def resident_bytes(self) -> int:
        with open(f"/proc/{self.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def tail(self) -> str:
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return "--- server log ---\n" + "\n".join(text.splitlines()[-30:])
