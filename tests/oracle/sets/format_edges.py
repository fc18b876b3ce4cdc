"""The edges of each format of operators.md: versions, dotted versions, instants, addresses, patterns, folding. Part of `targeting.json`.

Orders and memberships known from elsewhere (the SemVer page, Python's `datetime` and `ipaddress`) are asserted beside the oracle's answers.
"""

import datetime
import ipaddress

from authoring import NOW, Group, flag, manifest, targeted

ORDERS = {"unknown": "unknown", "lt": "lt", "eq": "eq", "gt": "gt"}
DIGITS = "9" * 250

# Ascending; the first part is the example of https://semver.org/#spec-item-11.
SEMVER_CHAIN = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0",
                "1.0.1-0", "1.0.1-1", "1.0.1-9", "1.0.1-10", "1.0.1--", "1.0.1-A", "1.0.1-a", "1.0.1-a.0", "1.0.1-a.0.0", "1.0.1", "1.0.2", "1.0.10",
                "1.2.0", "1.10.0", "2.0.0", "18446744073709551615.0.0", "18446744073709551616.0.0", DIGITS + ".0.0"]
SEMVER_SAME = [("1.0.0+a", "1.0.0+b"), ("1.0.0", "1.0.0+001"), ("1.0.0-x+a.b.c", "1.0.0-x"), ("1.0.0-0", "1.0.0-0+-")]
SEMVER_BAD = ["", "1", "1.2", "1.2.3.4", "v1.2.3", "V1.2.3", "1.2.3 ", " 1.2.3", "01.2.3", "1.02.3", "1.2.03", "1.2.3-", "1.2.3+", "1.2.3-01", "1.2.3-a..b",
              "1.2.3-a.", "1.2.3+a..b", "1.2.3+a+b", "1.2.3-\u00e9", "1.2.3-a_b", "-1.2.3", "1.-2.3", "+1.2.3", "1.2.x", "1.2.*", "1..3", ".1.2.3", "1.2.3\n",
              "\u0661.2.3", "1.2.3-\u0661", "1,2,3", "1.2.3-" + "a" * 251, "1e1.0.0", "0x1.0.0"]
SEMVER_GOOD = ["0.0.0", "1.2.3-0a", "1.2.3-00a", "1.2.3-a.-", "1.2.3+00", "1.2.3---", "1.2.3-0-0", "1.2.3-" + "a" * 250, "999999999999999999999.0.0"]

DOTTED_CHAIN = ["0", "0.0.1", "0.1", "1", "1.0.0.1", "1.1", "1.2", "1.2.3", "1.2.3.4", "1.2.3.4.5", "1.2.4", "1.9", "1.10", "2", "10", "2147483648",
                "18446744073709551615", "18446744073709551616", "1" + "0" * 200]
DOTTED_SAME = [("1.2", "1.2.0"), ("1.2", "1.2.0.0.0"), ("01.002", "1.2"), ("0", "000.00"), ("1.0", "1"), ("0" * 200 + "1", "1")]
DOTTED_BAD = ["", ".", "1.", ".1", "1..2", "1.2a", "a", "1.-2", "-1", "+1", "1 ", " 1", "1\n", "1,2", "\u0661", "v1", "1.2-rc", "1" * 257, "1e1"]

