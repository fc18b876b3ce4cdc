"""`evaluate.json`: whole manifests → decisions: every reason that a manifest can lead to, every step of every kind of rule, one step varied at a time."""

import itertools
import json

from authoring import EVERYBODY, NOW, Group, bucket_entry, draws, experiment, flag, manifest, rollout, targeted, write_groups
from bucketing import bound, slots
from evaluation import REASONS
from hash_search import unit_with_hash
from id_list import describe, make_blob
from operators import obfuscated
from sets.values import values_group

MOST = (1 << 53) - 1
LOW, HIGH = [[0, 1 << 31]], [[1 << 31, 1 << 32]]
US = {"op": "str_eq", "attr": "country", "value": "US"}


def held_unit(salt, below=True):
    return unit_with_hash(salt, 1000 if below else (1 << 32) - 1000)


def states_group() -> Group:
    rules = [experiment()]
    flags = {state: flag(rules, state=state) for state in ("live", "killed", "archived")}
    flags["no rules"] = flag()
    flags["one variation"] = flag(values={"only": "x"}, off="only", default="only")
    for state in ("running", "paused", "killed"):
        flags["experiment " + state] = flag([experiment(state, traffic=5000, state=state, when=US, sticky=True), rollout(serve="b", name="next")])
    flags["paused without a share of the split"] = flag([{**experiment("empty", state="paused"), "split": draws("empty-split", [[0, 1, "a"]])}])
    group = Group("states", manifest(flags))
    for key in ("live", "killed", "archived", "no rules", "one variation", "paused without a share of the split", "no such flag", "", "$live"):
        for unit in ("user-42", "user-43", 7, None):
            group.ask(f"{key!r}: {unit!r}", key, {"user_id": unit})
    for state in ("running", "paused", "killed"):
        salt = state + "-traffic"
        inside, outside = held_unit(salt), held_unit(salt, False)
        for unit in (inside, outside, None):
            for country in ("US", "CA", None):
                for record in (None, "a", "b", "gone"):
                    sticky = [{"experiment": state, "phase": 1, "unit": unit or "", "variation": record}] if record else []
                    group.ask(f"{state}: {unit} {country} sticky {record}", "experiment " + state, {"user_id": unit, "country": country}, sticky=sticky)
    return group


def schedule_group() -> Group:
    windows = {"start only": (NOW, None), "end only": (None, NOW), "both": (NOW - 10, NOW + 10), "one millisecond": (NOW, NOW + 1), "neither": (None, None),
               "before 1970": (-10, -5), "around 1970": (-1, 1), "farthest": (-MOST, MOST)}
    flags = {}
    for name, (start, end) in windows.items():
        more = {**({} if start is None else {"start_ms": start}), **({} if end is None else {"end_ms": end})}
        flags[name + " targeted"] = flag([targeted(**more)])
        flags[name + " rollout"] = flag([rollout(**more)])
        flags[name + " experiment"] = flag([experiment(**more)])
    group = Group("schedule", manifest(flags))
    for key in flags:
        for now in (NOW - 11, NOW - 10, NOW - 1, NOW, NOW + 1, NOW + 9, NOW + 10, 0, -1, 1, -5, -6, -10, -11, MOST, MOST - 1, -MOST):
            group.ask(f"{key}: {now}", key, {"user_id": "user-42"}, now_ms=now)
    return group


