"""`hash.json`: salt and unit → h, basis point, slot. Checked against figures that others published."""

from authoring import check_names, write_cases
from bucketing import basis_point, draw, slot
from hash_search import unit_with_hash
from murmur3 import murmur3_32

# Seed 0 and byte strings: SMHasher's and Wikipedia's test vectors for MurmurHash3_x86_32.
PUBLISHED = [
    (b"", 0x00000000, 0x00000000),
    (b"", 0x00000001, 0x514E28B7),
    (b"", 0xFFFFFFFF, 0x81F16F39),
    (b"\x00\x00\x00\x00", 0, 0x2362F9DE),
    (b"\xff\xff\xff\xff", 0, 0x76293B50),
    (b"\x21\x43\x65\x87", 0, 0xF55B516B),
    (b"\x21\x43\x65\x87", 0x5082EDEE, 0x2362F9DE),
    (b"\x21\x43\x65", 0, 0x7E4A8634),
    (b"\x21\x43", 0, 0xA0F7B07A),
    (b"\x21", 0, 0x72661CF4),
    (b"test", 0, 0xBA6BD213),
    (b"Hello, world!", 0, 0xC0363E43),
    (b"The quick brown fox jumps over the lazy dog", 0, 0x2E4FF723),
]
# docs/contract/bucketing.md, Test values.
CONTRACT = [
    ("layer-1", "user-42", 3819693206, 8893),
    ("exp-1", "user-42", 2702215334, 6291),
    ("exp-1", "日本", 396848526, 923),
    ("exp-1", "é", 3960128592, 9220),
    ("exp-1", "e\u0301", 766218811, 1783),
    ("exp-1", "12345", 677472864, 1577),
]


def assert_anchors():
    for data, seed, h in PUBLISHED:
        assert murmur3_32(data, seed) == h, (data, seed)
    for salt, unit, h, point in CONTRACT:
        assert (draw(salt, unit), basis_point(draw(salt, unit))) == (h, point), (salt, unit)


def build() -> str:
    assert_anchors()
    pairs = [(salt, unit) for salt, unit, _, _ in CONTRACT]
    # Every length of the tail behind whole blocks, for salts and units.
    pairs += [("s" * length, "u") for length in (1, 2, 3, 4, 5, 31, 63, 64)]
    pairs += [("salt", "x" * length) for length in range(1, 20)]
    pairs += [("salt", "x" * 4096), ("-", "-"), ("_", ":"), ("a", ":b"), ("a", "a:b"), ("A_b-9", " "), ("salt", "\x00"), ("salt", "a\x00b"),
              ("salt", "😀"), ("salt", "ﬀ"), ("salt", "ß"), ("salt", "\uffff"), ("salt", "\U0010ffff"), ("salt", "\u0080"), ("salt", "\u07ff"),
              ("salt", "\u0800"), ("salt", "-1"), ("salt", "0"), ("salt", "9007199254740991"), ("salt", "-9007199254740991"),
              # 1 and 8 are a pair of equal length; ids that differ in their last byte only.
              ("salt-16-chars-xx", "user-000001"), ("salt-16-chars-xx", "user-000002"), ("salt-16-chars-xy", "user-000001")]
    for wanted in (0, 1, 2, 429496, 429497, (1 << 31) - 1, 1 << 31, (1 << 31) + 1, (1 << 32) - 2, (1 << 32) - 1):
        pairs.append(("edge", unit_with_hash("edge", wanted)))
    cases = []
    for at, (salt, unit) in enumerate(pairs):
        h = draw(salt, unit)
        cases.append({"name": f"hash-{at:03}", "salt": salt, "unit": unit, "h": h, "basis_point": basis_point(h), "slot": slot(h)})
    assert len({case["h"] for case in cases}) == len(cases)
    check_names(case["name"] for case in cases)
    return write_cases("hash", cases)
