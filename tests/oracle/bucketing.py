"""Ranges, bounds, basis points and slots (bucketing.md)."""

from murmur3 import murmur3_32

HASHES = {"murmur3_32"}
FULL = 1 << 32
SALT_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


def draw(salt: str, unit: str) -> int:
    """h of a unit under a salt."""
    return murmur3_32((salt + ":" + unit).encode("utf-8"))


def bound(cumulative: int, whole: int) -> int:
    """ceil(cumulative * 2^32 / whole)."""
    return (cumulative * FULL + whole - 1) // whole


def share(basis_points: int) -> list:
    """The ranges of a share that starts at 0."""
    return [[0, bound(basis_points, 10000)]] if basis_points else []


def slots(first: int, end: int) -> list:
    """Slots `first`..`end` (end excluded) of 1,000."""
    return [[bound(first, 1000), bound(end, 1000)]]


def split(weights: list) -> list:
    """Ranges with their variation, from (variation, basis points) that sum to 10,000."""
    ranges, cumulative = [], 0
    for variation, weight in weights:
        if weight:
            ranges.append([bound(cumulative, 10000), bound(cumulative + weight, 10000), variation])
        cumulative += weight
    assert cumulative == 10000, cumulative
    return ranges


def in_ranges(h: int, ranges: list) -> bool:
    return any(r[0] <= h < r[1] for r in ranges)


def basis_point(h: int) -> int:
    return (h * 10000) >> 32


def slot(h: int) -> int:
    return (h * 1000) >> 32


def is_salt(text: str) -> bool:
    return 1 <= len(text) <= 64 and all(c in SALT_ALPHABET for c in text)
