"""`evenhand.stats` without NumPy: every function against the oracle's tables (core/stats/tests/oracle, exact or 50-digit arithmetic),
every example of its documentation, what it refuses, and that importing `evenhand` loads none of it.

python stats_tables.py small|full [WORD …]
"""

from __future__ import annotations

import doctest
import importlib
import inspect
import json
import math
import pkgutil
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from evenhand import EvenhandError, stats

ROOT = Path(__file__).resolve().parent.parent.parent.parent
TABLES = ROOT / "core" / "stats" / "tests" / "oracle"
ALTERNATIVES = {"two_sided": "two-sided", "greater": "greater", "lesser": "less"}
SPENDINGS = {"o_brien_fleming": "obrien-fleming", "pocock": "pocock"}
NOW = {"minimum_data": None}


def table(name: str) -> Any:
    return json.loads((TABLES / f"{name}.json").read_text())


def check(holds: bool, what: str, found: object = "") -> None:
    if not holds:
        raise AssertionError(f"{what}; found: {found!r}")


def confidence(alpha: float) -> float:
    return float(1 - Decimal(repr(alpha)))


class Distance:
    """The farthest that a figure was from the oracle's."""

    def __init__(self, tolerance: float) -> None:
        self.tolerance, self.farthest, self.figures = tolerance, 0.0, 0

    def see(self, ours: float | None, theirs: float, what: str, scale: float | None = None) -> None:
        assert ours is not None, f"{what}: there is no figure"
        self.figures += 1
        size = max(abs(theirs) if scale is None else scale, sys.float_info.min)
        off = 0.0 if ours == theirs else abs(ours - theirs) / size
        assert off <= self.tolerance, f"{what}: {ours!r} is {off:.1e} off {theirs!r}"
        self.farthest = max(self.farthest, off)

    def said(self, at_least: int) -> str:
        assert self.figures >= at_least, f"only {self.figures} figures"
        return f"{self.figures:,} figures, farthest {self.farthest:.0e}"


def see_arm(distance: Distance, arm: stats.Arm, theirs: dict[str, Any], name: str) -> None:
    check(arm.units == int(theirs["units"]) and arm.reason is None, f"{name}: units", arm)
    distance.see(arm.total, theirs["total"], f"{name}: total")
    distance.see(arm.value, theirs["value"], f"{name}: value")
    if theirs["unit_variance"] is None:
        check(arm.unit_variance is None, f"{name}: no variance", arm)
    else:
        distance.see(arm.unit_variance, theirs["unit_variance"], f"{name}: variance")


def see_welch(distance: Distance, effect: stats.Effect, theirs: dict[str, Any], size: float, name: str) -> None:
    """`size` is that of the two means, which were rounded before they were subtracted."""
    if theirs["status"] != "interval":
        check(effect.reason == theirs["reason"], f"{name}: reason", effect)
        check(effect.region is None and effect.p_value is None and effect.significant is None, f"{name}: bare", effect)
        if theirs["status"] == "point_only":
            distance.see(effect.estimate, theirs["estimate"], f"{name}: estimate", size)
        else:
            check(effect.estimate is None, f"{name}: no estimate", effect)
        return
    distance.see(effect.estimate, theirs["estimate"], f"{name}: estimate", size)
    for figure in ("standard_error", "degrees_of_freedom"):
        distance.see(getattr(effect, figure), theirs[figure], f"{name}: {figure}")
    width = theirs["upper"] - theirs["lower"] + size
    distance.see(effect.lower, theirs["lower"], f"{name}: lower", width)
    distance.see(effect.upper, theirs["upper"], f"{name}: upper", width)
    # What rounding of the means does to t, it does t² times to p; beyond this the means' doubles do not hold the difference.
    t = theirs["estimate"] / theirs["standard_error"]
    rounding = max(abs(size / theirs["estimate"]), 1.0) if theirs["estimate"] else 1.0
    sensitivity = (1 + min(t, 1e3) ** 2) * rounding
    if sensitivity < 1e9:
        distance.see(effect.p_value, theirs["p_value"], f"{name}: p", theirs["p_value"] * sensitivity)


def see_lift(distance: Distance, arms: tuple[stats.Arm, stats.Arm], theirs: Any, alpha: float, name: str) -> None:
    lift = stats.welch(*arms, confidence=confidence(alpha))
    control, treatment = (arm.value or 0.0 for arm in arms)
    size = abs(control) + abs(treatment)
    see_welch(distance, lift.absolute, theirs["absolute"], size, f"{name}: absolute")
    relative = size / abs(control) if control else 1.0
    see_welch(distance, lift.relative, theirs["relative"], relative, f"{name}: relative")


def lifts() -> str:
    distance = Distance(1e-9)
    make = {"mean": stats.Arm.from_micros, "ratio": stats.Arm.ratio_from_micros}
    for case in table("lifts"):
        expect, name = case["expect"], case["name"]
        if case["kind"] == "cuped":
            sums = [stats.PrePeriodSums(**{key: int(value) for key, value in arm.items()}) for arm in case["arms"]]
            adjusted = stats.adjust_by_pre_period(sums)
            # θ is a quotient of sums of rounded terms that may cancel.
            distance.see(adjusted.theta, expect["theta"], f"{name}: theta", max(abs(expect["theta"]), 1e-6))
            for arm, theirs in zip(adjusted.arms, expect["arms"], strict=True):
                see_arm(distance, arm, theirs, name)
            for arm, theirs in zip(adjusted.arms[1:], expect["lifts"], strict=True):
                see_lift(distance, (adjusted.arms[0], arm), theirs, case["alpha"], name)
            continue
        arms = [make[case["kind"]](**{k: int(v) for k, v in case[arm].items()}) for arm in ("control", "treatment")]
        for arm, side in zip(arms, ("control", "treatment"), strict=True):
            see_arm(distance, arm, expect[side], f"{name}: {side}")
        see_lift(distance, (arms[0], arms[1]), expect, case["alpha"], name)
    return distance.said(2_000)


