"""Two beta posteriors compared: a finite sum where a parameter is whole and not too large, else quadrature in 40 digits."""
import random
from fractions import Fraction

import mpmath as mp
from scipy import integrate, stats

from beta import NODES, log_density, upper_tail
from distributions import close
from exact import real


def sum_of(ac, bc, at, bt):
    """P(T > C) for a whole at (Evan Miller, "Formulas for Bayesian A/B Testing", 2015): the sum over i < at of
    B(ac + i, bc + bt) / ((bt + i) B(1 + i, bt) B(ac, bc)), each term from the one before."""
    term = mp.exp(mp.loggamma(bc + bt) + mp.loggamma(ac + bc) - mp.loggamma(bc) - mp.loggamma(ac + bc + bt))
    total = mp.mpf(0)
    for i in range(at):
        total += term
        term = term * ((ac + i) * (bt + i)) / ((ac + i + bc + bt) * (1 + i))
    return total


def by_quadrature(ac, bc, at, bt):
    """P(T < C) for narrow posteriors near each other: F_T goes up from point to point as C's density is integrated."""
    fc, ft = log_density(ac, bc), log_density(at, bt)
    n = ac + bc + at + bt
    middle = mp.log((ac + at) / (bc + bt))
    spread = mp.sqrt(1 / (ac + at) + 1 / (bc + bt))
    slope = abs(at - (at + bt) * (ac + at) / n)
    panel = 2 / (slope + 1 / spread)
    count = int(14 * spread / panel) + 1
    y = middle - count * panel
    below = upper_tail(bt, at, -y)  # P(T < y), left of T's mean
    chance, before = mp.mpf(0), y
    order = sorted(NODES)
    for _ in range(2 * count):
        for t, weight in order:
            here = y + panel * t
            below += (here - before) * mp.fsum(w * mp.exp(ft(before + (here - before) * s)) for s, w in NODES[::2] + NODES[1::2])
            before = here
            chance += weight * panel * mp.exp(fc(here)) * below
        y += panel
    return chance


def chance_higher(ac, bc, at, bt):
    """P(T > C), by whichever sum is short; of the mirrored variables sums run over the other parameters."""
    whole = {"at": at, "bc": bc, "ac": ac, "bt": bt}
    name = min((k for k, v in whole.items() if v == int(v)), key=whole.get, default=None)
    if name and whole[name] <= 30_000:
        count = int(whole[name])
        ac, bc, at, bt = map(real, (ac, bc, at, bt))
        if name == "at":
            return sum_of(ac, bc, count, bt)
        if name == "bc":
            return sum_of(bt, at, count, ac)
        return 1 - (sum_of(at, bt, count, bc) if name == "ac" else sum_of(bc, ac, count, at))
    ac, bc, at, bt = map(real, (ac, bc, at, bt))
    if at * (ac + bc) >= ac * (at + bt):
        return 1 - by_quadrature(ac, bc, at, bt)
    return by_quadrature(at, bt, ac, bc)


def compared(ac, bc, at, bt):
    """P(T > C), P(T < C), E max(T - C, 0), E max(C - T, 0). E T 1(T > C) is E T times P(T > C) with at one more."""
    with mp.workdps(45):
        higher = chance_higher(ac, bc, at, bt)
        mean_c, mean_t = real(ac) / (real(ac) + real(bc)), real(at) / (real(at) + real(bt))
        rise = mean_t * chance_higher(ac, bc, at + 1, bt) - mean_c * chance_higher(ac + 1, bc, at, bt)
        return higher, 1 - higher, rise, rise - (mean_t - mean_c)


def ratio_below(ac, bc, at, bt, rho):
    """P(T < rho C), in SciPy's double precision: the integral over C's density."""
    c, t = stats.beta(ac, bc), stats.beta(at, bt)
    spread = c.std()
    cuts = [x for x in (c.mean() + z * spread for z in range(-40, 41, 2)) if 0 < x < 1]
    cuts = sorted({0.0, 1.0, *cuts, *([1 / rho] if rho > 1 else [])})
    integrand = lambda x: c.pdf(x) * t.cdf(min(1.0, rho * x))
    return sum(integrate.quad(integrand, low, high, epsabs=1e-15, epsrel=1e-11, limit=200)[0] for low, high in zip(cuts, cuts[1:]))


def table(worst):
    random.seed(81)
    chances, ratios = [], []
    cases = [
        (5_000, 500, 5_000, 560, 1, 1), (10**10, 10**9, 10**10, 10**9 + 40_000, 1, 1), (10**10, 10**9, 10**10, 10**9 + 200_000, 1, 1),
        (10**9, 10**8, 10**10, 10**9 - 30_000, 0.5, 0.5), (10**6, 10**5, 10**6, 99_000, 0.5, 2.5), (10**10, 5, 10**9, 2, 1, 1),
        (10**10, 30, 10**10, 300, 1, 1), (10**6, 10**5, 10**3, 130, 1, 1), (10**3, 10, 10**8, 10**6, 1, 1), (3, 3, 10**9, 10**8, 1, 1),
        (10**6, 10**6 - 3, 10**6, 10**6 - 9, 1, 1), (0, 0, 0, 0, 1, 1), (0, 0, 10**10, 10**10, 1, 1), (10**4, 5_000, 10**4, 5_600, 2, 3),
        (10**7, 10_000, 10**7, 14_000, 1, 1),
    ]
    while len(cases) < 400:
        n_c, n_t = round(10 ** random.uniform(0, 3)), round(10 ** random.uniform(0, 3))
        cases.append((n_c, random.randint(0, n_c), n_t, random.randint(0, n_t), *random.choice([(1, 1), (3, 40), (1, 9)])))
    while len(cases) < 600:
        n_c, n_t = round(10 ** random.uniform(2, 9)), round(10 ** random.uniform(2, 9))
        rate = 10 ** random.uniform(0, 3.6) / min(n_c, n_t)
        k_c, k_t = (round(n * rate + random.gauss(0, 1.5) * (n * rate) ** 0.5) for n in (n_c, n_t))
        if 0 <= k_c <= n_c and 0 <= k_t <= n_t and min(k_c, k_t) < 5_000:
            cases.append((n_c, k_c, n_t, k_t, 1, 1))
    for n_c, k_c, n_t, k_t, a, b in cases:
        shapes = (k_c + a, n_c - k_c + b, k_t + a, n_t - k_t + b)
        figures = compared(*shapes)
        if n_c + n_t < 3_000 and len(chances) % 4 == 0:
            close("chance to beat control", figures[0], ratio_below(shapes[2], shapes[3], shapes[0], shapes[1], 1.0), 1e-8, worst)
        # Beyond 1e-30 the cancellation of the longer sums shows.
        chances.append([n_c, k_c, n_t, k_t, a, b] + [float(v) if v > mp.mpf("1e-25") else 0.0 for v in figures])
    for n_c, k_c, n_t, k_t in [(5_000, 500, 5_000, 560), (40, 3, 50, 9), (12, 0, 10, 2), (20, 19, 25, 20), (300, 150, 10**4, 4_000), (10**5, 120, 10**5, 90), (10, 10, 10, 9)]:
        shapes = (1 + k_c, 1 + n_c - k_c, 1 + k_t, 1 + n_t - k_t)
        for rho in (0.3, 0.8, 0.97, 1.05, 1.3, 2.5):
            below = ratio_below(*shapes, rho)
            if 1e-6 < below < 1 - 1e-6:
                ratios.append([n_c, k_c, n_t, k_t, rho, float(f"{below:.10g}")])
    return {"chances": chances, "ratios": ratios}
