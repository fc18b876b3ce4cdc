"""`units.json`: what is a unit id and which text it becomes: every JSON type and its edges, seen through the bucket of a split."""

from authoring import Group, bucket_entry, experiment, flag, manifest, rollout, targeted, write_groups
from bucketing import basis_point, draw

BIG = 1 << 53
# (name, value, what it takes of a language, the text it becomes or None)
UNITS = [
    ("missing-null", None, (), None),
    ("empty", "", (), None),
    ("one letter", "u", (), "u"),
    ("ascii", "user-42", (), "user-42"),
    ("leading and trailing blanks are kept", "  user-42\t\n", (), "  user-42\t\n"),
    ("a blank", " ", (), " "),
    ("case is kept", "USER-42", (), "USER-42"),
    ("colon", "a:b", (), "a:b"),
    ("NFC", "\u00e9", (), "\u00e9"),
    ("NFD", "e\u0301", (), "e\u0301"),
    ("NFC word", "Jos\u00e9", (), "Jos\u00e9"),
    ("NFD word", "Jose\u0301", (), "Jose\u0301"),
    ("ligature is not taken apart", "\ufb00", (), "\ufb00"),
    ("Angstrom sign", "\u212b", (), "\u212b"),
    ("Turkish dotless i", "\u0131", (), "\u0131"),
    ("Japanese", "\u65e5\u672c", (), "\u65e5\u672c"),
    ("Arabic", "\u0645\u0633\u062a\u062e\u062f\u0645", (), "\u0645\u0633\u062a\u062e\u062f\u0645"),
    ("emoji", "\U0001f600", (), "\U0001f600"),
    ("emoji family, joined", "\U0001f468\u200d\U0001f469\u200d\U0001f467", (), "\U0001f468\u200d\U0001f469\u200d\U0001f467"),
    ("flag", "\U0001f1e9\U0001f1ea", (), "\U0001f1e9\U0001f1ea"),
    ("last scalar", "\U0010ffff", (), "\U0010ffff"),
    ("noncharacter", "\uffff", (), "\uffff"),
    ("byte order mark", "\ufeffuser", (), "\ufeffuser"),
    ("NUL inside", "a\x00b", ("nul",), "a\x00b"),
    ("NUL alone", "\x00", ("nul",), "\x00"),
    ("NUL at the end", "user\x00", ("nul",), "user\x00"),
    ("control characters", "\x01\x1f\x7f", (), "\x01\x1f\x7f"),
    ("lone surrogate", {"$special": "lone_surrogate"}, ("lone_surrogate",), None),
    ("4096 bytes", {"$special": "repeat", "text": "x", "times": 4096}, (), "x" * 4096),
    ("4097 bytes", {"$special": "repeat", "text": "x", "times": 4097}, (), None),
    ("4096 bytes of two-byte characters", {"$special": "repeat", "text": "\u00e9", "times": 2048}, (), "\u00e9" * 2048),
    ("4098 bytes in 2049 characters", {"$special": "repeat", "text": "\u00e9", "times": 2049}, (), None),
    ("4096 bytes of emoji", {"$special": "repeat", "text": "\U0001f600", "times": 1024}, (), "\U0001f600" * 1024),
    ("4100 bytes in 1025 characters", {"$special": "repeat", "text": "\U0001f600", "times": 1025}, (), None),
    ("65536 bytes", {"$special": "repeat", "text": "x", "times": 65536}, (), None),
    ("65537 bytes", {"$special": "repeat", "text": "x", "times": 65537}, (), None),
    ("text of digits", "12345", (), "12345"),
    ("text of a float", "12345.0", (), "12345.0"),
    ("text of minus zero", "-0", (), "-0"),
    ("text with leading zeros", "007", (), "007"),
    ("text true", "true", (), "true"),
    ("text null", "null", (), "null"),
    ("integer", 12345, (), "12345"),
    ("float of integral value", 12345.0, (), "12345"),
    ("negative integer", -7, (), "-7"),
    ("negative float", -7.0, (), "-7"),
    ("zero", 0, (), "0"),
    ("float zero", 0.0, (), "0"),
    ("minus zero", -0.0, (), "0"),
    ("one", 1, (), "1"),
    ("31 bits", (1 << 31) - 1, (), "2147483647"),
    ("32 bits", 1 << 31, (), "2147483648"),
    ("unsigned 32 bits", (1 << 32) - 1, (), "4294967295"),
    ("33 bits", 1 << 32, (), "4294967296"),
    ("minus 2^31-1", -(1 << 31) - 1, (), "-2147483649"),
    ("2^53-1", BIG - 1, (), "9007199254740991"),
    ("-(2^53-1)", 1 - BIG, (), "-9007199254740991"),
    ("2^53-1 as a float", float(BIG - 1), (), "9007199254740991"),
    ("2^53", BIG, (), None),
    ("-2^53", -BIG, (), None),
    ("2^53 as a float", float(BIG), (), None),
    ("2^53+1", BIG + 1, ("int64",), None),
    ("2^63-1", (1 << 63) - 1, ("int64",), None),
    ("-2^63", -(1 << 63), ("int64",), None),
    ("2^64-1", (1 << 64) - 1, ("int64",), None),
    ("2^64", 1 << 64, ("bigint",), None),
    ("1e15", 1e15, (), "1000000000000000"),
    ("1e16", 1e16, (), None),
    ("1e21", 1e21, (), None),
    ("1e300", 1e300, (), None),
    ("1.5", 1.5, (), None),
    ("0.1", 0.1, (), None),
    ("1e-7", 1e-7, (), None),
    ("least subnormal", 5e-324, (), None),
    ("largest fraction", 4503599627370495.5, (), None),
    ("NaN", {"$special": "nan"}, ("nan",), None),
    ("infinity", {"$special": "inf"}, ("nan",), None),
    ("minus infinity", {"$special": "-inf"}, ("nan",), None),
    ("true", True, (), None),
    ("false", False, (), None),
    ("empty list", [], (), None),
    ("list of one string", ["u"], (), None),
    ("list of one number", [1], (), None),
    ("empty object", {}, (), None),
    ("object", {"id": "u"}, (), None),
]


