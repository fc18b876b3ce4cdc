"""Sample-ratio tests and power: mpmath, and SciPy/statsmodels must agree."""
import random

import mpmath as mp
from scipy import stats
from statsmodels.stats.power import NormalIndPower

from distributions import close
from exact import chi_square_upper_tail, normal_upper_quantile, normal_upper_tail, real


def srm_table(worst):
    random.seed(5150)
    arms = [
        [(5150, 5000), (4850, 5000)], [(5150, 5000), (4850, 5000), (0, 0)], [(5150, 5000), (0, 0), (4850, 5000), (77, 0)],
        [(10000, 5000), (10000, 5000)], [(10, 1), (10, 1)], [(900, 9000), (100, 1000)], [(99_000, 9900), (1_200, 100)],
        [(10**9, 5000), (10**9 + 200_000, 5000)], [(10**15, 5000), (10**15 + 3 * 10**7, 5000)],
        [(20_000, 5000), (10_000, 5000)], [(333, 3333), (334, 3333), (340, 3334)], [(1_000_000, 1), (1_000_000, 1)],
    ]
    for _ in range(30):
        k = random.choice([2, 3, 5, 10, 100])
        weights = [random.randrange(1, 2000) for _ in range(k)]
        scale = random.choice([60, 1000, 10**5])
        arms.append([(max(0, round(random.gauss(w * scale / 10, (w * scale / 10) ** 0.5))), w) for w in weights])
    table = []
    for case in arms:
        used = [(o, w) for o, w in case if w > 0]
        units, weight = sum(o for o, _ in used), sum(w for _, w in used)
        if units * min(w for _, w in used) < 10 * weight:
            continue
        chi = sum((real(o) - real(units) * w / weight) ** 2 / (real(units) * w / weight) for o, w in used)
        p = chi_square_upper_tail(chi, len(used) - 1)
        result = stats.chisquare([o for o, _ in used], [units * w / weight for _, w in used])
        if units < 10**8:
            close("SRM statistic", chi, result.statistic, 1e-8, worst)
            if p > mp.mpf("1e-250"):
                close("SRM p-value", p, result.pvalue, 1e-7, worst)
        table.append({
            "arms": [[str(o), w] for o, w in case], "chi_square": float(chi),
            "degrees_of_freedom": len(used) - 1, "p_value": float(p), "mismatch": bool(p < 0.001),
        })
    return table


def power_table(worst):
    table = []
    for alpha in (0.05, 0.01):
        for power in (0.8, 0.9, 0.5, 0.1):
            for variance in (0.0475, 1.0, 2500.0):
                for ratio in (1.0, 1 / 9, 3.0):
                    for effect in (0.005, 0.2, 1.5):
                        z = normal_upper_quantile(alpha / 2)
                        two_sided = lambda d: normal_upper_tail(z - d) + normal_upper_tail(z + d)
                        low, high = mp.mpf(0), mp.mpf(20)
                        for _ in range(160):
                            middle = (low + high) / 2
                            low, high = (middle, high) if two_sided(middle) < power else (low, middle)
                        errors = low
                        per_control = real(variance) * (1 + 1 / real(ratio))
                        control = per_control * (errors / real(effect)) ** 2
                        if control < 2 or control * ratio < 2:
                            continue
                        library = NormalIndPower()
                        size = effect / variance**0.5
                        n = 1234
                        own = two_sided(abs(real(effect)) / mp.sqrt(per_control / n))
                        close("power", own, library.power(size, n, alpha, ratio=ratio), 1e-9, worst)
                        reached = library.power(size, float(control), alpha, ratio=ratio)
                        close("power at the sample size", power, reached, 1e-9, worst)
                        table.append({
                            "alpha": alpha, "power": power, "variance": variance, "treatment_per_control": ratio,
                            "effect": effect, "control": str(int(mp.ceil(control))),
                            "treatment": str(int(mp.ceil(control * real(ratio)))), "power_at_1234": float(own),
                            "mde_at_1234": float(errors * mp.sqrt(per_control / n)),
                        })
    return table
