"""Fixed-horizon and anytime-valid inference on lifts: mpmath from the definitions, and SciPy must agree where it applies.

Nothing is taken from the closed forms of the Rust code:
* the tuning ρ is the Lambert-W form of the paper two-sided, and one-sided a minimum found by derivative-free search;
* anytime p-values are the α at which the boundary of the paper meets the statistic, found by bisection;
* Fieller's regions are the roots of the inequality's polynomial, interpolated from three of its values, and their shape is read
  off the test's own verdict left of, between and right of them.
"""
import math
import random

import mpmath as mp
from scipy import stats

from distributions import close
from exact import gradient, real, t_upper_quantile, t_upper_tail

ALTERNATIVES = ("two_sided", "greater", "lesser")
FIELLER_BEYOND = mp.mpf(0.01)


class Arm:
    def __init__(self, n, mean, variance):
        self.n, self.given = n, [str(n), mean, variance]
        self.mean, self.variance = real(mean), real(variance) / n


def oriented(statistic, alternative):
    return {"two_sided": abs(statistic), "greater": statistic, "lesser": -statistic}[alternative]


class Linear:
    """m_t − w·m_c."""

    def __init__(self, control, treatment, weight=1):
        self.estimate = treatment.mean - weight * control.mean
        parts = [(treatment.variance, treatment.n - 1), (weight**2 * control.variance, control.n - 1)]
        self.variance = sum(v for v, _ in parts)
        self.error = mp.sqrt(self.variance)
        self.df = self.variance**2 / sum(v**2 / d for v, d in parts) if self.variance else None
        self.units = control.n + treatment.n


class Delta(Linear):
    """(m_t − m_c)/|m_c|, its gradient by numerical differentiation."""

    def __init__(self, control, treatment):
        relative = lambda t, c: (t - c) / abs(c)
        self.estimate = relative(treatment.mean, control.mean)
        scale = abs(control.mean)
        dt, dc = [d / scale for d in gradient(relative, [treatment.mean / scale, control.mean / scale])]
        if treatment.mean == 0:
            dc = mp.mpf(0)
        parts = [(dt**2 * treatment.variance, treatment.n - 1), (dc**2 * control.variance, control.n - 1)]
        self.variance = sum(v for v, _ in parts)
        self.error = mp.sqrt(self.variance)
        self.df = self.variance**2 / sum(v**2 / d for v, d in parts) if self.variance else None
        self.units = control.n + treatment.n


class Fixed:
    cache = {}

    def __init__(self, alternative, alpha):
        self.alternative, self.alpha = alternative, alpha

    def critical(self, contrast):
        tail = real(self.alpha) / 2 if self.alternative == "two_sided" else real(self.alpha)
        return t_upper_quantile(tail, contrast.df)

    def p_value(self, contrast, statistic):
        u = oriented(statistic, self.alternative)
        return 2 * t_upper_tail(u, contrast.df) if self.alternative == "two_sided" else t_upper_tail(u, contrast.df)


def margin(units, rho, alpha, alternative):
    """Of the mean of `units` observations with standard deviation 1, as the paper prints it."""
    t = mp.mpf(units)
    inside = t * rho**2 + 1
    if alternative == "two_sided":
        return mp.sqrt(2 * inside / (t**2 * rho**2) * mp.log(mp.sqrt(inside) / alpha))
    return mp.sqrt(2 * inside / (t**2 * rho**2) * mp.log(1 + mp.sqrt(inside) / (2 * alpha)))


def best_rho(alpha, units, alternative):
    alpha = real(alpha)
    if alternative == "two_sided":
        with mp.workdps(80):
            return mp.sqrt((-mp.lambertw(-alpha**2 * mp.exp(-1), -1).real - 1) / units)
    # Golden section on ln(tρ²), then three parabolas; the minimum is flat, so 50 digits of argument need 100 of the function.
    with mp.workdps(110):
        width = lambda x: margin(1, mp.exp(x / 2), alpha, "greater")
        low, high = mp.mpf(-25), mp.mpf(8)
        ratio = (mp.sqrt(5) - 1) / 2
        while high - low > mp.mpf("1e-8"):
            a, b = high - ratio * (high - low), low + ratio * (high - low)
            low, high = (low, b) if width(a) < width(b) else (a, high)
        x, step = (low + high) / 2, mp.mpf("1e-9")
        for _ in range(4):
            left, middle, right = width(x - step), width(x), width(x + step)
            x += step / 2 * (left - right) / (left - 2 * middle + right)
            step = step**2 if step > mp.mpf("1e-20") else step
        return mp.sqrt(mp.exp(x) / units)


