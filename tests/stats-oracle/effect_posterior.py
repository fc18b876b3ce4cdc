"""Normal priors on effects: Bayes' theorem by quadrature of prior times likelihood, no closed form taken; SciPy agrees on quantiles."""
import random
from fractions import Fraction

import mpmath as mp
from scipy import stats

from distributions import close
from exact import gradient, real


def posterior(estimate, error, mean, deviation):
    """Moments of the product of two normal densities, by quadrature from its peak outwards."""
    # The product is normal too; its width only chooses where to look.
    near = estimate if error < deviation else mean
    scale = min(error, deviation)
    log_product = lambda x: -(((x - estimate) / error) ** 2 + ((x - mean) / deviation) ** 2) / 2
    peak = near
    for _ in range(60):  # Newton's method on a parabola is there at once; once more for the digits
        slope = mp.diff(log_product, peak)
        peak -= slope / mp.diff(log_product, peak, 2)
        if abs(slope) * scale < mp.mpf("1e-15"):
            break
    top = log_product(peak)
    at = lambda z: mp.exp(log_product(peak + z * scale) - top)
    cuts = list(range(-16, 17, 2))
    zero = -peak / scale
    positive = sorted([z for z in cuts if z > zero] + ([zero] if abs(zero) < 16 else []))
    negative = sorted([z for z in cuts if z < zero] + ([zero] if abs(zero) < 16 else []))
    area = lambda f, points: mp.quad(f, points) if len(points) > 1 else mp.mpf(0)
    total = area(at, cuts)
    moment = area(lambda z: (peak + z * scale) * at(z), cuts) / total
    variance = area(lambda z: (peak + z * scale - moment) ** 2 * at(z), cuts) / total
    return {
        "mean": moment, "standard_deviation": mp.sqrt(variance),
        "chance_higher": area(at, positive) / total, "chance_lower": area(at, negative) / total,
        "expected_rise": area(lambda z: (peak + z * scale) * at(z), positive) / total,
        "expected_fall": -area(lambda z: (peak + z * scale) * at(z), negative) / total,
    }


def table(worst):
    random.seed(4)
    rows = []
    cases = [(5_000, 500, 5_000, 560)]
    while len(cases) < 25:
        n = round(10 ** random.uniform(2, 9))
        rate = random.uniform(0.01, 0.9)
        spread = 3 * (rate * (1 - rate) / n) ** 0.5
        cases.append((n, round(n * rate), n, round(n * min(1, max(0, rate + random.gauss(0, spread))))))
    for n_c, k_c, n_t, k_t in cases:
        if not (0 < k_c < n_c and 0 <= k_t <= n_t):
            continue
        m_c, m_t = Fraction(k_c, n_c), Fraction(k_t, n_t)
        v_c, v_t = (real(m * (1 - m) / (n - 1)) for m, n in ((m_c, n_c), (m_t, n_t)))
        with mp.workdps(30):
            dt, dc = gradient(lambda t, c: (t - c) / abs(c), [real(m_t), real(m_c)])
            effects = {
                "absolute": (real(m_t - m_c), mp.sqrt(v_t + v_c)),
                "relative": (real((m_t - m_c) / m_c), mp.sqrt(dt**2 * v_t + dc**2 * v_c)),
            }
            for scale, (estimate, error) in effects.items():
                prior_scale = random.choice(["absolute", "relative"])
                size = {("absolute", "relative"): real(m_c), ("relative", "absolute"): 1 / real(m_c)}.get((scale, prior_scale), mp.mpf(1))
                mean = random.choice([0, 0, float(error / size)])
                deviation = random.choice([0.3, float(error / size), float(3 * error / size)])
                figures = posterior(estimate, error, real(mean) * size, real(deviation) * size)
                m, s = figures["mean"], figures["standard_deviation"]
                close("normal posterior chance", figures["chance_higher"], stats.norm.sf(0, float(m), float(s)), 1e-8, worst)
                rows.append({
                    "arms": [n_c, k_c, n_t, k_t], "scale": scale, "prior_scale": prior_scale, "prior": [mean, deviation],
                    **{k: float(v) if v > mp.mpf("1e-12") or k == "mean" else 0.0 for k, v in figures.items()},
                })
    return rows