def ratios_before() -> str:
    distance = Distance(1e-9)
    for case in table("arms")["cuped_ratios"]:
        sums = [stats.PrePeriodRatioSums(**{key: int(value) for key, value in arm.items()}) for arm in case["arms"]]
        adjusted, expect = stats.adjust_ratio_by_pre_period(sums), case["expect"]
        distance.see(adjusted.theta, expect["theta"], case["name"], max(abs(expect["theta"]), 1e-6))
        removed = expect["variance_removed"]
        distance.see(adjusted.variance_removed, removed, case["name"], max(removed, 1e-6))
        for arm, theirs in zip(adjusted.arms, expect["arms"], strict=True):
            # What is left of the variance is a difference of larger terms.
            left = {**theirs, "unit_variance": None}
            see_arm(
                distance, arm if arm.unit_variance is None else replace(arm, unit_variance=None), left, case["name"]
            )
            if theirs["unit_variance"] is not None:
                scale = theirs["unit_variance"] / max(1 - removed, 1e-6)
                distance.see(arm.unit_variance, theirs["unit_variance"], f"{case['name']}: variance", scale)
    y, d, x, e = ([3, 5, 1.5], [1, 2, 2], [2, 2, 0], [1, 4, 0])
    rows = stats.PrePeriodRatioSums.from_values(y, d, x, e)

    def cross(left: list[Any], right: list[Any]) -> int:
        return sum(int(a * 10**6) * int(b * 10**6) for a, b in zip(left, right, strict=True))

    found = (rows.sum_num_pre, rows.sum_num_pre_den, rows.sum_den_pre, rows.sum_den_pre_den, rows.sum_pre_cross)
    check(found == (cross(y, x), cross(y, e), cross(d, x), cross(d, e), cross(x, e)), "crossed sums", rows)
    check((rows.sum_cross, rows.sum_pre_den_sq) == (cross(y, d), cross(e, e)), "and the others", rows)
    return distance.said(300)


def quantiles() -> str:
    """Quantiles, caps and funnel steps. Values of the table that doubles don't hold to a millionth are left to the Rust tests."""
    distance, caps, tables = Distance(1e-9), 0, table("arms")
    for case in tables["quantiles"]:
        if any(abs(value) > 2**50 for value, _ in case["runs"]):
            continue
        values = [value / 10**6 for value, count in case["runs"] for _ in range(count)][::-1]
        for expect in case["expect"]:
            try:
                arm = stats.Arm.quantile(values, Fraction(expect["millionths"], 10**6))
            except stats.StatsError as error:
                check("smaller unit" in str(error) and max(map(abs, values)) < 0.001, case["name"], error)
                continue
            see_arm(distance, arm, expect["arm"], case["name"])
    for case in tables["caps"]:
        runs = [[value / 10**6 for value, count in arm for _ in range(count)] for arm in case["arms"]]
        if any(abs(value) > 2**30 for arm in runs for value in arm):
            continue
        for expect in case["expect"]:
            share, nonzero = Fraction(expect["millionths"], 10**6), expect["over"] == "non_zero_units"
            cap = stats.percentile_cap(runs, share, nonzero_only=nonzero)
            if cap is None or expect["upper"] is None:
                check(cap == expect["upper"], f"{case['name']}: no unit counts", (cap, expect))
                continue
            check(round(cap * 10**6) == expect["upper"], f"{case['name']}: cap", (cap, expect))
            for values, theirs in zip(runs, expect["arms"], strict=True):
                given = stats.Arm.from_micros(*(int(theirs[name]) for name in ("n", "sum", "sum_sq")))
                check(stats.Arm.from_values(values, cap=cap) == given, f"{case['name']}: capped", expect)
                caps += 1
    for case in tables["steps"]:
        found = stats.Arm.from_step(case["n"], case["before"], case["after"])
        see_arm(distance, found, case["arm"], f"step {case}")
    check(stats.percentile_cap([[0, 0]], nonzero_only=True) is None, "no cap of nothing")
    check(stats.Arm.quantile([]).reason == "no_units", "no quantile of nothing")
    return f"{distance.said(1_500)}; {caps} capped arms"


def families() -> str:
    distance, alpha = Distance(1e-12), 0.05
    words: dict[stats.Correction, str] = {
        "bonferroni": "bonferroni",
        "holm": "holm",
        "benjamini-hochberg": "benjamini_hochberg",
    }
    for case in table("multiple"):
        for correction, name in words.items():
            for ours, theirs in zip(stats.adjusted_p_values(case["p"], correction), case[name], strict=True):
                distance.see(ours, theirs, f"{name} of {case}")
    arm = stats.Arm.from_conversions
    control, none = arm(5_000, 500), arm(0, 0)
    pairs = [(control, arm(5_000, count)) for count in (505, 560, 580, 640)] + [(control, none), (control, arm(50, 6))]
    for procedure in (stats.FixedHorizon(), stats.AnytimeValid()):
        single = [stats.compare(*pair, procedure) for pair in pairs]
        for correction in words:
            family = stats.compare_family(pairs, procedure, correction=correction)
            p_values = stats.adjusted_p_values([lift.absolute.p_value for lift in single], correction)
            check([lift.absolute.p_value for lift in family] == p_values, "p-values of the family", family)
            check([lift.absolute.single for lift in family] == [lift.absolute for lift in single], "each alone", family)
            reasons = [lift.relative.reason for lift in family]
            check(reasons == [None] * 4 + ["no_units", "minimum_data"], "those without a verdict", reasons)
            refused = sum(p is not None and p <= alpha for p in p_values)
            level = alpha * max(refused, 1) / 6 if correction == "benjamini-hochberg" else alpha / 6
            # The region is the one of a test at that level by itself.
            for at, lift in enumerate(family[:4]):
                region, theirs = lift.absolute.region, lift.absolute.confidence
                check(theirs == confidence(level), "the level", (theirs, level))
                assert region is not None and theirs is not None
                if isinstance(procedure, stats.FixedHorizon):
                    at_level = stats.compare(*pairs[at], stats.FixedHorizon(theirs)).absolute
                    distance.see(region.lower, at_level.lower or 0.0, "the region at its level")
                    distance.see(region.upper, at_level.upper or 0.0, "the region at its level")
                check(lift.absolute.significant == ((p_values[at] or 0.0) <= alpha), "the verdict", lift)
    return distance.said(3_000)


