"""`evenhand.stats` with NumPy: arrays of every kind, and its figures against NumPy's, SciPy's and statsmodels' own, on drawn data.

python stats_arrays.py small|full      in the environment of tests/stats-oracle
"""

from __future__ import annotations

import doctest
import re
import sys
import time
from array import array
from pathlib import Path
from typing import Any

import numpy as np
from evenhand import stats
from scipy import stats as scipy_stats
from statsmodels.stats import power as sm_power
from statsmodels.stats import weightstats
from statsmodels.stats.multitest import multipletests

FULL = sys.argv[1] == "full"
DRAWS = 2_000 if FULL else 300
ROOT = Path(__file__).resolve().parent.parent.parent.parent


def near(ours: float | None, theirs: float, tolerance: float, what: str, scale: float = 0.0) -> None:
    assert ours is not None, what
    off = abs(ours - theirs)
    assert off <= tolerance * max(abs(theirs), scale), f"{what}: {ours!r} beside {theirs!r}"


def refused(call: Any, words: str) -> None:
    said = "nothing"
    try:
        call()
    except stats.StatsError as error:
        said = str(error)
    assert words in said, (words, said)


def kinds() -> str:
    """Every kind of array that holds the same numbers makes the same arm."""
    whole = np.arange(100)
    expected = stats.Arm.from_values(whole.tolist())
    formats = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]
    for kind in formats:
        assert stats.Arm.from_values(whole.astype(kind)) == expected, kind
    places = np.repeat(whole, 2)
    assert stats.Arm.from_values(places[::2]) == expected, "strided"
    assert stats.Arm.from_values(whole[::-1]) == expected, "reversed"
    assert stats.Arm.from_values(whole.astype(object)) == expected, "objects"
    assert stats.Arm.from_values(array("d", map(float, whole))) == expected, "array.array"
    assert stats.Arm.from_values(memoryview(array("q", range(100)))) == expected, "memoryview"
    assert stats.Arm.from_values(np.array([True, False])) == stats.Arm.from_conversions(2, 1), "booleans"
    for odd in (whole.astype(">i4"), whole.astype(">f8"), whole.astype("f2"), whole.astype(np.longdouble)):
        assert stats.Arm.from_values(odd) == expected, odd.dtype

    class Column:  # pandas and Polars
        def to_numpy(self) -> Any:
            return whole

    assert stats.Arm.from_values(Column()) == expected, "to_numpy"  # type: ignore[arg-type]
    single = stats.Arm.from_conversions(np.int64(5_000), np.uint16(500))
    assert single == stats.Arm.from_conversions(5_000, 500) and type(single.units) is int, "NumPy's integers"
    assert stats.Arm.from_sums(np.int32(3), np.float64(0.3), np.float64(0.03)) == stats.Arm.from_values([0.1] * 3)
    assert stats.Plan.for_rate(np.float32(0.5)) == stats.Plan.for_rate(0.5)
    assert stats.Epoch(np.array([5_150, 4_850]), np.array([1, 1])).observed == (5_150, 4_850)
    refused(lambda: stats.Arm.from_values(np.zeros((2, 2))), "2 dimensions")
    refused(lambda: stats.Arm.from_values(np.array([1.0, np.nan])), "`values[1]` is not a finite number")
    refused(lambda: stats.Arm.from_values(np.array([1, 2**62])), "`values[1]` is not a finite number within")
    refused(lambda: stats.Arm.from_values(np.array([1 + 2j])), "of the format 'Zd'")
    refused(lambda: stats.Arm.from_values(np.array(["1"])), "of the format '1w'")
    refused(lambda: stats.Arm.from_values(np.array(3.0)), "0 dimensions")
    return f"{len(formats) + 11} kinds"


def large() -> str:
    values = np.random.default_rng(6).exponential(20.0, 1_000_000)
    began = time.process_time()
    arm = stats.Arm.from_values(values)
    took = time.process_time() - began
    # Rounding to millionths leaves a mean of a million values within a few 1e-10.
    near(arm.value, float(values.mean()), 1e-9, "mean")
    near(arm.unit_variance, float(values.var(ddof=1)), 1e-9, "variance")
    assert took < 1.0, took
    return f"a million values in {took * 1e3:.0f} ms"


