"""Arms and lifts of every metric kind: fractions and mpmath, and SciPy/statsmodels must agree where they apply."""
import random

import mpmath as mp
import numpy as np
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from distributions import close
from exact import MICROS, Rows, gradient, lift, real


def moments(rows):
    return {"n": str(rows.n), "sum": str(rows.sum(0)), "sum_sq": str(rows.sum(0, 0))}


def pair(rows, second):
    return moments(rows) | {
        f"sum_{second}": str(rows.sum(1)),
        f"sum_{second}_sq": str(rows.sum(1, 1)),
        "sum_cross": str(rows.sum(0, 1)),
    }


def arm(n, total, value, variance):
    return {
        "units": str(n),
        "total": float(real(total)),
        "value": float(real(value)),
        "unit_variance": None if variance is None else float(real(variance)),
    }


def mean_arm(rows):
    variance = rows.variance() if rows.n >= 2 else None
    return rows.n, rows.mean(), variance


def check_means(control, treatment, alpha, expected, worst):
    """Welch by SciPy from summary statistics, and from the rows themselves by SciPy and statsmodels where they are few."""
    absolute = expected["absolute"]
    if absolute["status"] != "interval":
        return
    (nc, mc, vc), (nt, mt, vt) = mean_arm(control), mean_arm(treatment)
    # SciPy takes means as doubles: their difference carries the rounding of the means, so it is compared on its own only
    # where the means are not large beside it.
    spread = abs(float(mc)) + abs(float(mt))
    if absolute["estimate"] != 0 and spread / abs(absolute["estimate"]) < 1e4 and absolute["p_value"] > 1e-250:
        result = stats.ttest_ind_from_stats(
            float(mt), float(vt) ** 0.5, nt, float(mc), float(vc) ** 0.5, nc, equal_var=False
        )
        t = absolute["estimate"] / absolute["standard_error"]
        close("Welch statistic", t, result.statistic, 1e-10, worst)
        close("Welch p-value", absolute["p_value"], result.pvalue, 1e-7 * max(1, t * t / 100), worst)
    if nc + nt <= 4000 and spread < 1e6:
        raw = [np.repeat([r[0] / MICROS for r, _ in rows.rows], [c for _, c in rows.rows]) for rows in (treatment, control)]
        result = stats.ttest_ind(*raw, equal_var=False)
        interval = result.confidence_interval(1 - alpha)
        theirs = CompareMeans(DescrStatsW(raw[0]), DescrStatsW(raw[1]))
        low, high = theirs.tconfint_diff(alpha=alpha, usevar="unequal")
        scale = absolute["upper"] - absolute["lower"] + spread
        for name, ours, libraries in (
            ("lower end", absolute["lower"], (interval.low, low)),
            ("upper end", absolute["upper"], (interval.high, high)),
        ):
            for value in libraries:
                close(name, scale + ours, scale + value, 1e-10, worst)
        close("degrees of freedom", absolute["degrees_of_freedom"], result.df, 1e-9, worst)
        if absolute["p_value"] > 1e-250:
            close("p-value from rows", absolute["p_value"], result.pvalue, 1e-8, worst)


def mean_case(name, control, treatment, alpha, worst):
    control, treatment = Rows(control), Rows(treatment)
    expected = lift(mean_arm(control), mean_arm(treatment), alpha)
    check_means(control, treatment, alpha, expected, worst)
    arms = {}
    for key, rows in (("control", control), ("treatment", treatment)):
        arms[key] = arm(rows.n, rows.mean() * rows.n, rows.mean(), mean_arm(rows)[2])
    return {
        "name": name, "kind": "mean", "alpha": alpha,
        "control": moments(control), "treatment": moments(treatment),
        "expect": arms | expected,
    }


def conversions(n, x):
    return [(MICROS, x), (0, n - x)] if 0 < x < n else [((MICROS if x else 0), n)]


def ratio_arm(rows):
    """The delta method from its definition: gradient of y/d at the means, times the covariance matrix of the rows."""
    my, md = real(rows.mean(0)), real(rows.mean(1))
    if rows.n < 2:
        return rows.n, my / md, None
    with mp.workdps(90):
        gy, gd = gradient(lambda y, d: y / d, [real(rows.mean(0)), real(rows.mean(1))])
        vyy, vdd, vyd = real(rows.variance(0)), real(rows.variance(1)), real(rows.covariance(0, 1))
        variance = gy * gy * vyy + 2 * gy * gd * vyd + gd * gd * vdd
        if abs(variance) < mp.mpf("1e-35") * gy * gy * vyy:
            variance = mp.mpf(0)  # numerator a multiple of the denominator: only the differentiation's error is left
    return rows.n, my / md, variance