def order_group() -> Group:
    """Which rule decides, and what a miss of each step leads to."""
    first = experiment("first", traffic=5000, layer="l", slots=slots(0, 500), when=US, holdouts=["h"], start_ms=NOW, end_ms=NOW + 100,
                       requires=[{"flag": "gate", "variations": ["a"]}], sticky=True)
    second = rollout(5000, "b", "second", "device_id", "second-salt", when={"not": US})
    third = targeted({"op": "is_present", "attr": "vip"}, "a", "third")
    gate = flag([targeted({"op": "bool_is", "attr": "gate", "value": True})])
    parts = {"layers": {"l": bucket_entry("l-salt", None)}, "holdouts": {"h": bucket_entry("h-salt", [[0, bound(1000, 10000)]], "account_id")}}
    group = Group("order", manifest({"flag": flag([first, second, third]), "gate": gate}, **parts))
    for layer_low in (True, False):
        units = [held_unit("first-traffic", low) for low in (True, False)] + [held_unit("l-salt", layer_low), "user-1", "user-2", "user-3", 12, None]
        for unit in units:
            for country in ("US", "CA", None):
                for more in ({}, {"vip": 1}, {"device_id": "d-1"}, {"device_id": "d-2", "account_id": "acc"},
                             {"account_id": held_unit("h-salt"), "vip": False}):
                    for now, gated in ((NOW, True), (NOW, False), (NOW + 100, True)):
                        context = {"user_id": unit, "country": country, "gate": gated, **more}
                        group.ask(f"{layer_low} {unit} {country} {sorted(more)} {now - NOW} {gated} {len(group.cases)}", "flag", context, now_ms=now)
    return group


def holdouts_group() -> Group:
    parts = {
        "layers": {"l": bucket_entry("l-salt", None)},
        "holdouts": {"half": bucket_entry("half-salt", LOW), "us": {**bucket_entry("us-salt", LOW), "when": US},
                     "device": bucket_entry("device-salt", LOW, "device_id"), "nobody": bucket_entry("nobody-salt", [])},
    }
    every = ["nobody", "us", "device", "half"]
    rules = {
        "targeted": targeted({"op": "is_present", "attr": "t"}, holdouts=every),
        "rollout": rollout(5000, holdouts=every, when={"op": "is_present", "attr": "t"}),
        "experiment": experiment(traffic=5000, layer="l", slots=slots(0, 500), holdouts=every, sticky=True, when={"op": "is_present", "attr": "t"}),
        "paused": experiment(state="paused", holdouts=every),
        "killed": experiment(state="killed", holdouts=every),
        "a split with a gap": {**experiment("gap", holdouts=every), "split": draws("gap-split", [[0, 1 << 31, "a"]])},
        "device only": experiment("device", unit="device_id", holdouts=["half"]),
    }
    flags = {name: flag([rule, targeted(serve="b", name="next")]) for name, rule in rules.items()}
    flags["same holdouts in two rules"] = flag([targeted({"op": "is_present", "attr": "t"}, holdouts=["us"]), targeted(serve="b", name="next", holdouts=["half", "us"])])
    group = Group("holdouts", manifest(flags, **parts))
    units = [held_unit("half-salt"), held_unit("half-salt", False), held_unit("us-salt"), held_unit("us-salt", False), "user-1", "user-4", None]
    devices = [held_unit("device-salt"), held_unit("device-salt", False), None]
    for key in flags:
        for unit in units:
            for device in devices:
                for country in ("US", None):
                    for target in (1, None):
                        sticky = [{"experiment": "exp", "phase": 1, "unit": unit, "variation": "a"}] if unit and country and not device else []
                        context = {"user_id": unit, "device_id": device, "country": country, "t": target}
                        group.ask(f"{key}: {unit} {device} {country} {target}", key, context, sticky=sticky)
    return group