def against() -> str:
    """Drawn data, rounded to millionths, so that all see the same numbers."""
    draw = np.random.default_rng(20_260)
    for _ in range(DRAWS):
        scale = 10.0 ** draw.uniform(0, 5)
        sizes = draw.integers(3, 400, 2)
        shift = draw.choice([0.0, 0.3, 5.0])
        data = [np.round(draw.gamma(2.0, scale, size) + shift * scale * i, 6) for i, size in enumerate(sizes)]
        control, treatment = data
        arms = [stats.Arm.from_values(values) for values in data]
        # SciPy's own variance of values far from zero has some 1e-12 of error.
        size = float(abs(control.mean()) + abs(treatment.mean()))
        for ours, theirs in (("two-sided", "two-sided"), ("greater", "greater"), ("less", "less")):
            test = scipy_stats.ttest_ind(treatment, control, equal_var=False, alternative=theirs)
            procedure = stats.FixedHorizon(0.9, ours)
            effect = stats.compare(*arms, procedure, minimum_data=None).absolute
            near(effect.p_value, test.pvalue, 1e-9, "p", 1e-9)
            interval = test.confidence_interval(0.9)
            if ours != "less":
                near(effect.lower, interval.low, 1e-9, "lower", size)
            if ours != "greater":
                near(effect.upper, interval.high, 1e-9, "upper", size)
        margin = 0.1 * scale
        found = stats.non_inferiority(
            *arms, margin, scale="absolute", procedure=stats.FixedHorizon(), minimum_data=None
        )
        means = weightstats.CompareMeans(weightstats.DescrStatsW(treatment), weightstats.DescrStatsW(control))
        _, p_value, _ = means.ttest_ind(alternative="larger", usevar="unequal", value=-margin)
        near(found.effect.p_value, p_value, 1e-9, "p of a margin", 1e-9)

        # CUPED: the slope of a regression on value before and arm.
        before = [np.round(values * 0.5 + draw.normal(0, scale, values.size), 6) for values in data]
        adjusted = stats.adjust_by_pre_period(
            [stats.PrePeriodSums.from_values(values, pre) for values, pre in zip(data, before, strict=True)]
        )
        x, y = np.concatenate(before), np.concatenate(data)
        design = np.column_stack([x, np.repeat([0.0, 1.0], sizes), np.ones(x.size)])
        near(adjusted.theta, float(np.linalg.lstsq(design, y, rcond=None)[0][0]), 1e-7, "theta", 1e-3)
        residual = treatment - adjusted.theta * before[1]
        near(adjusted.arms[1].unit_variance, float(residual.var(ddof=1)), 1e-9, "variance of the residual")

        # A ratio: the delta method's variance from rows.
        orders = draw.poisson(2.0, control.size) + 1
        ratio = stats.Arm.ratio_from_values(control, orders)
        r = control.sum() / orders.sum()
        linear = (control - r * orders) / orders.mean()
        near(ratio.value, float(r), 1e-12, "ratio")
        near(ratio.unit_variance, float((linear**2).sum() / (control.size - 1)), 1e-9, "its variance")
    return f"{DRAWS:,} experiments"