# Ascending instants in milliseconds, with other ways to write the same.
INSTANT_CHAIN = [
    (["0000-01-01T00:00:00+23:59"], None), (["0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000999999Z", -62167219200000], None),
    (["0000-02-29T00:00:00Z"], None), (["0001-01-01T00:00:00Z", -62135596800000], None), (["1900-03-01T00:00:00Z"], None),
    (["1969-12-31T23:59:59Z", -1000, "1969-12-31T23:59:59.0Z"], None), (["1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.9999Z", -1, -1.0], None),
    (["1970-01-01T00:00:00Z", 0, -0.0, "1970-01-01T00:00:00.0009Z", "1970-01-01T01:00:00+01:00", "1969-12-31T00:01:00-23:59"], None),
    (["1970-01-01T00:00:00.001Z", 1, "1970-01-01T00:00:00.001999999Z"], None), (["2000-02-29T12:00:00Z"], None),
    (["2023-11-14T22:13:20Z", NOW, float(NOW), "2023-11-15T00:13:20+02:00", "2023-11-14T22:13:20-00:00", "2023-11-14T22:13:20.000Z",
      "2023-11-14T17:43:20-04:30"], None),
    (["2023-11-14T22:13:20.1Z", "2023-11-14T22:13:20.10Z", "2023-11-14T22:13:20.100000000Z"], None), (["2024-02-29T23:59:59.999999999Z"], None),
    (["9999-12-31T23:59:59.999Z"], None), (["9999-12-31T23:59:59.999-23:59"], None), ([8640000000000000, 8.64e15], None),
]
INSTANT_BAD = ["", "2023-11-14", "2023-11-14T22:13:20", "2023-11-14 22:13:20Z", "2023-11-14t22:13:20Z", "2023-11-14T22:13:20z", "2023-11-14T22:13Z",
               "2023-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2023-04-31T00:00:00Z", "2023-00-01T00:00:00Z",
               "2023-13-01T00:00:00Z", "2023-01-00T00:00:00Z", "2023-01-32T00:00:00Z", "2023-01-01T24:00:00Z", "2023-01-01T00:60:00Z",
               "2016-12-31T23:59:60Z", "2023-01-01T00:00:00.Z", "2023-01-01T00:00:00.1234567890Z", "2023-01-01T00:00:00,5Z", "2023-01-01T00:00:00+1:00",
               "2023-01-01T00:00:00+0100", "2023-01-01T00:00:00+24:00", "2023-01-01T00:00:00+00:60", "2023-01-01T00:00:00+01", "2023-01-01T00:00:00",
               "+2023-01-01T00:00:00Z", "-001-01-01T00:00:00Z", "12023-01-01T00:00:00Z", "2023-1-01T00:00:00Z", " 2023-01-01T00:00:00Z",
               "2023-01-01T00:00:00Z ", "2023-01-01T00:00:00ZZ", "2023-01-01T00:00:00.5", "\u0662023-01-01T00:00:00Z", "2023-01-01T0\u0660:00:00Z",
               "2023-01-01T00:00:00\u221201:00", "1700000000000", 0.5, 8640000000000001, -8640000000000001, 8.7e15, 1e21]

