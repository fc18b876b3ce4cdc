"""Evaluation (evaluation.md): from manifest, flag, context and now to a decision."""

from bucketing import basis_point, draw, in_ranges
from context import Context
from id_list import read_blob
from manifest import Manifest, Refused
from operators import obfuscated

REASONS = ("NO_MANIFEST", "NOT_READY", "FLAG_UNKNOWN", "ARCHIVED", "KILLED", "PAUSED", "OVERRIDE", "HOLDOUT", "TARGETED", "ROLLOUT", "SPLIT",
           "STICKY", "DEFAULT", "NO_UNIT", "UNSUPPORTED", "TYPE_MISMATCH", "ERROR")
MISS, MISS_NO_UNIT = "miss", "miss for want of its unit"


class Outcome:
    """A decision before it is written: indices, not keys."""

    __slots__ = ("reason", "variation", "rule", "origin", "bucket", "held", "exposures")

    def __init__(self, reason, variation=None, rule=None, origin=None, bucket=None, held=None, exposures=()):
        self.reason = reason
        self.variation = variation
        self.rule = rule  # index of the rule that decided
        self.origin = origin  # index of the rule whose experiment ids are carried (OVERRIDE: not the rule that decided)
        self.bucket = bucket
        self.held = held  # index of the holding holdout in the rule
        self.exposures = exposures  # (index of the holdout in the rule, arm)


class Engine:
    """A manifest (or none) with the id lists the host supplied."""

    def __init__(self, manifest=None, blobs=None):
        self.manifest = manifest
        self.lists = {}
        for name, blob in (blobs or {}).items():
            if manifest is None or name not in manifest.parts.list_names():
                continue
            try:
                described = manifest.parts.list(name)
            except Exception:  # a broken entry: nothing fits it
                continue
            ids = read_blob(described, blob)
            if ids is not None:
                self.lists[name] = ids

    def evaluate(self, flag, attributes, now_ms, sticky=(), forced=None, asked_type=None) -> dict:
        """The decision as tests/oracle/README.md writes it."""
        return self.evaluate_all([flag], attributes, now_ms, sticky, forced, asked_type)[0]

    def evaluate_all(self, flags, attributes, now_ms, sticky=(), forced=None, asked_type=None) -> list:
        """One context's decisions on several flags."""
        if self.manifest is None:
            return [write(flag, None, None, Outcome("NO_MANIFEST"), None) for flag in flags]
        evaluation = Evaluation(self, attributes, now_ms, sticky, forced or {})
        return [self._one(flag, evaluation, asked_type) for flag in flags]

    def _one(self, flag, evaluation, asked_type):
        key = self.key_of(flag)
        if key not in self.manifest.flags:
            return write(flag, self.manifest, None, Outcome("FLAG_UNKNOWN"), None)
        served = self.manifest.served[key]
        if asked_type is not None and served is not None and asked_type != served.type and (served.type, asked_type) != ("int", "float"):
            return write(flag, self.manifest, None, Outcome("TYPE_MISMATCH"), None)
        return write(flag, self.manifest, served, evaluation.outcome(key), self.manifest.flags[key])

    def key_of(self, flag):
        salt = self.manifest.obfuscation_salt
        return flag if salt is None else obfuscated(salt, flag)


