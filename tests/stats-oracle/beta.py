"""The beta distribution to 2e10: the integral of its density in 30 digits, and SciPy must agree as far as it has digits."""
import math
import random

import mpmath as mp
from scipy import stats

from distributions import close
from exact import real

with mp.workdps(40):
    # Gauss-Legendre on 0 to 1 with 20 points: each panel below is short enough to give 25 digits.
    NODES = []
    for degree in range(10):
        x = mp.findroot(lambda t: mp.legendre(20, t), mp.cos(mp.pi * (degree + mp.mpf(3) / 4) / (20 + mp.mpf(1) / 2)))
        weight = 2 / ((1 - x * x) * mp.diff(lambda t: mp.legendre(20, t), x) ** 2)
        NODES += [((1 - x) / 2, weight / 2), ((1 + x) / 2, weight / 2)]


def log_density(a, b):
    """Of logit X, at y: a ln p + b ln q - ln B(a, b)."""
    log_beta = mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)
    n = a + b
    return lambda y: -a * mp.log1p(mp.exp(-y)) - b * mp.log1p(mp.exp(y)) - log_beta if abs(y) > 50 else a * y - n * mp.log1p(mp.exp(y)) - log_beta


def panels(a, b, y):
    """From y, beyond the mean, outwards: ever new (start, width), as wide as the density falls by e^2."""
    while True:
        p = 1 / (1 + mp.exp(-y))
        slope, curvature = (a + b) * p - a, (a + b) * p * (1 - p)
        width = min(mp.mpf(3) / 2, 4 / (slope + mp.sqrt(slope**2 + 4 * curvature)))
        yield y, width
        y += width


def upper_tail(a, b, y):
    """P(logit X > y) for y beyond the mean."""
    density = log_density(a, b)
    first, total = density(y), mp.mpf(0)
    for start, width in panels(a, b, y):
        part = width * mp.fsum(w * mp.exp(density(start + width * t) - first) for t, w in NODES)
        total += part
        if part < total * mp.mpf("1e-19"):
            return mp.exp(first) * total


def tails(a, b, x):
    """(P(X < x), P(X > x))."""
    with mp.workdps(34):
        a, b, x = real(a), real(b), real(x)
        y = mp.log(x) - mp.log1p(-x)
        if x * (a + b) >= a:
            upper = upper_tail(a, b, y)
            return 1 - upper, upper
        lower = upper_tail(b, a, -y)
        return lower, 1 - lower


def table(worst):
    random.seed(18)
    places, densities = [], []
    shapes = [
        (0.5, 0.5), (0.5, 3), (1, 1), (1, 7.5), (2, 5), (0.5, 1e10), (1, 1e10), (3, 1e6), (11, 101), (501, 4501), (40.5, 0.5),
        (1e6, 9e6), (1e5, 1e10), (1e10, 1e10), (5e9, 1e10), (2e10, 1), (1e10, 2e10),
    ]
    shapes += [(1 + round(10 ** random.uniform(0, 9)), 1 + round(10 ** random.uniform(0, 10))) for _ in range(30)]
    for a, b in shapes:
        mean = a / (a + b)
        spread = math.sqrt(mean * (1 - mean) / (a + b + 1))
        for x in sorted({mean + z * spread for z in (-30, -9, -3, -0.7, 0, 0.1, 2, 5, 15, 35)} | {mean * 1e-3, 1 - (1 - mean) / 2}):
            if not 0 < x < 1:
                continue
            below, above = tails(a, b, x)
            if min(below, above) < mp.mpf("1e-290"):
                continue
            if min(below, above) > mp.mpf("1e-100"):
                tolerance = 1e-9 if a + b < 1e7 else 1e-6
                close("beta lower tail", below, stats.beta.cdf(x, a, b), tolerance, worst)
                close("beta upper tail", above, stats.beta.sf(x, a, b), tolerance, worst)
            places.append([a, b, x, float(below), float(above)])
            density = mp.exp(log_density(real(a), real(b))(mp.log(x) - mp.log1p(-real(x)))) / real(x) / (1 - real(x))
            if mp.mpf("1e-290") < density < mp.mpf("1e290"):
                densities.append([a, b, x, float(density)])
    return {"tails": places, "densities": densities}