def build() -> str:
    flags = {
        "split": flag([experiment()]),
        "rollout": flag([rollout(5000)]),
        "layered": flag([experiment("layered", layer="layer-a", slots=[[0, 1 << 31]])]),
        "guarded": flag([experiment("guarded", holdouts=["h"])]),
        "leaf": flag([targeted({"not": {"op": "in_bucket", "unit": "user_id", "hash": "murmur3_32", "salt": "leaf", "ranges": [[0, 1 << 31]]}})]),
        "overridden": flag([experiment("overridden")], overrides={"user_id": {"12345": "a", "e\u0301": "b", "": "a", "true": "a", "-0": "b", "0": "a"}}),
        "by device": flag([experiment("devices", unit="device_id")]),
    }
    parts = {"layers": {"layer-a": bucket_entry("layer-salt", None)}, "holdouts": {"h": bucket_entry("holdout-salt", [[0, 1 << 31]])}}
    group = Group("units", manifest(flags, **parts))
    for name, value, needs, text in UNITS:
        context = {"user_id": value}
        decision = group.ask(f"{name}: split", "split", context, needs=needs)
        # Not only the oracle's own reading: the text each value becomes is written above.
        if text is None:
            assert decision["reason"] == "NO_UNIT", name
        else:
            assert decision["bucket"] == basis_point(draw("exp-split", text)), name
        for key in ("rollout", "layered", "guarded", "leaf", "overridden"):
            group.ask(f"{name}: {key}", key, context, needs=needs)
        group.ask(f"{name}: as device_id", "by device", {"device_id": value}, needs=needs)
    group.ask("no attribute at all", "split", {})
    group.ask("another unit only", "split", {"device_id": "user-42"})
    group.ask("names are compared byte for byte", "split", {"User_id": "user-42", "user_id ": "user-42"})
    return write_groups([group])