class Anytime:
    rhos = {}

    def __init__(self, alternative, alpha, planned):
        self.alternative, self.alpha = alternative, alpha
        one_sided = "two_sided" if alternative == "two_sided" else "one_sided"
        key = (one_sided, alpha)
        if key not in self.rhos:
            self.rhos[key] = best_rho(alpha, 1, alternative)
        self.rho = self.rhos[key] / mp.sqrt(planned or 10_000)

    def critical(self, contrast, alpha=None):
        alpha = real(self.alpha) if alpha is None else alpha
        return margin(contrast.units, self.rho, alpha, self.alternative) * mp.sqrt(contrast.units)

    def p_value(self, contrast, statistic):
        u = oriented(statistic, self.alternative)
        if u <= 0 or self.critical(contrast, mp.mpf(1)) >= u:
            return mp.mpf(1)
        if u > 200:
            return mp.mpf(0)
        # At any time it takes more than once: the α sought is above that of a single look's Gaussian bound.
        with mp.workdps(30):
            f = lambda x: self.critical(contrast, mp.exp(x)) - u
            return mp.exp(mp.findroot(f, (-u * u / 2 - 5, mp.mpf(0)), solver="anderson", tol=mp.mpf("1e-40"), maxsteps=200))


def fieller(control, treatment, critical, alternative):
    """Shape and ends, with the sensitivity of the ends to rounding."""
    size = abs(control.mean)
    sign = 1 if control.mean > 0 else -1

    def statistic(r):
        linear = Linear(control, treatment, 1 + r * sign)
        return linear.estimate / linear.error

    def inequality(r):
        w = 1 + r * sign
        return ((treatment.mean - w * control.mean) ** 2 - critical**2 * (treatment.variance + w**2 * control.variance)) / size**2

    y0, y1, y2 = inequality(mp.mpf(-1)), inequality(mp.mpf(0)), inequality(mp.mpf(1))
    a, b, c = (y0 + y2) / 2 - y1, (y2 - y0) / 2, y1
    refused = lambda r: oriented(statistic(r), alternative) > critical
    roots = sorted(mp.polyroots([a, b, c], maxsteps=300, extraprec=300), key=lambda z: mp.re(z))
    if abs(mp.im(roots[0])) > mp.mpf("1e-25") * abs(roots[0]):
        assert not refused(mp.mpf(0)) and not refused(mp.mpf(10)) and not refused(mp.mpf(-10))
        return {"shape": "everything"}
    first, second = [mp.re(z) for z in roots]
    gap = second - first
    left, between, right = refused(first - gap - 1), refused((first + second) / 2), refused(second + gap + 1)
    first, second = float(first), float(second)
    return {
        (True, False, True): {"shape": "between", "lower": first, "upper": second},
        (True, False, False): {"shape": "at_least", "lower": first},
        (False, False, True): {"shape": "at_most", "upper": second},
        (False, True, False): {"shape": "outside", "below": first, "above": second},
        (False, False, False): {"shape": "everything"},
    }[(left, between, right)]


def straight(contrast, critical, alternative):
    half = critical * contrast.error
    lower, upper = float(contrast.estimate - half), float(contrast.estimate + half)
    return {
        "two_sided": {"shape": "between", "lower": lower, "upper": upper},
        "greater": {"shape": "at_least", "lower": lower},
        "lesser": {"shape": "at_most", "upper": upper},
    }[alternative]


def inference(procedure, contrast, tested, region, form, critical, null=0):
    statistic = (tested.estimate - real(null)) / tested.error
    return {
        "estimate": float(contrast.estimate), "standard_error": float(contrast.error), "critical_value": float(critical),
        "region": region, "p_value": float(procedure.p_value(tested, statistic)),
        "significant": bool(oriented(statistic, procedure.alternative) > critical), "form": form,
    }


def judge(procedure, control, treatment, absolute_null, relative_null):
    absolute, delta = Linear(control, treatment), Delta(control, treatment)
    critical = procedure.critical(absolute)
    alternative = procedure.alternative
    straightly = straight(absolute, critical, alternative)
    share = critical**2 * control.variance / control.mean**2
    if share <= FIELLER_BEYOND:
        own = procedure.critical(delta)
        relative = inference(procedure, delta, delta, straight(delta, own, alternative), "delta", own)
    else:
        region = fieller(control, treatment, critical, alternative)
        relative = inference(procedure, delta, absolute, region, "fieller", critical)
    sign = 1 if control.mean > 0 else -1
    linear = Linear(control, treatment, 1 + real(relative_null) * sign)
    own = procedure.critical(linear)
    return {
        "absolute": inference(procedure, absolute, absolute, straightly, "difference", critical),
        "relative": relative,
        "absolute_null": inference(procedure, absolute, absolute, straightly, "difference", critical, absolute_null),
        "relative_null": inference(procedure, delta, linear, fieller(control, treatment, own, alternative), "fieller", own),
    }