class Evaluation:
    """One context at one moment; flags asked for by others are evaluated once."""

    def __init__(self, engine, attributes, now_ms, sticky, forced):
        self.manifest = engine.manifest
        self.lists = engine.lists
        self.context = Context(attributes)
        self.now_ms = now_ms
        self.sticky = {record["experiment"]: record for record in sticky}
        self.forced = {engine.key_of(flag): variation for flag, variation in forced.items()}
        self._outcomes = {}

    def outcome(self, key) -> Outcome:
        if key not in self._outcomes:
            self._outcomes[key] = self._decide(key)
        return self._outcomes[key]

    def variation_of(self, key):
        """For `flag_is`: the variation key the flag gives, or None (unknown)."""
        if self.manifest.flags[key] is None:
            return None
        outcome = self.outcome(key)
        if outcome.reason == "NOT_READY" or outcome.variation is None:
            return None
        return self.manifest.served[key].keys[outcome.variation]

    def _decide(self, key):
        flag, served = self.manifest.flags[key], self.manifest.served[key]
        if flag is None:
            return Outcome("UNSUPPORTED", served.off if served else None)
        if any(name not in self.lists for name in flag.lists):
            return Outcome("NOT_READY", served.off)
        if flag.state == "archived":
            return Outcome("ARCHIVED", served.off)
        if flag.state == "killed":
            return Outcome("KILLED", served.off)
        overriding = self._override(key, flag)
        if overriding is not None:
            origin = next((at for at, rule in enumerate(flag.rules) if names_in_split(rule, overriding)), None)
            return Outcome("OVERRIDE", overriding, origin=origin)
        want_of_unit = False
        for at, rule in enumerate(flag.rules):
            result = self._rule(flag, at, rule)
            if isinstance(result, Outcome):
                return result
            want_of_unit = want_of_unit or result == MISS_NO_UNIT
        return Outcome("NO_UNIT" if want_of_unit else "DEFAULT", flag.default)

    def _override(self, key, flag):
        forced = flag.served.index.get(self.forced.get(key))
        if forced is not None:
            return forced
        for unit_type in sorted(flag.overrides, key=lambda name: name.encode("utf-8")):
            unit = self.context.unit(unit_type)
            if unit is not None and unit in flag.overrides[unit_type]:
                return flag.overrides[unit_type][unit]
        return None

    def _rule(self, flag, at, rule):
        if rule.start_ms is not None and self.now_ms < rule.start_ms:
            return MISS
        if rule.end_ms is not None and self.now_ms >= rule.end_ms:
            return MISS
        if not all(required.answer(self) is True for required in rule.requires):
            return MISS
        off = flag.served.off
        for position, (_, holdout) in enumerate(rule.holdouts):
            if self._guards(holdout) and in_ranges(draw(holdout.salt, self.context.unit(holdout.unit)), holdout.ranges):
                rest = self._rest(flag, rule)
                exposures = []
                if isinstance(rest, tuple) and rest[0] not in ("PAUSED", "KILLED"):
                    exposures.append((position, "held"))
                return Outcome("HOLDOUT", off, at, at, held=position, exposures=exposures)
        rest = self._rest(flag, rule)
        if not isinstance(rest, tuple):
            return rest
        reason, variation, bucket = rest
        if reason in ("PAUSED", "KILLED"):
            return Outcome(reason, off, at, at)
        exposures = [(position, "open") for position, (_, holdout) in enumerate(rule.holdouts) if self._guards(holdout)]
        return Outcome(reason, variation, at, at, bucket, exposures=exposures)

    def _guards(self, holdout):
        """The holdout concerns this unit: it has one, and `when` is true."""
        return self.context.unit(holdout.unit) is not None and (holdout.when is None or holdout.when.answer(self) is True)

    def _rest(self, flag, rule):
        """Steps 4 to 9: a miss, or (reason, variation, bucket)."""
        if rule.kind == "targeted":
            return ("TARGETED", rule.serve, None) if self._targeting(rule) else MISS
        unit = self.context.unit(rule.unit)
        if unit is None:
            return MISS_NO_UNIT
        if rule.kind == "rollout":
            holds = self._targeting(rule) and in_ranges(draw(rule.traffic.salt, unit), rule.traffic.ranges)
            return ("ROLLOUT", rule.serve, None) if holds else MISS
        if rule.layer and not in_ranges(draw(rule.layer.salt, unit), rule.slots):
            return MISS
        halted = rule.state.upper() if rule.state != "running" else None
        stuck = self._sticky_variation(flag, rule, unit)
        if stuck is not None:
            return (halted or "STICKY", stuck, None)
        if not self._targeting(rule) or not in_ranges(draw(rule.traffic.salt, unit), rule.traffic.ranges):
            return MISS
        if halted:
            return (halted, None, None)
        h = draw(rule.split.salt, unit)
        for low, high, variation in rule.split.ranges:
            if low <= h < high:
                return ("SPLIT", variation, basis_point(h))
        return MISS

    def _targeting(self, rule):
        return rule.when is None or rule.when.answer(self) is True

    def _sticky_variation(self, flag, rule, unit):
        record = self.sticky.get(rule.experiment) if rule.sticky else None
        if record is None or record["phase"] != rule.phase or record["unit"] != unit:
            return None
        variation = flag.served.index.get(record["variation"])
        return variation if variation is not None and names_in_split(rule, variation) else None


def names_in_split(rule, variation):
    return rule.kind == "experiment" and any(entry[2] == variation for entry in rule.split.ranges)


def write(asked, manifest, served, outcome, flag) -> dict:
    """The decision as JSON values."""
    decides = outcome.rule is not None
    origin = flag.rules[outcome.origin] if outcome.origin is not None else None
    experiment = origin if origin is not None and origin.kind == "experiment" else None
    has_variation = outcome.variation is not None
    packed = outcome.variation if has_variation else 255
    packed |= REASONS.index(outcome.reason) << 8
    packed |= (16383 if outcome.bucket is None else outcome.bucket) << 13
    packed |= (0 if outcome.origin is None else outcome.origin + 1) << 27
    packed |= (0 if outcome.held is None else outcome.held + 1) << 39
    for position, _ in outcome.exposures:
        packed |= 1 << (43 + position)
    return {
        "flag": asked,
        "variation": served.keys[outcome.variation] if has_variation else None,
        "value": served.values[outcome.variation] if has_variation else None,
        "reason": outcome.reason,
        "rule": flag.rules[outcome.rule].id if decides else None,
        "experiment": experiment.experiment if experiment else None,
        "phase": experiment.phase if experiment else None,
        "epoch": experiment.epoch if experiment else None,
        "bucket": outcome.bucket,
        "manifest_version": manifest.version if manifest else None,
        "exposure": outcome.reason in ("SPLIT", "STICKY") or (outcome.reason == "OVERRIDE" and experiment is not None),
        "holdout_exposures": [
            {"holdout": origin.holdouts[position][0], "arm": arm, "unit": origin.holdouts[position][1].unit} for position, arm in outcome.exposures
        ],
        "packed": packed,
    }


def load(data: bytes, blobs=None):
    """(engine, None) or (engine without a manifest, the refusal)."""
    try:
        return Engine(Manifest(data), blobs), None
    except Refused as refusal:
        return Engine(), refusal