def ratio_case(name, control, treatment, alpha):
    control, treatment = Rows(control), Rows(treatment)
    estimates = [ratio_arm(control), ratio_arm(treatment)]
    arms = {
        key: arm(rows.n, rows.mean() * rows.n, value, variance)
        for key, rows, (_, value, variance) in zip(("control", "treatment"), (control, treatment), estimates)
    }
    return {
        "name": name, "kind": "ratio", "alpha": alpha,
        "control": pair(control, "den"), "treatment": pair(treatment, "den"),
        "expect": arms | lift(*estimates, alpha),
    }


def cuped_case(name, arms, alpha, worst):
    arms = [Rows(rows) for rows in arms]
    # θ: the regression of y on x with one intercept an arm.
    up = sum((r.n - 1) * r.covariance(0, 1) for r in arms if r.n > 1)
    down = sum((r.n - 1) * r.variance(1) for r in arms if r.n > 1)
    theta = up / down if down else 0
    y = np.concatenate([[row[0] / MICROS for row, _ in r.rows] for r in arms])
    x = np.concatenate([[row[1] / MICROS for row, _ in r.rows] for r in arms])
    which = np.concatenate([[i] * r.n for i, r in enumerate(arms)])
    if down:
        design = np.column_stack([x - x.mean()] + [which == i for i in range(len(arms))]).astype(float)
        fit = sm.OLS(y - y.mean(), design).fit()
        if abs(float(theta)) > 1e-3:
            close("CUPED slope", theta, fit.params[0], 1e-6, worst)
    pooled = sum(r.sum(1) for r in arms)
    pooled = real(pooled) / (sum(r.n for r in arms) * MICROS)
    estimates = []
    for r in arms:
        value = real(r.mean(0)) - real(theta) * (real(r.mean(1)) - pooled)
        variance = None
        if r.n > 1:
            variance = real(r.variance(0) - 2 * theta * r.covariance(0, 1) + theta * theta * r.variance(1))
        estimates.append((r.n, value, variance))
    return {
        "name": name, "kind": "cuped", "alpha": alpha,
        "arms": [pair(r, "pre") for r in arms],
        "expect": {
            "theta": float(real(theta)),
            "arms": [arm(r.n, r.mean() * r.n, v, s) for r, (_, v, s) in zip(arms, estimates)],
            "lifts": [lift(estimates[0], other, alpha) for other in estimates[1:]],
        },
    }


