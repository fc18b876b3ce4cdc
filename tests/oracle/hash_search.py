"""Unit ids whose hash is a wanted number.

The last four bytes of an id are solved for by running MurmurHash3 backwards; the bytes before them are tried one after the other until the
solution is made of letters and digits. Each id found is verified by hashing it forwards.
"""

from bucketing import draw
from murmur3 import C1, C2, MASK, murmur3_32

_ALPHANUMERIC = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_INVERSE_5 = pow(5, -1, 1 << 32)
_INVERSE_C1 = pow(C1, -1, 1 << 32)
_INVERSE_C2 = pow(C2, -1, 1 << 32)
_INVERSE_M1 = pow(0x85EBCA6B, -1, 1 << 32)
_INVERSE_M2 = pow(0xC2B2AE35, -1, 1 << 32)


def _rotate_right(x, by):
    return ((x >> by) | (x << (32 - by))) & MASK


def _unfinish(h, length):
    """The state before the final mixing."""
    h ^= h >> 16
    h = (h * _INVERSE_M2) & MASK
    h ^= (h >> 13) ^ (h >> 26)
    h = (h * _INVERSE_M1) & MASK
    h ^= h >> 16
    return h ^ length


def unit_with_hash(salt: str, wanted: int) -> str:
    """An id of letters and digits whose h under `salt` is `wanted`."""
    prefix = (salt + ":").encode("ascii")
    padding = -len(prefix) % 4
    for attempt in range(1_000_000):
        middle = f"{attempt:0{padding + 4}d}".encode("ascii")
        head = prefix + middle
        if len(head) % 4:
            continue
        length = len(head) + 4
        # The state after the head: hash it, then take the final mixing (which mixed in the head's length) off again.
        before = _unfinish(murmur3_32(head), len(head))
        state = ((_unfinish(wanted, length) - 0xE6546B64) * _INVERSE_5) & MASK
        mixed = _rotate_right(state, 13) ^ before
        block = (_rotate_right((mixed * _INVERSE_C2) & MASK, 15) * _INVERSE_C1) & MASK
        last = block.to_bytes(4, "little")
        if all(byte in _ALPHANUMERIC for byte in last):
            unit = (middle + last).decode("ascii")
            assert draw(salt, unit) == wanted
            return unit
    raise AssertionError(f"no id found for {salt} {wanted}")
