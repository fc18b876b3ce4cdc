"""`manifest_errors.json`: each rule of manifest.md and operators.md broken once; beside each limit the last thing that is allowed.

Every manifest holds the flag `fine`, which must go on working unless the manifest is refused whole, and mostly the flag `broken`.
The expected effect (`refused`, the unsupported flags, or nothing) is written here by hand and compared with the oracle's.
"""

from authoring import HASH, NOW, Group, bucket_entry, draws, experiment, flag, manifest, rollout, targeted, write_groups
from bucketing import slots
from canonical_json import canonical
from id_list import describe, make_blob
from sets.expression_errors import EXPRESSIONS_BAD, EXPRESSIONS_GOOD, patterns

REFUSED, FINE, BROKEN = "refused", [], ["broken"]
DROP = object()
LAYER = {"l": bucket_entry("layer-salt", None)}


def changed(value, path, new):
    """A copy of `value` with the member at `path` set, or dropped."""
    if not path:
        return new
    copy = list(value) if isinstance(value, list) else dict(value)
    if len(path) == 1 and new is DROP:
        del copy[path[0]]
    else:
        copy[path[0]] = changed(copy.get(path[0]) if isinstance(copy, dict) else copy[path[0]], path[1:], new)
    return copy


def full_flag() -> dict:
    rules = [targeted({"all": []}, name="t"), rollout(name="o", salt="o-salt"),
             experiment(layer="l", slots=slots(0, 500), epoch=1, state="running", sticky=True, start_ms=0, end_ms=NOW * 2, requires=[{"flag": "fine", "variations": ["a"]}],
                        holdouts=["h"], when={"all": []}, meta={"owner": "x"})]
    return flag(rules, state="live", schema=1, overrides={"user_id": {"u9": "a"}}, meta={"any": ["thing", None]})


def with_flag(broken, **parts) -> dict:
    parts = {"layers": LAYER, "holdouts": {"h": bucket_entry("h-salt", [])}, "segments": {"s": {"all": []}}, **parts}
    return manifest({"fine": flag([experiment("fine")]), "broken": broken}, **parts)


