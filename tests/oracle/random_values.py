"""Pools of attributes, operands and unit ids for random manifests, chosen so that both answers of every operator come up often."""

from authoring import HASH

STRINGS = ("US", "us", "CA", "USA", "", "pro", "PRO", "Pro user", "beta", "be", "\u00e9t\u00e9", "\u00c9t\u00e9", "\u65e5\u672c", "K", "k", "\u212a", "a\nb", "a\x00b", "x" * 300, "\U0001f600")
NUMBERS = (0, -0.0, 1, 2, 5, 5.0, 5.5, -3, 100, 0.1, 1e21, 9007199254740991, 9007199254740992, 1e-7, 1.7976931348623157e308)
SEMVERS = ("1.0.0", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-rc.2", "1.0.0+build", "1.2.3", "1.10.0", "2.0.0-0", "0.0.0", "99999999999999999999.0.0", "10.0.0-1.2.x")
DOTTEDS = ("1", "1.0", "1.0.0", "1.2", "1.2.3", "1.10", "01.2", "0", "10.4.1.7", "99999999999999999999.1")
DATES = ("2024-01-01T00:00:00Z", "2023-12-31T23:59:59.999Z", "2024-01-01T02:00:00+02:00", "2024-02-29T12:00:00.5-08:00", "1969-12-31T23:59:59.9999Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z")
BASE = 1_704_067_200_000  # 2024-01-01T00:00:00Z
TIMES = (BASE, BASE - 1, BASE + 1, float(BASE), 0, -1, 8_640_000_000_000_000, BASE - 86_400_000, BASE + 0.5)
AGES = (0, 1, -1, 86_400_000, -86_400_000, 3_600_000, (1 << 53) - 1)
ADDRESSES = ("10.0.0.1", "10.255.0.9", "11.0.0.1", "192.168.1.1", "::1", "2001:db8::5", "2001:DB8:0:1::", "::ffff:10.0.0.1", "::ffff:0a00:1", "255.255.255.255", "fe80::1%eth0", "10.0.0", "010.0.0.1")
CIDRS = ("10.0.0.0/8", "10.128.0.0/9", "0.0.0.0/0", "192.168.1.1/32", "::/0", "2001:db8::/32", "2001:db8::/65", "::1/128", "fe80::/10")
PATTERNS = ("US", "^US$", "(?i)^us", "a.b", "[a-z]+", "^\\d{1,3}$", "\\bpro\\b", "(?i)pro\\s", "^.$", "\\w+@\\w+", "(a|b|)*c?", "[^a-z]", "^[^\\d]*$", "\u00e9", "(?i)k", "x{3,5}$", "(?:ab?){2,}", "^$", "\\.", "\\Bs", "[\u00e0-\u00ff]", "\\S\\s\\S")
UNITS = tuple(f"user-{n}" for n in range(30)) + tuple(range(20)) + (12.0, -7, "12", "\u00e9", "e\u0301", "\u65e5\u672c", " padded ", "a\x00b", "\U0001f600", 9007199254740991, "0", -0.0)
NO_UNITS = (None, "", True, 1.5, 1e21, 9007199254740992, [], ["u"], {}, {"$special": "nan"}, {"$special": "lone_surrogate"}, {"$special": "repeat", "text": "x", "times": 4097})
ODD = (None, "", "5", 5, 0.5, True, False, [], ["US"], [5, True], {}, {"k": 1}, ["US", None], [[]], [{}], {"$special": "nan"}, {"$special": "inf"}, {"$special": "-inf"}, {"$special": "lone_surrogate"},
       ["US", {"$special": "nan"}], {"$special": "repeat", "text": "US", "times": 40000}, {"$special": "repeat_list", "item": "US", "times": 1001}, {"$special": "repeat_list", "item": 5, "times": 1000})

# attribute → its usual values; the same after "l_" as a list
ATTRIBUTES = {"country": STRINGS, "geo": STRINGS, "plan": STRINGS, "n": NUMBERS, "m": NUMBERS, "flag": (True, False), "app_version": SEMVERS + DOTTEDS, "os_version": DOTTEDS + SEMVERS, "born": DATES + TIMES,
              "seen": TIMES + DATES, "ip": ADDRESSES, "text": STRINGS}
OPERATORS = {"country": [], "plan": [], "n": [], "flag": ["bool_is"], "app_version": [], "os_version": [], "born": [], "ip": ["ip_in_cidr"]}
for _base in ("str_eq", "str_in", "str_prefix", "str_suffix", "str_contains"):
    OPERATORS["country"] += [_base, _base + "_ci"]
OPERATORS["plan"] = OPERATORS["country"] + ["regex_match"] * 4
OPERATORS["text"] = OPERATORS["country"] + ["regex_match"] * 16
for _order in ("eq", "lt", "lte", "gt", "gte"):
    OPERATORS["n"].append("num_" + _order)
    OPERATORS["app_version"].append("semver_" + _order)
    OPERATORS["os_version"].append("dotted_" + _order)
    if _order != "eq":
        OPERATORS["born"] += ["date_" + _order, "age_" + _order]
OPERATORS["n"].append("num_in")
OPERATORS["geo"], OPERATORS["m"], OPERATORS["seen"] = OPERATORS["country"], OPERATORS["n"], OPERATORS["born"]
SHA256 = ("str_eq_sha256", "str_in_sha256", "str_eq_ci_sha256", "str_in_ci_sha256")


def draw_of(salt, ranges) -> dict:
    return {"hash": HASH, "salt": salt, "ranges": ranges}