def sticky_group() -> Group:
    flags = {
        "sticky": flag([experiment(sticky=True, phase=3, epoch=2, traffic=5000, when=US), targeted(serve="b", name="next")]),
        "not sticky": flag([experiment(phase=3, epoch=2, traffic=5000, when=US), targeted(serve="b", name="next")]),
        "said to be not sticky": flag([experiment(sticky=False, phase=3)]),
        "sticky in a layer": flag([experiment(sticky=True, phase=3, layer="l", slots=slots(0, 500)), targeted(serve="b", name="next")]),
        "weight zero": flag([experiment("zero", [("off", 10000), ("a", 0)], sticky=True)]),
        "two phases": flag([experiment(sticky=True, phase=1, when={"any": []}), {**experiment("exp", sticky=True, phase=2, when={"any": []}), "id": "rule-2"}]),
        "number": flag([experiment(sticky=True, when={"any": []}, unit="n")]),
    }
    group = Group("sticky", manifest(flags, layers={"l": bucket_entry("l-salt", None)}))
    low, high = held_unit("exp-traffic"), held_unit("exp-traffic", False)
    for key in flags:
        for unit in (low, high, held_unit("l-salt"), held_unit("l-salt", False), None):
            for name, phase, recorded_unit, variation in (("exp", 3, unit, "a"), ("exp", 3, unit, "off"), ("exp", 3, unit, "b"), ("exp", 3, unit, "nope"), ("exp", 2, unit, "a"),
                                                          ("exp", 1, unit, "a"), ("exp", 3, "somebody", "a"), ("EXP", 3, unit, "a"), ("zero", 1, unit, "a"),
                                                          ("zero", 1, unit, "off"), ("exp", 3, "", "a")):
                record = {"experiment": name, "phase": phase, "unit": "" if recorded_unit is None else recorded_unit, "variation": variation}
                for country in ("US", "CA"):
                    group.ask(f"{key} {unit} {len(group.cases)}", key, {"user_id": unit, "country": country}, sticky=[record])
    for value, text in ((5, "5"), (5.0, "5"), ("5", "5"), (-0.0, "0"), (-0.0, "-0"), (5, "5.0"), ("e\u0301", "\u00e9"), ("\u00e9", "\u00e9")):
        group.ask(f"unit {value!a} {type(value).__name__} against {text!a}", "number", {"n": value},
                  sticky=[{"experiment": "exp", "phase": 1, "unit": text, "variation": "a"}])
    both = [{"experiment": "other", "phase": 1, "unit": low, "variation": "off"}, {"experiment": "exp", "phase": 3, "unit": low, "variation": "a"}]
    group.ask("several records", "sticky", {"user_id": low}, sticky=both)
    group.ask("several records, other order", "sticky", {"user_id": low}, sticky=both[::-1])
    return group


def overrides_group() -> Group:
    table = {"user_id": {"u1": "a", "12": "b", "both": "a"}, "device_id": {"d1": "b", "both": "off"}, "Z": {"z": "a"}}
    flags = {
        "plain": flag([targeted(serve="b")], overrides=table),
        "with experiment": flag([rollout(0), experiment("x1", [("off", 5000), ("b", 5000)], phase=4, epoch=7), experiment("x2"), experiment("x3")], overrides=table),
        "with a weight of zero": flag([experiment("zero", [("off", 10000), ("a", 0)])], overrides=table),
        "killed": flag([experiment()], overrides=table, state="killed"),
        "archived": flag([experiment()], overrides=table, state="archived"),
        "paused": flag([experiment(state="paused", phase=2)], overrides=table),
        "ended": flag([experiment(end_ms=NOW)], overrides=table),
        "none": flag([experiment()]),
        "asks the others": flag([targeted({"op": "flag_is", "flag": "plain", "variations": ["a"]}, "a", "r1"),
                                 targeted({"op": "flag_is", "flag": "with experiment", "variations": ["a", "off"]}, "b", "r2")]),
    }
    group = Group("overrides", manifest(flags))
    contexts = [{"user_id": "u1"}, {"user_id": 12}, {"user_id": 12.0}, {"user_id": "both", "device_id": "both"}, {"user_id": "u2", "device_id": "d1"},
                {"Z": "z", "user_id": "u1", "device_id": "d1"}, {"Z": "z", "user_id": "12"}, {"user_id": "U1"}, {}]
    forced = [None, {}, {"plain": "a"}, {"with experiment": "off"}, {"with experiment": "default"}, {"with experiment": "nope", "plain": "nope"}, {"no such flag": "a"},
              {"killed": "a", "archived": "a", "paused": "a", "ended": "b", "none": "a", "with a weight of zero": "off"}, {"plain": "", "none": "default"}]
    for key in flags:
        for at, context in enumerate(contexts):
            for number, pairs in enumerate(forced):
                group.ask(f"{key}: context {at}, forced {number}", key, context, **({} if pairs is None else {"forced": pairs}))
    return group