T, O, E = ["rules", 0], ["rules", 1], ["rules", 2]
# (path in the flag, new value): the flag becomes unsupported.
FLAG_BAD = [
    (["type"], "number"), (["type"], "Bool"), (["type"], 5), (["type"], DROP), (["variations"], []), (["variations"], {}), (["variations"], DROP), (["variations"], None),
    (["variations", 0], {"key": "off"}), (["variations", 0], {"value": "x"}), (["variations", 0], {"key": "off", "value": "x", "name": "y"}), (["variations", 0], "off"),
    (["variations", 0, "key"], ""), (["variations", 0, "key"], 5), (["variations", 1, "key"], "off"), (["variations", 2, "key"], "x" * 257), (["variations", 0, "value"], 5),
    (["variations", 2, "value"], None), (["off"], "nope"), (["off"], DROP), (["off"], 0), (["off"], None), (["default"], "nope"), (["default"], DROP), (["default"], None), (["state"], "paused"),
    (["state"], "LIVE"), (["state"], 1), (["schema"], 2), (["schema"], 0), (["schema"], "1"), (["overrides"], []), (["overrides"], {"user_id": {"u": "nope"}}),
    (["overrides"], {"user_id": {"u": 5}}), (["overrides"], {"user_id": "u"}), (["overrides"], {"": {"u": "a"}}), (["overrides"], {"x" * 257: {"u": "a"}}), (["rules"], {}), (["rules"], "none"),
    (["rules", 0], None), (["rules", 0], []), (["colour"], "red"), (["Meta"], {}), (["name"], "x"),
    # of every kind of rule
    (T + ["id"], ""), (T + ["id"], "o"), (T + ["id"], "x" * 129), (T + ["id"], 7), (T + ["id"], DROP), (T + ["id"], None), (T + ["kind"], "Targeted"), (T + ["kind"], DROP),
    (T + ["kind"], "bandit"), (T + ["kind"], None), (T + ["serve"], "nope"), (T + ["serve"], DROP), (T + ["serve"], None), (T + ["serve"], ["a"]), (T + ["unit"], "user_id"),
    (T + ["traffic"], draws("t", [])), (T + ["experiment"], "e"), (T + ["state"], "paused"), (T + ["sticky"], False), (T + ["colour"], 1), (T + ["start_ms"], "0"), (T + ["start_ms"], 1.5),
    (T + ["end_ms"], 1 << 53), (T + ["start_ms"], -(1 << 53)), (T + ["requires"], {}), (T + ["requires"], [{"flag": "nope", "variations": ["a"]}]),
    (T + ["requires"], [{"flag": "fine", "variations": ["nope"]}]), (T + ["requires"], [{"flag": "fine", "variations": []}]), (T + ["requires"], [{"flag": "fine"}]),
    (T + ["requires"], [{"flag": "broken", "variations": ["a"]}]), (T + ["requires"], [{"flag": "fine", "variations": ["a"], "x": 1}]), (T + ["requires"], ["fine"]),
    (T + ["holdouts"], ["nope"]), (T + ["holdouts"], "h"), (T + ["holdouts"], [5]), (T + ["holdouts"], ["h", "h"]), (T + ["when"], []), (T + ["when"], True),
    # of a rollout
    (O + ["serve"], DROP), (O + ["unit"], DROP), (O + ["unit"], ""), (O + ["unit"], "x" * 257), (O + ["unit"], 5), (O + ["traffic"], DROP), (O + ["traffic"], 5000),
    (O + ["traffic"], None), (O + ["split"], draws("s", [])), (O + ["epoch"], 1), (O + ["traffic", "hash"], "murmur3"), (O + ["traffic", "hash"], DROP), (O + ["traffic", "hash"], "MURMUR3_32"),
    (O + ["traffic", "salt"], ""), (O + ["traffic", "salt"], "a:b"), (O + ["traffic", "salt"], "a b"), (O + ["traffic", "salt"], "\u00e9"), (O + ["traffic", "salt"], "x" * 65), (O + ["traffic", "salt"], 5),
    (O + ["traffic", "salt"], DROP), (O + ["traffic", "ranges"], DROP), (O + ["traffic", "ranges"], [[0]]), (O + ["traffic", "ranges"], [[0, 1, 2]]), (O + ["traffic", "ranges"], [0, 1]),
    (O + ["traffic", "ranges"], [[1, 1]]), (O + ["traffic", "ranges"], [[2, 1]]), (O + ["traffic", "ranges"], [[-1, 1]]), (O + ["traffic", "ranges"], [[0, (1 << 32) + 1]]),
    (O + ["traffic", "ranges"], [[5, 9], [0, 5]]), (O + ["traffic", "ranges"], [[0, 5], [4, 9]]), (O + ["traffic", "ranges"], [[0, 5], [0, 5]]), (O + ["traffic", "ranges"], [[0.5, 1]]),
    (O + ["traffic", "ranges"], [["0", "1"]]), (O + ["traffic", "ranges"], None), (O + ["traffic", "weight"], 1),
    # of an experiment
    (E + ["serve"], "a"), (E + ["experiment"], ""), (E + ["experiment"], DROP), (E + ["experiment"], "x" * 129), (E + ["experiment"], 5), (E + ["unit"], DROP), (E + ["unit"], "device_id"),
    (E + ["phase"], 0), (E + ["phase"], -1), (E + ["phase"], 1 << 31), (E + ["phase"], 1.5), (E + ["phase"], "1"), (E + ["phase"], DROP), (E + ["phase"], None), (E + ["epoch"], 0), (E + ["epoch"], 1 << 31),
    (E + ["epoch"], "1"), (E + ["state"], "stopped"), (E + ["state"], "live"), (E + ["state"], "Paused"), (E + ["layer"], DROP), (E + ["slots"], DROP), (E + ["layer"], "nope"), (E + ["layer"], None),
    (E + ["slots"], None), (E + ["slots"], [[5, 4]]), (E + ["slots"], 5), (E + ["sticky"], 1), (E + ["sticky"], "true"), (E + ["split"], DROP), (E + ["split"], None), (E + ["traffic"], DROP),
    (E + ["split", "hash"], "xx"), (E + ["split", "salt"], "layer-salt"), (E + ["split", "salt"], "exp-traffic"), (E + ["split", "salt"], "h-salt"), (E + ["traffic", "salt"], "layer-salt"),
    (E + ["traffic", "salt"], "h-salt"), (E + ["split", "ranges"], []), (E + ["split", "ranges"], [[0, 5]]), (E + ["split", "ranges"], [[0, 5, "nope"]]), (E + ["split", "ranges"], [[0, 5, 2]]),
    (E + ["split", "ranges"], [[0, 5, "a"], [4, 6, "b"]]), (E + ["split", "ranges"], [["a", 0, 5]]), (E + ["split", "ranges"], [[at, at + 1, "a"] for at in range(1001)]),
    (E + ["start_ms"], NOW * 2), (E + ["start_ms"], NOW * 2 + 1), (E + ["variations"], []), (["rules"], [targeted(name=f"r{at}") for at in range(1001)]),
    (T + ["holdouts"], [f"h{at}" for at in range(9)]),
    # a field that the kind does not have is unknown, also when it is null
    *((T + [field], None) for field in ("unit", "traffic", "experiment", "phase", "epoch", "state", "layer", "slots", "sticky", "split")),
    *((O + [field], None) for field in ("experiment", "phase", "epoch", "state", "layer", "slots", "sticky", "split")), (E + ["serve"], None),
]
# The same places, still right.
FLAG_GOOD = [
    (["state"], None), (["schema"], None), (["overrides"], None), (["overrides"], {}), (["overrides"], {"user_id": {"": "a", "x" * 5000: "a"}}), (["rules"], None), (["rules"], []), (["meta"], None), (["meta"], 5),
    (["meta"], {"schema": 2, "rules": {}}), (["variations", 2, "value"], ""), (["variations", 3, "key"], "\u00e9" * 128), (T + ["id"], "\u00e9" * 64), (T + ["start_ms"], None), (T + ["end_ms"], None),
    (T + ["start_ms"], (1 << 53) - 1), (T + ["end_ms"], 1 - (1 << 53)), (T + ["requires"], None), (T + ["holdouts"], None), (T + ["holdouts"], []), (T + ["when"], None), (T + ["meta"], None), (T + ["meta"], [{}]),
    (O + ["unit"], "x" * 256), (O + ["traffic", "salt"], "x" * 64), (O + ["traffic", "salt"], "A-z_9"), (O + ["traffic", "ranges"], []), (O + ["traffic", "ranges"], [[0, 1 << 32]]),
    (O + ["traffic", "ranges"], [[0, 5], [5, 9]]), (O + ["traffic", "salt"], "exp-split"), (E + ["experiment"], "x" * 128), (E + ["phase"], (1 << 31) - 1), (E + ["epoch"], (1 << 31) - 1), (E + ["epoch"], None),
    (E + ["state"], None), (E + ["sticky"], None), (E + ["slots"], []), (E + ["split", "ranges"], [[0, 5, "a"]]), (E + ["split", "ranges"], [[at, at + 1, "a"] for at in range(1000)]),
    (E + ["start_ms"], NOW * 2 - 1), (E + ["experiment"], "\u65e5\u672c"), (["rules"], [targeted(name=f"r{at}") for at in range(1000)]), (T + ["holdouts"], [f"h{at}" for at in range(8)]),
]
# (path in the manifest, new value): refused whole.
MANIFEST_BAD = [
    (["schema"], 2), (["schema"], 0), (["schema"], "1"), (["schema"], DROP), (["schema"], None), (["environment"], DROP), (["environment"], 5), (["environment"], None), (["audience"], "browser"), (["audience"], DROP),
    (["audience"], "Server"), (["generation"], 0), (["generation"], -1), (["generation"], 1 << 53), (["generation"], DROP), (["generation"], "1"), (["version"], 0), (["version"], 1 << 53), (["version"], DROP),
    (["version"], 1.5), (["version"], None), (["issued_at_ms"], DROP), (["issued_at_ms"], "now"), (["issued_at_ms"], 0.5), (["flags"], DROP), (["flags"], []), (["flags"], None), (["segments"], []),
    (["layers"], []), (["holdouts"], 5), (["lists"], "x"), (["colour"], 1), (["Meta"], 1), (["signature"], "x"), (["obfuscation"], {"salt": "s"}), (["obfuscation"], {}), (["obfuscation"], "s"),
    ([], []), ([], 5), ([], "x"), ([], None), ([], {}),
]
MANIFEST_GOOD = [(["segments"], None), (["layers"], None), (["holdouts"], None), (["lists"], None), (["obfuscation"], None), (["meta"], None), (["meta"], [1, {"a": 2}]), (["issued_at_ms"], -5), (["issued_at_ms"], 0),
                 (["generation"], (1 << 53) - 1), (["version"], (1 << 53) - 1), (["flags", "broken"], DROP), (["audience"], "client")]
