"""Quantiles, caps, funnel steps and CUPED-adjusted ratios of one arm: fractions and mpmath from the rows, and NumPy, SciPy and
statsmodels must agree where they apply."""
import bisect
import random
from fractions import Fraction

import mpmath as mp
import numpy as np
import statsmodels.api as sm
from scipy import stats
from scipy.stats import mstats

from distributions import close
from exact import MICROS, Rows, gradient, lift, normal_upper_quantile, real
from lifts import arm, moments

MILLIONTHS = [1, 1_000, 50_000, 100_000, 250_000, 333_333, 500_000, 700_000, 750_000, 900_000, 950_000, 990_000, 999_000, 999_999]


class Sorted:
    """Runs (value, how many units) in ascending order of value."""

    def __init__(self, runs):
        counts = {}
        for value, count in runs:
            counts[value] = counts.get(value, 0) + count
        self.runs = sorted(counts.items())
        self.upto = []
        for _, count in self.runs:
            self.upto.append(count + (self.upto[-1] if self.upto else 0))
        self.n = self.upto[-1] if self.upto else 0

    def at(self, rank):
        """The value of this rank, counted from 1; None outside."""
        if not 1 <= rank <= self.n:
            return None
        return self.runs[bisect.bisect_left(self.upto, rank)][0]

    def raw(self):
        return np.repeat([value for value, _ in self.runs], [count for _, count in self.runs])