def prerequisites_group() -> Group:
    asks = {"op": "flag_is", "flag": "base", "variations": ["a", "b"]}
    flags = {
        "base": flag([experiment("base", traffic=5000)]),
        "archived": flag([experiment()], state="archived"),
        "needs base": flag([targeted(requires=[{"flag": "base", "variations": ["a"]}])]),
        "needs base off": flag([targeted(requires=[{"flag": "base", "variations": ["off", "default"]}])]),
        "needs two": flag([targeted(requires=[{"flag": "base", "variations": ["a", "off"]}, {"flag": "archived", "variations": ["off"]}])]),
        "needs nothing": flag([targeted(requires=[])]),
        "needs the unsupported": flag([targeted(requires=[{"flag": "unsupported", "variations": ["off"]}])]),
        "not the unsupported": flag([targeted({"not": {"op": "flag_is", "flag": "unsupported", "variations": ["a"]}})]),
        "not the unready": flag([targeted({"not": {"op": "flag_is", "flag": "unready", "variations": ["a"]}})]),
        "any with the unready": flag([targeted({"any": [{"op": "flag_is", "flag": "unready", "variations": ["off"]}, {"op": "is_present", "attr": "country"}]})]),
        "asks": flag([targeted(asks)]), "asks not": flag([targeted({"not": asks})]),
        "asks in a segment": flag([targeted({"op": "in_segment", "segment": "asking"})]),
        "guarded by asking": flag([targeted(holdouts=["asking"])]),
        "unsupported": flag([targeted({"op": "telepathy", "attr": "x"})]),
        "unready": flag([targeted({"op": "in_list", "unit": "user_id", "list": "absent"})]),
        **{f"chain {n:02}": flag([targeted({"op": "flag_is", "flag": f"chain {n - 1:02}", "variations": ["a"]} if n > 1 else US)]) for n in range(1, 17)},
    }
    parts = {"segments": {"asking": asks}, "holdouts": {"asking": {**bucket_entry("h-salt", EVERYBODY), "when": asks}},
             "lists": {"absent": describe("s", make_blob("s", ["x"]))}}
    group = Group("prerequisites", manifest(flags, **parts))
    for key in flags:
        for unit in (held_unit("base-traffic"), held_unit("base-traffic", False), "user-1", "user-2", None):
            for country in ("US", None):
                group.ask(f"{key}: {unit} {country}", key, {"user_id": unit, "country": country})
        group.ask(f"{key}: base forced", key, {"user_id": "user-1"}, forced={"base": "b"})
        group.ask(f"{key}: base forced to default", key, {}, forced={"base": "default"})
    return group


