#!/usr/bin/env python3
"""What SciPy and statsmodels say of demo/open-bandit: computed from the rows of the CSV, nothing summed before.

  expected.py            writes expected.json beside this file
  expected.py --check    computes again and compares with the committed file (1e-12, as sums of doubles may differ by processor)
"""
import csv
import gzip
import json
import math
import pathlib
import sys

import numpy as np
from scipy import stats
from scipy.optimize import brentq, minimize_scalar
from statsmodels.stats._delta_method import NonlinearDeltaCov
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parent.parent / "demo" / "open-bandit" / "impressions.csv.gz"
EXPECTED = HERE / "expected.json"
CAMPAIGNS = ("all", "men", "women")
CONTROL, TREATMENT = "random", "bts"
WEIGHTS = {CONTROL: 5000, TREATMENT: 5000}
ALPHA = 0.05
# Where Fieller's interval takes over from the delta method (docs/results.md), and the units that the demo plans.
FIELLER_BEYOND = 0.01
PLANNED_UNITS = 20_000


def impressions():
    """campaign → policy → one 0/1 value an impression, and impressions seen under more than one policy."""
    clicks = {campaign: {CONTROL: [], TREATMENT: []} for campaign in CAMPAIGNS}
    policies = {}
    with gzip.open(DATA, "rt", newline="") as file:
        for row in csv.DictReader(file):
            clicks[row["campaign"]][row["policy"]].append(int(row["click"]))
            policies.setdefault((row["campaign"], row["impression_id"]), []).append(row["policy"])
    if any(len(seen) != 1 for seen in policies.values()):
        raise SystemExit("an impression id stands twice: units would not be rows")
    return clicks


def arm(values):
    values = np.asarray(values, dtype=float)
    described = DescrStatsW(values, ddof=1)
    return {
        "units": len(values),
        "conversions": int(values.sum()),
        "value": float(described.mean),
        "unit_variance": float(described.var),
        "standard_error": float(stats.sem(values)),
    }


def absolute(control, treatment):
    """Welch on the rows, by SciPy; statsmodels must agree."""
    test = stats.ttest_ind(treatment, control, equal_var=False)
    interval = test.confidence_interval(1 - ALPHA)
    means = CompareMeans(DescrStatsW(treatment), DescrStatsW(control))
    t, p, df = means.ttest_ind(usevar="unequal")
    low, high = means.tconfint_diff(alpha=ALPHA, usevar="unequal")
    agree("t", test.statistic, t)
    agree("p", test.pvalue, p)
    agree("df", test.df, df)
    agree("lower", interval.low, low)
    agree("upper", interval.high, high)
    return {
        "estimate": float(np.mean(treatment) - np.mean(control)),
        "standard_error": float(means.std_meandiff_separatevar),
        "degrees_of_freedom": float(test.df),
        "lower": float(interval.low),
        "upper": float(interval.high),
        "p_value": float(test.pvalue),
    }


def relative(control, treatment):
    """(treatment − control)/control by the delta method of statsmodels, with Satterthwaite's degrees of freedom."""
    means = np.array([np.mean(control), np.mean(treatment)])
    variances = np.array([stats.sem(control) ** 2, stats.sem(treatment) ** 2])
    ratio = lambda m: np.array([(m[1] - m[0]) / m[0]])
    gradient = np.array([[-means[1] / means[0] ** 2, 1 / means[0]]])
    delta = NonlinearDeltaCov(ratio, means, np.diag(variances), deriv=lambda _: gradient)
    numeric = NonlinearDeltaCov(ratio, means, np.diag(variances))
    se = float(np.sqrt(delta.cov()[0, 0]))
    agree("gradient", se, float(np.sqrt(numeric.cov()[0, 0])), 1e-6)
    parts = gradient[0] ** 2 * variances
    degrees = np.array([len(control) - 1, len(treatment) - 1])
    df = float(parts.sum() ** 2 / (parts**2 / degrees).sum())
    estimate = float(ratio(means)[0])
    half = float(stats.t.isf(ALPHA / 2, df)) * se
    return {
        "estimate": estimate,
        "standard_error": se,
        "degrees_of_freedom": df,
        "lower": estimate - half,
        "upper": estimate + half,
        "p_value": float(2 * stats.t.sf(abs(estimate) / se, df)),
    }


def fieller(control, treatment, critical, p_value):
    """The relative effect's interval by Fieller's theorem, from its definition: r is refused when m_t − (1 + r)·m_c is beyond the critical
    value of its own standard error. Its p-value is that of the difference, since r is 0 when that is."""
    means = np.array([np.mean(control), np.mean(treatment)])
    variances = np.array([stats.sem(control) ** 2, stats.sem(treatment) ** 2])
    if critical**2 * variances[0] / means[0] ** 2 <= FIELLER_BEYOND:
        raise SystemExit("control is so far from zero that the platform takes the delta method: expect that here too")
    delta = relative(control, treatment)
    estimate, se = delta["estimate"], delta["standard_error"]

    def beyond(effect):
        weight = 1 + effect
        return (means[1] - weight * means[0]) ** 2 - critical**2 * (variances[1] + weight**2 * variances[0])

    lower, upper = (float(brentq(beyond, estimate, estimate + way * 50 * se, xtol=1e-15, rtol=1e-14)) for way in (-1, 1))
    return {"estimate": estimate, "standard_error": se, "lower": lower, "upper": upper, "p_value": p_value}


