"""MurmurHash3_x86_32 with seed 0 (bucketing.md, Hash)."""

MASK = 0xFFFFFFFF
C1, C2 = 0xCC9E2D51, 0x1B873593


def murmur3_32(data: bytes, seed: int = 0) -> int:
    """The unsigned 32-bit hash of `data`; blocks are read little-endian."""
    h = seed
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        k = (int.from_bytes(data[at : at + 4], "little") * C1) & MASK
        k = (((k << 15) | (k >> 17)) * C2) & MASK
        h ^= k
        h = ((h << 13) | (h >> 19)) & MASK
        h = (h * 5 + 0xE6546B64) & MASK
    if whole != len(data):
        k = (int.from_bytes(data[whole:], "little") * C1) & MASK
        k = (((k << 15) | (k >> 17)) * C2) & MASK
        h ^= k
    h ^= len(data)
    h ^= h >> 16
    h = (h * 0x85EBCA6B) & MASK
    h ^= h >> 13
    h = (h * 0xC2B2AE35) & MASK
    return h ^ (h >> 16)
