"""Undoes what a killed process had not synced, from the undo area that libfaultfs.so has written.

    python3 rollback.py --dir DIR --undo UNDO [--subset SEED]

Without --subset everything unsynced vanishes. With it a random part of the unsynced writes survives, some of them
torn at 512-byte sectors, and the unsynced names survive up to a random point: also a state a power cut can leave.
The layout of the undo area is described in faultfs.h.
"""
from __future__ import annotations

import argparse
import json
import mmap
import os
import random
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path

SECTOR = 512
FOR_EVER = 1 << 62
LOG_HEADER = struct.Struct("<QQQ")
RECORD = struct.Struct("<IIQQQQ")
NAME = struct.Struct("<IIQIIII")
LOG_MAGIC, RECORD_MAGIC, NAME_MAGIC = 0x474F4C4F444E5546, 0x44524346, 0x454D414E
WRITE, TRUNCATE, SYNCED, LOST = 1, 2, 3, 4
CREATE, UNLINK, RENAME, MKDIR, RMDIR, NAMES_SYNCED = 1, 2, 3, 4, 5, 6
CONTROL = struct.Struct("<QqqqqqqqqQQQQQQ")
CONTROL_MAGIC = 0x3146544C55414656
CONTROL_FIELDS = (
    "magic", "writes_until_fault", "syncs_until_fault", "write_faults_left", "sync_faults_left", "write_errno",
    "sync_errno", "sync_delay_us", "lying_syncs", "writes", "bytes", "syncs", "directory_syncs", "names", "faults",
)


class Control:
    """The page shared with the running library: faults to inject, and what it has counted."""

    def __init__(self, undo: Path):
        with open(undo / "control", "r+b" if (undo / "control").exists() else "w+b") as file:
            file.truncate(4096)
            self._page = mmap.mmap(file.fileno(), 4096)
        if struct.unpack_from("<Q", self._page)[0] != CONTROL_MAGIC:
            self._page[: CONTROL.size] = CONTROL.pack(CONTROL_MAGIC, -1, -1, *[0] * 12)

    def set(self, **values: int) -> None:
        for name, value in values.items():
            struct.pack_into("<q", self._page, 8 * CONTROL_FIELDS.index(name), value)

    def read(self) -> dict[str, int]:
        return dict(zip(CONTROL_FIELDS, CONTROL.unpack_from(self._page)))


@dataclass
class Record:
    kind: int
    at: int
    offset: int
    length: int
    old_size: int
    old: bytes
    state: str = "pending"


@dataclass
class Name:
    kind: int
    at: int
    first: Path
    second: Path | None
    held: str
    durable: bool = False


@dataclass
class Report:
    """What was undone, kept or torn."""

    writes_undone: int = 0
    bytes_undone: int = 0
    writes_kept: int = 0
    writes_torn: int = 0
    names_undone: int = 0
    names_kept: int = 0


def read_log(path: Path) -> list[Record]:
    """The records of one file that are not durable, or are needed to undo a lost one; oldest first."""
    data = path.read_bytes()
    if len(data) < LOG_HEADER.size:
        return []
    magic, at, poisoned = LOG_HEADER.unpack_from(data)
    if magic != LOG_MAGIC:
        raise ValueError(f"{path} is not an undo log")
    if poisoned:
        at = min(at, len(data))
    records: list[Record] = []
    while at + RECORD.size <= len(data):
        magic, kind, offset, length, old_size, old_length = RECORD.unpack_from(data, at)
        if magic != RECORD_MAGIC:
            raise ValueError(f"{path}: no record at {at}")
        end = at + RECORD.size + old_length
        if end > len(data):
            break  # the kill came while it was being written: its change had not begun
        if kind in (SYNCED, LOST):
            waiting = [record for record in records if record.at < offset and record.state == "pending"]
            for record in waiting:
                record.state = "durable" if kind == SYNCED else "lost"
            if waiting and kind == SYNCED:
                records.append(Record(SYNCED, at, old_size, 0, old_size, b"", "durable"))
        else:
            records.append(Record(kind, at, offset, length, old_size, data[at + RECORD.size : end]))
        at = end
    return records


def read_names(path: Path) -> list[Name]:
    """All changes of names, oldest first, each with the directories that were synced after it."""
    data = path.read_bytes() if path.exists() else b""
    names: list[Name] = []
    at = 0
    while at + NAME.size <= len(data):
        magic, kind, upto, first, second, held, _ = NAME.unpack_from(data, at)
        if magic != NAME_MAGIC:
            raise ValueError(f"{path}: no record at {at}")
        start = at + NAME.size
        if start + first + second + held > len(data):
            break
        one = os.fsdecode(data[start : start + first])
        two = os.fsdecode(data[start + first : start + first + second])
        link = os.fsdecode(data[start + first + second : start + first + second + held])
        if kind == NAMES_SYNCED:
            for name in names:
                name.durable |= name.at < upto and (not one or name.first.parent == Path(one))
        else:
            names.append(Name(kind, at, Path(one), Path(two) if two else None, link))
        at = start + first + second + held
    return names


