"""Flags and rules read (manifest.md). A Fault makes the one flag unsupported."""

from collections import Counter

from canonical_json import canonical
from expression import read_hash, read_name, read_ranges, read_salt
from strict_json import (Fault, LARGEST_EXACT, Number, Object, read_boolean, read_double, read_fields, read_integer, read_list, read_map,
                         read_string)

TYPES = ("bool", "string", "int", "float", "json")
STATES = ("live", "killed", "archived")
EXPERIMENT_STATES = ("running", "paused", "killed")
MOST_RULES, MOST_HOLDOUTS, MOST_VARIATIONS, MOST_OVERRIDES = 1000, 8, 250, 10000
MOST_RANGES, MOST_SPLIT_VARIATIONS = 1000, 100
MOST_PHASE = (1 << 31) - 1

COMMON = ("start_ms", "end_ms", "requires", "holdouts", "when", "meta")
FIELDS = {
    "targeted": (("id", "kind", "serve"), COMMON),
    "rollout": (("id", "kind", "serve", "unit", "traffic"), COMMON),
    "experiment": (("id", "kind", "unit", "traffic", "experiment", "phase", "split"), COMMON + ("epoch", "state", "layer", "slots", "sticky")),
}


class Served:
    """What even an unsupported flag serves: its type, variations and `off`."""

    def __init__(self, kind, variations, off):
        self.type = kind
        self.keys = [key for key, _ in variations]
        self.values = [value for _, value in variations]
        self.index = {key: at for at, key in enumerate(self.keys)}
        self.off = self.index.get(off)


def read_value(kind, value, where) -> str:
    """The value of a variation in RFC 8785 form."""
    if kind == "bool":
        return canonical(read_boolean(value, where))
    if kind == "string":
        return canonical(read_string(value, where))
    if kind == "json":
        text = canonical(value, 64)
        if len(text.encode("utf-8")) > 65536:
            raise Fault(f"{where}: more than 64 KiB")
        return text
    double = read_double(value, where)
    if kind == "int" and (double != int(double) or abs(double) > LARGEST_EXACT):
        raise Fault(f"{where}: not an integer within 2^53-1")
    return canonical(double)


def read_variations(kind, value, where):
    variations = []
    for entry in read_list(value, where, 1, MOST_VARIATIONS):
        # `value` may be null in a json flag: a required field, so null is a value.
        fields = read_fields(entry, ("key", "value"), (), where)
        variations.append((read_string(fields["key"], where, 1, 256), read_value(kind, fields["value"], where)))
    if len({key for key, _ in variations}) != len(variations):
        raise Fault(f"{where}: two variations of one key")
    return variations


def read_type(value, where):
    if read_string(value, where) not in TYPES:
        raise Fault(f"{where}: unknown type")
    return value


def read_served(value):
    """`type`, `variations` and `off` of a flag whatever else is wrong with it, or None (evaluation.md, 3)."""
    try:
        if not isinstance(value, Object):
            raise Fault("not an object")
        names = [name for name, _ in value.pairs]
        if any(names.count(name) != 1 for name in ("type", "variations", "off")):
            raise Fault("missing or doubled")
        fields = dict(value.pairs)
        kind = read_type(fields["type"], "type")
        variations = read_variations(kind, fields["variations"], "variations")
        served = Served(kind, variations, read_string(fields["off"], "off"))
        if served.off is None:
            raise Fault("off names no variation")
        return served
    except Fault:
        return None


class Flag:
    """`refers_to`: other flags with how often each is paid for; `cost`: without them; `lists`: the id lists it needs."""

    def __init__(self, served, default, state, overrides, rules):
        self.served, self.default, self.state, self.overrides, self.rules = served, default, state, overrides, rules
        self.refers_to, self.cost, lists = Counter(), 0, set()
        for rule in rules:
            for extra, expression in rule.expressions():
                self.cost += extra + (expression.cost if expression else 0)
                if expression:
                    self.refers_to.update(expression.flags)
                    lists |= expression.lists
        self.lists = frozenset(lists)


def read_flag(value, parts, where) -> Flag:
    fields = read_fields(value, ("type", "variations", "off", "default"), ("schema", "state", "overrides", "rules", "meta"), where)
    if "schema" in fields:
        read_integer(fields["schema"], where, 1, 1)
    kind = read_type(fields["type"], where)
    served = Served(kind, read_variations(kind, fields["variations"], where), read_string(fields["off"], where))

    def variation(name):
        if read_string(name, where) not in served.index:
            raise Fault(f"{where}: no variation {name!r}")
        return served.index[name]

    variation(fields["off"])
    default = variation(fields["default"])
    state = fields.get("state", "live")
    if state not in STATES:
        raise Fault(f"{where}: unknown state")
    overrides = {}
    for unit_type, units in read_map(fields.get("overrides", Object([])), where).items():
        read_name(unit_type, where)
        overrides[unit_type] = {unit: variation(name) for unit, name in read_map(units, where).items()}
    if sum(len(units) for units in overrides.values()) > MOST_OVERRIDES:
        raise Fault(f"{where}: too many overrides")
    rules = [read_rule(rule, parts, variation, where) for rule in read_list(fields.get("rules", []), where, 0, MOST_RULES)]
    if len({rule.id for rule in rules}) != len(rules):
        raise Fault(f"{where}: two rules of one id")
    return Flag(served, default, state, overrides, rules)


