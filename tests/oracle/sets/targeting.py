"""`targeting.json`: every operator × every type of value, alone and over lists; Kleene's tables; the edges of each format.

Each flag serves `true` where its expression is true, `false` where its negation is, else `unknown`.
"""

import itertools

from authoring import NOW, Group, flag, manifest, targeted, write_groups
from operators import LEAVES, fold, obfuscated
from sets.format_edges import compare_groups, single_groups

VALUES = {"unknown": "unknown", "true": "true", "false": "false"}
MARK = {"nan": ("nan",), "inf": ("nan",), "-inf": ("nan",), "lone_surrogate": ("lone_surrogate",)}


def three_valued(expression) -> dict:
    rules = [targeted(expression, "true", "t"), targeted({"not": expression}, "false", "f")]
    return flag(rules, values=VALUES, off="unknown", default="unknown")


# name → (operand, values that are of its type: first those it is true for)
STRINGS = ["US", "us", "Us", "USA", "AUS", "aus", "xUSx", "U", "", "\u00da\u0053", "\uff35\uff33", "u\u017f"]
OPERANDS = {
    "str_eq": ("US", STRINGS), "str_in": (["CA", "US"], STRINGS), "str_prefix": (["CA", "US"], STRINGS), "str_suffix": (["CA", "US"], STRINGS),
    "str_contains": (["CA", "US"], STRINGS),
    "num_eq": (5, [5, 5.0, -5, 0, 6, 5.000000000000001]), "num_lt": (5, [4, 5, 6, 4.999, -1e300]), "num_lte": (5, [4, 5, 6, 5.0]),
    "num_gt": (5, [6, 5, 4, 5.001, 1e300]), "num_gte": (5, [6, 5, 4, 5.0]), "num_in": ([1, 2.5, 5], [5, 2.5, 1.0, 2, 3]),
    "bool_is": (True, [True, False]),
    "regex_match": ("^U[SK]$", ["US", "UK", "us", "USA", " US", "US\n", ""]),
    "ip_in_cidr": (["10.0.0.0/8", "2001:db8::/32"], ["10.1.2.3", "11.0.0.0", "2001:db8::1", "2001:db9::", "::ffff:10.0.0.1", "10.0.0", "US"]),
}
for _order in ("eq", "lt", "lte", "gt", "gte"):
    OPERANDS["semver_" + _order] = ("1.2.3", ["1.2.3", "1.2.2", "1.2.4", "1.2.3-rc.1", "1.2.3+b", "1.2", "v1.2.3", "1.10.0"])
    OPERANDS["dotted_" + _order] = ("1.2", ["1.2", "1.2.0", "1.1.9", "1.2.1", "1.10", "01.2", "1.2.", "1.2a"])
    if _order != "eq":
        OPERANDS["date_" + _order] = ("2023-11-14T22:13:20Z", ["2023-11-14T22:13:20Z", "2023-11-14T22:13:19.999Z", "2023-11-15T00:00:00Z",
                                                              NOW, NOW - 1, NOW + 1, NOW + 0.5, "2023-11-14"])
        OPERANDS["age_" + _order] = (1000, [NOW - 1000, NOW - 999, NOW - 1001, NOW, NOW + 5000, "2023-11-14T22:13:19Z", "2023-11-14T22:13:18.500Z", 0.5])
for _base in ("str_eq", "str_in", "str_prefix", "str_suffix", "str_contains"):
    OPERANDS[_base + "_ci"] = OPERANDS[_base]

EVERY_TYPE = [
    ("null", None), ("empty string", ""), ("string", "US"), ("string of a number", "5"), ("string of a boolean", "true"), ("number", 5), ("zero", 0),
    ("minus zero", -0.0), ("fraction", 0.5), ("large number", 1e300), ("2^53", 1 << 53), ("true", True), ("false", False), ("empty list", []),
    ("list of strings", ["US"]), ("list of numbers", [5]), ("list of booleans", [True]), ("empty object", {}), ("object", {"US": 5}),
    ("NaN", {"$special": "nan"}), ("infinity", {"$special": "inf"}), ("minus infinity", {"$special": "-inf"}),
    ("lone surrogate", {"$special": "lone_surrogate"}), ("longest string", {"$special": "repeat", "text": "U", "times": 65536}),
    ("string too long", {"$special": "repeat", "text": "U", "times": 65537}), ("longest list", {"$special": "repeat_list", "item": 5, "times": 1000}),
    ("list too long", {"$special": "repeat_list", "item": 5, "times": 1001}),
]
SPOILT_LISTS = [
    ("list with null", ["US", None]), ("list with a list", ["US", []]), ("list with an object", ["US", {}]), ("list with NaN", [5, {"$special": "nan"}]),
    ("list with infinity", [5, {"$special": "inf"}]), ("list with a lone surrogate", ["US", {"$special": "lone_surrogate"}]),
    ("list with a string too long", ["US", {"$special": "repeat", "text": "U", "times": 65537}]), ("list of every type", ["US", 5, True]),
]


def needs_of(value):
    if isinstance(value, list):
        return tuple({need for element in value for need in needs_of(element)})
    return MARK.get(value.get("$special"), ()) if isinstance(value, dict) else ()


def leaf(op, attr="x", **more) -> dict:
    field, operand = LEAVES[op][0], OPERANDS[op][0]
    return {"op": op, "attr": attr, field: operand, **more}


def ask_every_type(group, op, key):
    group.ask(f"{op}: no attribute", key, {})
    for label, value in EVERY_TYPE + SPOILT_LISTS:
        group.ask(f"{op}: {label}", key, {"x": value}, needs=needs_of(value))