def bandits() -> str:
    distance = Distance(2e-9)
    for kind in ("small_rates", "large_rates"):
        for case in table("bandits")[kind]:
            if any(a < 1 or b < 1 or a % 1 or b % 1 for a, b in case["arms"]):
                continue
            arms = [stats.Conversions(int(a + b) - 2, int(a) - 1) for a, b in case["arms"]]
            best = stats.best_rate(arms)
            for ours, theirs in zip(best.probabilities, case["best"], strict=True):
                distance.see(ours, theirs, f"best of {case['arms']}", 1.0)
            for ours, theirs in zip(best.expected_losses, case["losses"], strict=False):
                distance.see(ours, theirs, f"loss of {case['arms']}", 1.0)
            # Where lower is better, misses are what conversions are.
            turned = [stats.Conversions(arm.units, arm.units - arm.conversions) for arm in arms]
            other = stats.best_rate(turned, better="lower").probabilities
            for ours, mirrored in zip(other, case["best"], strict=True):
                distance.see(ours, mirrored, f"lowest of {case['arms']}", 1.0)
    # Two means: Φ of the difference in standard deviations, the posterior by hand.
    pair = [stats.Arm(400, 20.0, 900.0), stats.Arm(900, 22.0, 1_600.0)]
    mean = (400 * 20.0 + 900 * 22.0) / 1_300
    pooled = (399 * 900.0 + 899 * 1_600.0) / (399 + 899)
    beliefs_ = []
    for arm in pair:
        assert arm.unit_variance is not None and arm.value is not None
        own = arm.unit_variance / arm.units
        precision = 1 / pooled + 1 / own
        beliefs_.append(((mean / pooled + arm.value / own) / precision, 1 / precision))
    z = (beliefs_[1][0] - beliefs_[0][0]) / math.sqrt(beliefs_[0][1] + beliefs_[1][1])
    best = stats.best_mean(pair)
    distance.see(best.probabilities[1], 0.5 * math.erfc(-z / math.sqrt(2)), "two means", 1.0)
    empty = stats.Arm.from_conversions(0, 0)
    check(stats.best_mean([empty, empty]).reason == "no_units", "nothing known")
    check(len(stats.best_mean([*pair, empty]).probabilities) == 3, "an arm without units has the prior")
    update = stats.update_weights(best, [400, 900], stats.BanditPolicy(floor=500))
    check(sum(update.weights) == 10_000 and min(update.weights) >= 500, "whole weights", update)
    share = round(500 + 9_000 * best.probabilities[1])
    check(abs(update.weights[1] - share) <= 1 and update.winner is None and not update.warming_up, "weights", update)
    check(stats.update_weights(best, [99, 900]).warming_up, "few units", best)
    sure = stats.update_weights(best, [400, 900], stats.BanditPolicy(stop_probability=best.probabilities[1]))
    check(sure.winner == 1, "the stop rule", sure)
    arm_of = stats.Arm.from_conversions
    epochs = [[arm_of(500, 50), arm_of(500, 60)], [arm_of(100, 20), arm_of(900, 190)], [arm_of(1, 1), arm_of(10, 1)]]
    whole = stats.over_epochs(epochs)
    # Each epoch weighs as its traffic.
    by_hand = 0.5 * 0.1 + 0.5 * 0.2, 0.5 * 0.12 + 0.5 * 190 / 900
    check((whole.epochs, whole.units_left_out) == (2, 11), "the third epoch says nothing", whole)
    assert whole.control is not None and whole.treatment is not None
    distance.see(whole.control.value, by_hand[0], "control over epochs")
    distance.see(whole.treatment.value, by_hand[1], "treatment over epochs")
    error = math.sqrt(0.25 * 0.09 / 499 + 0.25 * 0.16 / 99)
    distance.see(whole.control.standard_error, error, "its standard error")
    check(stats.over_epochs([[arm_of(1, 1)] * 2]).reason == "too_few_units", "no epoch")
    return distance.said(500)


def designs() -> str:
    distance, statuses = Distance(1e-9), set()
    for case in table("design"):
        options: dict[str, Any] = {
            "weights": case["weights"],
            "metrics": case["metrics"],
            "alpha": case["alpha"],
            "looks": "anytime" if case["anytime"] else "once",
        }
        design = (
            stats.Design(case["value"], case["unit_variance"], **options)
            if case["rate"] is None
            else stats.Design.for_rate(case["rate"], **options)
        )
        size = design.sample_size(case["lift"], case["power"])
        check(list(size.by_arm) == case["by_arm"] and size.total == sum(case["by_arm"]), "sizes", (size, case))
        distance.see(size.inflation, case["inflation"], f"inflation of {case}")
        distance.see(design.power(case["lift"], case["units"]), case["power_at_units"], f"power of {case}")
        found = design.detectable_lift(case["units"], case["power"])
        if case["detectable"] is None:
            check(found is None, "no lift is found", (found, case))
        else:
            distance.see(found, case["detectable"], f"lift of {case}")
    for case in table("days_left"):
        arms = [stats.Arm(arm["units"], 0.0, arm["unit_variance"]) for arm in case["arms"]]
        level = confidence(case["alpha"])
        procedure: stats.AnytimeValid | stats.FixedHorizon = (
            stats.FixedHorizon(level)
            if case["planned"] is None
            else stats.AnytimeValid(level, planned_units=case["planned"])
        )
        target: dict[str, Any] = (
            {"half_width": case["size"]} if case["power"] is None else {"effect": -case["size"], "power": case["power"]}
        )
        daily = tuple(arm["units_per_day"] for arm in case["arms"])
        left = stats.days_left(*arms, daily, **target, procedure=procedure)  # type: ignore[arg-type]
        statuses.add(left.status)
        expected = (case["days"], *(case["units"] or ())) if case["units"] else None
        if expected is None:
            check(left.status == ("out_of_reach" if case["days"] is None else "reached"), "no days", (left, case))
        else:
            check((left.days, left.control_units, left.treatment_units) == expected, "days", (left, case))
    check(statuses == {"reached", "days", "out_of_reach"}, "every status", statuses)
    check(stats.time_needed(5, [0, 0]) is None, "no traffic, no time")
    single, good = stats.Arm.from_conversions(1, 1), stats.Arm.from_conversions(1_000, 100)
    check(stats.days_left(single, good, (1, 1), effect=1).reason == "too_few_units", "no variance, no days")
    return distance.said(450)


