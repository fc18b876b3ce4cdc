"""Proves the fault layer itself, before anything is concluded from it.

    python3 selftest.py [--rounds N] [--seed N]

1. Exactness: random operations in a preloaded process that kills itself; the rolled-back tree must equal the durable
   state of a model that knows nothing of undo logs (it copies contents at fsync and names at the directory's fsync).
2. Power: programs that acknowledge too early must be caught, programs that sync first must pass; among them SQLite
   with synchronous OFF, NORMAL and FULL.
3. Refusal: what cannot be followed must end the process with a message.
"""
from __future__ import annotations

import argparse
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import rollback

HERE = Path(__file__).resolve().parent


def environment(library: Path, directory: Path, undo: Path) -> dict[str, str]:
    return {**os.environ, "LD_PRELOAD": str(library), "FAULTFS_DIR": str(directory), "FAULTFS_UNDO": str(undo),
            "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(HERE)}


# ---- 1. exactness ----

class Inode:
    """Cached and durable contents of one file, byte by byte."""

    def __init__(self) -> None:
        self.cache, self.durable = bytearray(), bytearray()
        self.dirty: set[int] = set()
        self.size_dirty = False

    def write(self, offset: int, data: bytes) -> None:
        if offset + len(data) > len(self.cache):
            self.size_dirty = True
        self.cache.extend(b"\0" * (offset - len(self.cache)))
        self.cache[offset : offset + len(data)] = data
        self.dirty.update(range(offset, offset + len(data)))

    def truncate(self, size: int) -> None:
        if size == len(self.cache):
            return
        self.dirty.update(range(min(size, len(self.cache)), max(size, len(self.cache))))
        del self.cache[size:]
        self.cache.extend(b"\0" * (size - len(self.cache)))
        self.size_dirty = True

    def sync(self, ok: bool) -> None:
        if ok and (self.dirty or self.size_dirty):
            del self.durable[len(self.cache):]
            self.durable.extend(b"\0" * (len(self.cache) - len(self.durable)))
            for at in self.dirty:
                if at < len(self.cache):
                    self.durable[at] = self.cache[at]
        self.dirty.clear()
        self.size_dirty = False


def random_operations(chance: random.Random, count: int) -> list[list]:
    directories, names = ["", "sub/"], ["a", "b", "c", "d"]
    operations: list[list] = []
    for _ in range(count):
        where = chance.choice(directories)
        path = where + chance.choice(names)
        kind = chance.choices(["pwrite", "append", "writev", "truncate", "recreate", "sync", "failed_sync", "sync_dir",
                               "rename", "unlink", "dsync"], [20, 8, 6, 6, 4, 14, 2, 8, 5, 5, 3])[0]
        if kind in ("pwrite", "writev", "dsync"):
            operations.append([kind, path, chance.randrange(3000), chance.randrange(1, 2500), chance.randrange(1, 256)])
        elif kind == "append":
            operations.append([kind, path, 0, chance.randrange(1, 2500), chance.randrange(1, 256)])
        elif kind == "truncate":
            operations.append([kind, path, chance.randrange(4000)])
        elif kind == "rename":
            operations.append([kind, path, where + chance.choice(names)])
        else:
            operations.append([kind, where if kind == "sync_dir" else path])
    return operations


def perform(operations: list[list]) -> None:
    """Runs in the preloaded process, in the followed directory, and ends by killing itself."""
    control = rollback.Control(Path(os.environ["FAULTFS_UNDO"]))
    for kind, path, *rest in operations:
        if kind in ("pwrite", "writev", "append", "truncate", "dsync"):
            flags = {"append": os.O_APPEND, "dsync": os.O_DSYNC}.get(kind, 0)
            fd = os.open(path, os.O_CREAT | os.O_WRONLY | flags, 0o600)
            if kind == "pwrite":
                os.pwrite(fd, bytes([rest[2]]) * rest[1], rest[0])
            elif kind == "writev":
                os.lseek(fd, rest[0], os.SEEK_SET)
                os.writev(fd, [bytes([rest[2]]) * (rest[1] // 2), bytes([rest[2]]) * (rest[1] - rest[1] // 2)])
            elif kind == "append":
                os.write(fd, bytes([rest[2]]) * rest[1])
            elif kind == "dsync":
                os.pwritev(fd, [bytes([rest[2]]) * rest[1]], rest[0])
            else:
                os.ftruncate(fd, rest[0])
            os.close(fd)
        elif kind == "recreate":
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
        elif kind == "sync_dir":
            fd = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY)
            os.fsync(fd)
            os.close(fd)
        elif kind in ("sync", "failed_sync") and os.path.exists(path):
            fd = os.open(path, os.O_RDONLY)
            if kind == "failed_sync":
                control.set(sync_errno=errno.EIO, sync_faults_left=1, syncs_until_fault=0)
                try:
                    os.fsync(fd)
                except OSError as error:
                    assert error.errno == errno.EIO
                else:
                    raise AssertionError("the injected fault did not come")
                control.set(syncs_until_fault=-1)
            else:
                os.fdatasync(fd)
            os.close(fd)
        elif kind == "rename" and os.path.exists(path) and path != rest[0]:
            os.rename(path, rest[0])
        elif kind == "unlink" and os.path.exists(path):
            os.unlink(path)
    os.kill(os.getpid(), signal.SIGKILL)


def model(operations: list[list]) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """(durable tree, cached tree) after the operations."""
    cached: dict[str, Inode] = {}
    durable: dict[str, Inode] = {}
    for kind, path, *rest in operations:
        if kind in ("pwrite", "writev", "append", "truncate", "dsync", "recreate"):
            inode = cached.setdefault(path, Inode())
            if kind == "truncate":
                inode.truncate(rest[0])
            elif kind == "recreate":
                inode.truncate(0)
            else:
                inode.write(len(inode.cache) if kind == "append" else rest[0], bytes([rest[2]]) * rest[1])
            if kind == "dsync":
                inode.sync(True)
        elif kind == "sync_dir":
            durable = {p: i for p, i in durable.items() if os.path.dirname(p) != path.rstrip("/")}
            durable.update({p: i for p, i in cached.items() if os.path.dirname(p) == path.rstrip("/")})
        elif kind in ("sync", "failed_sync") and path in cached:
            cached[path].sync(kind == "sync")
        elif kind == "rename" and path in cached and path != rest[0]:
            cached[rest[0]] = cached.pop(path)
        elif kind == "unlink":
            cached.pop(path, None)
    return {p: bytes(i.durable) for p, i in durable.items()}, {p: bytes(i.cache) for p, i in cached.items()}


def tree(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def check_exactness(library: Path, base: Path, rounds: int, seed: int) -> int:
    undone = 0
    for number in range(rounds):
        chance = random.Random(f"{seed}-{number}")
        directory, undo = fresh(base)
        (directory / "sub").mkdir()
        operations = random_operations(chance, 250)
        worker = subprocess.run([sys.executable, str(HERE / "selftest.py"), "--perform"], input=json.dumps(operations), text=True,
                                cwd=directory, env=environment(library, directory, undo), capture_output=True)
        if worker.returncode != -signal.SIGKILL:
            raise SystemExit(f"exactness round {number}: worker ended with {worker.returncode}\n{worker.stderr}")
        durable, cached = model(operations)
        if tree(directory) != cached:
            raise SystemExit(f"exactness round {number}: the library changed what the process itself sees")
        undone += rollback.rollback(directory, undo).writes_undone
        found = tree(directory)
        for path in sorted(durable.keys() | found.keys()):
            if durable.get(path) != found.get(path):
                raise SystemExit(f"exactness round {number}: {path} is {describe(found.get(path))}, durable was {describe(durable.get(path))}")
    if undone == 0:
        raise SystemExit("exactness: nothing was ever undone, so nothing was tested")
    return undone


def describe(data: bytes | None) -> str:
    return "absent" if data is None else f"{len(data)} bytes, crc {zlib.crc32(data):08x}"


def fresh(base: Path) -> tuple[Path, Path]:
    directory, undo = base / "dir", base / "undo"
    for path in (directory, undo):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
    return directory.resolve(), undo.resolve()


# ---- 2. power ----
# Each program writes numbered records and prints a number once it considers that record safe.

FILE = """
import os, sys
def directory_sync():
    fd = os.open('.', os.O_RDONLY); os.fsync(fd); os.close(fd)
fd = os.open('log', os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
directory_sync()
for n in range(10**6):
    os.write(fd, b'%08d\\n' % n)
    {body}
"""
SQLITE = """
import sqlite3
db = sqlite3.connect('events.db', isolation_level=None)
db.execute('pragma journal_mode={mode}'); db.execute('pragma synchronous={level}')
db.execute('create table if not exists log(n integer primary key, padding blob)')
for n in range(10**6):
    db.execute('begin'); db.execute('insert into log values(?, zeroblob(900))', (n,)); db.execute('commit')
    print(n, flush=True)
"""
REPLACE = """
import os
def sync(path):
    fd = os.open(path, os.O_RDONLY); os.fsync(fd); os.close(fd)
for n in range(10**6):
    with open('log.new', 'wb') as file:
        file.write(b''.join(b'%08d\\n' % i for i in range(n + 1)))
    {before}
    os.rename('log.new', 'log')
    {after}
    print(n, flush=True)
"""
PROGRAMS = [
    ("acknowledges before its fsync", FILE.format(body="print(n, flush=True); os.fsync(fd)"), True),
    ("never syncs", FILE.format(body="print(n, flush=True)"), True),
    ("syncs another file", FILE.format(body="other = os.open('other', os.O_CREAT | os.O_WRONLY); os.fsync(other); os.close(other); print(n, flush=True)"), True),
    ("syncs first", FILE.format(body="os.fsync(fd); print(n, flush=True)"), False),
    ("never makes the name durable", FILE.replace("directory_sync()\nfor", "for").format(body="os.fsync(fd); print(n, flush=True)"), True),
    ("replaces, nothing synced", REPLACE.format(before="pass", after="pass"), True),
    ("replaces, file synced, directory not", REPLACE.format(before="sync('log.new')", after="pass"), True),
    ("replaces, directory synced, file not", REPLACE.format(before="pass", after="sync('.')"), True),
    ("replaces, both synced", REPLACE.format(before="sync('log.new')", after="sync('.')"), False),
    ("SQLite WAL synchronous=OFF", SQLITE.format(mode="wal", level="off"), True),
    ("SQLite WAL synchronous=NORMAL", SQLITE.format(mode="wal", level="normal"), True),
    ("SQLite WAL synchronous=FULL", SQLITE.format(mode="wal", level="full"), False),
    ("SQLite DELETE synchronous=OFF", SQLITE.format(mode="delete", level="off"), True),
    # As SQLite documents: the commit is the journal's unlink, and only EXTRA syncs the directory after it.
    ("SQLite DELETE synchronous=FULL", SQLITE.format(mode="delete", level="full"), True),
    ("SQLite DELETE synchronous=EXTRA", SQLITE.format(mode="delete", level="extra"), False),
]
READ_SQLITE = "import sqlite3; [print(row[0]) for row in sqlite3.connect('events.db').execute('select n from log')]"


def survivors(directory: Path, program: str) -> set[int]:
    """The numbers a reader finds after the rollback; an unreadable database holds none."""
    if "sqlite3" in program:
        reader = subprocess.run([sys.executable, "-c", READ_SQLITE], cwd=directory, capture_output=True, text=True)
        return {int(line) for line in reader.stdout.split()}
    path = directory / "log"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return {int(line) for line in lines if len(line) == 8 and line.isdigit()}


def lost_in_one_round(library: Path, base: Path, program: str, chance: random.Random, subset: int | None) -> int:
    """How many acknowledged records the rollback takes away."""
    directory, undo = fresh(base)
    rollback.Control(undo).set(sync_delay_us=300)
    worker = subprocess.Popen([sys.executable, "-c", program], cwd=directory, env=environment(library, directory, undo),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    acknowledged: set[int] = set()
    for _ in range(chance.randrange(3, 60)):
        line = worker.stdout.readline()
        if not line:
            raise SystemExit(f"the program stopped by itself: {worker.stderr.read()}")
        acknowledged.add(int(line))
    worker.kill()
    acknowledged.update(int(line) for line in worker.stdout.read().split("\n") if line)
    worker.wait()
    rollback.rollback(directory, undo, subset)
    return len(acknowledged - survivors(directory, program))


def check_power(library: Path, base: Path, rounds: int, seed: int) -> None:
    for name, program, must_be_caught in PROGRAMS:
        lost = []
        for number in range(rounds):
            chance = random.Random(f"{seed}-{name}-{number}")
            subset = None if number % 2 == 0 else seed + number
            lost.append(lost_in_one_round(library, base, program, chance, subset))
        caught = any(lost)
        print(f"  {'caught' if caught else 'passed':7} {name:42} acknowledged and lost per round: {lost}", flush=True)
        if caught != must_be_caught:
            raise SystemExit(f"'{name}' should have been {'caught' if must_be_caught else 'passed'}")


# ---- 3. refusal ----

REFUSED = [
    ("a writable shared mapping", "import mmap, os; fd = os.open('m', os.O_CREAT | os.O_RDWR); os.ftruncate(fd, 4096); mmap.mmap(fd, 4096)"),
    ("a renamed directory", "import os; os.mkdir('x'); os.rename('x', 'y')"),
    ("a rename across the border", "import os; open('x', 'w'); os.rename('x', '../y')"),
    ("a second writer", "import subprocess, sys; f = open('x', 'w'); f.write('a'); f.flush(); sys.exit(subprocess.call([sys.executable, '-c', 'open(\"z\", \"w\")']))"),
]


def check_refusal(library: Path, base: Path) -> None:
    for name, program in REFUSED:
        directory, undo = fresh(base)
        worker = subprocess.run([sys.executable, "-c", program], cwd=directory, env=environment(library, directory, undo),
                                capture_output=True, text=True)
        if worker.returncode == 0 or "faultfs:" not in worker.stderr:
            raise SystemExit(f"{name} was not refused: exit {worker.returncode}, {worker.stderr!r}")
        try:
            rollback.rollback(directory, undo)
        except RuntimeError:
            print(f"  refused {name}", flush=True)
        else:
            raise SystemExit(f"{name}: the rollback did not notice the refusal")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6, help="rounds per program; exactness runs five times as many")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--perform", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.perform:
        perform(json.load(sys.stdin))
    library = Path(subprocess.run([str(HERE / "build")], check=True, capture_output=True, text=True).stdout.strip()).resolve()
    with tempfile.TemporaryDirectory(prefix="evenhand-faultfs-") as base:
        undone = check_exactness(library, Path(base), 5 * arguments.rounds, arguments.seed)
        print(f"  exact   {5 * arguments.rounds} random runs of 250 operations, {undone} writes undone", flush=True)
        check_power(library, Path(base), arguments.rounds, arguments.seed)
        check_refusal(library, Path(base))
    print(f"faultfs selftest: passed (seed {arguments.seed})")


if __name__ == "__main__":
    main()