def ask_over(group, op, over, key, own):
    name = f"{op} over {over}"
    ask_every_type(group, name, key)
    hit, others = own[0], own[1:]
    lists = [[hit], [others[0]], [hit, hit], [hit, others[0]], [others[0], hit], own[:6], [hit, {}], [hit, []]]
    wrong = 5 if isinstance(hit, str) else "zzz"
    lists += [[wrong], [hit, wrong], [others[0], wrong], [wrong, hit, others[0]], [others[0]] * 3]
    for at, elements in enumerate(lists):
        group.ask(f"{name}: own list {at}", key, {"x": elements})


def operators_group() -> Group:
    flags = {"is_present": three_valued({"op": "is_present", "attr": "x"})}
    for op in OPERANDS:
        flags[op] = three_valued(leaf(op))
        for over in ("any", "all", "none"):
            flags[f"{op}/{over}"] = three_valued(leaf(op, over=over))
    group = Group("operators", manifest(flags))
    ask_every_type(group, "is_present", "is_present")
    for op, (_, own) in OPERANDS.items():
        ask_every_type(group, op, op)
        for value in own:
            group.ask(f"{op}: own {value!r}", op, {"x": value})
        for over in ("any", "all", "none"):
            ask_over(group, op, over, f"{op}/{over}", own)
    return group


def kleene_group() -> Group:
    p, q, r = ({"op": "bool_is", "attr": name, "value": True} for name in "pqr")
    shapes = {
        "all of nothing": {"all": []}, "any of nothing": {"any": []}, "not all of nothing": {"not": {"all": []}},
        "p": p, "not p": {"not": p}, "not not p": {"not": {"not": p}}, "all p": {"all": [p]}, "any p": {"any": [p]},
        "all p q r": {"all": [p, q, r]}, "any p q r": {"any": [p, q, r]}, "not all": {"not": {"all": [p, q, r]}}, "not any": {"not": {"any": [p, q, r]}},
        "any all": {"any": [{"all": [p, q]}, {"not": r}]}, "all any": {"all": [{"any": [p, q]}, {"not": r}]},
        "excluded middle": {"any": [p, {"not": p}]}, "contradiction": {"all": [p, {"not": p}]}, "with empty": {"all": [{"any": []}, p]},
        "with true": {"any": [{"all": []}, p]}, "present and p": {"all": [{"op": "is_present", "attr": "p"}, p]},
    }
    group = Group("kleene", manifest({name: three_valued(shape) for name, shape in shapes.items()}))
    for name in shapes:
        for triple in itertools.product((True, False, None), repeat=3):
            label = "".join({True: "T", False: "F", None: "U"}[v] for v in triple)
            group.ask(f"{name}: {label}", name, {key: value for key, value in zip("pqr", triple) if value is not None})
    return group


def obfuscated_group() -> Group:
    salt, flags, asked = "obf-salt-0001", {}, {}
    for op, operand in (("str_eq_sha256", "US"), ("str_eq_ci_sha256", "US"), ("str_in_sha256", ["CA", "US", "\u00c9t\u00e9"]),
                        ("str_in_ci_sha256", ["CA", "US", "\u00c9t\u00e9"])):
        prepare = fold if "_ci" in op else (lambda text: text)
        hashed = [obfuscated(salt, prepare(o)) for o in operand] if isinstance(operand, list) else obfuscated(salt, prepare(operand))
        for over in (None, "any", "all", "none"):
            expression = {"op": op, "attr": "x", ("values" if isinstance(hashed, list) else "value"): hashed, **({"over": over} if over else {})}
            key = op + (f"/{over}" if over else "")
            flags[obfuscated(salt, key)] = three_valued(expression)
            asked[key] = over
    group = Group("obfuscated operators", manifest(flags, audience="client", obfuscation={"salt": salt}))
    for key, over in asked.items():
        ask_every_type(group, key, key)
        for text in ("US", "us", "CA", "ca", "\u00c9t\u00e9", "\u00e9t\u00e9", "\u00c9T\u00c9", obfuscated(salt, "US"), "US "):
            group.ask(f"{key}: own {text!a}", key, {"x": [text, text] if over else text})
            if over:
                group.ask(f"{key}: own {text!a} and another", key, {"x": [text, "another"]})
    return group


def alias_group() -> Group:
    us, there = {"op": "str_eq", "value": "US"}, {"op": "is_present"}
    flags = {f"{op['op']} {attr}": three_valued({**op, "attr": attr}) for op in (us, there) for attr in ("country", "geo")}
    group = Group("geo is country", manifest(flags))
    unusable = {"$special": "nan"}
    contexts = [{}, {"country": "US"}, {"geo": "US"}, {"country": "CA", "geo": "US"}, {"country": "US", "geo": "CA"}, {"country": None, "geo": "US"},
                {"country": None, "geo": None}, {"country": 5, "geo": "US"}, {"country": unusable, "geo": "US"}, {"country": {}, "geo": "US"},
                {"country": "", "geo": "US"}, {"country": "CA", "geo": None}, {"Geo": "US"}, {"geo": unusable}]
    for key in flags:
        for at, context in enumerate(contexts):
            group.ask(f"{key}: context {at}", key, context, needs=needs_of(list(context.values())))
    return group


def build() -> str:
    return write_groups([operators_group(), kleene_group(), obfuscated_group(), alias_group(), *compare_groups(), *single_groups(three_valued)])
