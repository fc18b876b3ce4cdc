"""Expressions and patterns that make a flag unsupported, and beside them what is just allowed. Part of `manifest_errors.json`."""

from authoring import HASH
from operators import LEAVES
from sets.targeting import OPERANDS


def nested(depth, inner=None):
    """An expression `depth` deep: a leaf inside `all`s."""
    expression = inner or {"op": "is_present", "attr": "x"}
    for _ in range(depth - 1):
        expression = {"all": [expression]}
    return expression


def bucket(**more):
    return {"op": "in_bucket", "unit": "user_id", "hash": HASH, "salt": "leaf", "ranges": [[0, 1]], **more}


def without(expression, name):
    return {key: value for key, value in expression.items() if key != name}


LEAF = {"op": "str_eq", "attr": "x", "value": "x"}
EXPRESSIONS_BAD = [
    ("empty object", {}), ("a list", []), ("a string", '"all"'), ("two forms", {"all": [], "any": []}), ("all and op", {"all": [], "op": "is_present", "attr": "x"}), ("all of an object", {"all": {}}),
    ("all of null", {"all": None}), ("all of a list of null", {"all": [None]}), ("not of a list", {"not": []}), ("not of nothing", {"not": None}), ("unknown form", {"none": []}), ("ALL", {"ALL": []}),
    ("unknown operator", {"op": "str_equals", "attr": "x", "value": "x"}), ("operator in capitals", {**LEAF, "op": "STR_EQ"}), ("operator number", {"op": 5}), ("operator null", {"op": None}), ("an operator of geo", {"op": "geo_in", "attr": "x"}),
    ("deep inside", {"any": [{"all": []}, {"not": {"op": "nope"}}]}), ("33 deep", nested(33)), ("200 deep", nested(200)), ("10,001 operands of all", {"all": [{"all": []}] * 10001}),
    ("10,001 values", {"op": "str_in", "attr": "x", "values": ["x"] * 10001}), ("name twice", '{"op":"str_eq","attr":"x","attr":"x","value":"x"}'), ("name twice in a group", '{"all":[],"all":[]}'),
    ("lone surrogate in an operand", '{"op":"str_eq","attr":"x","value":"\\ud800"}'), ("lone surrogate in a name", '{"op":"is_present","attr":"\\udfff"}'), ("number beyond the doubles", '{"op":"num_eq","attr":"x","value":1e400}'),
    ("over of is_present", {"op": "is_present", "attr": "x", "over": "any"}), ("value of is_present", {"op": "is_present", "attr": "x", "value": True}), ("is_present without attr", {"op": "is_present"}),
    ("unknown over", {**LEAF, "over": "some"}), ("over a boolean", {**LEAF, "over": True}), ("empty attr", {**LEAF, "attr": ""}), ("long attr", {**LEAF, "attr": "x" * 257}), ("attr number", {**LEAF, "attr": 1}),
    ("unknown field", {**LEAF, "negate": True}), ("flags of a regex", {"op": "regex_match", "attr": "x", "value": "x", "flags": "i"}), ("meta in an expression", {**LEAF, "meta": 1}),
    ("regex without pattern", {"op": "regex_match", "attr": "x", "value": ""}), ("sha256 without obfuscation", {"op": "str_eq_sha256", "attr": "x", "value": "0123456789abcdef"}),
    ("age fraction", {"op": "age_lt", "attr": "x", "value": 0.5}), ("age written with a fraction", '{"op":"age_lt","attr":"x","value":5.0}'), ("age 2^53", {"op": "age_lt", "attr": "x", "value": 1 << 53}),
    ("age text", {"op": "age_lt", "attr": "x", "value": "PT1H"}), ("date number", {"op": "date_lt", "attr": "x", "value": 0}), ("date without time", {"op": "date_lt", "attr": "x", "value": "2023-01-01"}),
    ("date that does not exist", {"op": "date_lt", "attr": "x", "value": "2023-02-30T00:00:00Z"}), ("version", {"op": "semver_eq", "attr": "x", "value": "1.2"}), ("version v", {"op": "semver_eq", "attr": "x", "value": "v1.2.3"}),
    ("version number", {"op": "semver_eq", "attr": "x", "value": 1}), ("dotted", {"op": "dotted_eq", "attr": "x", "value": "1.2-rc"}), ("dotted number", {"op": "dotted_eq", "attr": "x", "value": 1.2}),
    ("number text", {"op": "num_eq", "attr": "x", "value": "5"}), ("number null", {"op": "num_eq", "attr": "x", "value": None}), ("numbers with text", {"op": "num_in", "attr": "x", "values": [1, "2"]}),
    ("boolean number", {"op": "bool_is", "attr": "x", "value": 1}), ("strings with a number", {"op": "str_in", "attr": "x", "values": ["x", 5]}), ("prefix with value", {"op": "str_prefix", "attr": "x", "value": "x"}),
    ("equal with values", {"op": "str_eq", "attr": "x", "values": ["x"]}),
    ("CIDR without length", {"op": "ip_in_cidr", "attr": "x", "values": ["10.0.0.0"]}), ("CIDR /33", {"op": "ip_in_cidr", "attr": "x", "values": ["10.0.0.0/33"]}), ("CIDR /129", {"op": "ip_in_cidr", "attr": "x", "values": ["::/129"]}),
    ("CIDR /08", {"op": "ip_in_cidr", "attr": "x", "values": ["10.0.0.0/08"]}), ("CIDR mask", {"op": "ip_in_cidr", "attr": "x", "values": ["10.0.0.0/255.0.0.0"]}), ("CIDR /", {"op": "ip_in_cidr", "attr": "x", "values": ["10.0.0.0/"]}),
    ("CIDR /-1", {"op": "ip_in_cidr", "attr": "x", "values": ["10.0.0.0/-1"]}), ("CIDR /+8", {"op": "ip_in_cidr", "attr": "x", "values": ["10.0.0.0/+8"]}), ("CIDR twice /", {"op": "ip_in_cidr", "attr": "x", "values": ["10.0.0.0/8/8"]}),
    ("CIDR mapped", {"op": "ip_in_cidr", "attr": "x", "values": ["::ffff:10.0.0.0/104"]}), ("CIDR mapped in hex", {"op": "ip_in_cidr", "attr": "x", "values": ["::ffff:a00:0/96"]}),
    ("CIDR mapped, a length that IPv4 has", {"op": "ip_in_cidr", "attr": "x", "values": ["::ffff:10.0.0.0/8"]}), ("CIDR mapped in hex, /0", {"op": "ip_in_cidr", "attr": "x", "values": ["0:0:0:0:0:ffff:a00:0/0"]}), ("CIDR of all mapped", {"op": "ip_in_cidr", "attr": "x", "values": ["::ffff:0:0/96"]}), ("CIDR short", {"op": "ip_in_cidr", "attr": "x", "values": ["10/8"]}), ("one bad CIDR of two", {"op": "ip_in_cidr", "attr": "x", "values": ["10.0.0.0/8", "x"]}),
    ("in_bucket without unit", without(bucket(), "unit")), ("in_bucket without hash", without(bucket(), "hash")), ("in_bucket without salt", without(bucket(), "salt")), ("in_bucket without ranges", without(bucket(), "ranges")),
    ("in_bucket hash", bucket(hash="crc32")), ("in_bucket salt", bucket(salt="a:b")), ("in_bucket ranges", bucket(ranges=[[1, 0]])), ("in_bucket over", bucket(over="any")), ("in_bucket variation", bucket(ranges=[[0, 1, "a"]])),
    ("in_bucket attr", bucket(attr="x")), ("in_list unknown", {"op": "in_list", "unit": "user_id", "list": "nope"}), ("in_list without unit", {"op": "in_list", "list": "ids"}), ("in_list attr", {"op": "in_list", "attr": "x", "list": "ids"}),
    ("in_segment unknown", {"op": "in_segment", "segment": "nope"}), ("in_segment list", {"op": "in_segment", "segment": ["s"]}), ("in_segment segments", {"op": "in_segment", "segments": ["s"]}),
    ("flag_is unknown flag", {"op": "flag_is", "flag": "nope", "variations": ["a"]}), ("flag_is unknown variation", {"op": "flag_is", "flag": "fine", "variations": ["a", "nope"]}),
    ("flag_is of nothing", {"op": "flag_is", "flag": "fine", "variations": []}), ("flag_is variation", {"op": "flag_is", "flag": "fine", "variation": "a"}), ("flag_is itself", {"op": "flag_is", "flag": "broken", "variations": ["a"]}),
    ("flag_is attr", {"op": "flag_is", "flag": "fine", "variations": ["a"], "attr": "x"}),
    # a field that does not belong to an expression is unknown, also when it is null
    *((f"{field} null beside a leaf", {**LEAF, field: None}) for field in ("all", "any", "not", "values", "unit", "hash", "salt", "ranges", "segment", "list", "flag", "variations")),
    *((f"{field} null beside all", {"all": [], field: None}) for field in ("any", "not", "op", "attr", "value", "over")),
    ("is_present over null", {"op": "is_present", "attr": "x", "over": None}), ("in_bucket attr null", bucket(attr=None)), ("in_list over null", {"op": "in_list", "unit": "user_id", "list": "ids", "over": None}),
]
EXPRESSIONS_GOOD = [
    ("32 deep", nested(32)), ("32 deep with a segment", nested(31, {"op": "in_segment", "segment": "s"})), ("10,000 operands of any", {"any": [{"all": []}] * 10000}), ("10,000 values", {"op": "str_in", "attr": "x", "values": ["x"] * 10000}),
    ("over null", {**LEAF, "over": None}), ("attr of 256 bytes", {**LEAF, "attr": "\u00e9" * 128}), ("empty operand", {**LEAF, "value": ""}), ("NUL in an operand", '{"op":"str_eq","attr":"x","value":"\\u0000"}'),
    ("escaped names", '{"\\u006fp":"str_eq","attr":"x","value":"\\u0078"}'), ("pair of surrogates", '{"op":"str_eq","attr":"x","value":"\\ud83d\\ude00"}'), ("num 5.0", '{"op":"num_eq","attr":"x","value":5.0}'),
    ("num -0", '{"op":"num_in","attr":"x","values":[-0,-0.0,0e5]}'), ("num underflow", '{"op":"num_eq","attr":"x","value":1e-400}'), ("age most", {"op": "age_lt", "attr": "x", "value": (1 << 53) - 1}),
    ("age least", {"op": "age_gte", "attr": "x", "value": 1 - (1 << 53)}), ("CIDR /0", {"op": "ip_in_cidr", "attr": "x", "values": ["::/0", "0.0.0.0/0"]}), ("CIDR with host bits", {"op": "ip_in_cidr", "attr": "x", "values": ["10.1.2.3/8"]}),
    ("in_bucket nobody", bucket(ranges=[])), ("in_bucket salt of the rule", bucket(salt="exp-split")), ("in_list", {"op": "in_list", "unit": "user_id", "list": "ids"}), ("values twice", {"op": "str_in", "attr": "x", "values": ["x", "x"]}),
    ("members in another order", '{"value":"x","over":null,"attr":"x","op":"str_eq"}'), ("geo", {**LEAF, "attr": "geo"}),
]
for _op, (_field, _) in LEAVES.items():
    if _op in OPERANDS:
        _leaf = {"op": _op, "attr": "x", _field: OPERANDS[_op][0]}
        EXPRESSIONS_GOOD.append((_op, _leaf))
        EXPRESSIONS_BAD.append((f"{_op} without operand", without(_leaf, _field)))
        EXPRESSIONS_BAD.append((f"{_op} with null", {**_leaf, _field: None}))
        EXPRESSIONS_BAD.append((f"{_op} without attr", without(_leaf, "attr")))
        EXPRESSIONS_BAD.append((f"{_op} of an object", {**_leaf, _field: {}}))
        EXPRESSIONS_BAD.append((f"{_op} with value and values", {**_leaf, "value": _leaf.get("value", "x"), "values": _leaf.get("values", ["x"])}))
        if _field == "values":
            EXPRESSIONS_BAD.append((f"{_op} with an empty list", {**_leaf, _field: []}))
            EXPRESSIONS_BAD.append((f"{_op} with a list of null", {**_leaf, _field: [None]}))