def subtract(start: int, end: int, kept: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The parts of start..end that no range of `kept` covers."""
    parts = [(start, end)]
    for low, high in kept:
        parts = [piece for a, b in parts for piece in ((a, min(b, low)), (max(a, high), b)) if piece[0] < piece[1]]
    return parts


def undo_contents(path: Path, records: list[Record], chance: random.Random | None, report: Report) -> None:
    """Restores one file, then lets a random part of the unsynced changes survive if `chance` is given."""
    mode = path.stat().st_mode
    if chance is None and all(record.state == "pending" for record in records):
        undo_everything(path, records, report)
        os.chmod(path, mode)
        return
    with open(path, "r+b", buffering=0) as file:
        redo: list[tuple[Record, bytes]] = []
        kept: list[tuple[int, int]] = []
        durable_size: int | None = None
        for record in reversed(records):
            if record.state == "durable":
                if durable_size is None:
                    durable_size = record.old_size
                if record.kind == SYNCED:  # the length was synced too: nothing from before lies beyond it
                    kept.append((record.offset, FOR_EVER))
                elif record.kind == WRITE:
                    kept.append((record.offset, record.offset + record.length))
                else:  # what was cut off stays cut off: zeros, should the file have grown again
                    kept.append((min(record.offset, record.old_size), max(record.offset, record.old_size)))
                continue
            redo.append((record, os.pread(file.fileno(), record.length, record.offset) if record.kind == WRITE else b""))
            old = record.old if durable_size is None else record.old.ljust(record.length, b"\0")
            for start, end in subtract(record.offset, record.offset + len(old), kept):
                os.pwrite(file.fileno(), old[start - record.offset : end - record.offset], start)
            if durable_size is None:
                os.ftruncate(file.fileno(), record.old_size)
            report.writes_undone += 1
            report.bytes_undone += record.length
        if durable_size is not None:
            os.ftruncate(file.fileno(), durable_size)
        if chance is not None:
            survive(file.fileno(), [item for item in reversed(redo) if item[0].state == "pending"], chance, report)
    os.chmod(path, mode)


def undo_everything(path: Path, records: list[Record], report: Report) -> None:
    """The common case, cheaply: what lies beyond the durable size goes with one cut, however many writes made it."""
    size = records[0].old_size
    with open(path, "r+b", buffering=0) as file:
        for record in reversed(records):
            old = record.old[: max(0, size - record.offset)]
            if old:
                os.pwrite(file.fileno(), old, record.offset)
            report.bytes_undone += record.length
        os.ftruncate(file.fileno(), size)
    report.writes_undone += len(records)


def survive(fd: int, redo: list[tuple[Record, bytes]], chance: random.Random, report: Report) -> None:
    """Writes back a random selection, in order; one in four of the selected ones only in part."""
    share = chance.choice((0.0, 0.2, 0.5, 0.8, 0.95, 1.0))
    for record, data in redo:
        if chance.random() >= share:
            continue
        if record.kind == TRUNCATE:
            os.ftruncate(fd, record.offset)
        elif chance.random() < 0.25 and len(data) > SECTOR:
            report.writes_torn += 1
            end = record.offset + len(data)
            at = record.offset
            while at < end:
                stop = min(end, (at // SECTOR + 1) * SECTOR)
                if chance.random() < 0.5:
                    os.pwrite(fd, data[at - record.offset : stop - record.offset], at)
                at = stop
        else:
            os.pwrite(fd, data, record.offset)
        report.writes_kept += 1


def undo_name(name: Name) -> None:
    """Undoes one change of a name; also right when the kill came between the note and the change."""
    if name.kind == CREATE:
        name.first.unlink(missing_ok=True)
    elif name.kind == MKDIR:
        shutil.rmtree(name.first, ignore_errors=True)
    elif name.kind == RMDIR:
        name.first.mkdir(exist_ok=True)
    elif name.kind == UNLINK and not os.path.lexists(name.first):
        os.link(name.held, name.first)
    elif name.kind == RENAME and os.path.lexists(name.second) and not os.path.lexists(name.first):
        os.rename(name.second, name.first)
        if name.held:
            os.link(name.held, name.second)


def rollback(directory: Path, undo: Path, seed: int | None = None) -> Report:
    """Leaves `directory` as a power cut could have left it and empties `undo` (but for the control page)."""
    for note in undo.glob("died.*"):
        raise RuntimeError(f"the library refused to go on: {note.read_text().strip()}")
    if not any(undo.glob("loaded.*")):
        raise RuntimeError("libfaultfs.so was never loaded (a static binary, or LD_PRELOAD missing): nothing would be proved")
    chance = random.Random(seed) if seed is not None else None
    report = Report()
    names = read_names(undo / "names")

    paths: dict[int, Path] = {}
    for root in (undo / "held", directory):
        for folder, _, files in os.walk(root):
            for file in files:
                path = Path(folder, file)
                if not path.is_symlink():
                    paths[path.stat().st_ino] = path
    for log in sorted((undo / "files").iterdir(), key=lambda path: int(path.name)):
        records = read_log(log)
        path = paths.get(int(log.name))
        if path is not None and any(record.state != "durable" for record in records):
            undo_contents(path, records, chance, report)

    pending = [name for name in names if not name.durable]
    survivors = chance.randint(0, len(pending)) if chance is not None else 0
    for name in reversed(pending[survivors:]):
        undo_name(name)
    report.names_undone, report.names_kept = len(pending) - survivors, survivors
    for shared_memory in directory.rglob("*-shm"):
        shared_memory.unlink()
    clear(undo)
    return report


def clear(undo: Path) -> None:
    """Declares the directory durable as it stands."""
    for entry in undo.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != "control":
            entry.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--undo", type=Path, required=True)
    parser.add_argument("--subset", type=int, metavar="SEED")
    arguments = parser.parse_args()
    print(json.dumps(vars(rollback(arguments.dir.resolve(), arguments.undo.resolve(), arguments.subset))))


if __name__ == "__main__":
    main()
