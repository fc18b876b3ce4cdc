"""Variations of every type, their canonical values, and typed asks. Part of `evaluate.json`."""

from authoring import Group, experiment, flag, manifest, targeted

# Written as text, because how a number is written is the point.
VALUES = {
    "bool": ["true", "false"],
    "string": ['""', '"plain"', '"\\u00e9"', '"e\\u0301"', '"\\ud83d\\ude00"', '"quote \\" backslash \\\\ slash \\/"', '"\\u0000\\u0001\\u001f\\u007f\\u0080"', '"\\b\\f\\n\\r\\t"',
               '"\\u2028\\u2029"', '"\\uffff"', '"true"', '"5"'],
    "int": ["0", "-0", "5", "5.0", "5e0", "50e-1", "0.5e1", "-7", "9007199254740991", "-9007199254740991", "9007199254740991.0", "9.007199254740991e15", "1e15"],
    "float": ["0", "-0", "-0.0", "0.5", "5", "5.0", "1e21", "1e20", "123456789012345680000", "1e-6", "1e-7", "1.5E+3", "1.7976931348623157e308", "5e-324", "2.2250738585072014e-308",
              "0.1", "0.30000000000000004", "333333333.33333329", "9007199254740993", "4.50", "2e-3", "1e23", "-1e-5", "295147905179352830000", "1e-400"],
    "json": ["null", "true", "5", '"text"', "[]", "{}", "[ ]", '{ "b" : 1 , "a" : [ 1.0 , 2e1 , -0 ] }', '{"\\u20ac":1,"\\r":2,"1":3,"\\ud83d\\ude00":4,"\\ufb33":5,"\\u00f6":6,"\\u0080":7}',
             "[" * 64 + "]" * 64, '{"a":{"a":{"a":[{"a":null}]}}}', '{"meta":1,"key":2,"value":3,"$special":"nan"}', '["\\u0007","</script>","\\u007f"]', "[56.0,1E30,4.50,0.002,1e-27]"],
}


def values_group() -> Group:
    flags, texts = {}, {}
    for kind, values in VALUES.items():
        for at, value in enumerate(values):
            key = f"{kind} {at:02}"
            rule = targeted({"op": "is_present", "attr": "x"}, "off")
            flags[key] = flag([rule], kind, {"off": "PLACE-" + key, "default": "PLACE-" + key})
            texts[f'"PLACE-{key}"'] = value
    for kind, values in (("int", {"off": 0, "a": 1}), ("json", {"off": None, "a": {"on": True}}), ("float", {"off": 0, "a": 1.5}), ("bool", {"off": False, "a": True})):
        flags[kind + " experiment"] = flag([experiment()], kind, values, default="off")
    broken = {"type": "int", "variations": [{"key": "off", "value": 0}, {"key": "off", "value": 1}], "off": "off", "default": "off"}
    flags["unreadable"] = broken
    flags["readable"] = {**broken, "variations": [{"key": "off", "value": 0}], "rules": "none"}
    from canonical_json import canonical

    text = canonical(manifest(flags))
    for place, value in texts.items():
        text = text.replace(place, value)
    group = Group("values and types", text)
    asked = ("bool", "string", "int", "float", "json")
    for key in flags:
        group.ask(f"{key}: not typed", key, {"user_id": "user-1"})
        group.ask(f"{key}: the rule's", key, {"user_id": "user-2", "x": 1})
        if key.endswith("00") or not key[-1].isdigit():
            for kind in asked:
                group.ask(f"{key}: asked for {kind}", key, {"user_id": "user-1"}, type=kind)
    for kind in asked:
        group.ask(f"unknown flag asked for {kind}", "nothing", {}, type=kind)
    assert group.written()["unsupported"] == ["readable", "unreadable"], group.engine.manifest.faults
    return group