def see_inference(
    distance: Distance, effect: stats.Effect, theirs: dict[str, Any], scales: tuple[float, float, float], name: str
) -> None:
    """`scales`: of the estimate, of Fieller's ends, and of the statistic's rounding in standard errors."""
    size, ends, rounding = scales
    assert effect.region is not None, f"{name}: there is no region, {effect}"
    found = (effect.region.shape, effect.significant, effect.form)
    check(found == (theirs["region"]["shape"], theirs["significant"], theirs["form"]), name, (effect, theirs))
    distance.see(effect.estimate, theirs["estimate"], f"{name}: estimate", size)
    distance.see(effect.standard_error, theirs["standard_error"], f"{name}: standard error")
    distance.see(effect.critical_value, theirs["critical_value"], f"{name}: critical value")
    # What rounding does to z, it does z + 1 times to p; the table has no digits of the smallest.
    z = abs(theirs["estimate"]) / theirs["standard_error"]
    sensitivity = 1 + (1 + z) * max(z, 1) + rounding * (1 + z)
    if sensitivity < 1e6 and theirs["p_value"] > 1e-290:
        distance.see(effect.p_value, theirs["p_value"], f"{name}: p", theirs["p_value"] * sensitivity)
    width = size + (ends if theirs["form"] == "fieller" else 0.0) + theirs["critical_value"] * theirs["standard_error"]
    for end in ("lower", "upper", "below", "above"):
        theirs_end = theirs["region"].get(end)
        if theirs_end is None:
            check(getattr(effect.region, end) is None, f"{name}: {end}", effect)
        else:
            distance.see(
                getattr(effect.region, end), theirs_end, f"{name}: {end}", abs(theirs_end) * (1 + ends) + width
            )


def inferences() -> str:
    distance = Distance(1e-9)
    margins = 0
    for kind, cases in table("effects").items():
        for at, case in enumerate(cases):
            arms = [stats.Arm(int(n), value, variance) for n, value, variance in (case["control"], case["treatment"])]
            level: dict[str, Any] = {
                "confidence": confidence(case["alpha"]),
                "alternative": ALTERNATIVES[case["alternative"]],
            }
            planned = None if case["planned"] is None else int(case["planned"])
            procedure: stats.Procedure = (
                stats.FixedHorizon(**level) if kind == "fixed" else stats.AnytimeValid(**level, planned_units=planned)
            )
            lift = stats.compare(*arms, procedure, minimum_data=None)
            expect, name = case["expect"], f"{kind} {at}"
            (n_c, m_c, v_c), (n_t, m_t, v_t) = case["control"], case["treatment"]
            size, quotient = abs(m_c) + abs(m_t), (abs(m_c) + abs(m_t)) / abs(m_c)
            # How well Fieller's ends are determined at all: near g = 1 one of them runs to infinity.
            c = expect["relative"]["critical_value"]
            g, h = (c * c * v / int(n) / m_c**2 for n, v in ((n_c, v_c), (n_t, v_t)))
            ends = (quotient + h**0.5 + g**0.5) * (1 + 1 / min(abs(1 - g), 1))
            error = expect["absolute"]["standard_error"]
            see_inference(distance, lift.absolute, expect["absolute"], (size, 0.0, size / error), f"{name} absolute")
            least = min(error, expect["relative"]["standard_error"])
            see_inference(
                distance, lift.relative, expect["relative"], (quotient, ends, quotient / least), f"{name} relative"
            )
            for scale, null in zip(("absolute", "relative"), case["nulls"], strict=True):
                null_of: dict[str, Any] = {"scale": scale, "procedure": procedure, "minimum_data": None}
                effect = stats.compare_against(*arms, null, **null_of)
                theirs = expect[f"{scale}_null"]
                tested = theirs["standard_error"] * (abs(m_c) if scale == "relative" else 1.0)
                rounding = (size * (1 + abs(null)) + abs(null)) / min(error, tested)
                scales = (size, 0.0, rounding) if scale == "absolute" else (quotient, ends, rounding)
                see_inference(distance, effect, theirs, scales, f"{name} {scale} null")
                better = {"greater": "higher", "less": "lower"}.get(level["alternative"])
                if better and (null <= 0) == (better == "higher"):
                    found = stats.non_inferiority(*arms, abs(null), better=better, **null_of)
                    check(found.effect == effect and found.non_inferior == effect.significant, f"{name} margin", found)
                    margins += 1
    check(margins > 50, "margins were tried", margins)
    return f"{distance.said(12_000)}; {margins} margins"


def looks() -> str:
    # The table is rounded to nine digits; p-values at statistics that arms of a hundred million units make.
    bounds, chances = Distance(6e-9), Distance(1e-6)
    for case in table("group_sequential"):
        look = stats.GroupSequential(
            case["fractions"],
            case["is_last"],
            confidence=confidence(case["alpha"]),
            alternative=ALTERNATIVES[case["alternative"]],  # type: ignore[arg-type]
            spending=SPENDINGS[case["spending"]],  # type: ignore[arg-type]
        )
        for ours, theirs in zip(look.bounds(), case["bounds"], strict=True):
            bounds.see(ours, theirs, f"bounds of {case}")
        bounds.see(look.spent(), case["spent"], f"spent of {case}")
        sign = -1 if case["alternative"] == "lesser" else 1
        control = stats.Arm(10**8, 0.0, 0.5 * 10**8)
        for statistic, p_value in case["p_values"]:
            treatment = stats.Arm(10**8, sign * statistic, 0.5 * 10**8)
            effect = stats.compare(control, treatment, look, minimum_data=None).absolute
            chances.see(effect.p_value, p_value, f"p of {statistic} in {case}")
    return f"{bounds.said(500)}; p-values: {chances.said(70)}"


def beliefs() -> str:
    distance = Distance(1e-9)
    for case in table("effect_posterior"):
        units, conversions, units_t, conversions_t = case["arms"]
        arms = (stats.Arm.from_conversions(units, conversions), stats.Arm.from_conversions(units_t, conversions_t))
        prior = stats.EffectPrior(*case["prior"], scale=case["prior_scale"])
        found = stats.effect_posterior(*arms, scale=case["scale"], prior=prior)
        for figure in ("standard_deviation", "chance_higher", "chance_lower", "expected_rise", "expected_fall"):
            scale = max(abs(case[figure]), 1e-9) if figure.startswith("expected") else None
            distance.see(getattr(found, figure), case[figure], f"{figure} of {case}", scale)
        distance.see(found.mean, case["mean"], f"mean of {case}", abs(case["mean"]) + case["standard_deviation"])
        loss = found.expected_loss("lower")
        check(loss is not None and (loss.ship, loss.keep) == (found.expected_rise, found.expected_fall), "loss", found)
        check(found.chance_to_beat_control("lower") == found.chance_lower, "a lower metric is better", found)
        plot = stats.effect_density(*arms, scale=case["scale"], prior=prior, places=201)
        area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(plot))
        check(abs(area - 0.99993666) < 1e-6, "the density covers four standard deviations", area)
    rates, lifts_ = table("rates"), Distance(1e-7)
    for units, conversions, units_t, conversions_t, a, b, higher, lower, rise, fall in rates["chances"]:
        pair = (stats.Conversions(units, conversions), stats.Conversions(units_t, conversions_t))
        rate = stats.compare_rates(*pair, prior=stats.RatePrior(a, b))
        for ours, theirs, name in (
            (rate.chance_to_beat_control(), higher, "higher"),
            (rate.chance_to_beat_control("lower"), lower, "lower"),
            (rate.expected_loss().keep, rise, "rise"),
            (rate.expected_loss().ship, fall, "fall"),
        ):
            if theirs > 0:  # the table has no digits of the smallest
                distance.see(ours, theirs, f"{name} of {pair}")
        check(rate.relative_lift.lower < rate.relative_lift.upper, "an interval", rate)
    for units, conversions, units_t, conversions_t, factor, below in rates["ratios"]:
        pair = (stats.Conversions(units, conversions), stats.Conversions(units_t, conversions_t))
        tail = min(below, 1 - below)
        if tail > 1e-4:  # the table has ten digits of it
            lift = stats.compare_rates(*pair, confidence=1 - 2 * tail).relative_lift
            lifts_.see((lift.lower if below < 0.5 else lift.upper) + 1, factor, f"{pair}")
    return f"{distance.said(2_500)}; lifts of rates: {lifts_.said(25)}"