# Entries that flags refer to: (part, new entry). `user` refers to it, `broken` is absent.
PARTS_BAD = [
    ("layers", 5), ("layers", {}), ("layers", bucket_entry("bad salt", None)), ("layers", {**LAYER["l"], "hash": "sip"}), ("layers", {**LAYER["l"], "slots": 1000}), ("layers", {**LAYER["l"], "unit": ""}),
    ("layers", bucket_entry("s", [])), ("layers", None),
    ("holdouts", []), ("holdouts", bucket_entry("s", None)), ("holdouts", bucket_entry("", [])), ("holdouts", bucket_entry("s", [[1, 0]])), ("holdouts", {**bucket_entry("s", []), "hash": "x"}),
    ("holdouts", {**bucket_entry("s", []), "when": {"op": "nope"}}), ("holdouts", {**bucket_entry("s", []), "when": {"op": "in_segment", "segment": "nope"}}), ("holdouts", {**bucket_entry("s", []), "x": 1}), ("holdouts", None),
    ("segments", {"op": "nope"}), ("segments", {}), ("segments", None), ("segments", "all"), ("segments", {"op": "in_segment", "segment": "nope"}), ("segments", {"op": "in_segment", "segment": "x"}),
    ("segments", {"op": "flag_is", "flag": "nope", "variations": ["a"]}), ("segments", {"op": "flag_is", "flag": "user", "variations": ["a"]}),
    ("lists", {}), ("lists", {"salt": "s", "sha256": "ab" * 32}), ("lists", {"salt": "s", "sha256": "AB" * 32, "count": 1}), ("lists", {"salt": "s", "sha256": "ab" * 31, "count": 1}),
    ("lists", {"salt": "s", "sha256": "ab" * 32, "count": -1}), ("lists", {"salt": "s", "sha256": "ab" * 32, "count": 1.5}), ("lists", {"salt": "s s", "sha256": "ab" * 32, "count": 1}),
    ("lists", {"salt": "s", "sha256": "ab" * 32, "count": 1, "x": 1}), ("lists", {"salt": "s", "sha256": "zz" * 32, "count": 1}), ("lists", None),
]
USERS = {"layers": experiment("user", layer="x", slots=slots(0, 1000)), "holdouts": targeted(holdouts=["x"]), "segments": targeted({"op": "in_segment", "segment": "x"}),
         "lists": targeted({"op": "in_list", "unit": "user_id", "list": "x"})}


