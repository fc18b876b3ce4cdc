#!/usr/bin/env python3
"""What other engines say of anytime-valid tests: engines.py OUTPUT_DIR. Runs in its own environment (`python engines`).

* GrowthBook's gbstats 0.8.0 (needs pandas 1.5): its sequential two-sided test, absolute and relative, where control is above zero
  (it divides by the mean, not by its size). Its one-sided test came after 0.8.0.
* confseq 0.0.11, of the authors of the confidence sequences: the two-sided normal mixture, bound and evidence; one-sided its
  mixture is exact where the paper's closed form leaves a little, so it bounds ours from below.
Figures are kept to eleven digits.
"""
import math
import pathlib
import random
import sys

from confseq.boundaries import normal_log_mixture, normal_mixture_bound
from gbstats.frequentist.tests import SequentialConfig, SequentialTwoSidedTTest
from gbstats.models.statistics import ProportionStatistic, SampleMeanStatistic


def digits(value):
    return f"{float(value):.11g}"


def row(**columns):
    text = lambda value: "[" + ", ".join(map(text, value)) + "]" if isinstance(value, (list, tuple)) else value
    return "{" + ", ".join(f'"{key}": {text(value)}' for key, value in columns.items()) + "}"


def statistic(i):
    n = int(10 ** random.uniform(2, 8))
    if i % 2:
        return ProportionStatistic(n=n, sum=max(1, round(n * 10 ** random.uniform(-3, -0.2))))
    mean, deviation = 10 ** random.uniform(-2, 3), 10 ** random.uniform(-2, 2)
    return SampleMeanStatistic(n=n, sum=n * mean, sum_squares=n * (mean**2 + deviation**2))


def near(i, a):
    """A treatment a few standard errors from control."""
    n = max(100, round(a.n * random.choice([1, 1, 1 / 9, 1 / 99, 3])))
    mean = max(a.mean * 0.01, a.mean + random.gauss(0, 3) * math.sqrt(a.variance / a.n + a.variance / n))
    if i % 2:
        return ProportionStatistic(n=n, sum=min(n - 1, max(1, round(n * mean))))
    return SampleMeanStatistic(n=n, sum=n * mean, sum_squares=n * (mean**2 + a.variance))


def approximate_rho_squared(alpha, planned):
    """Both engines take the paper's approximation to the best ρ² (ours is the minimum itself)."""
    return (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / planned


def growthbook():
    random.seed(5000)
    rows = []
    for i in range(400):
        a = statistic(i)
        b = near(i, a)
        alpha, tuning = random.choice([0.05, 0.1, 0.01]), random.choice([5_000, 500, 10**6])
        scale = ("absolute", "relative")[i // 2 % 2]
        config = SequentialConfig(alpha=alpha, difference_type=scale, sequential_tuning_parameter=tuning)
        result = SequentialTwoSidedTTest(a, b, config).compute_result()
        if not result.p_value > 1e-200:
            continue
        rho = approximate_rho_squared(alpha, tuning)
        arm = lambda s: [f'"{s.n}"', repr(float(s.mean)), repr(float(s.variance))]
        rows.append(row(
            scale=f'"{scale}"', control=arm(a), treatment=arm(b), alpha=repr(alpha), rho_squared=repr(rho),
            estimate=digits(result.expected), lower=digits(result.ci[0]), upper=digits(result.ci[1]), p_value=digits(result.p_value),
        ))
    return rows


def confseq():
    random.seed(1810)
    rows = []
    for i in range(400):
        units, planned = int(10 ** random.uniform(2, 9)), int(10 ** random.uniform(2, 9))
        alpha, z = random.choice([0.05, 0.1, 0.01, 0.001, 0.2]), random.uniform(0.5, 9)
        root = math.sqrt(units)
        one_sided = bool(i % 2)
        bound = float(normal_mixture_bound(units, alpha, planned, alpha, one_sided)) / root
        evidence = float(normal_log_mixture(z * root, units, planned, alpha, one_sided))
        rho = approximate_rho_squared(2 * alpha if one_sided else alpha, planned)
        rows.append(row(
            one_sided=str(one_sided).lower(), units=f'"{units}"', alpha=repr(alpha), rho_squared=repr(float(rho)),
            bound=digits(bound), statistic=repr(z), log_evidence=digits(evidence),
        ))
    return rows


def main():
    tables = {"growthbook": growthbook(), "confseq": confseq()}
    body = ",\n".join(f'"{name}": [\n' + ",\n".join(rows) + "\n]" for name, rows in tables.items())
    (pathlib.Path(sys.argv[1]) / "engines.json").write_text("{\n" + body + "\n}\n")
    print("other engines: " + ", ".join(f"{len(rows)} cases of {name}" for name, rows in tables.items()))


if __name__ == "__main__":
    main()