def health() -> str:
    distance = Distance(1e-9)
    for case in table("srm"):
        found = stats.sample_ratio(stats.Epoch([int(n) for n, _ in case["arms"]], [w for _, w in case["arms"]]))
        check(found.status == "tested" and found.mismatch == case["mismatch"], "srm", (found, case))
        check(found.degrees_of_freedom == case["degrees_of_freedom"], "degrees of freedom", (found, case))
        distance.see(found.chi_square, case["chi_square"], f"χ² of {case}")
        distance.see(found.p_value, case["p_value"], f"p of {case}")
    for case in table("sequential_srm"):
        epochs = [stats.Epoch([int(n) for n, _ in epoch], [w for _, w in epoch]) for epoch in case["epochs"]]
        watched = stats.sequential_sample_ratio(*epochs, concentrations=case["concentrations"])
        theirs = case["log_bayes_factor"]
        distance.see(watched.log_bayes_factor, theirs, f"ln O of {case}", max(abs(theirs), 1.0))
        distance.see(watched.p_value, min(1.0, math.exp(-(watched.log_bayes_factor or 0.0))), f"p of ln O of {case}")
    loose = Distance(1e-8)
    for case in table("ssrm_test"):
        so_far = [0] * len(case["weights"])
        for batch, theirs in zip(case["batches"], case["log_bayes_factors"], strict=True):
            so_far = [a + b for a, b in zip(so_far, batch, strict=True)]
            found_ = stats.sequential_sample_ratio(
                stats.Epoch(so_far, case["weights"]), concentrations=[case["concentration"]]
            )
            loose.see(found_.log_bayes_factor, theirs, f"ssrm-test: {case}", max(abs(theirs), 1.0))
    none = stats.sample_ratio(stats.Epoch([3, 4], [1, 1]))
    check((none.status, none.needed, none.p_value) == ("not_enough_units", 20, None), "few units", none)
    check(stats.sample_ratio(stats.Epoch([3, 4], [1, 0])).status == "one_arm", "one arm")
    check(stats.sequential_sample_ratio().status == "one_arm", "no epoch")
    return f"{distance.said(1_300)}; ssrm-test: {loose.said(251)}"


def compositions() -> str:
    """What is made of other answers agrees with them."""
    distance, arm = Distance(1e-12), stats.Arm.from_conversions
    whole = [stats.Epoch([52_000, 48_000], [1, 1]), stats.Epoch([9_000, 1_000], [9, 1])]
    safari = [stats.Epoch([12_000, 8_000], [1, 1]), stats.Epoch([900, 100], [9, 1])]
    rest = [stats.Epoch([40_000, 40_000], [1, 1]), stats.Epoch([8_100, 900], [9, 1])]
    parts = {("browser", "Safari"): safari, ("browser", "other"): rest}
    found = {suspect.value: suspect for suspect in stats.suspects(whole, parts)}
    for name, own, others in (("Safari", safari, rest), ("other", rest, safari)):
        one, without = stats.sequential_sample_ratio(*own), stats.sequential_sample_ratio(*others)
        distance.see(found[name].log_bayes_factor, one.log_bayes_factor or 0.0, f"ln O of {name}")
        distance.see(found[name].p_value, one.p_value or 0.0, f"p of {name}")
        distance.see(found[name].adjusted_p_value, min(1.0, 2 * (one.p_value or 0.0)), f"adjusted p of {name}")
        distance.see(found[name].p_value_without, without.p_value or 0.0, f"p without {name}")
        check(found[name].units == one.units, "units", found)
    check((found["Safari"].heals, found["other"].heals) == (True, False), "the culprit", found)
    arms = [arm(1_000, 100), arm(1_000, 120), arm(1_000, 160)]
    for balance in stats.pre_period_balance({"bought": arms, "seen": arms}):
        theirs = stats.welch(arms[0], arms[1 + balance.treatment]).absolute
        p_value = theirs.p_value or 0.0
        distance.see(balance.difference, theirs.estimate or 0.0, f"{balance}")
        distance.see(balance.p_value, p_value, f"{balance}")
        distance.see(balance.adjusted_p_value, min(1.0, 4 * p_value), f"{balance}")
        check(balance.imbalanced == (4 * p_value < 0.001), "the verdict", balance)
    verdicts = [stats.multiple_exposure(1_000, several).verdict for several in (9, 10, 99, 100)]
    check(verdicts == ["healthy", "warning", "warning", "failure"], "exposures", verdicts)
    sequence = stats.AnytimeValid(0.9, "greater", planned_units=3_000)
    effect = stats.compare(arms[0], arms[2], sequence).absolute
    distance.see(effect.critical_value, sequence.boundary(2_000), "the boundary")
    same = stats.AnytimeValid(0.9, "greater", rho_squared=sequence.tuning())
    check(stats.compare(arms[0], arms[2], same).absolute == effect, "ρ² says what planned units say", same)
    # The likelihood ratio's bound is least, in standard errors, where it was planned.
    near = [sequence.boundary(units) for units in (2_900, 3_000, 3_100)]
    check(near[1] == min(near), "the narrowest place", near)
    plot = stats.rate_lift_density(stats.Conversions(1_000, 100), stats.Conversions(1_000, 120), places=2_001)
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(plot))
    check(abs(area - (1 - 6e-5)) < 2e-6, "the density's area", area)
    lower = stats.best_mean([arms[0], arms[1]], better="lower").probabilities
    higher = stats.best_mean([arms[0], arms[1]]).probabilities
    distance.see(lower[0], higher[1], "two means, lower is better")
    distance.see(stats.best_mean([arms[0], arms[0]]).probabilities[0], 0.5, "equal arms")
    return distance.said(20)


