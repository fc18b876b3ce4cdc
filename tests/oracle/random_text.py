"""Writing JSON at random: member order, blanks, escapes, spelling of numbers, and faults of structure that a dict can't hold (names twice)."""

import json


class Raw:
    """A piece of JSON text written as it stands."""

    def __init__(self, text):
        self.text = text


class Pairs:
    """An object whose names may stand twice."""

    def __init__(self, pairs):
        self.pairs = list(pairs)


def pairs_of(value):
    return value.pairs if isinstance(value, Pairs) else list(value.items())


def render(rng, value) -> str:
    """One way to write `value`."""
    return "".join(_pieces(rng, value, rng.random() < 0.3, rng.random() < 0.5))


def _blank(rng, spaced):
    return rng.choice(("", "", "", " ", "\n", "\t ", "\r\n")) if spaced else ""


def _string(rng, text, spaced):
    if spaced and text and rng.random() < 0.1:
        at = rng.randrange(len(text))
        units = text[at].encode("utf-16-be")
        escape = "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
        return json.dumps(text[:at])[:-1] + escape + json.dumps(text[at + 1 :])[1:]
    return json.dumps(text, ensure_ascii=rng.random() < 0.5)


def _pieces(rng, value, spaced, shuffled):
    if isinstance(value, Raw):
        yield value.text
    elif isinstance(value, str):
        yield _string(rng, value, spaced)
    elif isinstance(value, (dict, Pairs)):
        pairs = pairs_of(value)
        if shuffled:
            rng.shuffle(pairs)
        yield "{"
        for at, (name, member) in enumerate(pairs):
            yield ("," if at else "") + _blank(rng, spaced) + _string(rng, name, spaced) + _blank(rng, spaced) + ":" + _blank(rng, spaced)
            yield from _pieces(rng, member, spaced, shuffled)
        yield _blank(rng, spaced) + "}"
    elif isinstance(value, (list, tuple)):
        yield "["
        for at, element in enumerate(value):
            yield ("," if at else "") + _blank(rng, spaced)
            yield from _pieces(rng, element, spaced, shuffled)
        yield _blank(rng, spaced) + "]"
    else:
        yield json.dumps(value)


JUNK = (None, True, False, 0, 1, -1, 5, 1.5, 1 << 31, 1 << 32, (1 << 32) + 1, 1 << 53, "", "x", "off", "a", "nope", "murmur3_32", [], {}, [None], ["a"], ["nope"], [[0, 1]], [[1, 0]], [[0, 5], [4, 9]],
        {"all": []}, {"any": []}, {"op": "is_present", "attr": "user_id"}, {"op": "nope"}, Raw("-0"), Raw("1.0"), Raw("1e400"), Raw("0e0"), Raw('"\\ud800"'), Raw('"\\ud83d\\ude00"'), "1.2.3", "2024-01-01T00:00:00Z", "10.0.0.0/8", "a:b",
        "x" * 65, "x" * 129, "x" * 257, "experiment", "killed", "paused", "h0", "l0", "s0", "f0")


def places(value, path=()):
    """Paths of everything inside."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield path + (name,)
            yield from places(member, path + (name,))
    elif isinstance(value, list):
        for at, element in enumerate(value):
            yield path + (at,)
            yield from places(element, path + (at,))


def spoil(rng, value):
    """One random fault somewhere inside (now and then it is none)."""
    path = rng.choice(list(places(value)))
    holder = value
    for step in path[:-1]:
        holder = holder[step]
    last, kind = path[-1], rng.random()
    if kind < 0.3:
        del holder[last]
    elif kind < 0.7:
        holder[last] = rng.choice(JUNK)
    elif kind < 0.8 and isinstance(holder, dict):
        holder[rng.choice(("x", "meta", "over", "value", "values", "state", "schema", "when", "Kind"))] = rng.choice(JUNK)
    elif kind < 0.9 and isinstance(holder, dict):
        twice = Pairs([*holder.items(), (last, holder[last])])
        if len(path) == 1:
            return twice
        above = value
        for step in path[:-2]:
            above = above[step]
        above[path[-2]] = twice
    elif isinstance(holder, list):
        holder.insert(rng.randrange(len(holder) + 1), rng.choice((holder[last], rng.choice(JUNK))))
    else:
        holder[last + "x"] = holder.pop(last)
    return value
