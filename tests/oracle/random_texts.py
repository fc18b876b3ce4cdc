"""Random patterns with texts they may be found in, and texts of every format with one thing wrong: more than fixed pools can hold."""

import struct

from random_text import Raw
from random_values import ADDRESSES, AGES, ATTRIBUTES, CIDRS, DATES, DOTTEDS, NUMBERS, PATTERNS, SEMVERS, STRINGS

# Few characters, so that patterns hit; those whose classes differ between libraries.
LETTERS = ("a", "b", "A", "B", "k", "K", "s", "0", "7", "_", "-", " ", "\n", "\t", ".", "\u00e9", "\u0663", "\u212a", "\u017f", "\u00a0", "\x85", "\U0001f600", "\x00")
ESCAPES = ("\\d", "\\D", "\\w", "\\W", "\\s", "\\S", "\\.", "\\-", "\\n", "\\t", "\\\\", "\\ ", "\\_", "\\<", "\\>")
QUANTIFIERS = ("*", "+", "?", "*?", "+?", "??", "{2}", "{0}", "{1,2}", "{0,3}", "{2,}", "{1,}?", "{3}?")
IN_CLASS = ("a-b", "A-Z", "Z-a", "0-9", "\\d", "\\w", "\\S", "\\-", "\\^", "\\]", "\u00e0-\u00ff", "\\t-\\r", ".", "*", "$", "|", "(", " ")


def literal(rng):
    c = rng.choice(LETTERS)
    return "\\" + c if c in (".", "-", " ") and rng.random() < 0.7 else c


def char_class(rng):
    items = "".join(rng.choice((literal(rng).replace("-", "\\-").replace("\\\\", "\\"), rng.choice(IN_CLASS))) for _ in range(rng.randint(1, 3)))
    return "[" + rng.choice(("", "", "^", "-")) + items + rng.choice(("", "", "", "-")) + "]"


def piece(rng, depth):
    roll = rng.random()
    if roll < 0.12:
        return rng.choice(("^", "$", "\\b", "\\B", "\\b"))
    if depth < 3 and roll < 0.3:
        atom = rng.choice(("(", "(?:")) + branches(rng, depth + 1) + ")"
    elif roll < 0.42:
        atom = char_class(rng)
    elif roll < 0.55:
        atom = rng.choice(ESCAPES)
    elif roll < 0.62:
        atom = "."
    else:
        atom = literal(rng)
    return atom + (rng.choice(QUANTIFIERS) if rng.random() < 0.3 else "")


def branches(rng, depth=0):
    return "|".join("".join(piece(rng, depth) for _ in range(rng.choice((0, 1, 1, 2, 3, 4)))) for _ in range(rng.choice((1, 1, 1, 2, 3))))


def random_pattern(rng):
    roll = rng.random()
    if roll < 0.15:  # plain text, perhaps anchored
        text = "".join(literal(rng) for _ in range(rng.randint(1, 4)))
        return rng.choice(("", "(?i)", "")) + rng.choice(("", "^", "")) + text + rng.choice(("", "$", ""))
    if roll < 0.2:
        return broken(rng, branches(rng) or "a")
    return rng.choice(("", "", "(?i)")) + (branches(rng) or "a")


def random_string(rng):
    return "".join(rng.choice(LETTERS) for _ in range(rng.choice((0, 1, 1, 2, 3, 4, 6, 9))))


def broken(rng, text, alphabet="0123456789abcfxTZ:.-+/ \u0663"):
    """`text` with one character put in, left out or replaced."""
    at = rng.randrange(len(text) + 1)
    roll = rng.random()
    if roll < 0.35:
        return text[:at] + rng.choice(alphabet) + text[at:]
    if roll < 0.65:
        return text[:at] + text[at + 1 :]
    return text[:at] + rng.choice(alphabet) + text[at + 1 :]


def digits(rng, most):
    return str(rng.randrange(10 ** rng.randint(1, most)))


def random_semver(rng):
    text = ".".join(digits(rng, 2) for _ in range(3))
    if rng.random() < 0.6:
        text += "-" + ".".join(rng.choice(("0", "1", "10", "alpha", "Alpha", "a-b", "-", "1a", "007"[rng.randint(0, 2) :])) for _ in range(rng.randint(1, 3)))
    return text + (rng.choice(("+b", "+001.x-y")) if rng.random() < 0.2 else "")


def random_dotted(rng):
    return ".".join(rng.choice(("0", "1", "2", "10", "01", "00", digits(rng, 25))) for _ in range(rng.randint(1, 5)))