def lists_group(supplied) -> Group:
    members = ["u1", "12", "\u65e5\u672c", "e\u0301", *(f"user-{n}" for n in range(200))]
    blobs = {"beta": make_blob("beta-salt", members), "empty": make_blob("empty-salt", []), "one": make_blob("one-salt", ["u1"])}
    leaf = {name: {"op": "in_list", "unit": "user_id", "list": name} for name in blobs}
    flags = {name: flag([targeted(leaf[name]), targeted({"not": leaf[name]}, "b", "else")]) for name in blobs}
    flags.update({
        "in a segment": flag([targeted({"op": "in_segment", "segment": "s"})]), "in a segment of a segment": flag([targeted({"op": "in_segment", "segment": "t"})]),
        "in a holdout": flag([targeted(holdouts=["h"])]), "in a later rule": flag([targeted(), targeted(leaf["beta"], "b", "second")]),
        "archived": flag([targeted(leaf["beta"])], state="archived"), "killed": flag([targeted(leaf["beta"])], state="killed"),
        "overridden": flag([targeted(leaf["beta"])], overrides={"user_id": {"u1": "b"}}),
        "asks a flag": flag([targeted({"op": "flag_is", "flag": "beta", "variations": ["a", "b", "off"]})]), "elsewhere": flag([targeted(US)]),
        "ended": flag([targeted(leaf["beta"], end_ms=0)]), "by device": flag([targeted({"op": "in_list", "unit": "device_id", "list": "one"})]),
    })
    parts = {"segments": {"s": leaf["beta"], "t": {"any": [{"op": "in_segment", "segment": "s"}, US]}}, "holdouts": {"h": {**bucket_entry("h-salt", EVERYBODY), "when": leaf["beta"]}},
             "lists": {name: describe(name + "-salt", blob) for name, blob in blobs.items()}}
    given = blobs
    if supplied == "none":
        given = {}
    elif supplied == "spoilt":
        beta = blobs["beta"]
        given = {"beta": beta[:-8], "empty": blobs["empty"] + b"x", "one": b"EHLIST02" + blobs["one"][8:], "unheard of": make_blob("other-salt", ["u1"])}
    elif supplied == "some":
        given = {"one": blobs["one"]}
    group = Group("id lists, supplied: " + supplied, manifest(flags, **parts), given)
    for key in flags:
        for unit in ("u1", 12, "12", "\u65e5\u672c", "\u00e9", "e\u0301", "user-199", "user-200", "", None):
            group.ask(f"{key}: {unit!a}", key, {"user_id": unit, "device_id": "u1"})
        group.ask(f"{key}: forced", key, {"user_id": "u1"}, forced={key: "a"})
    return group


def malformed_lists_group() -> Group:
    """Blobs whose SHA-256 is right and whose inside is wrong."""
    good = make_blob("s", [f"u{n}" for n in range(10)])
    entries = [good[at : at + 8] for at in range(16, len(good), 8)]
    blobs = {"magic": b"EHLIST02" + good[8:], "order": good[:16] + b"".join(entries[::-1]), "double": good[:16] + b"".join(entries[:9] + entries[8:9]),
             "count too high": good[:8] + (11).to_bytes(8, "little") + good[16:], "count big-endian": good[:8] + (10).to_bytes(8, "big") + good[16:],
             "cut": good[:-1], "tail": good + b"\x00", "nothing": b"", "head only": good[:8], "count in the manifest": good, "good": good}
    described = {name: {**describe("s", blob), "count": 11 if name == "count in the manifest" else 10} for name, blob in blobs.items()}
    group = Group("id lists, malformed", manifest({name: flag([targeted({"op": "in_list", "unit": "user_id", "list": name})]) for name in blobs}, lists=described), blobs)
    for name in blobs:
        expect = group.ask(name, name, {"user_id": "u3"})
        assert expect["reason"] == ("TARGETED" if name == "good" else "NOT_READY"), name
    return group


def segments_group() -> Group:
    segments = {"us": US, "nested": {"all": [{"op": "in_segment", "segment": "us"}, {"op": "is_present", "attr": "x"}]}, "nobody": {"any": []}, "everybody": {"all": []},
                "half": {"op": "in_bucket", "unit": "user_id", "hash": "murmur3_32", "salt": "half", "ranges": LOW}}
    flags = {}
    for name in segments:
        leaf = {"op": "in_segment", "segment": name}
        flags[name] = flag([targeted(leaf), targeted({"not": leaf}, "b", "else")])
    group = Group("segments", manifest(flags, segments=segments))
    for key in flags:
        for context in ({}, {"country": "US"}, {"country": "CA"}, {"country": 5}, {"country": "US", "x": 1}, {"x": 1}, {"user_id": "user-1"}, {"user_id": "user-2"}, {"user_id": True}):
            group.ask(f"{key}: {context}", key, context)
    return group