def table(worst):
    random.seed(60000)
    cases = []
    alphas = [0.05, 0.1, 0.01, 0.001, 0.2]
    counts = [
        (5000, 500, 5000, 560), (10000, 38, 10000, 42), (10000, 46, 10000, 69), (10000, 46, 10000, 46),
        (2, 1, 2, 1), (2, 0, 2, 1), (2, 1, 2, 2), (2, 0, 2, 0), (2, 2, 2, 2), (2, 2, 2, 0), (2, 0, 2, 2), (2, 1, 3, 1),
        (1, 1, 1, 0), (1, 0, 2, 1), (5, 2, 1, 1), (100, 0, 100, 0), (100, 100, 100, 100), (100, 0, 100, 7),
        (100, 7, 100, 0), (100, 100, 100, 93), (100, 93, 100, 100), (1000, 1, 1000, 999), (3, 1, 10**9, 5 * 10**8),
        (10**9, 10**8, 10**9, 10**8 + 12345), (10**9, 1, 10**9, 2), (10**9, 10**9 - 1, 10**9, 10**9 - 3),
        (10**9, 10**8, 10**9, 10**8), (10**9, 10**8, 10**7, 10**6 + 777), (10**9, 123_456_789, 2, 1),
        (10**6, 500_000, 10**6, 510_000), (10**6, 50_000, 10**6, 52_000), (10**7, 10**5, 10**7, 10**5 + 5000),
        (10**15, 10**14, 10**15, 10**14 + 10**7), (40, 3, 45, 9), (41, 20, 41, 21), (21, 20, 22, 2),
    ]
    for i in range(44):
        nc, nt = [max(2, int(10 ** random.uniform(0.4, 8))) for _ in range(2)]
        base = 10 ** random.uniform(-4, -0.02)
        counts.append((nc, round(nc * base), nt, min(nt, round(nt * base * random.uniform(0.8, 1.25)))))
    for i, (nc, xc, nt, xt) in enumerate(counts):
        name = f"conversions {xc}/{nc} and {xt}/{nt}"
        cases.append(mean_case(name, conversions(nc, xc), conversions(nt, xt), alphas[i % 5], worst))
    micro = lambda value: round(value * MICROS)
    for i in range(70):
        sizes = [random.choice([2, 3, 5, 17, 60, 400, 1500]) for _ in range(2)]
        shape = i % 7
        rows = []
        for which, size in enumerate(sizes):
            draw = {
                0: lambda: random.lognormvariate(2, 1),
                1: lambda: random.gauss(-50, 3),
                2: lambda: random.paretovariate(1.2),
                3: lambda: random.choice([0, 0, 0, 19.99, 5]),
                4: lambda: random.gauss(3 + which, 0.001),
                5: lambda: 1e11 + random.random(),
                6: lambda: float(random.randrange(0, 9)),
            }[shape]
            rows.append([(micro(draw()), 1) for _ in range(size)])
        cases.append(mean_case(f"values {i}", rows[0], rows[1], alphas[i % 5], worst))
    big = 9 * 10**18
    cases += [
        mean_case("offset 1e11, spread of one micro-unit", [(10**17, 500), (10**17 + 1, 500)], [(10**17 + 1, 1000), (10**17, 1)], 0.05, worst),
        mean_case("greatest values, opposite signs", [(big, 1), (-big, 1)], [(big, 1), (big - 10**12, 1)], 0.05, worst),
        mean_case("constant control, varying treatment", [(3 * MICROS, 50)], [(3 * MICROS, 49), (4 * MICROS, 1)], 0.05, worst),
        mean_case("both constant, different", [(3 * MICROS, 50)], [(4 * MICROS, 50)], 0.05, worst),
        mean_case("control sums to zero", [(-MICROS, 10), (MICROS, 10)], [(MICROS, 10), (0, 10)], 0.05, worst),
        mean_case("control below zero, treatment above", [(-MICROS, 10), (-2 * MICROS, 10)], [(MICROS, 10), (0, 10)], 0.05, worst),
        mean_case("a billion units of a grouped value", [(0, 9 * 10**8), (19_990_000, 10**8)], [(0, 9 * 10**8 - 10**5), (19_990_000, 10**8 + 10**5)], 0.05, worst),
        mean_case("huge t", [(0, 1), (1, 10**6)], [(10**12, 10**6), (10**12 + 1, 1)], 0.05, worst),
        mean_case("one micro-unit apart, a billion units", [(10**6, 5 * 10**8), (10**6 + 2, 5 * 10**8)], [(10**6 + 1, 5 * 10**8), (10**6 + 3, 5 * 10**8)], 0.01, worst),
    ]
    for i in range(40):
        rows = []
        for _ in range(2):
            size = random.choice([2, 3, 10, 80, 500])
            arm_rows = []
            for _ in range(size):
                d = random.randrange(1, 12)
                y = {
                    0: lambda: sum(random.random() < 0.2 for _ in range(d)),
                    1: lambda: d * random.lognormvariate(1, 0.5),
                    2: lambda: d * 3 + random.gauss(0, 1e-4),
                    3: lambda: random.gauss(0, 2),
                }[i % 4]()
                arm_rows.append(((micro(y), d * MICROS), 1))
            rows.append(arm_rows)
        cases.append(ratio_case(f"ratio {i}", rows[0], rows[1], alphas[i % 5]))
    cases += [
        ratio_case("numerator follows the denominator", [((2 * MICROS, MICROS), 5), ((4 * MICROS, 2 * MICROS), 7)], [((6 * MICROS, 3 * MICROS), 5), ((4 * MICROS, 2 * MICROS), 7)], 0.05),
        ratio_case("denominator one for all", [((2 * MICROS, MICROS), 5), ((4 * MICROS, MICROS), 7)], [((6 * MICROS, MICROS), 5), ((4 * MICROS, MICROS), 7)], 0.05),
        ratio_case("no numerator in treatment", [((2 * MICROS, MICROS), 5), ((4 * MICROS, 3 * MICROS), 7)], [((0, 3 * MICROS), 5), ((0, 2 * MICROS), 7)], 0.05),
        ratio_case("one unit an arm", [((2 * MICROS, 3 * MICROS), 1)], [((5 * MICROS, 3 * MICROS), 1)], 0.05),
        ratio_case("a hundred million units", [((0, MICROS), 5 * 10**7), ((MICROS, 2 * MICROS), 5 * 10**7)], [((0, MICROS), 5 * 10**7 - 10**4), ((MICROS, 2 * MICROS), 5 * 10**7 + 10**4)], 0.05),
        ratio_case("denominators below zero", [((2 * MICROS, -MICROS), 5), ((4 * MICROS, -3 * MICROS), 7)], [((MICROS, -3 * MICROS), 5), ((3 * MICROS, -2 * MICROS), 7)], 0.05),
    ]
    for i in range(20):
        arms = []
        for which in range(2 + i % 3):
            size = random.choice([2, 5, 30, 300])
            arm_rows = []
            for _ in range(size):
                x = random.lognormvariate(1, 1)
                noise = [1, 0.05, 1e-5, 30][i % 4]
                arm_rows.append(((micro([1, -2, 0.001, 1e6][i % 4] * x + noise * random.gauss(0, 1) + which), micro(x)), 1))
            arms.append(arm_rows)
        cases.append(cuped_case(f"pre-period {i}", arms, alphas[i % 5], worst))
    cases.append(cuped_case("pre-period empty", [[((MICROS, 0), 1), ((0, 0), 1), ((3 * MICROS, 0), 1)], [((2 * MICROS, 0), 1), ((0, 0), 1)]], 0.05, worst))
    return cases
