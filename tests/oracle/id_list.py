"""Id lists (manifest.md): the blob, made and read."""

import hashlib

MAGIC = b"EHLIST01"


def entry(salt: str, unit: str) -> bytes:
    return hashlib.sha256((salt + ":" + unit).encode("utf-8")).digest()[:8]


def make_blob(salt: str, units) -> bytes:
    entries = sorted({entry(salt, unit) for unit in units})
    return MAGIC + len(entries).to_bytes(8, "little") + b"".join(entries)


def describe(salt: str, blob: bytes) -> dict:
    """What the manifest says of a blob."""
    return {"salt": salt, "sha256": hashlib.sha256(blob).hexdigest(), "count": (len(blob) - 16) // 8}


class IdList:
    def __init__(self, salt, entries):
        self.salt = salt
        self.entries = entries

    def holds(self, unit: str) -> bool:
        return entry(self.salt, unit) in self.entries


def read_blob(described: dict, blob: bytes):
    """The list, or None when the blob is refused."""
    if hashlib.sha256(blob).hexdigest() != described["sha256"]:
        return None
    if len(blob) < 16 or (len(blob) - 16) % 8 or blob[:8] != MAGIC:
        return None
    count = int.from_bytes(blob[8:16], "little")
    if count != (len(blob) - 16) // 8 or count != described["count"]:
        return None
    entries = [blob[at : at + 8] for at in range(16, len(blob), 8)]
    if any(a >= b for a, b in zip(entries, entries[1:])):
        return None
    return IdList(described["salt"], frozenset(entries))