def check_fixed(control, treatment, procedure, expected, worst):
    """SciPy's t-test from summaries, the alternatives included, where doubles can hold the means' difference."""
    (nc, mc, vc), (nt, mt, vt) = [(int(a.given[0]), *a.given[1:]) for a in (control, treatment)]
    absolute = expected["absolute"]
    if abs(mt - mc) < 1e-6 * (abs(mt) + abs(mc)) or min(vc, vt) == 0:
        return
    name = {"two_sided": "two-sided", "greater": "greater", "lesser": "less"}[procedure.alternative]
    result = stats.ttest_ind_from_stats(mt, vt**0.5, nt, mc, vc**0.5, nc, equal_var=False, alternative=name)
    z = absolute["estimate"] / absolute["standard_error"]
    if abs(z) < 30:
        close(f"Welch {name}", absolute["p_value"], result.pvalue, 1e-7, worst)
    df = Linear(control, treatment).df
    tail = procedure.alpha / 2 if name == "two-sided" else procedure.alpha
    close("Welch critical value", absolute["critical_value"], stats.t.isf(tail, float(df)), 1e-9, worst)


def arms(i, farthest):
    """Two arms over the whole domain; every fifth has a control near zero."""
    sizes = [max(2, int(10 ** random.uniform(0.4, 10))) for _ in range(2)]
    if i % 3 == 0:
        sizes = [max(2, int(10 ** random.uniform(1, 6)))] * 2
    scale = 10 ** random.uniform(-12, 15) * random.choice([1, 1, 1, -1])
    if i % 4 == 0:  # rates
        scale = 10 ** random.uniform(-4, -0.3)
        variances = [scale * (1 - scale)] * 2
    else:
        variances = [(scale * 10 ** random.uniform(-2, 1.5)) ** 2 for _ in range(2)]
    error = math.sqrt(variances[0] / sizes[0] + variances[1] / sizes[1])
    control = scale
    if i % 5 == 0:  # near zero, in its own standard errors
        control = random.choice([-1, 1]) * random.uniform(0.01, 8) * math.sqrt(variances[0] / sizes[0])
    treatment = control + error * random.choice([0, 0.3, 1, 2, 3, 3.5, 5, 8, farthest]) * random.choice([-1, 1]) * random.uniform(0.7, 1.4)
    if i % 25 == 24:
        variances[random.randrange(2)] = 0.0
    return [Arm(n, m, v) for n, m, v in zip(sizes, (control, treatment), variances)]


def table(worst):
    random.seed(210306476)
    tables = {"fixed": [], "anytime": []}
    for i in range(760):
        fixed = i < 240
        control, treatment = arms(i, 11 if fixed else 20)
        if control.variance + treatment.variance == 0 or (treatment.variance == 0 and treatment.mean == 0):
            continue
        alternative = ALTERNATIVES[i % 3 if fixed else (i // 2) % 3]
        alpha = random.choice([0.05, 0.05, 0.1, 0.01, 0.001, 0.2, 0.4, 1e-6])
        absolute_null = float(random.choice([0, 1, -1]) * random.uniform(0.5, 3) * Linear(control, treatment).error)
        relative_null = random.choice([0.0, -0.02, 0.01, -0.1, 0.5, -1.0])
        if treatment.variance == 0 and relative_null == -1:  # a difference without any variance
            relative_null = 0.5
        planned = None
        if fixed:
            procedure = Fixed(alternative, alpha)
        else:
            total = control.n + treatment.n
            planned = random.choice([None, total, max(1, total // 7), total * 12, 5_000, 10**9])
            procedure = Anytime(alternative, alpha, planned)
        expected = judge(procedure, control, treatment, absolute_null, relative_null)
        if fixed:
            check_fixed(control, treatment, procedure, expected, worst)
        tables["fixed" if fixed else "anytime"].append({
            "control": control.given, "treatment": treatment.given, "alternative": alternative, "alpha": alpha,
            "planned": None if planned is None else str(planned), "nulls": [absolute_null, relative_null], "expect": expected,
        })
    return tables
