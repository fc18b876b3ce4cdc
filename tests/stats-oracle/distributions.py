"""Tails and quantiles: mpmath to 50 digits, and SciPy must agree."""
import math
import random

import mpmath as mp
from scipy import stats

import exact


def close(name, ours, theirs, tolerance, worst):
    """Records the distance to SciPy or statsmodels and refuses one beyond the tolerance."""
    ours, theirs = float(ours), float(theirs)
    distance = 0.0 if ours == theirs else abs(ours - theirs) / max(abs(ours), abs(theirs))
    worst[name] = max(worst.get(name, 0.0), distance)
    if not distance <= tolerance:
        raise SystemExit(f"{name}: exact arithmetic says {ours!r}, the library {theirs!r}")


def table(worst):
    random.seed(20191124)
    t_tails, t_quantiles = [], []
    degrees = [1, 1.0625, 1.5, 2, 3, 4.75, 9, 29.7, 39.9, 40, 41.5, 100, 999.3, 1e5, 1e6, 19998.25, 1e7, 2e9, 1e13, 1e15]
    for df in degrees:
        for t in [1e-9, 0.01, 0.5, 0.999, 1.0, 1.3, 1.959964, 2.7, 4, 5.6, 9, 17, 30, 36.5, 100, 1e4, 1e8, 1e30]:
            tail = exact.t_upper_tail(t, df)
            if tail < mp.mpf("1e-300"):
                continue
            if t >= 0.01:  # SciPy answers 0.5 at 1e-9
                close("t upper tail", tail, stats.t.sf(t, df), 1e-11 if df < 1e12 else 1e-8, worst)
            t_tails.append([df, t, float(tail)])
        for t in (-0.3, -1.5, -6):
            t_tails.append([df, t, float(exact.t_upper_tail(t, df))])
        for tail in [0.5 - 1e-12, 0.49, 0.4, 0.31, 0.3, 0.29, 0.2, 0.05, 0.025, 0.005, 0.0005, 1e-7, 1e-15, 1e-40, 1e-150, 1e-300, 0.75, 0.975, 1 - 1e-9]:
            quantile = exact.t_upper_quantile(tail, df)
            theirs = stats.t.isf(tail, df)
            if 1e-15 <= tail and abs(tail - 0.5) > 1e-6 and df < 1e12:
                close("t upper quantile", quantile, theirs, 1e-10, worst)
            t_quantiles.append([df, tail, float(quantile)])
    for _ in range(60):
        df, t = math.exp(random.uniform(0, 21)), math.exp(random.uniform(-3, 3.4))
        tail = exact.t_upper_tail(t, df)
        close("t upper tail", tail, stats.t.sf(t, df), 1e-11, worst)
        t_tails.append([df, t, float(tail)])
    normal_quantiles, normal_tails = [], []
    for tail in [1e-300, 1e-100, 1e-20, 1e-9, 1e-4, 0.0005, 0.005, 0.025, 0.05, 0.1, 0.2, 0.3, 0.45, 0.499, 0.6, 0.9, 0.975, 0.999]:
        quantile = exact.normal_upper_quantile(tail)
        close("normal quantile", quantile, stats.norm.isf(tail), 1e-12, worst)
        normal_quantiles.append([tail, float(quantile)])
    for z in [-8, -2, -0.1, 0.0, 0.1, 0.7, 1.2816, 1.96, 3, 5, 8.5, 20, 37]:
        tail = exact.normal_upper_tail(z)
        close("normal tail", tail, stats.norm.sf(z), 1e-12, worst)
        normal_tails.append([z, float(tail)])
    chi_tails = []
    for df in [1, 2, 3, 4, 7, 20, 99, 198, 999, 9900]:
        for factor in [1e-9, 1e-3, 0.1, 0.5, 0.9, 1, 1.3, 2, 5, 12, 40]:
            x = df * factor
            tail = exact.chi_square_upper_tail(x, df)
            if tail < mp.mpf("1e-300"):
                continue
            close("chi-square tail", tail, stats.chi2.sf(x, df), 1e-11, worst)
            chi_tails.append([df, x, float(tail)])
    for x in (100, 500, 1300):
        chi_tails.append([1, x, float(exact.chi_square_upper_tail(x, 1))])
    return {
        "t_upper_tail": t_tails,
        "t_upper_quantile": t_quantiles,
        "normal_upper_tail": normal_tails,
        "normal_upper_quantile": normal_quantiles,
        "chi_square_upper_tail": chi_tails,
    }
