"""Adjusted p-values in fractions, from the definitions by closed testing where there is one; statsmodels must agree.

Holm's adjusted p-value is the greatest Bonferroni p-value over all sets of tests that contain this one (the closure), in small
families found by going through all sets. Benjamini and Hochberg's is the least level at which the step-up test refuses, found,
in small families, by trying every level at which that can change.
"""
import gc
import itertools
import random
from fractions import Fraction

from statsmodels.stats.multitest import multipletests

from distributions import close


def bonferroni(p):
    return [min(Fraction(1), len(p) * x) for x in p]


def holm(p):
    if len(p) > 5:
        order = sorted(range(len(p)), key=lambda i: p[i])
        return [
            min(Fraction(1), max((len(p) - j) * p[order[j]] for j in range(order.index(i) + 1))) for i in range(len(p))
        ]
    worst = [Fraction(0)] * len(p)
    for size in range(1, len(p) + 1):
        for chosen in itertools.combinations(range(len(p)), size):
            value = min(Fraction(1), size * min(p[i] for i in chosen))
            for i in chosen:
                worst[i] = max(worst[i], value)
    return worst


def benjamini_hochberg(p):
    m = len(p)
    if m > 5:
        order = sorted(p)
        return [min(Fraction(1), min(m * order[j] / (j + 1) for j in range(m) if order[j] >= x)) for x in p]
    levels = sorted({min(Fraction(1), m * x / k) for x in p for k in range(1, m + 1)} | {Fraction(1)})

    order = sorted(p)

    def refused(q):
        most = max((k for k in range(1, m + 1) if order[k - 1] <= q * k / m), default=0)
        return {i for i in range(m) if most and p[i] <= q * most / m}

    adjusted = [Fraction(1)] * m
    for q in reversed(levels):
        for i in refused(q):
            adjusted[i] = q
    return adjusted


def table(worst):
    random.seed(1979)
    gc.freeze()  # multipletests collects garbage at every call: not through all that is loaded
    cases = []
    for i in range(300):
        m = random.choice([1, 2, 3, 4, 5, 6, 8, 12, 20])
        p = [random.random() ** random.choice([1, 3, 8]) for _ in range(m)]
        if i % 5 == 0:
            p = [random.choice([0.0, 1.0, 0.04, 0.2, x]) for x in p]
        if i % 7 == 0:
            p = [random.choice(p) for _ in p]
        exact = [Fraction(x) for x in p]
        case = {"p": p}
        for name, ours, theirs in (
            ("bonferroni", bonferroni, "bonferroni"), ("holm", holm, "holm"), ("benjamini_hochberg", benjamini_hochberg, "fdr_bh"),
        ):
            adjusted = ours(exact)
            for a, b in zip(adjusted, multipletests(p, 0.05, method=theirs)[1]):
                close(f"adjusted p-value, {theirs}", a, b, 1e-14, worst)
            case[name] = [float(a) for a in adjusted]
        cases.append(case)
    return cases