def quantile_of(values, millionths, worst):
    """(n, value, s² or None, ranks): ⌈nq⌉-th value; standard error √(nq(1−q)) ranks, at the slope between the ranks nq ± z√(nq(1−q)),
    rounded outwards."""
    n, q = values.n, Fraction(millionths, 10**6)
    rank = -(-n * millionths // 10**6)
    rank_error = mp.sqrt(real(n * q * (1 - q)))
    z = normal_upper_quantile(mp.mpf("0.025"))
    low, high = int(mp.floor(real(n * q) - z * rank_error)), int(mp.ceil(real(n * q) + z * rank_error))
    variance = None
    if values.at(low) is not None and values.at(high) is not None:
        slope = real(Fraction(values.at(high) - values.at(low), (high - low) * MICROS))
        variance = (slope * rank_error) ** 2 * n
        if n <= 100_000:
            # Ranks of the exact binomial interval: the normal ones lie within two of them, as far as the binomial is near normal.
            ends = [stats.binom.ppf(0.025, n, float(q)), stats.binom.ppf(0.975, n, float(q)) + 1]
            if abs(low - ends[0]) > 2 or abs(high - ends[1]) > 2:
                raise SystemExit(f"quantile ranks {low}, {high} of {n}, binomial ones {ends}")
            worst["quantile ranks"] = max(worst.get("quantile ranks", 0), abs(low - ends[0]), abs(high - ends[1]))
    value = values.at(rank)
    # n·q is a whole number in fractions and just off it in doubles: there NumPy may take the neighbour.
    if n <= 100_000 and n * millionths % 10**6:
        theirs = np.quantile(values.raw(), float(q), method="inverted_cdf")
        close("quantile value", value, theirs, 0, worst)
    return n, Fraction(value, MICROS), variance


def quantile_case(name, runs, worst):
    values = Sorted(runs)
    expected = []
    for millionths in MILLIONTHS:
        n, value, variance = quantile_of(values, millionths, worst)
        total = Fraction(sum(v * c for v, c in values.runs), MICROS)
        expected.append({"millionths": millionths, "arm": arm(n, total, value, variance)})
    return {"name": name, "runs": values.runs, "expect": expected}


def cap_case(name, arms, worst):
    arms = [Sorted(runs) for runs in arms]
    pooled = [run for values in arms for run in values.runs]
    expected = []
    for over in ("all_units", "non_zero_units"):
        counted = Sorted([(v, c) for v, c in pooled if over == "all_units" or v != 0])
        for millionths in MILLIONTHS:
            if counted.n == 0:
                expected.append({"over": over, "millionths": millionths, "upper": None, "arms": []})
                continue
            upper = counted.at(-(-counted.n * millionths // 10**6))
            if over == "all_units" and counted.n * (10**6 - millionths) % 10**6 > 1 and counted.n <= 100_000:
                limits = (0, float(1 - Fraction(millionths, 10**6)))
                theirs = mstats.winsorize(counted.raw(), limits=limits, inclusive=(True, True))
                close("winsorised sum", sum(min(v, upper) * c for v, c in counted.runs), sum(theirs.tolist()), 0, worst)
            capped = [moments(Rows([(min(v, upper), c) for v, c in values.runs])) for values in arms]
            expected.append({"over": over, "millionths": millionths, "upper": upper, "arms": capped})
    return {"name": name, "arms": [values.runs for values in arms], "expect": expected}


def step_case(n, before, after):
    rows = Rows([((MICROS, MICROS), after), ((0, MICROS), before - after), ((0, 0), n - before)])
    variance = None
    if n > 1:
        # A binomial share of those who reached the step, in the terms of all n: p(1 − p)/before · n · n/(n − 1).
        p = Fraction(after, before)
        variance = p * (1 - p) / before * n * Fraction(n, n - 1)
        by_delta = ratio_adjusted([rows], 0)[0][2]
        close("funnel step", variance, by_delta, 1e-30, {})
    return {"n": n, "before": before, "after": after, "arm": arm(n, after, Fraction(after, before), variance)}


def ratio_adjusted(arms, theta):
    """R − θ·R⁰ of each arm with its delta-method variance: numerical gradient at the means, times the covariance of the rows."""
    columns = len(arms[0].rows[0][0])
    if columns == 2:
        figure = lambda y, d: y / d
    else:
        figure = lambda y, d, x, e: y / d - real(theta) * x / e
    estimates = []
    for rows in arms:
        point = [real(rows.mean(column)) for column in range(columns)]
        variance = None
        if rows.n > 1:
            with mp.workdps(90):
                slopes = gradient(figure, point)
                variance = sum(
                    slopes[a] * slopes[b] * real(rows.covariance(a, b)) for a in range(columns) for b in range(columns)
                )
                largest = max(slopes[a] ** 2 * real(rows.variance(a)) for a in range(columns))
                if abs(variance) < mp.mpf("1e-35") * largest:
                    variance = mp.mpf(0)
        estimates.append((rows.n, figure(*point), variance))
    return estimates


def sums_of(rows):
    names = [("sum", 0), ("sum_den", 1), ("sum_pre", 2), ("sum_pre_den", 3)]
    sums = {"n": str(rows.n)}
    for name, column in names:
        sums[name] = str(rows.sum(column))
        sums[f"{name}_sq"] = str(rows.sum(column, column))
    for name, a, b in (
        ("sum_cross", 0, 1), ("sum_pre_cross", 2, 3), ("sum_num_pre", 0, 2), ("sum_num_pre_den", 0, 3),
        ("sum_den_pre", 1, 2), ("sum_den_pre_den", 1, 3),
    ):
        sums[name] = str(rows.sum(a, b))
    return sums


def cuped_ratio_case(name, arms, alpha, worst):
    arms = [Rows(rows) for rows in arms]
    # Linearised values of every unit, from the definition: (y − R·d)/d̄.
    line = lambda rows, y, d: [
        (row[y] - Fraction(rows.sum(y), rows.sum(d)) * row[d]) / Fraction(rows.sum(d), rows.n) for row, _ in rows.rows
    ]
    now, then = [line(rows, 0, 1) for rows in arms], [line(rows, 2, 3) for rows in arms]
    # They sum to zero in each arm, so these are centred already.
    cross = sum(l * p for ls, ps in zip(now, then) for l, p in zip(ls, ps))
    pre = sum(p * p for ps in then for p in ps)
    spread = sum(l * l for ls in now for l in ls)
    theta = cross / pre if pre else Fraction(0)
    removed = cross**2 / (pre * spread) if pre and spread else Fraction(0)
    if pre and spread and sum(rows.n for rows in arms) > len(arms) + 1 and abs(float(theta)) > 1e-3:
        which = np.concatenate([[i] * rows.n for i, rows in enumerate(arms)])
        flat = lambda parts: np.array([float(real(v)) for part in parts for v in part])
        design = np.column_stack([flat(then)] + [which == i for i in range(len(arms))]).astype(float)
        fit = sm.OLS(flat(now), design).fit()
        close("ratio CUPED slope", theta, fit.params[0], 1e-6, worst)
        if removed > 1e-6:
            close("variance removed", removed, 1 - fit.ssr / float(real(spread)), 1e-6, worst)
    pooled = Fraction(sum(rows.sum(2) for rows in arms), sum(rows.sum(3) for rows in arms))
    estimates = [(n, value + real(theta * pooled), variance) for n, value, variance in ratio_adjusted(arms, theta)]
    return {
        "name": name, "alpha": alpha, "arms": [sums_of(rows) for rows in arms],
        "expect": {
            "theta": float(real(theta)), "variance_removed": float(real(removed)),
            "arms": [arm(rows.n, rows.mean() * rows.n, v, s) for rows, (_, v, s) in zip(arms, estimates)],
            "lifts": [lift(estimates[0], other, alpha) for other in estimates[1:]],
        },
    }


def value_sets():
    micro = lambda value: round(value * MICROS)
    sizes = [1, 2, 5, 7, 8, 20, 34, 35, 36, 60, 100, 150]
    shapes = {
        "log-normal": lambda: micro(random.lognormvariate(2, 1.5)),
        "normal below zero": lambda: micro(random.gauss(-50, 3)),
        "many zeros": lambda: random.choice([0, 0, 0, 0, micro(19.99), micro(random.paretovariate(1.1))]),
        "whole numbers": lambda: MICROS * random.randrange(9),
        "around zero": lambda: micro(random.gauss(0, 1)),
        "huge": lambda: random.randrange(-(10**17), 10**17),
    }
    sets = [(f"{shape}, {size}", [(draw(), 1) for _ in range(size)]) for shape, draw in shapes.items() for size in sizes]
    # Larger sets with ties, so that the table stays short.
    for size in (380, 381, 1_000, 3_838, 50_000, 400_000):
        steps = 60
        sets.append((f"stairs, {size}", [(micro(1.3**i), size // steps + (i < size % steps)) for i in range(steps)]))
    sets += [
        ("all equal", [(3 * MICROS, 500)]),
        ("all zero", [(0, 500)]),
        ("two thirds zero", [(0, 2_000), (5 * MICROS, 1_000)]),
        ("a step at the median", [(0, 500), (5 * MICROS, 500)]),
        ("extremes", [(-(2**63), 40), (2**63 - 1, 41)]),
    ]
    return sets


def table(worst):
    random.seed(20_261_126)
    sets = value_sets()
    caps = []
    for i in range(0, len(sets) - 1, 2):  # without the extremes, whose squares leave 127 bits
        chosen = [sets[i], *random.sample(sets[:72], 1 + i % 3)]
        caps.append(cap_case(" with ".join(name for name, _ in chosen), [runs for _, runs in chosen], worst))
    caps.append(cap_case("nothing bought", [[(0, 50)], [(0, 40)]], worst))
    caps.append(cap_case("one empty arm", [[], [(0, 40), (MICROS, 3)]], worst))
    steps = [step_case(*counts) for counts in ((1, 1, 1), (2, 1, 1), (2, 2, 1), (100, 40, 0), (100, 40, 40), (5_000, 900, 333), (10**9, 10**8, 12_345))]
    for _ in range(60):
        n = int(10 ** random.uniform(0.5, 9))
        before = random.randrange(1, n + 1)
        steps.append(step_case(n, before, random.randrange(before + 1)))
    ratios = []
    micro = lambda value: round(value * MICROS)
    for i in range(48):
        arms = []
        for which in range(2 + i % 3):
            rows = []
            for _ in range(random.choice([2, 3, 8, 40, 120])):
                liking = random.lognormvariate(0, 0.5)
                d, e = random.randrange(1, 12), random.randrange(0, 12)
                noise = [1, 0.05, 1e-4, 30][i % 4]
                y = d * liking * (1 + 0.05 * which) + noise * random.gauss(0, 1)
                x = [e * liking, -2 * e * liking, 1e4 * e * liking, 0.01 * e * liking][i // 4 % 4]
                if i % 4 == 2:  # almost all of the variance goes
                    e, x = d, d * liking
                rows.append(((micro(y), d * MICROS, micro(x), e * MICROS), 1))
            rows[0] = ((*rows[0][0][:3], 5 * MICROS), 1)
            arms.append(rows)
        ratios.append(cuped_ratio_case(f"pre-period ratio {i}", arms, [0.05, 0.1, 0.01][i % 3], worst))
    many = [((MICROS, 2 * MICROS, 0, MICROS), 3), ((0, MICROS, MICROS, MICROS), 2), ((3 * MICROS, MICROS, MICROS, 0), 4)]
    ratios.append(cuped_ratio_case("pre-period constant", [[((y, d, 2 * e, e), 1) for (y, d, _, e), c in many for _ in range(c)] for _ in range(2)], 0.05, worst))
    return {
        "quantiles": [quantile_case(name, runs, worst) for name, runs in sets],
        "caps": caps, "steps": steps, "cuped_ratios": ratios,
    }
