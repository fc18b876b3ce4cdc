"""What concerns more than one flag, or the text itself: names twice, circles, depth, cost, JSON, keys. Part of `manifest_errors.json`."""

from authoring import EVERYBODY, Group, bucket_entry, experiment, flag, manifest, targeted
from canonical_json import canonical
from operators import obfuscated
from sets.manifest_errors import BROKEN, FINE, REFUSED, full_flag, with_flag


def asks(other, variations=("a",)):
    return {"op": "flag_is", "flag": other, "variations": list(variations)}


def asking(*others):
    return flag([targeted({"any": [asks(other) for other in others]})])


def graph(edges, **parts):
    return manifest({"fine": flag([experiment("fine")]), **{key: asking(*others) if others else flag([targeted()]) for key, others in edges.items()}}, **parts)


def circles(maker):
    broken = {**flag(), "colour": 1}
    tables = [
        ("one", {"a": ["a"]}, ["a"]), ("two", {"a": ["b"], "b": ["a"]}, ["a", "b"]), ("three", {"a": ["b"], "b": ["c"], "c": ["a"]}, ["a", "b", "c"]),
        ("leading in", {"a": ["b"], "b": ["c"], "c": ["b"], "d": ["a", "fine"]}, ["b", "c"]), ("leading out", {"a": ["b"], "b": ["a", "c"], "c": []}, ["a", "b"]),
        ("two circles and a bridge", {"a": ["b"], "b": ["a", "bridge"], "bridge": ["c"], "c": ["d"], "d": ["c"]}, ["a", "b", "c", "d"]),
        ("two circles through one", {"a": ["b", "c"], "b": ["a"], "c": ["a"]}, ["a", "b", "c"]), ("a diamond is none", {"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}, []),
        ("itself twice", {"a": ["a", "a"]}, ["a"]), ("twice the same", {"a": ["b", "b"], "b": []}, []),
    ]
    for name, edges, effect in tables:
        maker.add("circle: " + name, graph(edges), effect, ("fine", *edges))
    edges = {"a": ["b"], "b": ["a"]}
    source = graph(edges)
    source["flags"]["b"] = {**asking("a"), "colour": 1}
    maker.add("circle: broken by a fault", source, ["b"], ("fine", "a", "b"))
    source = graph(edges)
    source["flags"]["b"] = flag([targeted(asks("a", ["nope"]))])
    maker.add("circle: broken by an unknown variation", source, ["b"], ("fine", "a", "b"))
    source["flags"]["c"] = flag([targeted(asks("b", ["nope"]))])
    maker.add("unknown variation of an unsupported flag that can be read", source, ["b", "c"], ("fine", "a", "b", "c"))
    source["flags"]["b"] = {"type": "string"}
    maker.add("unknown variation of an unsupported flag that can't be read", source, ["b"], ("fine", "a", "b", "c"))
    source["flags"]["b"] = {**broken, "variations": broken["variations"][:2]}
    maker.add("a variation that only the last reading had", source, ["a", "b", "c"], ("fine", "a", "b", "c"))
    maker.add("circle: requires", manifest({"fine": flag([experiment("fine")]), "a": flag([targeted(requires=[{"flag": "b", "variations": ["a"]}])]), "b": asking("a")}), ["a", "b"], ("fine", "a", "b"))
    maker.add("circle: through a segment", graph({"b": ["a"]} | {"a": []}, segments={"s": asks("b")}) | {}, [], ("fine", "a", "b"))
    for name, part in (("segment", {"segments": {"s": asks("b")}}), ("segment of a segment", {"segments": {"s": {"op": "in_segment", "segment": "t"}, "t": {"not": asks("b")}}})):
        source = graph({"b": ["a"]}, **part)
        source["flags"]["a"] = flag([targeted({"op": "in_segment", "segment": "s"})])
        maker.add("circle: through a " + name, source, ["a", "b"], ("fine", "a", "b"))
    source = graph({"b": ["a"]}, holdouts={"h": {**bucket_entry("h", []), "when": asks("b")}})
    source["flags"]["a"] = flag([targeted(holdouts=["h"])])
    maker.add("circle: through a holdout", source, ["a", "b"], ("fine", "a", "b"))
    segment = {"op": "in_segment"}
    for name, segments, effect in (("itself", {"s": {**segment, "segment": "s"}}, BROKEN), ("two", {"s": {**segment, "segment": "t"}, "t": {"not": {**segment, "segment": "s"}}}, BROKEN),
                                   ("leading in", {"s": {**segment, "segment": "t"}, "t": {**segment, "segment": "t"}}, BROKEN), ("another's", {"s": {"all": []}, "t": {**segment, "segment": "t"}}, FINE),
                                   ("a diamond is none", {"s": {"all": [{**segment, "segment": "t"}, {**segment, "segment": "u"}]}, "t": {**segment, "segment": "u"}, "u": {"all": []}}, FINE)):
        maker.add("circle of segments: " + name, with_flag(flag([targeted({**segment, "segment": "s"})]), segments=segments), effect)


def depth_and_cost(maker):
    chain = {f"c{at:02}": [f"c{at - 1:02}"] if at > 1 else [] for at in range(1, 21)}
    maker.add("depth: the 17th of a chain", graph(chain), ["c17"], ("fine", *chain))
    nested = {"op": "is_present", "attr": "x"}
    for _ in range(30):
        nested = {"not": nested}
    for name, wraps, effect in (("31 deep and in_segment", 0, FINE), ("32", 1, BROKEN)):
        expression = {"op": "in_segment", "segment": "s"}
        for _ in range(wraps):
            expression = {"not": expression}
        maker.add("depth of a segment: " + name, with_flag(flag([targeted(expression)]), segments={"s": nested}), effect)
    steps = {f"s{at:02}": {"op": "in_segment", "segment": f"s{at - 1:02}"} if at else {"op": "is_present", "attr": "x"} for at in range(40)}
    for last, effect in ((30, FINE), (31, BROKEN), (39, BROKEN)):
        maker.add(f"depth of a chain of segments: s{last}", with_flag(flag([targeted({"op": "in_segment", "segment": f"s{last}"})]), segments=steps), effect)
    leaves = {"any": [{"op": "is_present", "attr": "x"}] * 1000}
    thousand = {"segments": {"k": leaves}}  # costs 1,000; a leaf that names it 1,001
    for count, more, effect in ((99, 901, FINE), (99, 902, BROKEN)):
        expression = {"all": [{"any": [{"op": "in_segment", "segment": "k"}] * count}, {"any": [{"op": "is_present", "attr": "y"}] * more}]}
        maker.add(f"cost: {count} segments of 1,001 and {more}", with_flag(flag([targeted(expression)]), **thousand), effect)
    doubling = {"d00": {"op": "is_present", "attr": "x"}, **{f"d{at:02}": {"any": [{"op": "in_segment", "segment": f"d{at - 1:02}"}] * 2} for at in range(1, 16)}}
    for last, effect in ((14, FINE), (15, BROKEN)):  # cost 3 * 2^n - 2: 49,150 and 98,302, and 1 for the leaf that names it
        maker.add(f"cost: segments that double, d{last}", with_flag(flag([targeted({"op": "in_segment", "segment": f"d{last}"}), *([targeted(leaves, name="r2")] if last == 14 else
                  [targeted(leaves, name="r2"), targeted(leaves, name="r3")])]), segments=doubling), effect)
    base = flag([targeted(leaves)])
    for name, effect in (("99 flags of 1,001, a rule, 901", FINE), ("99 flags of 1,001, a rule, 902", BROKEN)):
        more = int(name[-3:])
        rule = targeted({"all": [{"any": [asks("base")] * 99}, {"any": [{"op": "is_present", "attr": "y"}] * more}]})
        maker.add("cost: " + name, changed_flags(with_flag(flag([rule])), base=base), effect)
    rule = targeted(holdouts=["h"], requires=[{"flag": "base", "variations": ["a"]}] * 98)
    for more, effect in ((901, FINE), (902, BROKEN)):  # 98 * 1,001 + (1 + 1,000) + more
        maker.add(f"cost: requires and a holdout, {more}", changed_flags(with_flag(flag([rule, targeted({"any": [{"op": "is_present", "attr": "y"}] * more}, name="r2")]),
                  holdouts={"h": {**bucket_entry("h", []), "when": leaves}}), base=base), effect)
    dear = targeted({"all": [{"any": [asks("base")] * 99}, {"any": [{"op": "is_present", "attr": "y"}] * 902}]})
    maker.add("cost: an unsupported flag counts nothing", changed_flags(with_flag(flag([targeted({"any": [asks("dear")] * 50})])), base=base, dear=flag([dear])), ["dear"], ("fine", "broken", "dear"))


def changed_flags(source, **flags):
    return {**source, "flags": {**source["flags"], **flags}}


def text_and_keys(maker):
    text = canonical(with_flag(full_flag()))
    maker.add("text: as it is", text, FINE)

    def replaced(old, new, whole=None):
        whole = whole or text
        assert whole.count(old) >= 1, old
        return whole.replace(old, new, 1)

    one = '"version":17'
    for name, source in (
        ("empty", ""), ("blank", "  \n"), ("cut", text[:-1]), ("two values", text + "{}"), ("byte order mark", "\ufeff" + text), ("trailing comma", text[:-1] + ",}"), ("comment", text + "//x"), ("single quotes", text.replace('"', "'")),
        ("NaN", replaced(one, '"version":NaN')), ("leading zero", replaced(one, '"version":017')), ("plus", replaced(one, '"version":+17')), ("bare point", replaced(one, '"version":17.')), ("hex", replaced(one, '"version":0x11')),
        ("control character in a string", replaced('"production"', '"pro\nduction"')), ("unknown escape", replaced('"production"', '"\\x41"')), ("half an escape", replaced('"production"', '"\\u00"')),
        ("no-break space between", replaced(one, '\u00a0"version":17')), ("form feed between", replaced(one, '\f"version":17')), ("NaN in meta", replaced("{", '{"meta":NaN,')), ("broken inside a flag", replaced('"kind":"targeted"', '"kind":targeted')),
        ("version written 17.0", replaced(one, '"version":17.0')), ("version written 1.7e1", replaced(one, '"version":1.7e1')), ("schema written 1.0", replaced('"production",', '"production",').replace('"schema":1,"segments"', '"schema":1.0,"segments"')),
        ("version twice", replaced(one, '"version":17,"version":17')), ("flags twice", replaced('"flags":{', '"flags":{},"flags":{')), ("a flag twice", replaced('"broken":{', '"fine":{},"broken":{')), ("a segment twice", replaced('"segments":{', '"segments":{"s":{"all":[]},')),
        ("a layer twice", replaced('"layers":{', '"layers":{"l":5,')), ("meta twice", replaced("{", '{"meta":1,"meta":2,')), ("lone surrogate in environment", replaced('"production"', '"\\ud800"')), ("lone surrogate in a flag key", replaced('"broken":{', '"\\ud800":{},"broken":{')),
        ("issued beyond 2^53", replaced('"issued_at_ms":1700000000000', '"issued_at_ms":9007199254740992')), ("issued -0", replaced('"issued_at_ms":1700000000000', '"issued_at_ms":-0')),
    ):
        maker.add("text: " + name, source, REFUSED, ("fine",))
    for name, source, effect in (
        ("blanks between", " \t\r\n" + text.replace(",", " ,\n\t ").replace(":", " : ") + "\r\n", FINE), ("names twice inside meta", replaced('"owner":"x"', '"owner":"x","owner":"y"'), FINE), ("lone surrogate inside meta", replaced('"owner":"x"', '"owner":"\\udc00"'), FINE),
        ("1e999 inside meta", replaced('"owner":"x"', '"owner":1e999'), FINE), ("escaped names", replaced('"kind":"experiment"', '"\\u006bind":"e\\u0078periment"'), FINE), ("names twice inside the manifest's meta", replaced("{", '{"meta":{"a":1,"a":2},'), FINE),
        ("a name twice in a flag", replaced('"default":"default"', '"default":"default","default":"default"'), BROKEN), ("type twice in a flag", replaced('"type":"string"', '"type":"string","type":"string"', text), BROKEN),
        ("escaped name twice in a flag", replaced('"default":"default"', '"default":"default","d\\u0065fault":"default"'), BROKEN), ("a name twice in a rule", replaced('"kind":"targeted"', '"kind":"targeted","kind":"targeted"'), BROKEN),
        ("meta twice in a rule", replaced('"meta":{"owner":"x"}', '"meta":1,"meta":2'), BROKEN), ("a name twice in a draw", replaced('"salt":"exp-traffic"', '"salt":"exp-traffic","salt":"exp-traffic"'), BROKEN), ("a name twice in a variation", replaced('"key":"a"', '"key":"a","key":"a"'), BROKEN),
        ("a unit twice in overrides", replaced('"u9":"a"', '"u9":"a","u9":"a"'), BROKEN), ("phase written 1.0", replaced('"phase":1', '"phase":1.0'), BROKEN + ["fine"] if text.index('"phase":1') > text.index('"fine":{') else BROKEN),
        ("range written 0.0", replaced('"ranges":[[0,', '"ranges":[[0.0,'), BROKEN), ("range written -0", replaced('"ranges":[[0,', '"ranges":[[-0,'), BROKEN), ("range written 0e0", replaced('"ranges":[[0,', '"ranges":[[0e0,'), BROKEN),
        ("start written 0e1", replaced('"start_ms":0', '"start_ms":0e1'), BROKEN), ("lone surrogate in an override's unit", replaced('"u9"', '"\\ud83d"'), BROKEN), ("a name twice in a layer", replaced('"l":{', '"l":{"hash":"murmur3_32",'), BROKEN),
        ("a name twice in a holdout", replaced('"h":{', '"h":{"hash":"murmur3_32",'), BROKEN),
    ):
        maker.add("text: " + name, source, effect)
    for name, key in (("empty", ""), ("$", "$"), ("$ first", "$ref"), ("257 bytes", "x" * 257), ("258 bytes in 129 characters", "\u00e9" * 129)):
        maker.add("flag key: " + name, changed_flags(with_flag(flag()), **{key: flag([targeted()])}), [key], ("fine", key))
    for name, key in (("256 bytes", "x" * 256), ("$ inside", "a$b"), ("NUL", "a\x00b"), ("emoji", "\U0001f600"), ("blank", " "), ("NFD", "e\u0301")):
        maker.add("flag key: " + name, changed_flags(with_flag(flag()), **{key: flag([targeted()])}), FINE, ("fine", key, "\u00e9"))
    maker.add("unsupported flags in byte order", changed_flags(with_flag(flag()), **{key: {} for key in ("b", "a", "B", "\uffff", "\U00010000", "ab", "a b")}),
              sorted(["b", "a", "B", "\uffff", "\U00010000", "ab", "a b"], key=lambda key: key.encode("utf-8")), ("fine", "\uffff"))
    obfuscation(maker)


def obfuscation(maker):
    salt = "S_1-x"
    hashed = {"op": "str_in_sha256", "attr": "x", "values": ["0123456789abcdef"]}
    client = {"audience": "client", "obfuscation": {"salt": salt}}
    key, fine = obfuscated(salt, "broken"), obfuscated(salt, "fine")
    for name, leaf, good in (("well", hashed, True), ("upper case", {**hashed, "values": ["0123456789ABCDEF"]}, False), ("15 digits", {**hashed, "values": ["0123456789abcde"]}, False), ("17 digits", {**hashed, "values": ["0" * 17]}, False),
                             ("no digits", {**hashed, "values": ["g" * 16]}, False), ("none", {**hashed, "values": []}, False), ("one good, one bad", {**hashed, "values": ["0" * 16, "x"]}, False),
                             ("plain operators stay", {"op": "str_eq", "attr": "x", "value": "x"}, True), ("equal", {"op": "str_eq_ci_sha256", "attr": "x", "value": obfuscated(salt, "x")}, True), ("equal, a number", {"op": "str_eq_sha256", "attr": "x", "value": 5}, False),
                             ("over", {**hashed, "over": "none"}, True), ("a plain reference", {"op": "flag_is", "flag": "fine", "variations": ["a"]}, False), ("a hashed reference", {"op": "flag_is", "flag": fine, "variations": ["a"]}, True)):
        maker.add("obfuscated operand: " + name, manifest({key: flag([targeted(leaf)]), fine: flag()}, **client), [] if good else [key])
    for name, value in (("no salt", {}), ("bad salt", {"salt": "a b"}), ("empty salt", {"salt": ""}), ("long salt", {"salt": "x" * 65}), ("unknown field", {"salt": "x", "hash": "sha256"}), ("salt twice", None)):
        text = canonical(manifest({fine: flag()}, audience="client", obfuscation=value if value is not None else {"salt": "x"}))
        maker.add("obfuscation: " + name, text if value is not None else text.replace('"salt":"x"', '"salt":"x","salt":"x"'), REFUSED, ("fine",))


def structure(maker):
    circles(maker)
    depth_and_cost(maker)
    text_and_keys(maker)