class Draw:
    """`traffic` or `split`: a salt and its ranges."""

    def __init__(self, value, where, variation=None):
        fields = read_fields(value, ("hash", "salt", "ranges"), (), where)
        read_hash(fields["hash"], where)
        self.salt = read_salt(fields["salt"], where)
        self.ranges = read_ranges(fields["ranges"], where, variation)


class Rule:
    def __init__(self):
        self.start_ms = self.end_ms = self.when = self.unit = self.traffic = None
        self.serve = self.experiment = self.phase = self.epoch = None
        self.layer = self.slots = self.split = None
        self.state, self.sticky = "running", False
        self.requires, self.holdouts, self.exposure_attributes = [], [], []

    def expressions(self):
        """(cost beside it, expression or None) of all the rule may evaluate."""
        for required in self.requires:
            yield 0, required
        for _, holdout in self.holdouts:
            yield 1, holdout.when
        if self.when:
            yield 0, self.when


def read_rule(value, parts, variation, where) -> Rule:
    kind = dict(value.pairs).get("kind") if isinstance(value, Object) else None
    if not isinstance(kind, str) or kind not in FIELDS:
        raise Fault(f"{where}: unknown kind of rule")
    fields = read_fields(value, *FIELDS[kind], where)
    rule = Rule()
    rule.kind = kind
    rule.id = read_string(fields["id"], where, 1, 128)
    for name in ("start_ms", "end_ms"):
        if name in fields:
            setattr(rule, name, read_integer(fields[name], where))
    if rule.start_ms is not None and rule.end_ms is not None and rule.start_ms >= rule.end_ms:
        raise Fault(f"{where}: ends before it starts")
    for entry in read_list(fields.get("requires", []), where):
        required = read_fields(entry, ("flag", "variations"), (), where)
        rule.requires.append(parts.reader.flag_is(required["flag"], required["variations"], where))
    for name in read_list(fields.get("holdouts", []), where, 0, MOST_HOLDOUTS):
        rule.holdouts.append((read_string(name, where), parts.holdout(name)))
    if "when" in fields:
        rule.when = parts.reader.read(fields["when"], where)
    salts = [holdout.salt for _, holdout in rule.holdouts]
    if "serve" in fields:
        rule.serve = variation(fields["serve"])
    if kind != "targeted":
        rule.unit = read_name(fields["unit"], where)
        rule.traffic = Draw(fields["traffic"], where)
        salts.append(rule.traffic.salt)
    if kind == "experiment":
        read_experiment(rule, fields, parts, variation, where)
        salts.append(rule.split.salt)
        if rule.layer:
            salts.append(rule.layer.salt)
    if len(set(salts)) != len(salts):
        raise Fault(f"{where}: one salt for two draws")
    rule.exposure_attributes = read_exposure_attributes(fields.get("meta"))
    return rule


def read_exposure_attributes(meta) -> list:
    """Names of attributes that exposures carry; what is no such list is no fault, and none."""
    try:
        names = [read_string(name, "", 1, 256) for name in read_list(read_map(meta).get("exposure_attributes"), "", 1, 10)]
    except Fault:
        return []
    return names if len(set(names)) == len(names) else []


def read_experiment(rule, fields, parts, variation, where):
    rule.experiment = read_string(fields["experiment"], where, 1, 128)
    rule.phase = read_integer(fields["phase"], where, 1, MOST_PHASE)
    rule.epoch = read_integer(fields["epoch"], where, 1, MOST_PHASE) if "epoch" in fields else 1
    rule.state = fields.get("state", "running")
    if rule.state not in EXPERIMENT_STATES:
        raise Fault(f"{where}: unknown state")
    if "sticky" in fields:
        rule.sticky = read_boolean(fields["sticky"], where)
    if ("layer" in fields) != ("slots" in fields):
        raise Fault(f"{where}: layer and slots come together")
    if "layer" in fields:
        rule.layer = parts.layer(read_string(fields["layer"], where))
        rule.slots = read_ranges(fields["slots"], where)
        if rule.layer.unit != rule.unit:
            raise Fault(f"{where}: the layer's unit is another")
    rule.split = Draw(fields["split"], where, variation)
    if not 1 <= len(rule.split.ranges) <= MOST_RANGES:
        raise Fault(f"{where}: a split has 1 to 1,000 ranges")
    if len({entry[2] for entry in rule.split.ranges}) > MOST_SPLIT_VARIATIONS:
        raise Fault(f"{where}: a split names at most 100 variations")