ADDRESSES = ["0.0.0.0", "0.0.0.1", "10.0.0.0", "10.255.255.255", "11.0.0.0", "9.255.255.255", "127.0.0.1", "192.168.0.1", "192.168.1.127", "192.168.1.128",
             "255.255.255.255", "::", "::1", "1::", "2001:db8::", "2001:DB8::1", "2001:0db8:0000:0000:0000:0000:0000:0001",
             "2001:db8:0:0:0:0:0:1", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::", "2001:db7:ffff::", "fe80::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
             "::ffff:10.0.0.1", "::FFFF:10.0.0.1", "::ffff:a00:1", "0:0:0:0:0:ffff:10.0.0.1", "0:0:0:0:0:ffff:0a00:0001", "::10.0.0.1", "::fffe:10.0.0.1",
             "64:ff9b::10.0.0.1", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1:2:3:4:5:6:10.0.0.1", "1::8", "8000::", "7fff::"]
BAD_ADDRESSES = ["", "10", "10.0.0", "10.0.0.0.0", "10.0.0.256", "010.0.0.1", "10.0.0.01", "10.0.0.00", "0x0a.0.0.1", "10.0.0.1 ", " 10.0.0.1", "10.0.0.1/32",
                 "10..0.1", "10.0.0.", "10.0.0.-1", "10.0.0.+1", "167772161", "\u0661.0.0.1", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::",
                 "::1:2:3:4:5:6:7:8", "1::2::3", ":1:2:3:4:5:6:7", "1:2:3:4:5:6:7:", ":::", ":", "12345::", "g::", "fe80::1%eth0", "[::1]", "::1/128",
                 "1:2:3:4:5:6:7:10.0.0.1", "10.0.0.1::", "::10.0.0.1:1", "::10.0.0", "::010.0.0.1", "::ffff:10.0.0.256", "localhost"]
CIDRS = ["0.0.0.0/0", "10.0.0.0/8", "10.1.2.3/8", "192.168.1.0/25", "192.168.1.128/25", "127.0.0.1/32", "255.255.255.255/32", "0.0.0.0/1", "128.0.0.0/1",
         "::/0", "::/1", "8000::/1", "2001:db8::/32", "2001:db8::1/128", "2001:DB8:0::/33", "2001:db8:8000::/33", "::/96", "::/95", "::10.0.0.0/104", "64:ff9b::/96",
         "1:2:3:4:5:6:7::/112", "fe80::/10"]


def compare_flag(prefix, operand, has_eq) -> dict:
    def leaf(order):
        return {"op": f"{prefix}_{order}", "attr": "x", "value": operand}

    same = leaf("eq") if has_eq else {"all": [leaf("lte"), leaf("gte")]}
    rules = [targeted(leaf("lt"), "lt", "lt"), targeted(same, "eq", "eq"), targeted(leaf("gt"), "gt", "gt")]
    return flag(rules, values=ORDERS, off="unknown", default="unknown")


def order(a, b):
    return "lt" if a < b else "gt" if a > b else "eq"


def compare_group(prefix, classes, bad, has_eq=True) -> Group:
    """`classes`: ascending; each a list of ways to write the same. Operands are the texts among them."""
    operands = [(rank, text) for rank, texts in enumerate(classes) for text in texts if isinstance(text, str)][:: 1 if len(classes) < 20 else 2]
    keys = {f"{prefix} {at}": (rank, text) for at, (rank, text) in enumerate(operands)}
    group = Group(f"{prefix} edges", manifest({key: compare_flag(prefix, text, has_eq) for key, (_, text) in keys.items()}))
    for key, (rank, _) in keys.items():
        for other, texts in enumerate(classes):
            for at, text in enumerate(texts):
                expect = group.ask(f"{key}: {other}.{at}", key, {"x": text})
                assert expect["variation"] == order(other, rank), (prefix, key, text)
    first = next(iter(keys))
    for at, value in enumerate(bad):
        expect = group.ask(f"no {prefix} {at}", first, {"x": value})
        assert expect["variation"] == "unknown", (prefix, value)
    return group


def merged(chain, same, good=()):
    classes = [[text] for text in chain]
    for a, b in same:
        for texts in classes:
            if a in texts or b in texts:
                texts += [t for t in (a, b) if t not in texts]
                break
    return classes


def check_instants():
    """What Python's datetime can say about the chain."""
    from instant import parse

    for texts, _ in INSTANT_CHAIN:
        for text in texts:
            if isinstance(text, str) and not text.startswith("0000") and "999999" not in text and "-23:59" not in text:
                digits = text.replace("Z", "+00:00")
                at = datetime.datetime.fromisoformat(digits) - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
                assert parse(text) == at // datetime.timedelta(milliseconds=1), text


def compare_groups():
    check_instants()
    yield compare_group("semver", merged(SEMVER_CHAIN, [("1.0.0+a", "1.0.0"), ("1.0.0", "1.0.0+001"), ("1.0.0-rc.1+b", "1.0.0-rc.1")]), SEMVER_BAD)
    yield compare_group("dotted", merged(DOTTED_CHAIN, DOTTED_SAME), DOTTED_BAD)
    yield compare_group("date", [texts for texts, _ in INSTANT_CHAIN], INSTANT_BAD, has_eq=False)


def age_group() -> Group:
    most = (1 << 53) - 1
    operands = [0, 1, -1, 86_400_000, -86_400_000, most, -most]
    group = Group("age edges", manifest({f"age {value}": compare_flag("age", value, False) for value in operands}))
    for value in operands:
        for now in (NOW, 0, -1, most, -most):
            for distance in (value - 1, value, value + 1):
                instant = now - distance
                if abs(instant) <= 8_640_000_000_000_000:
                    group.ask(f"age {value}: {distance} at {now}", f"age {value}", {"x": instant}, now_ms=now)
    return group


def address_group(three_valued) -> Group:
    keys = {f"in {cidr}": cidr for cidr in CIDRS}
    flags = {key: three_valued({"op": "ip_in_cidr", "attr": "x", "values": [cidr]}) for key, cidr in keys.items()}
    flags["in several"] = three_valued({"op": "ip_in_cidr", "attr": "x", "values": ["10.0.0.0/9", "10.128.0.0/9", "::1/128"]})
    group = Group("addresses", manifest(flags))
    for key, cidr in keys.items():
        network = ipaddress.ip_network(cidr, strict=False)
        for text in ADDRESSES:
            address = ipaddress.ip_address(text)
            address = getattr(address, "ipv4_mapped", None) or address
            expect = group.ask(f"{key}: {text}", key, {"x": text})
            assert expect["variation"] == ("true" if address.version == network.version and address in network else "false"), (cidr, text)
    for text in ADDRESSES:
        group.ask(f"in several: {text}", "in several", {"x": text})
    for at, text in enumerate(BAD_ADDRESSES):
        assert group.ask(f"no address {at}", "in ::/0", {"x": text})["variation"] == "unknown", text
    return group


def valid_group(three_valued) -> Group:
    """What is a version at all, for texts that stand in no chain."""
    group = Group("valid versions", manifest({"semver": three_valued({"op": "semver_gte", "attr": "x", "value": "0.0.0-0"})}))
    for at, text in enumerate(SEMVER_GOOD):
        assert group.ask(f"version {at}", "semver", {"x": text})["variation"] == "true", text
    return group


def number_group(three_valued) -> Group:
    operands = [0, -0.0, 5, 0.1, 1e-7, 9007199254740991, 9007199254740992, 1e21, 1.7976931348623157e308, 5e-324, -1.5, 0.30000000000000004]
    flags = {}
    for at, value in enumerate(operands):
        flags[f"num {at}"] = compare_flag("num", value, True)
    flags["num in"] = three_valued({"op": "num_in", "attr": "x", "values": operands})
    group = Group("numbers", manifest(flags))
    for at, value in enumerate(operands):
        for other in operands + [9007199254740993, 0.3, 5.000000000000001, (1 << 63) - 1]:
            needs = ("int64",) if isinstance(other, int) and other > 1 << 53 else ()
            expect = group.ask(f"num {at}: {other!r}", f"num {at}", {"x": other}, needs=needs)
            assert expect["variation"] == order(float(other), float(value))
    for other in operands + [0.3, 4, 9007199254740993]:
        group.ask(f"num in: {other!r}", "num in", {"x": other}, needs=("int64",) if other == 9007199254740993 else ())
    return group


FOLDING = ["stra\u00dfe", "STRASSE", "\u00c9T\u00c9", "\u00e9t\u00e9", "\u0130stanbul", "istanbul", "ISTANBUL", "\u0131", "I", "i", "\u212a", "k", "K", "\u017f", "s", "S",
           "\u03a3", "\u03c3", "\uff21", "\uff41", "@[`{", "AZaz", "azaz", "A\u0308", "a\u0308", "\u00e4", "\U00010400", "\U00010428", ""]


def folding_group(three_valued) -> Group:
    flags = {}
    for at, text in enumerate(FOLDING):
        flags[f"eq {at}"] = three_valued({"op": "str_eq", "attr": "x", "value": text})
        flags[f"eq_ci {at}"] = three_valued({"op": "str_eq_ci", "attr": "x", "value": text})
    for name in ("prefix", "suffix", "contains"):
        for ci in ("", "_ci"):
            for at, values in enumerate((["\u00e9"], ["E"], ["k", "\u0130"], [""], ["\U00010400"], ["S", "\u00df"])):
                flags[f"{name}{ci} {at}"] = three_valued({"op": f"str_{name}{ci}", "attr": "x", "values": values})
    group = Group("folding", manifest(flags))
    for key in flags:
        for at, text in enumerate(FOLDING):
            group.ask(f"{key}: {at}", key, {"x": text})
    return group


def single_groups(three_valued):
    from sets.pattern_edges import pattern_group

    return [age_group(), address_group(three_valued), valid_group(three_valued), number_group(three_valued), folding_group(three_valued),
            pattern_group(three_valued)]
