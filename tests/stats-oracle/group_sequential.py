"""Group-sequential bounds: one Gauss-Legendre rule over each whole continuation region, in doubles; two looks by mpmath, and
SciPy's multivariate normal probabilities must agree.

The Rust code folds densities panel by panel and solves with Newton's method; here there is one rule of 240 nodes a look, and
Brent's method. What a bound is, both take from the definition: the first exit at look k has the probability that is spent there.
"""
import math
import random

import mpmath as mp
import numpy as np
from scipy import optimize, special, stats

from distributions import close
from exact import normal_upper_quantile, normal_upper_tail, real

NODES, WEIGHTS = np.polynomial.legendre.leggauss(240)


def spent(spending, side_alpha, fraction):
    if fraction >= 1:
        return side_alpha
    if spending == "pocock":
        return side_alpha * math.log(1 + (math.e - 1) * fraction)
    return 2 * stats.norm.sf(stats.norm.isf(side_alpha / 2) / math.sqrt(fraction))


def bounds(fractions, leaving, symmetric):
    places, masses, earlier, found = np.zeros(1), np.ones(1), 0.0, []
    for fraction, probability in zip(fractions, leaving):
        deviation, root = math.sqrt(fraction - earlier), math.sqrt(fraction)
        exit_above = lambda z: masses @ special.ndtr((places - z * root) / deviation)
        top = -special.ndtri(probability)
        if len(found):
            f = lambda z: math.log(exit_above(z)) - math.log(probability)
            bound = optimize.brentq(f, top - 3, top + 1e-9, xtol=1e-14, rtol=1e-15)
        else:
            bound = top
        found.append(bound)
        high = min(bound, 17.0) * root
        low = -high if symmetric else -11.0 * root
        inside = (low + high) / 2 + (high - low) / 2 * NODES
        density = np.exp(-(((inside[:, None] - places) / deviation) ** 2) / 2) @ masses / (math.sqrt(2 * math.pi) * deviation)
        places, masses, earlier = inside, density * WEIGHTS * (high - low) / 2, fraction
    return found


def design(case, alpha):
    sides = 2 if case["alternative"] == "two_sided" else 1
    cumulative = [spent(case["spending"], alpha / sides, t) for t in case["fractions"]]
    if case["is_last"]:
        cumulative[-1] = alpha / sides
    leaving = [b - a for a, b in zip([0.0] + cumulative, cumulative)]
    return bounds(case["fractions"], leaving, sides == 2), leaving, cumulative[-1] * sides


def check_two_looks(case, found, worst):
    """The second bound by mpmath: P(inside at the first look, above at the second) is what is spent at the second."""
    t1, t2 = [real(t) for t in case["fractions"]]
    symmetric = case["alternative"] == "two_sided"
    side = real(case["alpha"]) / (2 if symmetric else 1)
    e1 = mp.e - 1
    share = lambda t: side * mp.log(1 + e1 * t) if case["spending"] == "pocock" else 2 * normal_upper_tail(normal_upper_quantile(side / 2) / mp.sqrt(t))
    first, second = share(t1), share(t2) if t2 < 1 and not case["is_last"] else side
    c1 = normal_upper_quantile(first)
    rho = mp.sqrt(t1 / t2)
    low = -c1 if symmetric else mp.mpf(-14)

    def exit_above(z):
        inner = lambda x: mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi) * normal_upper_tail((z - rho * x) / mp.sqrt(1 - rho**2))
        return mp.quad(inner, mp.linspace(low, min(c1, 14), 15))

    with mp.workdps(25):
        c2 = mp.findroot(lambda z: mp.log(exit_above(z) / (second - first)), (found[1], found[1] + mp.mpf("1e-4")), tol=1e-20)
    close("two looks", c1, found[0], 1e-12, worst)
    close("two looks", c2, found[1], 1e-11, worst)


def check_by_scipy(case, found, leaving, worst):
    """Each exit probability, P(inside at every earlier look, above now), as SciPy's integral over a box. It integrates at random
    points: 1e-5 is asked for and more is got."""
    t, c = np.array(case["fractions"]), np.array(found)
    correlation = np.sqrt(np.minimum.outer(t, t) / np.maximum.outer(t, t))
    for k in range(1, len(t)):
        low = np.append(-c[:k] if case["alternative"] == "two_sided" else np.full(k, -np.inf), c[k])
        high = np.append(c[:k], np.inf)
        integral = stats.multivariate_normal.cdf(
            high, mean=np.zeros(k + 1), cov=correlation[: k + 1, : k + 1], lower_limit=low, abseps=1e-6, releps=0,
            maxpts=150_000, rng=np.random.default_rng(k),
        )
        distance = abs(integral - leaving[k])
        worst["exits by SciPy (absolute)"] = max(worst.get("exits by SciPy (absolute)", 0), distance)
        if distance > 1e-5:
            raise SystemExit(f"group sequential: {leaving[k]} leaves at look {k + 1}, SciPy's integral says {integral} ({case})")


def digits(value):
    return float(f"{value:.9g}")


def p_value(case, statistic):
    """The level at which the last bound is the statistic."""
    f = lambda x: design(case, math.exp(x))[0][-1] - statistic
    return math.exp(optimize.brentq(f, math.log(1e-40), math.log(0.49), xtol=1e-13, rtol=1e-14))


def table(worst):
    random.seed(1983)
    cases = []
    for i in range(130):
        looks = [1, 2, 2, 3, 4, 5, 5, 8, 12, 20][i % 10]
        if i % 3 == 0 or looks > 12:
            fractions = [round((k + 1) / looks, 12) for k in range(looks)]
        else:
            steps = [random.uniform(0.04, 1) for _ in range(looks)]
            scale = sum(steps) / random.choice([1, 1, 0.8, 0.5, 1.15])
            fractions = [float(x) for x in np.cumsum(steps) / scale]
            if any(t >= 0.999 for t in fractions[:-1]) or min(np.diff([0] + fractions)) < 0.02:
                fractions = [round((k + 1) / looks, 12) for k in range(looks)]
        case = {
            "alternative": ["two_sided", "greater", "two_sided", "lesser"][i % 4], "alpha": random.choice([0.05, 0.05, 0.025, 0.1, 0.01, 0.001, 0.2]),
            "spending": "o_brien_fleming" if random.random() < 0.6 else "pocock", "fractions": fractions,
            "is_last": random.random() < 0.3,
        }
        # An exit of less than 1e-14 would be lost in the doubles of this oracle.
        if case["spending"] == "o_brien_fleming" and spent("o_brien_fleming", case["alpha"] / 2, fractions[0]) < 1e-14:
            case["spending"] = "pocock"
        found, leaving, total = design(case, case["alpha"])
        if looks == 2:
            check_two_looks(case, found, worst)
        if looks in (3, 4):
            check_by_scipy(case, found, leaving, worst)
        p_values = []
        if looks <= 4 and i % 2:
            for statistic in (1.1, round(found[-1] * 1.02, 3), 4.1):
                if statistic > stats.norm.isf(0.2):
                    p_values.append([statistic, p_value(case, statistic)])
        # Doubles differ in the last digits from one machine to the next.
        cases.append(case | {
            "bounds": [digits(z) for z in found], "spent": digits(total),
            "p_values": [[statistic, digits(p)] for statistic, p in p_values],
        })
    return cases
