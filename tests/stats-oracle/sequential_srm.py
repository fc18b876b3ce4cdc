"""The sequential multinomial test from its definition: Dirichlet-multinomial over multinomial likelihood, in 60 digits."""
import random

import mpmath as mp
from scipy import stats

from distributions import close

CONCENTRATIONS = (100, 10_000, 1_000_000)


def log_bayes_factor(counts, shares, alpha):
    """ln of B(alpha + s)/B(alpha)/prod theta^s."""
    n = sum(counts)
    total = mp.fsum(alpha)
    up = mp.fsum(mp.loggamma(a + s) - mp.loggamma(a) - s * mp.log(t) for a, s, t in zip(alpha, counts, shares))
    return up - mp.loggamma(total + n) + mp.loggamma(total)


def over_epochs(epochs, kappa):
    """The product over epochs, each with the prior that the earlier ones leave: arms keep their ratio to what was due."""
    ratio, posterior, product = {}, {}, mp.mpf(0)
    for arms in epochs:
        used = {i: (s, w) for i, (s, w) in enumerate(arms) if w > 0}
        if len(used) < 2:
            continue
        weight = sum(w for _, w in used.values())
        share = {i: mp.mpf(w) / weight for i, (_, w) in used.items()}
        mean = {i: share[i] * ratio.get(i, mp.mpf(1)) for i in used}
        norm = mp.fsum(mean.values())
        mean = {i: m / norm for i, m in mean.items()}
        # The sum of the variances of log shares stays what it was; a new arm has the kappa of the start.
        before = mp.fsum(1 / posterior.get(i, kappa * mean[i]) for i in used)
        concentration = mp.fsum(1 / m for m in mean.values()) / before
        alpha = {i: concentration * mean[i] for i in used}
        counts = [s for s, _ in used.values()]
        product += log_bayes_factor(counts, list(share.values()), list(alpha.values()))
        total = concentration + sum(counts)
        for i, (s, _) in used.items():
            posterior[i] = alpha[i] + s
            ratio[i] = posterior[i] / total / share[i]
    return product


def mixture(epochs, kappas):
    return mp.log(mp.fsum(mp.exp(over_epochs(epochs, kappa)) for kappa in kappas) / len(kappas))


def draw(n, weights, leak):
    """Counts near n split by the weights, of which the first arm loses a share. Normal, so that a billion costs nothing."""
    weight = sum(weights)
    counts = [max(0, round(random.gauss(n * w / weight, (n * w / weight) ** 0.5))) if w else random.choice([0, 0, 7]) for w in weights]
    counts[0] = round(counts[0] * (1 - leak))
    return counts


def table(worst):
    random.seed(2022)
    rows = []

    def add(epochs, kappas):
        with mp.workdps(60):
            rows.append({
                "concentrations": list(map(float, kappas)),
                "epochs": [[[str(s), w] for s, w in arms] for arms in epochs],
                "log_bayes_factor": float(mixture(epochs, kappas)),
            })

    # Single epochs, one concentration each: SciPy has both likelihoods.
    fixed = [
        [(0, 1), (0, 1)], [(1, 1), (0, 1)], [(12, 1), (0, 1)], [(300, 5000), (0, 5000)], [(5150, 5000), (4850, 5000)],
        [(5150, 5000), (0, 0), (4850, 5000), (77, 0)], [(10, 1), (990, 99)], [(0, 1), (10**5, 9999)],
        [(5 * 10**9, 1), (5 * 10**9, 1)], [(5 * 10**9 + 3 * 10**5, 1), (5 * 10**9 - 3 * 10**5, 1)],
        [(10**10, 9999), (10**6 + 4000, 1)], [(10**10, 1), (10**10, 2)], [(3, 4_000_000_000), (5, 1)],
    ]
    for arms in fixed:
        for kappa in (0.5, 1, 30, 100, 10_000, 10**6, 10**9):
            add([arms], [kappa])
    for _ in range(700):
        k = random.choice([2, 2, 3, 5, 10, 20])
        weights = [random.choice([0, 1, 5, 10, 33, 50, 90, 100, 1000]) for _ in range(k)]
        if sum(w > 0 for w in weights) < 2:
            continue
        n = round(10 ** random.uniform(0, 10))
        arms = list(zip(draw(n, weights, random.choice([0, 0, 0.001, 0.02, 0.5])), weights))
        kappa = random.choice([1, 100, 10_000, 10**6])
        add([arms], [kappa])
        used = [(s, w) for s, w in arms if w > 0]
        n, weight = sum(s for s, _ in used), sum(w for _, w in used)
        if 0 < n < 10**6:
            shares = [w / weight for _, w in used]
            counts = [s for s, _ in used]
            alone = stats.dirichlet_multinomial.logpmf(counts, [kappa * t for t in shares], n)
            null = stats.multinomial.logpmf(counts, n, shares)
            with mp.workdps(60):
                own = over_epochs([arms], kappa)
            # Both are differences of logarithms near n: their digits count on that scale.
            close("sequential SRM", own + 10 * n, alone - null + 10 * n, 1e-9, worst)
    for _ in range(500):
        k = random.choice([2, 3, 4])
        epochs, leak = [], random.choice([0, 0.01, 0.1])
        for _ in range(random.choice([2, 3, 8])):
            weights = [random.choice([0, 1, 5, 20, 50]) for _ in range(k)]
            epochs.append(list(zip(draw(round(10 ** random.uniform(0, 6)), weights, leak) if sum(weights) else [0] * k, weights)))
            k += random.random() < 0.1
        if any(sum(w > 0 for _, w in arms) > 1 for arms in epochs):
            add(epochs, random.choice([CONCENTRATIONS, CONCENTRATIONS, (10_000,), (5, 70)]))
    return rows