def plans() -> str:
    distance = Distance(1e-9)
    for case in table("power"):
        plan = stats.Plan(case["variance"], treatment_per_control=case["treatment_per_control"], alpha=case["alpha"])
        size = stats.SampleSize(int(case["control"]), int(case["treatment"]))
        check(plan.sample_size(case["effect"], case["power"]) == size, "sample size", case)
        distance.see(plan.power(case["effect"], 1234), case["power_at_1234"], f"power of {case}")
        distance.see(plan.minimum_detectable_effect(1234, case["power"]), case["mde_at_1234"], f"effect of {case}")
    uneven, even = stats.Plan(1.0, 3.0).power(0.1, 1234), stats.Plan(2.0).power(0.1, 1234)
    check(abs(uneven - even) < 1e-12, "variances of an even split add up", (uneven, even))
    return distance.said(300)


def examples() -> str:
    """Every public function, method and class that computes has an example, and every example holds."""
    tried, public = 0, 0
    for module in pkgutil.iter_modules(stats.__path__):
        loaded = importlib.import_module(f"evenhand.stats.{module.name}")
        found = doctest.testmod(loaded, optionflags=doctest.FAIL_FAST)
        check(found.failed == 0, f"the examples of {loaded.__name__}", found)
        tried += found.attempted
    check(doctest.testmod(stats).failed == 0, "the examples of evenhand.stats")
    for name in stats.__all__:
        member = getattr(stats, name)
        if inspect.isfunction(member):
            public += 1
            check(">>>" in (inspect.getdoc(member) or ""), f"{name} has an example")
        elif inspect.isclass(member):
            public += 1
            own = [value for value in vars(member).values() if isinstance(value, staticmethod)]
            for maker in own:
                check(bool(inspect.getdoc(maker.__func__)), f"{name}.{maker.__name__} is documented")
            # A dataclass without a text has its signature for one.
            check(not (member.__doc__ or "").startswith(f"{name}("), f"{name} is documented", member.__doc__)
    text = (ROOT / "docs" / "statistics-python.md").read_text()
    blocks = "\n".join(block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "numpy" not in block)
    runner = doctest.DocTestRunner()
    runner.run(doctest.DocTestParser().get_doctest(blocks, {}, "docs/statistics-python.md", None, 0))
    check(runner.failures == 0 and runner.tries > 15, "the page's examples", runner.tries)
    return f"{tried} lines, {public} functions and classes; {runner.tries} lines of the page"


Wrong = tuple[Callable[[], object], str, str]