BAD_PATTERNS = [
    "*", "+a", "?", "a**", "a+*", "a{2}{3}", "a*??", "a{2}??", "{2}", "a{", "a{}", "a{,5}", "a{2", "a{2,1}", "a{101}", "a{0,101}", "a{101,}", "a{02}", "a{1,02}", "a{ 2}", "a{2, 3}", "a{-1}", "a{x}", "a{1000000000000}",
    "}", "]", "a]", "(", ")", "(a", "a)", "())", "(?", "(?a)", "(?=a)", "(?!a)", "(?<=a)", "(?<!a)", "(?<n>a)", "(?P<n>a)", "(?i:a)", "(?s)a", "(?m)a", "(?x)a", "(?-i)a", "a(?i)", "(?i)(?i)a", "((?i)a)", "(?u)a", "(?#a)",
    "(?>a)", "(*a)", "^*", "$+", "\\b*", "\\B?", "^{2}", "$?", "\\", "a\\", "\\a", "\\e", "\\f", "\\v", "\\z", "\\Z", "\\A", "\\G", "\\K", "\\1", "\\0", "\\01", "\\x41", "\\x{41}", "\\u0041", "\\u{41}", "\\cA", "\\p{L}", "\\pL", "\\P{L}",
    "\\N", "\\R", "\\X", "\\h", "\\Q", "\\E", "\\b{start}", "\\k<n>", "\\g1", "\\\u00e9", "\\\n", "\\ \\y", "[", "[]", "[^]", "[a", "[]a]", "[a", "[b-a]", "[a-\\d]", "[\\d-a]", "[\\w-z]", "[a-b-c]", "[a--b]", "[--a]", "[a&&b]",
    "[a&b]", "[a~b]", "[a~~b]", "[[a]", "[[:alpha:]]", "[a[b]]", "[\\b]", "[\\B]", "[\\p{L}]", "[\\x41]", "[\\a]", "[!-~]", "[ -&]", "[%--]", "[a-", "[^", "[a\\", "(a{100}){11}", "((a{10}){10}){11}", "(a{10,}){100}", "(a{77}){13}", "((a{7}){11}){13}",
    "(?:(?:a{2}){50}){11}", "(" * 21 + "a" + ")" * 21, "(?:" * 21 + "a" + ")" * 21, "a" * 1001, "\u00e9" * 501, "(a{100}b{100}c{100}d{100}e{100}f{100}g{100}h{100}i{100}j{100}k{100}){2}", "((((a{100}){10}))){1}b{100}c{100}" * 2,
    "(a{100}b{98}){10}" + "c" * 11, "(a|b|){100}(c|d|){100}(e|f|){100}(g|h|){100}(i|)", "(?i)*", "(?i)+", "(?i", "a|*", "(|*)", "(?:*)", "\ud83d\ude00{101}".encode("utf-16", "surrogatepass").decode("utf-16"),
]
GOOD_PATTERNS = [
    "a{100}", "a{0}", "a{0,100}", "a{100,}", "(a{100}){10}", "((a{10}){10}){10}", "(a{9,}){100}", "(a{0}){100}", "(" * 20 + "a" + ")" * 20, "a" * 1000, "\u00e9" * 500, "[\\-a]", "[a\\-z]", "[\\[\\]]", "[a\\&b]", "[\\~]", "[!-\\~]",
    "[ -%]", "[+-\\-]", "[a^b]", "\\-", "\\ ", "x{1}y{2}?", "(?:a|b|)", "(?i)(?:a)", "\ud83d\ude00{2}".encode("utf-16", "surrogatepass").decode("utf-16"), "a|b|c", "^$", "^^", "$$", "\\b\\b", ",", "-", "<>", "\n", "a{1,1}",
    "(a{100}b{98}){10}" + "c" * 10, "(a{0}b{100}){0}" + "d{100}" * 20,
]


def patterns():
    seen = set()
    for good, table in ((False, BAD_PATTERNS), (True, GOOD_PATTERNS)):
        for pattern in table:
            if pattern not in seen:
                seen.add(pattern)
                yield good, pattern