def sequential(control, treatment):
    """Waudby-Smith et al. (arXiv 2103.06476), two-sided, tuned for the planned units: the half-width is √((1 + 1/m)(ln(1 + m) − 2 ln α)) standard
    errors with m = n·ρ², and ρ² makes it least there; the p-value is the α at which the interval ends at zero."""
    least = minimize_scalar(lambda log: (1 + math.exp(-log)) * (math.log1p(math.exp(log)) - 2 * math.log(ALPHA)), bracket=(0, 3), tol=1e-15)
    exact = brentq(lambda m: m - math.log1p(m) + 2 * math.log(ALPHA), 1e-6, 100, xtol=1e-15)
    agree("tuning", math.exp(least.x), exact, 1e-6)
    m = (len(control) + len(treatment)) * exact / PLANNED_UNITS
    critical = math.sqrt((1 + 1 / m) * (math.log1p(m) - 2 * math.log(ALPHA)))
    estimate = float(np.mean(treatment) - np.mean(control))
    se = math.sqrt(stats.sem(control) ** 2 + stats.sem(treatment) ** 2)
    p_value = min(1.0, math.sqrt(1 + m) * math.exp(-((estimate / se) ** 2) * m / (2 * (m + 1))))
    difference = {"estimate": estimate, "standard_error": se, "lower": estimate - critical * se, "upper": estimate + critical * se, "p_value": p_value}
    return {"absolute": difference, "relative": fieller(control, treatment, critical, p_value)}


def sample_ratio(units):
    total, weights = sum(units.values()), sum(WEIGHTS.values())
    names = list(units)
    result = stats.chisquare([units[n] for n in names], [total * WEIGHTS[n] / weights for n in names])
    return {"chi_square": float(result.statistic), "degrees_of_freedom": len(names) - 1, "p_value": float(result.pvalue)}


def agree(what, one, other, tolerance=1e-10):
    if not math.isclose(one, other, rel_tol=tolerance, abs_tol=1e-15):
        raise SystemExit(f"{what}: SciPy says {one!r}, statsmodels {other!r}")


def compute():
    campaigns = {}
    for campaign, clicks in impressions().items():
        control, treatment = (np.asarray(clicks[name], dtype=float) for name in (CONTROL, TREATMENT))
        welch, plain = absolute(control, treatment), relative(control, treatment)
        critical = float(stats.t.isf(ALPHA / 2, welch["degrees_of_freedom"]))
        campaigns[campaign] = {
            "experiment": f"open-bandit-{campaign}",
            "metric": "click-rate",
            "variations": {name: arm(clicks[name]) for name in (CONTROL, TREATMENT)},
            "absolute": welch,
            "relative": plain,
            "fieller": fieller(control, treatment, critical, welch["p_value"]),
            "sequential": sequential(control, treatment),
            "srm": sample_ratio({name: len(clicks[name]) for name in (CONTROL, TREATMENT)}),
            "multiple_exposure": 0,
        }
    return {
        "source": "demo/open-bandit/impressions.csv.gz (Open Bandit Dataset, arXiv 2008.07146)",
        "control": CONTROL,
        "treatment": TREATMENT,
        "alpha": ALPHA,
        "campaigns": campaigns,
    }


def differences(committed, computed, path=""):
    if isinstance(computed, dict) and isinstance(committed, dict):
        for key in sorted(set(committed) | set(computed)):
            yield from differences(committed.get(key), computed.get(key), f"{path}/{key}")
    elif isinstance(computed, float) and isinstance(committed, (int, float)):
        if not math.isclose(committed, computed, rel_tol=1e-12, abs_tol=1e-15):
            yield f"{path}: committed {committed!r}, computed {computed!r}"
    elif committed != computed:
        yield f"{path}: committed {committed!r}, computed {computed!r}"


def main():
    computed = compute()
    if sys.argv[1:] == ["--check"]:
        wrong = list(differences(json.loads(EXPECTED.read_text()), computed))
        if wrong:
            raise SystemExit("expected.json is not what the CSV gives; expected.py writes it anew\n" + "\n".join(wrong))
        print("expected.json is what SciPy and statsmodels compute from the CSV")
    elif sys.argv[1:]:
        raise SystemExit(__doc__)
    else:
        EXPECTED.write_text(json.dumps(computed, indent=2) + "\n")
        print(f"wrote {EXPECTED.name}")


if __name__ == "__main__":
    main()