def random_date(rng):
    text = f"{rng.choice((0, 1, 4, 100, 1600, 1900, 1969, 1970, 2000, 2023, 2024, 2100, 9999)):04}-{rng.randint(1, 12):02}-{rng.randint(1, 31):02}T{rng.randint(0, 24):02}:{rng.randint(0, 60):02}:{rng.randint(0, 60):02}"
    if rng.random() < 0.5:
        text += "." + "".join(rng.choice("0159") for _ in range(rng.randint(1, 10)))
    return text + (rng.choice("+-") + f"{rng.randint(0, 24):02}:{rng.choice((0, 15, 30, 59, 60)):02}" if rng.random() < 0.5 else "Z")


def random_address(rng):
    if rng.random() < 0.4:
        return ".".join(rng.choice(("0", "1", "10", "127", "128", "255", "256")) for _ in range(4))
    groups = [rng.choice(("0", "1", "ffff", "FFFF", "a00", "2001", "db8", "0001", "00000")[: 8 + (rng.random() < 0.03)]) for _ in range(rng.randint(0, 8))]
    if groups and rng.random() < 0.2:
        groups[-1] = "10.0.0.1"
    at = rng.randint(0, len(groups))
    if len(groups) == 8 and rng.random() < 0.8:
        return ":".join(groups)
    return ":".join(groups[:at]) + "::" + ":".join(groups[at:])


def random_cidr(rng):
    address = random_address(rng) if rng.random() < 0.8 else rng.choice(CIDRS).split("/")[0]
    return f"{address}/{rng.choice((0, 1, 7, 8, 9, 24, 31, 32, 33, 64, 96, 104, 127, 128) if rng.random() < 0.95 else (129, 256, '08', '+8', ''))}"


def random_double(rng):
    if rng.random() < 0.5:
        value = struct.unpack(">d", rng.randbytes(8))[0]
        return value if value == value and abs(value) != float("inf") else 0.5
    return rng.choice((1, -1)) * rng.randrange(1 << rng.choice((3, 31, 53, 54, 63, 64))) / rng.choice((1, 1, 2, 10, 1000))


def random_number_text(rng):
    """Many digits, halfway cases between doubles, exponents: what a careless reader of decimals gets wrong."""
    roll = rng.random()
    if roll < 0.4:
        value = abs(random_double(rng))
        return Raw(format(value, f".{rng.randint(15, 25)}e"))
    whole = digits(rng, 22)
    return Raw(rng.choice(("", "-")) + whole + (f".{digits(rng, 20)}" if rng.random() < 0.6 else "") + (f"{rng.choice('eE')}{rng.choice(('', '+', '-'))}{rng.randint(0, 40)}" if rng.random() < 0.5 else ""))


# attribute → (maker of a text of its format, fixed pool)
FORMATS = {"app_version": (random_semver, SEMVERS), "os_version": (random_dotted, DOTTEDS), "born": (random_date, DATES), "seen": (random_date, DATES), "ip": (random_address, ADDRESSES), "text": (random_string, ("",))}
OPERAND_FORMATS = {"semver": (random_semver, SEMVERS), "dotted": (random_dotted, DOTTEDS), "date": (random_date, DATES)}


def of_format(rng, formats):
    """A text that is mostly right."""
    make, pool = formats
    roll = rng.random()
    if roll < 0.5:
        return make(rng)
    return rng.choice(pool) if roll < 0.8 else broken(rng, rng.choice(pool) or "1")


def attribute_value(rng, name):
    """A value of an attribute's usual type."""
    if name in FORMATS and rng.random() < 0.4:
        return of_format(rng, FORMATS[name])
    if name in ("n", "m") and rng.random() < 0.3:
        return random_double(rng)
    return rng.choice(ATTRIBUTES[name])


def operand(rng, op):
    """(field, value) for an operator. A few do not parse."""
    fresh = rng.random() < 0.3
    if op == "bool_is":
        return "value", rng.random() < 0.5
    if op == "regex_match":
        return "value", random_pattern(rng) if rng.random() < 0.7 else rng.choice(PATTERNS)
    if op == "ip_in_cidr":
        return "values", [random_cidr(rng) if fresh and rng.random() < 0.5 else rng.choice(CIDRS) for _ in range(rng.randint(1, 3))]
    if op == "num_in":
        return "values", [random_number_text(rng) if fresh else rng.choice(NUMBERS) for _ in range(rng.randint(1, 4))]
    family = op.split("_")[0]
    if family == "num":
        return "value", random_number_text(rng) if fresh else rng.choice(NUMBERS)
    if family == "age":
        return "value", rng.choice(AGES)
    if family in OPERAND_FORMATS:
        return "value", of_format(rng, OPERAND_FORMATS[family]) if fresh else rng.choice(OPERAND_FORMATS[family][1])
    if op.startswith("str_eq"):
        return "value", random_string(rng) if fresh else rng.choice(STRINGS)
    return "values", [random_string(rng) if fresh else rng.choice(STRINGS) for _ in range(rng.randint(1, 4))]
