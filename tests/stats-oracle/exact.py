"""Exact and 50-digit arithmetic: sums in integers, moments in fractions, distributions in mpmath.

Nothing here is transcribed from the Rust code: variances come from rows or fractions, gradients of the delta method from
numerical differentiation, tails from mpmath's incomplete beta and gamma functions.
"""
import functools
from fractions import Fraction

import mpmath as mp

mp.mp.dps = 50
MICROS = 10**6


def real(value):
    """A fraction, integer or float as an mpf, exactly rounded once."""
    if isinstance(value, Fraction):
        return mp.mpf(value.numerator) / mp.mpf(value.denominator)
    return mp.mpf(value)


def t_upper_tail(t, df):
    t, df = real(t), real(df)
    if t < 0:
        return 1 - t_upper_tail(-t, df)
    if t == 0:
        return mp.mpf(1) / 2
    if df > 1000 and t > 20:  # mpmath's incomplete beta gives up somewhere out there
        return t_upper_tail_by_quadrature(t, df)
    with mp.workdps(80):
        if t < 1:  # x near 1: the complement keeps the digits
            return (1 - mp.betainc(mp.mpf(1) / 2, df / 2, 0, t * t / (df + t * t), regularized=True)) / 2
        return mp.betainc(df / 2, mp.mpf(1) / 2, 0, df / (df + t * t), regularized=True) / 2


def t_upper_tail_by_quadrature(t, df):
    """The integral of the density, in panels as wide as the density falls by about e."""
    with mp.workdps(60):
        log_front = mp.loggamma((df + 1) / 2) - mp.loggamma(df / 2) - mp.log(df * mp.pi) / 2
        panel = (df + t * t) / ((df + 1) * t)
        log_density = lambda s: log_front - (df + 1) / 2 * mp.log1p(s * s / df)
        # The quadrature stops at an absolute error, so the integrand starts at 1.
        first = log_density(t)
        return mp.exp(first) * panel * mp.quad(lambda w: mp.exp(log_density(t + w * panel) - first), [0, 1, 3, 9, 30, 100, 400, mp.inf])


def t_upper_quantile(tail, df):
    """Solves t_upper_tail(t) = tail for ln t: a few halvings, then Newton's method to 40 digits."""
    tail, df = real(tail), real(df)
    if tail > mp.mpf(1) / 2:
        return -t_upper_quantile(1 - tail, df)
    if tail == mp.mpf(1) / 2:
        return mp.mpf(0)
    log_front = mp.loggamma((df + 1) / 2) - mp.loggamma(df / 2) - mp.log(df * mp.pi) / 2
    density = lambda t: mp.exp(log_front - (df + 1) / 2 * mp.log1p(t * t / df))
    low = mp.log(normal_upper_quantile(tail))  # t has the heavier tails
    s = low
    for _ in range(200):
        t = mp.exp(s)
        reached = t_upper_tail(t, df)
        # The first step may overshoot far into the tail; the way back is monotone.
        step = (mp.log(reached) - mp.log(tail)) * reached / (t * density(t))
        step = max(min(step, mp.mpf(20)), mp.mpf(-1))
        s += step
        if abs(step) < mp.mpf("1e-40"):
            return mp.exp(s)
    raise ArithmeticError(f"no t quantile for tail {tail} and {df} degrees of freedom")


def normal_upper_tail(z):
    return mp.erfc(real(z) / mp.sqrt(2)) / 2


@functools.lru_cache(maxsize=None)
def normal_upper_quantile(tail):
    tail = real(tail)
    if tail > mp.mpf(1) / 2:
        return -normal_upper_quantile(1 - tail)
    if tail == mp.mpf(1) / 2:
        return mp.mpf(0)
    low, high = mp.mpf(0), mp.mpf(60)
    for _ in range(190):
        middle = (low + high) / 2
        low, high = (middle, high) if normal_upper_tail(middle) > tail else (low, middle)
    return (low + high) / 2


def chi_square_upper_tail(x, df):
    return mp.gammainc(mp.mpf(df) / 2, real(x) / 2, mp.inf, regularized=True)


class Rows:
    """Rows of integer micro-values with how many units have each: a population of a billion stays a short list."""

    def __init__(self, rows):
        self.rows = [(tuple(r) if isinstance(r, (tuple, list)) else (r,), c) for r, c in rows]
        self.n = sum(c for _, c in self.rows)

    def sum(self, *columns):
        total = 0
        for row, count in self.rows:
            product = count
            for column in columns:
                product *= row[column]
            total += product
        return total

    def mean(self, column=0):
        return Fraction(self.sum(column), self.n * MICROS)

    def covariance(self, a, b):
        """Sample covariance from centred rows, the definition."""
        ma, mb = Fraction(self.sum(a), self.n), Fraction(self.sum(b), self.n)
        total = sum(count * (row[a] - ma) * (row[b] - mb) for row, count in self.rows)
        return total / (self.n - 1) / MICROS**2

    def variance(self, column=0):
        return self.covariance(column, column)


def gradient(function, point):
    return [
        mp.diff(lambda x, i=i: function(*[x if j == i else v for j, v in enumerate(point)]), point[i])
        for i in range(len(point))
    ]


def welch(estimate, components, alpha):
    """The test of an estimate whose variance is the sum of components [(variance, df)]."""
    variance = sum(v for v, _ in components)
    if variance == 0:
        return {"status": "point_only", "estimate": float(estimate), "reason": "zero_variance"}
    se = mp.sqrt(variance)
    df = variance**2 / sum(v**2 / d for v, d in components)
    half = t_upper_quantile(real(alpha) / 2, df) * se
    return {
        "status": "interval",
        "estimate": float(estimate),
        "standard_error": float(se),
        "degrees_of_freedom": float(df),
        "lower": float(estimate - half),
        "upper": float(estimate + half),
        "p_value": float(2 * t_upper_tail(abs(estimate / se), df)),
    }


def lift(control, treatment, alpha):
    """control, treatment: (n, value, s² or None), exact. The two effects, absolute and relative."""
    (nc, mc, vc), (nt, mt, vt) = [(n, real(m), None if v is None else real(v)) for n, m, v in (control, treatment)]
    relative_of = lambda t, c: (t - c) / abs(c)
    few = vc is None or vt is None
    point = lambda estimate: {"status": "point_only", "estimate": float(estimate), "reason": "too_few_units"}
    if few:
        absolute = point(mt - mc)
    else:
        absolute = welch(mt - mc, [(vt / nt, nt - 1), (vc / nc, nc - 1)], alpha)
    if mc == 0:
        relative = {"status": "unavailable", "reason": "zero_control_mean"}
    elif few:
        relative = point(relative_of(mt, mc))
    else:
        dt, dc = gradient(relative_of, [mt, mc])
        if mt == 0:
            dc = mp.mpf(0)  # exactly zero; numerical differentiation leaves 1e-50
        relative = welch(relative_of(mt, mc), [(dt**2 * vt / nt, nt - 1), (dc**2 * vc / nc, nc - 1)], alpha)
    return {"absolute": absolute, "relative": relative}