def orders() -> str:
    """Quantiles, caps and corrections."""
    draw = np.random.default_rng(7)
    corrections: dict[str, Any] = {"bonferroni": "bonferroni", "holm": "holm", "benjamini-hochberg": "fdr_bh"}
    for at in range(DRAWS):
        data = [np.round(draw.lognormal(1.0, 2.0, draw.integers(40, 500)), 6) for _ in range(2)]
        share = float(draw.integers(1, 1_000)) / 1_000
        found = stats.Arm.quantile(data[0], share).value
        near(found, float(np.quantile(data[0], share, method="inverted_cdf")), 1e-15, "quantile")
        both = np.concatenate(data)
        cap = stats.percentile_cap(data, share)
        assert cap is not None
        near(cap, float(np.quantile(both, share, method="inverted_cdf")), 1e-15, "cap")
        capped = stats.Arm.from_values(both, cap=cap)
        theirs = np.minimum(both, cap)
        near(capped.value, float(theirs.mean()), 1e-12, "capped mean")
        near(capped.unit_variance, float(theirs.var(ddof=1)), 1e-9, "capped variance", 1e-9)
        if at % 20:  # statsmodels collects garbage each time
            continue
        p_values = draw.uniform(0, 1, draw.integers(1, 20)) ** 3
        for ours, method in corrections.items():
            adjusted = np.array(stats.adjusted_p_values(p_values, ours), float)  # type: ignore[arg-type]
            assert np.allclose(adjusted, multipletests(p_values, method=method)[1], rtol=1e-12, atol=0), method
    return f"{DRAWS:,} experiments"


def counts() -> str:
    draw = np.random.default_rng(5)
    for _ in range(DRAWS):
        weights = draw.integers(1, 50, draw.integers(2, 6))
        observed = draw.multinomial(draw.integers(5_000, 10**6), weights / weights.sum())
        found = stats.sample_ratio(stats.Epoch(observed, weights))
        test = scipy_stats.chisquare(observed, weights / weights.sum() * observed.sum())
        near(found.chi_square, test.statistic, 1e-9, "χ²", 1e-6)
        near(found.p_value, test.pvalue, 1e-8, "p", 1e-12)
        # Lindon and Malek's evidence is a quotient of a Dirichlet-multinomial and a multinomial probability.
        kappa = float(10 ** draw.uniform(1, 5))
        theta, n = weights / weights.sum(), int(observed.sum())
        evidence = scipy_stats.dirichlet_multinomial.logpmf(observed, kappa * theta, n)
        evidence -= scipy_stats.multinomial.logpmf(observed, n, theta)
        watched = stats.sequential_sample_ratio(stats.Epoch(observed, weights), concentrations=[kappa])
        near(watched.log_bayes_factor, float(evidence), 1e-6, "ln O", 1.0)

        units = draw.integers(50, 10_000, 2)
        bought = draw.binomial(units, draw.uniform(0.02, 0.5))
        pair = [stats.Conversions(n, k) for n, k in zip(units, bought, strict=True)]
        rates = stats.compare_rates(*pair, confidence=0.9)
        for ours, n, k in zip((rates.control, rates.treatment), units, bought, strict=True):
            beta = scipy_stats.beta(1 + k, 1 + n - k)
            near(ours.lower, beta.ppf(0.05), 1e-9, "credible")
            near(ours.upper, beta.ppf(0.95), 1e-9, "credible")

        variance, effect = draw.uniform(0.1, 10), draw.uniform(0.05, 1)
        power = stats.Plan(variance).power(effect, int(units[0]))
        theirs = sm_power.normal_power(effect, int(units[0]), 0.05, sigma=np.sqrt(2 * variance))
        near(power, float(theirs), 1e-9, "power")
    return f"{DRAWS:,} experiments"


def page() -> str:
    """The page's examples with NumPy."""
    text = (ROOT / "docs" / "statistics-python.md").read_text()
    blocks = "\n".join(re.findall(r"```python\n(.*?)```", text, re.S))
    runner = doctest.DocTestRunner()
    runner.run(doctest.DocTestParser().get_doctest(blocks, {}, "docs/statistics-python.md", None, 0))
    assert runner.failures == 0 and runner.tries > 15, runner.tries
    return f"{runner.tries} lines"


PROOFS = [
    ("arrays of every kind", kinds),
    ("a million values", large),
    ("SciPy's, statsmodels' and NumPy's figures of drawn values", against),
    ("and of drawn quantiles, caps and p-values", orders),
    ("and of drawn counts", counts),
    ("the page's examples", page),
]

if __name__ == "__main__":
    for title, prove in PROOFS:
        began = time.monotonic()
        print(f"  {title} ({prove()}, {time.monotonic() - began:.1f} s)", flush=True)