def refusals() -> str:
    """What is wrong is told with its name and with what would be right; nothing that is not finite comes in or goes out."""
    arm, none = stats.Arm.from_conversions, float("nan")
    good = arm(1_000, 100)
    cases: list[Wrong] = [
        (lambda: arm(10, 11), "wrong_argument", "`conversions` is 11, and `units` only 10"),
        (lambda: arm(-1, 0), "wrong_argument", "`units` is -1: it has to be from 0"),
        (lambda: arm(10.0, 1), "wrong_argument", "`units` is 10.0: it has to be a whole number"),  # type: ignore[arg-type]
        (lambda: arm(True, 1), "wrong_argument", "`units` is True"),
        (lambda: arm(2**64, 1), "wrong_argument", "from 0 to 18446744073709551615"),
        (lambda: stats.Arm.from_values([1.0, none]), "wrong_argument", "`values[1]` is not a finite number"),
        (lambda: stats.Arm.from_values([1.0, 1e13]), "wrong_argument", "`values[1]` is not a finite number within"),
        (lambda: stats.Arm.from_values(["a"]), "wrong_argument", "`values[0]` is 'a'"),
        (lambda: stats.Arm.from_values("12"), "wrong_argument", "`values` is text"),
        (lambda: stats.Arm.from_values(5), "wrong_argument", "`values` is of the type int"),  # type: ignore[arg-type]
        (lambda: stats.Arm.from_values([None, 1]), "wrong_argument", "`values[0]` is None"),
        (lambda: stats.Arm.from_values([1e-5, 2e-5]), "wrong_argument", "a smaller unit"),
        (lambda: stats.Arm.from_values(b"123"), "wrong_argument", "text or bytes"),
        (lambda: stats.Arm.from_sums(3, none, 1), "wrong_argument", "`sum` is nan"),
        (lambda: stats.Arm.from_sums(3, math.inf, 1), "wrong_argument", "`sum` is inf"),
        (lambda: stats.Arm.from_sums(3, 3e-5, 3e-10), "wrong_argument", "a smaller unit"),
        (lambda: stats.Arm.from_sums(3, 6, 4), "inconsistent", "no set of units has these sums"),
        (lambda: stats.Arm.from_micros(3, 0.5, 4), "wrong_argument", "`sum` is 0.5"),  # type: ignore[arg-type]
        (
            lambda: stats.Arm.from_micros(3, 2**127, 4),
            "wrong_argument",
            "`sum` is 170141183460469231731687303715884105728",
        ),
        (lambda: stats.Arm.from_micros(2**60, 2**126, 2**126), "inconsistent", "no set of units"),
        (lambda: stats.Arm.ratio_from_values([1, 2], [1]), "wrong_argument", "has 2 values and `denominators` 1"),
        (lambda: stats.Arm(10, none), "wrong_argument", "`value` is nan"),
        (lambda: stats.Arm(10, 1.0, -1.0), "wrong_argument", "`unit_variance` is -1.0"),
        (lambda: stats.Arm(10, None), "wrong_argument", "a `reason`"),
        (lambda: stats.FixedHorizon(95), "wrong_argument", "`confidence` is 95.0: it has to be above 0 and below 1"),
        (lambda: stats.FixedHorizon(0.4, "greater"), "wrong_argument", "above 0.5"),
        (lambda: stats.FixedHorizon(0.9, "lesser"), "wrong_argument", "one of 'two-sided', 'greater', 'less'"),  # type: ignore[arg-type]
        (lambda: stats.AnytimeValid(planned_units=0), "wrong_argument", "`planned_units` is 0"),
        (lambda: stats.AnytimeValid(planned_units=1, rho_squared=1), "wrong_argument", "give one"),
        (lambda: stats.AnytimeValid(rho_squared=1e9), "wrong_argument", "from 1e-30 to 1e6"),
        (lambda: stats.GroupSequential([]), "wrong_argument", "`fractions` has 0 looks"),
        (lambda: stats.GroupSequential([0.5, 0.4]), "wrong_argument", "`fractions[1]` is 0.4"),
        (lambda: stats.GroupSequential([1.0, 1.5]), "wrong_argument", "`fractions[0]` is 1.0: only the last"),
        (lambda: stats.GroupSequential([0.5], spending="x"), "wrong_argument", "`spending` is 'x'"),  # type: ignore[arg-type]
        (lambda: stats.non_inferiority(good, good, -0.1), "wrong_argument", "`margin` is -0.1"),
        (lambda: stats.non_inferiority(good, good, 0.1, better="up"), "wrong_argument", "`better` is 'up'"),  # type: ignore[arg-type]
        (lambda: stats.compare_against(good, good, none), "wrong_argument", "`null` is nan"),
        (lambda: stats.EffectPrior(standard_deviation=0), "wrong_argument", "`standard_deviation` is 0.0"),
        (lambda: stats.RatePrior(0.1), "wrong_argument", "`a` is 0.1: it has to be from 0.5"),
        (lambda: stats.Conversions(1, 2), "wrong_argument", "`conversions` is 2"),
        (lambda: stats.Epoch([1, 2], [1]), "wrong_argument", "`observed` has 2 arms and `weights` 1"),
        (lambda: stats.Epoch([1, 2], [0.5, 0.5]), "wrong_argument", "`weights[0]` is 0.5"),  # type: ignore[list-item]
        (
            lambda: stats.suspects([stats.Epoch([5, 5], [1, 1])], {("d", "v"): [stats.Epoch([6, 5], [1, 1])]}),
            "inconsistent",
            "`slices` do not fit",
        ),
        (lambda: stats.multiple_exposure(1, 2), "wrong_argument", "`in_several` is 2"),
        (lambda: stats.sequential_sample_ratio(concentrations=[0]), "wrong_argument", "`concentrations[0]` is 0.0"),
        (lambda: stats.pre_period_balance({"m": [good]}), "wrong_argument", "`metrics['m']` has 1 arms"),
        (lambda: stats.Plan(0.0), "wrong_argument", "both 0"),
        (lambda: stats.Plan(1.0).sample_size(0.0), "wrong_argument", "`effect` is 0"),
        (lambda: stats.Plan(1.0).sample_size(1.0, power=0.05), "wrong_argument", "`power` is 0.05"),
        (lambda: stats.Plan.for_rate(5), "wrong_argument", "`rate` is 5.0"),
        (lambda: stats.Plan(1e300).sample_size(1e-300), "overflow", "the plan"),
        (lambda: stats.SampleSize(1, 1).days(0), "wrong_argument", "`units_per_day` is 0"),
        (lambda: stats.Arm.quantile([1], 1.0), "wrong_argument", "`quantile` is 1.0"),
        (lambda: stats.Arm.from_step(10, 5, 6), "wrong_argument", "`after` is 6, `before` 5"),
        (lambda: stats.Arm.from_values([1], cap=1e13), "wrong_argument", "`cap` is 10000000000000.0"),
        (lambda: stats.adjusted_p_values([0.1, 2.0]), "wrong_argument", "`p_values[1]` is 2.0"),
        (lambda: stats.adjusted_p_values([0.1], "x"), "wrong_argument", "`correction` is 'x'"),  # type: ignore[arg-type]
        (lambda: stats.compare_family([]), "wrong_argument", "`pairs` is empty"),
        (lambda: stats.best_rate([]), "wrong_argument", "`arms` has 0"),
        (lambda: stats.BanditPolicy(stop_probability=95), "wrong_argument", "`stop_probability` is 95.0"),
        (lambda: stats.update_weights(stats.BestArm((0.5, 0.5), (0.0, 0.0)), [1]), "wrong_argument", "`units` has 1"),
        (lambda: stats.over_epochs([[good]]), "wrong_argument", "`epochs[0]` has 1 arms"),
        (lambda: stats.over_epochs([[good, good]], 0, 0), "wrong_argument", "two arms"),
        (lambda: stats.Design.for_rate(5), "wrong_argument", "`value` is 5.0"),
        (lambda: stats.Design(0.0, 1.0), "wrong_argument", "`value` is 0"),
        (lambda: stats.Design(1.0, 1.0, [1]), "wrong_argument", "`weights` has 1 arms"),
        (lambda: stats.Design.for_rate(0.5).sample_size(2.0), "wrong_argument", "`lift` is 2.0"),
        (lambda: stats.days_left(good, good, (1, 1)), "wrong_argument", "give `effect` or `half_width`"),
        (lambda: stats.explain("x"), "wrong_argument", "`reason` is 'x'"),  # type: ignore[arg-type]
    ]
    for at, (call, code, words) in enumerate(cases):
        try:
            found = call()
        except stats.StatsError as error:
            check(error.code == code and words in str(error), f"refusal {at} says {code}, {words}", str(error))
            check(isinstance(error, EvenhandError) and isinstance(error, ValueError), "whose child it is", error)
        else:
            check(False, f"refusal {at}, {words}", found)
    return f"{len(cases)} wrong calls"


