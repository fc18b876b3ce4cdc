"""Probabilities of being the best arm: polynomials in fractions for small whole beta parameters, 30-digit quadrature for normal arms,
SciPy's distribution functions under NumPy's quadrature for large rates."""
import math
import random
from fractions import Fraction

import mpmath as mp
import numpy as np
from scipy import stats

from beta import NODES
from distributions import close
from exact import real


def multiply(p, q):
    product = [Fraction(0)] * (len(p) + len(q) - 1)
    for i, a in enumerate(p):
        for j, b in enumerate(q):
            product[i + j] += a * b
    return product


def integral(p):
    return [Fraction(0)] + [c / (i + 1) for i, c in enumerate(p)]


def exact_rates(shapes):
    """The probabilities, and the expected loss of each arm: E max = 1 - integral of the product of all distribution functions."""
    densities = []
    for a, b in shapes:
        front = Fraction(math.factorial(a + b - 1), math.factorial(a - 1) * math.factorial(b - 1))
        density = [Fraction(0)] * (a - 1) + [front * (-1) ** i * math.comb(b - 1, i) for i in range(b)]
        densities.append(density)
    cdfs = [integral(d) for d in densities]
    best = []
    for i, density in enumerate(densities):
        product = density
        for j, cdf in enumerate(cdfs):
            if j != i:
                product = multiply(product, cdf)
        best.append(sum(integral(product)))
    product = [Fraction(1)]
    for cdf in cdfs:
        product = multiply(product, cdf)
    highest = 1 - sum(integral(product))
    assert sum(best) == 1
    return [float(real(p)) for p in best], [float(real(highest - Fraction(a, a + b))) for a, b in shapes]


def normal_arms(arms):
    with mp.workdps(25):
        arms = [(real(m), real(s)) for m, s in arms]
        low = max(m - 10 * s for m, s in arms)
        cuts = sorted({m + s * step for m, s in arms for step in range(-10, 11)} | {low})
        cuts = [c for c in cuts if c >= low]
        best, highest = [mp.mpf(0)] * len(arms), mp.mpf(0)
        for start, end in zip(cuts, cuts[1:]):
            for t, w in NODES:
                x = start + (end - start) * t
                zs = [(x - m) / s for m, s in arms]
                if min(zs) < -10.01:
                    continue
                cdfs = [mp.erfc(-z / mp.sqrt(2)) / 2 for z in zs]
                product = mp.fprod(cdfs)
                for i, (z, (_, s)) in enumerate(zip(zs, arms)):
                    part = w * (end - start) * mp.exp(-z * z / 2) / (s * mp.sqrt(2 * mp.pi)) * product / cdfs[i]
                    best[i] += part
                    highest += part * x
        return [float(f"{float(p):.12g}") if p > 1e-15 else 0.0 for p in best], [float(f"{float(highest - m):.12g}") if highest - m > mp.mpf("1e-12") * max(s for _, s in arms) else 0.0 for m, _ in arms]


def large_rates(shapes):
    """In double precision on the axis of the rate, cut at many quantiles of each arm."""
    arms = [stats.beta(a, b) for a, b in shapes]
    levels = np.concatenate([np.logspace(-17, -1, 33), np.linspace(0.15, 0.85, 15)])
    cuts = sorted({float(x) for arm in arms for x in np.concatenate([arm.ppf(levels), arm.isf(levels)]) if 0 < x < 1})
    x, w = np.polynomial.legendre.leggauss(30)
    cuts = np.array(cuts)
    widths = np.diff(cuts)[:, None]
    places, weights = (cuts[:-1, None] + widths * (x + 1) / 2).ravel(), (widths * w / 2).ravel()
    cdfs = np.array([arm.cdf(places) for arm in arms])
    return [math.fsum(weights * arm.pdf(places) * np.prod(np.delete(cdfs, i, axis=0), axis=0)) for i, arm in enumerate(arms)]


def table(worst):
    random.seed(21)
    small, normal, large = [], [], []
    for _ in range(60):
        shapes = [(random.randint(1, 9), random.randint(1, 9)) for _ in range(random.choice([2, 3, 3, 4, 5]))]
        best, losses = exact_rates(shapes)
        for ours, theirs in zip(best, large_rates(shapes)):
            close("probability of being best", 1 + ours, 1 + theirs, 1e-9, worst)
        small.append({"arms": shapes, "best": best, "losses": losses})
    for _ in range(16):
        k = random.choice([2, 2, 3, 4])
        scale, shift = 10 ** random.uniform(-6, 6), random.choice([0, 5, 100])
        arms = [(scale * (shift + random.gauss(0, 1)), scale * 10 ** random.uniform(-1.5, 0.5)) for _ in range(k)]
        if random.random() < 0.2:
            arms[1] = arms[0]
        best, losses = normal_arms(arms)
        if k == 2:
            chance = stats.norm.sf(0, arms[0][0] - arms[1][0], math.hypot(arms[0][1], arms[1][1]))
            close("the better of two normals", best[0] + 1, chance + 1, 1e-10, worst)
        normal.append({"arms": arms, "best": best, "losses": losses})
    for k in (2, 3, 4, 6, 10, 20):
        for size in (3, 5, 6.5):
            rate, shapes = 10 ** random.uniform(-2.5, -0.3), []
            for _ in range(k):
                n = round(10 ** random.uniform(size - 1, size))
                hits = max(0, min(n, round(n * rate + random.gauss(0, 1.2) * (n * rate) ** 0.5)))
                shapes.append((1 + hits, 1 + n - hits))
            best = large_rates(shapes)
            large.append({"arms": shapes, "best": [float(f"{p:.9f}") for p in best], "losses": []})
    return {"small_rates": small, "normal": normal, "large_rates": large}