class Maker:
    def __init__(self):
        self.groups = []
        self.names = {}

    def add(self, name, source, effect, asked=("fine", "broken"), lists=None):
        # Not a running number: a case put in later must not rename those behind it.
        self.names[name] = self.names.get(name, 0) + 1
        group = Group(name if self.names[name] == 1 else f"{name} ({self.names[name]})", source, lists)
        written = group.written()
        got = REFUSED if written["error"] else written["unsupported"]
        assert got == effect, (name, got, effect, getattr(group.engine.manifest, "faults", group.refusal))
        for key in asked:
            group.ask(key, key, {"user_id": "user-1", "x": "x"})
        self.groups.append(group)


def named(path, new):
    text = "dropped" if new is DROP else canonical(new)
    return ".".join(map(str, path)) + " = " + (text if len(text) < 80 else text[:77] + "...")


def flags_and_parts(maker):
    many = {"holdouts": {"h": bucket_entry("h-salt", []), **{f"h{at}": bucket_entry(f"h-{at}", []) for at in range(9)}}}
    for effect, table in ((BROKEN, FLAG_BAD), (FINE, FLAG_GOOD)):
        for path, new in table:
            parts = many if path[-1:] == ["holdouts"] else {}
            maker.add(named(path, new), with_flag(changed(full_flag(), path, new), **parts), effect)
    for value in (None, 5, [], "x", {}):
        maker.add(f"flag = {canonical(value)}", with_flag(value), BROKEN)
    for effect, table in ((REFUSED, MANIFEST_BAD), (FINE, MANIFEST_GOOD)):
        for path, new in table:
            maker.add("manifest " + named(path, new), changed(with_flag(flag([targeted()])), path, new), effect, ("fine",))
    for part, entry in PARTS_BAD:
        source = manifest({"fine": flag([experiment("fine")]), "user": flag([USERS[part]])}, **{part: {"x": entry}})
        maker.add(f"{part} {named(['x'], entry)}", source, ["user"], ("fine", "user"))
        maker.add(f"{part} {named(['x'], entry)}, nobody uses it", changed(source, ["flags", "user"], flag()), FINE, ("fine", "user"))
    for number in (250, 251):
        values = {f"v{at}": at for at in range(number)}
        maker.add(f"{number} variations", with_flag(flag([targeted(serve="v249")], "int", values, "v0", "v1")), FINE if number == 250 else BROKEN)
    for number in (100, 101):
        values = {f"v{at}": at for at in range(number)}
        split = draws("exp-split", [[at, at + 1, f"v{at}"] for at in range(number)])
        maker.add(f"a split of {number} variations", with_flag(flag([{**experiment(), "split": split}], "int", values, "v0", "v1")), FINE if number == 100 else BROKEN)
    for number in (10000, 10001):
        maker.add(f"{number} overrides", with_flag(flag(overrides={"d": {"1": "a"}, "u": {f"{at}": "a" for at in range(number - 1)}})), FINE if number == 10000 else BROKEN)
    for kind, good, bad in (("bool", ["true", "false"], ["0", "1", '"true"', "null"]), ("string", ['""'], ["0", "null", "[]", '"\\ud800"', '"\\udc00\\ud800"']),
                            ("int", ["0", "1e3", "9007199254740991"], ["0.5", "9007199254740992", "-9007199254740992", "1e16", '"0"', "null", "true", "1e400"]),
                            ("float", ["0.5", "1e308"], ["1e309", "-1e309", '"0.5"', "null"]),
                            ("json", ["null", '"' + "x" * 65534 + '"', "[" * 64 + "]" * 64, '{"a":1,"b":1}'],
                             ['"' + "x" * 65535 + '"', "[" * 65 + "]" * 65, '{"a":1,"a":1}', '{"a":1,"\\u0061":2}', '"\\ud800"', '{"\\ud800":1}', "1e309", '[[{"a":[1e309]}]]'])):
        for effect, values in ((FINE, good), (BROKEN, bad)):
            for at, value in enumerate(values):
                text = canonical(with_flag(flag(kind=kind, values={"off": "PLACE", "default": "PLACE"}))).replace('"PLACE"', value)
                maker.add(f"{kind} {effect} {at}", text, effect)


def expressions(maker):
    parts = {"lists": {"ids": describe("ids", make_blob("ids", ["u"]))}}
    for effect, table in ((BROKEN, EXPRESSIONS_BAD), (FINE, EXPRESSIONS_GOOD)):
        for name, expression in table:
            text = canonical(with_flag(flag([targeted("PLACE")]), **parts)).replace('"PLACE"', expression if isinstance(expression, str) else canonical(expression))
            maker.add("when " + name, text, effect, lists={"ids": make_blob("ids", ["u"])})
    for good, pattern in patterns():
        maker.add(f"pattern {pattern!a}"[:100], with_flag(flag([targeted({"op": "regex_match", "attr": "x", "value": pattern})])), FINE if good else BROKEN)


def build() -> str:
    from sets.manifest_structure import structure

    maker = Maker()
    flags_and_parts(maker)
    expressions(maker)
    structure(maker)
    return write_groups(maker.groups)