def reasons() -> str:
    """The data that allow no figure: a reason, no exception, and None for what does not exist."""
    source = (ROOT / "core" / "stats" / "src" / "unavailable.rs").read_text()
    names = re.findall(r"^    ([A-Z][A-Za-z]+),$", source.split("impl")[0], re.M)
    snake = [re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower() for name in names]
    check(sorted(stats.REASONS) == sorted(snake), "the reasons are the engine's", (stats.REASONS, snake))
    check(all(stats.explain(reason) for reason in stats.REASONS), "each has a sentence")
    good, empty = stats.Arm.from_conversions(1_000, 100), stats.Arm.from_conversions(0, 0)
    single, never = stats.Arm.from_conversions(1, 1), stats.Arm.from_conversions(1_000, 0)
    no_orders = stats.Arm.ratio_from_values([1, 2], [0, 0])
    check((empty.value, empty.reason, empty.total) == (None, "no_units", 0.0), "no units", empty)
    check(
        (no_orders.value, no_orders.reason, no_orders.total) == (None, "zero_denominator", 3.0), "no orders", no_orders
    )
    check(single.unit_variance is None and single.standard_error is None, "one unit", single)
    found = {
        "no_units": stats.compare(good, empty).absolute,
        "zero_denominator": stats.compare(no_orders, good).relative,
        "too_few_units": stats.compare(good, single, minimum_data=None).absolute,
        "zero_variance": stats.compare(never, never, minimum_data=None).absolute,
        "zero_control_mean": stats.compare(never, good, minimum_data=None).relative,
        "minimum_data": stats.compare(good, stats.Arm.from_conversions(1_000, 9)).absolute,
    }
    for reason, effect in found.items():
        check(effect.reason == reason and effect.region is None and effect.p_value is None, reason, effect)
        check(effect.lower is None and effect.upper is None, "no ends", effect)
    check(abs((found["minimum_data"].estimate or 0.0) + 0.091) < 1e-15, "the estimate stays", found)
    margin = stats.non_inferiority(good, empty, 0.1)
    check((margin.non_inferior, margin.superior, margin.reason) == (None, None, "no_units"), "no verdict", margin)
    withheld = stats.non_inferiority(good, stats.Arm.from_conversions(50, 20), 0.1)
    check((withheld.non_inferior, withheld.reason) == (None, "minimum_data"), "no verdict too early", withheld)
    posterior = stats.effect_posterior(never, good)
    check((posterior.mean, posterior.reason) == (None, "zero_control_mean"), "no posterior", posterior)
    check(posterior.chance_to_beat_control() is None and posterior.expected_loss() is None, "nor what follows")
    check(stats.effect_density(never, good) == [] == stats.effect_density(empty, good), "nor a plot")
    pairs = {"a": [empty, good], "b": [never, empty, never], "c": [good, empty, good]}
    balance = stats.pre_period_balance(pairs)
    told = [(one.metric, one.treatment, one.reason) for one in balance]
    check(
        told
        == [
            ("a", 0, "no_units"),
            ("b", 0, "no_units"),
            ("b", 1, "zero_variance"),
            ("c", 0, "no_units"),
            ("c", 1, None),
        ],
        "balance",
        balance,
    )
    adjusted = stats.adjust_by_pre_period([stats.PrePeriodSums(0, 0, 0, 0, 0, 0)] * 2)
    check(adjusted.reason == "no_units" and adjusted.arms == (), "nothing to adjust", adjusted)
    gate = stats.MinimumData().gate(good, stats.Arm(50, 1.0, 1.0))
    check(gate.treatment == stats.Shortfall(50, 10, True) and not gate.is_open, "nobody counted", gate)
    return f"{len(stats.REASONS)} reasons"


def sums() -> str:
    """One arm, however its numbers come."""
    values = [0.1, 0.000249, 2.5, 0, 1_000_000.000001, -3, Decimal("0.300000"), 0.2]
    exact = [Decimal(str(value)) for value in values]
    total, squares = sum(exact), sum(value * value for value in exact)
    arms = [
        stats.Arm.from_values(values),
        stats.Arm.from_values(iter(values)),
        stats.Arm.from_values(tuple(values)),
        stats.Arm.from_sums(8, total, squares),
        stats.Arm.from_micros(8, int(total * 10**6), int(squares * 10**12)),
    ]
    check(all(arm == arms[0] for arm in arms), "five ways, one arm", arms)
    rare = stats.Arm.from_sums(10_000_000, 3.0, 3.0)
    check(rare == stats.Arm.from_conversions(10_000_000, 3), "few conversions among many units", rare)
    check(stats.Arm.from_values([]).reason == "no_units", "no values, no units")
    check(stats.Arm.from_values([True, False]) == stats.Arm.from_conversions(2, 1), "truths count as 1 and 0")
    pair = stats.Arm.ratio_from_values([1, 2.5], [1, 2])
    check(
        pair == stats.Arm.ratio_from_sums(2, sum=3.5, sum_sq=7.25, sum_den=3, sum_den_sq=5, sum_cross=6.0),
        "ratios",
        pair,
    )
    before = stats.PrePeriodSums.from_values([1, 2.5], [0, 3])
    given = stats.PrePeriodSums.from_sums(2, sum=3.5, sum_sq=7.25, sum_pre=3, sum_pre_sq=9, sum_cross=7.5)
    check(before == given, "sums before the experiment", (before, given))
    big = stats.Arm.from_micros(10**10, 10**22, 10**34)
    check(big.value == 1e6 and big.unit_variance == 0.0, "ten thousand million units", big)
    return f"{len(values)} values"


def importing() -> str:
    """`import evenhand` loads nothing of it; `evenhand.stats` loads nothing heavy."""
    code = "import sys, evenhand; print([name for name in sys.modules if 'stats' in name])"
    check(fresh(code) == "[]", "an import of the package leaves statistics alone", fresh(code))
    code = (
        "import sys; from evenhand import stats; print([n for n in ('numpy', 'pandas', 'scipy') if n in sys.modules])"
    )
    check(fresh(code) == "[]", "no heavy package comes with them", fresh(code))
    code = "import time, evenhand; t = time.process_time(); import evenhand.stats; print(time.process_time() - t)"
    taken = min(float(fresh(code)) for _ in range(5))
    check(taken < 0.5, "the import is short", taken)
    good = stats.Arm.from_conversions(5_000, 500)
    began = time.process_time()
    for _ in range(1_000):
        stats.compare(good, good)
    each = (time.process_time() - began) * 1_000
    check(each < 2_000, "a comparison is below 2 ms", each)
    return f"{taken * 1e3:.0f} ms; a comparison {each:.0f} µs"


def fresh(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


PROOFS: list[tuple[str, Callable[[], str]]] = [
    ("arms, ratios, CUPED and Welch", lifts),
    ("ratios adjusted by their pre-period", ratios_before),
    ("quantiles, caps and funnel steps", quantiles),
    ("families of tests", families),
    ("bandits", bandits),
    ("designs and days left", designs),
    ("fixed and anytime-valid procedures, nulls and margins", inferences),
    ("group-sequential looks", looks),
    ("posteriors of effects and rates", beliefs),
    ("sample ratios, at once and watched", health),
    ("what is made of other answers", compositions),
    ("power and sample size", plans),
    ("every example of the documentation", examples),
    ("wrong arguments are told", refusals),
    ("data without an answer have a reason", reasons),
    ("sums and values make one arm", sums),
    ("imports", importing),
]

if __name__ == "__main__":
    for title, prove in PROOFS:
        if len(sys.argv) > 2 and not any(word in title for word in sys.argv[2:]):
            continue
        began = time.monotonic()
        print(f"  {title} ({prove()}, {time.monotonic() - began:.1f} s)", flush=True)