def obfuscated_group() -> Group:
    salt = "obf_2026-salt"

    def hide(text):
        return obfuscated(salt, text)

    flags = {
        hide("checkout"): flag([experiment("x7Qm", traffic=9000, layer="lA9", slots=slots(0, 900), holdouts=["hB2"],
                                           when={"op": "str_in_sha256", "attr": "country", "values": [hide("US"), hide("D\u00c9")]})]),
        hide("banner"): flag([targeted({"op": "str_eq_ci_sha256", "attr": "plan", "value": hide("pro")}), targeted({"op": "flag_is", "flag": hide("checkout"), "variations": ["a"]}, "b", "r2")]),
        hide("after checkout"): flag([targeted(requires=[{"flag": hide("checkout"), "variations": ["a", "off"]}])]),
    }
    parts = {"layers": {"lA9": bucket_entry("layer-salt", None)}, "holdouts": {"hB2": bucket_entry("hold-salt", [[0, bound(500, 10000)]])}}
    group = Group("obfuscated", manifest(flags, audience="client", obfuscation={"salt": salt}, **parts))
    for key in ("checkout", "banner", "after checkout", "Checkout", "nothing", hide("checkout")):
        for number in range(12):
            for more in ({"country": "US"}, {"country": "us", "plan": "PRO"}, {"geo": "D\u00c9", "plan": "basic"}, {}):
                group.ask(f"{key}: {number} {sorted(more.values())}", key, {"user_id": f"user-{number}", **more})
        group.ask(f"{key}: forced", key, {"user_id": "user-1"}, forced={"checkout": "b"})
        group.ask(f"{key}: forced under the hashed key", key, {"user_id": "user-1"}, forced={hide("checkout"): "b"})
    return group


def no_manifest_group() -> Group:
    group = Group("no manifest", "{")
    group.ask("any flag", "checkout", {"user_id": "user-1"})
    group.ask("no context", "checkout", {})
    group.ask("typed", "checkout", {"user_id": "user-1"}, type="bool")
    group.ask("forced", "checkout", {"user_id": "user-1"}, forced={"checkout": "a"})
    return group


def override_order_group() -> Group:
    """Unit types are asked in the byte order of their names, wherever the manifest has them."""
    # In UTF-16 the emoji would come before the wide tilde; with case folded, Z behind a.
    names = ["\U0001f600", "\uff5e", "user_id", "device_id", "Z"]
    table = {name: {"u": variation} for name, variation in zip(names, ("off", "default", "a", "b", "a"))}
    assert sorted(names) != names
    text = json.dumps(manifest({"f": flag([experiment()], overrides=table)}), ensure_ascii=False)
    group = Group("overrides, unit types out of order", text)
    for present in itertools.product((False, True), repeat=5):
        context = {name: "u" for name, there in zip(names, present) if there}
        group.ask(f"units: {list(context)}", "f", context)
    return group


def agreed_count_group() -> Group:
    """The manifest and the head of the blob agree on a count, and the entries do not."""
    good = make_blob("s", [f"u{n}" for n in range(10)])
    blobs = {str(count): good[:8] + count.to_bytes(8, "little") + good[16:] for count in (0, 1, 9, 10, 11, 1 << 31)}
    blobs["empty"] = good[:8] + bytes(8)
    described = {name: {**describe("s", blob), "count": int.from_bytes(blob[8:16], "little")} for name, blob in blobs.items()}
    flags = {name: flag([targeted({"op": "in_list", "unit": "user_id", "list": name})]) for name in blobs}
    group = Group("id lists, a count that both have wrong", manifest(flags, lists=described), blobs)
    for name in blobs:
        expect = group.ask(name, name, {"user_id": "u3"})
        assert expect["reason"] == {"10": "TARGETED", "empty": "DEFAULT"}.get(name, "NOT_READY"), (name, expect["reason"])
    return group


def build() -> str:
    groups = [states_group(), schedule_group(), order_group(), holdouts_group(), sticky_group(), overrides_group(), prerequisites_group(),
              *(lists_group(supplied) for supplied in ("all", "none", "some", "spoilt")), malformed_lists_group(), segments_group(), obfuscated_group(),
              values_group(), no_manifest_group(), override_order_group(), agreed_count_group()]
    seen = {case["expect"]["reason"] for group in groups for case in group.cases}
    # ERROR is an internal fault: no input leads to it.
    assert seen == set(REASONS) - {"ERROR"}, set(REASONS) - seen
    return write_groups(groups)
