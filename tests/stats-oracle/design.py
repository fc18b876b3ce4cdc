"""Whole experiments planned and days left: powers from normal tails in 50 digits, sizes by search, statsmodels as witness."""
import random

import mpmath as mp
from statsmodels.stats.power import NormalIndPower

from distributions import close
from exact import normal_upper_quantile, normal_upper_tail, real


def root(function, low, high):
    low, high = mp.mpf(low), mp.mpf(high)
    for _ in range(130):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return low


def power_of(errors, critical):
    return normal_upper_tail(critical - errors) + normal_upper_tail(critical + errors)


def boundary(n, rho_squared, alpha):
    """Equation 9 of Waudby-Smith et al. (arXiv 2103.06476) in standard errors of the mean of n units."""
    m = n * rho_squared
    return mp.sqrt((m + 1) / m * mp.log((m + 1) / alpha**2))


def tuned(n, alpha):
    """The rho squared with the narrowest interval at n, by search over rho itself."""
    log_rho = root(lambda s: mp.diff(lambda t: boundary(n, mp.exp(t) / n, alpha), s), -12, 8)
    return mp.exp(log_rho) / n


def critical_value(alpha, anytime):
    return boundary(1000, tuned(1000, alpha), alpha) if anytime else normal_upper_quantile(alpha / 2)


def design_table(worst):
    random.seed(80)
    rows = []
    criticals = {}
    for _ in range(160):
        arms = random.choice([2, 2, 3, 5, 10])
        weights = [random.choice([1, 1, 9, 50, 33]) for _ in range(arms)]
        metrics, alpha, power = random.choice([1, 1, 3]), random.choice([0.05, 0.01, 0.1]), random.choice([0.8, 0.9, 0.5])
        anytime, lift = random.random() < 0.5, random.choice([-1, 1]) * 10 ** random.uniform(-2.5, -0.5)
        rate = random.choice([None, 0.01, 0.1, 0.4])
        value, variance = random.choice([(12.5, 900.0), (-3.0, 7.25), (0.2, 0.3)])
        own = real(alpha) / ((arms - 1) * metrics)
        for kind in (False, True):
            if (alpha, arms, metrics, kind) not in criticals:
                criticals[alpha, arms, metrics, kind] = critical_value(own, kind)
        critical = criticals[alpha, arms, metrics, anytime]
        errors, single = (root(lambda d, c=c: power_of(d, c) - real(power), 0, 40) for c in (critical, criticals[alpha, arms, metrics, False]))
        base = real(rate) if rate else real(value)
        spread = lambda r: (base * (1 + r)) * (1 - base * (1 + r)) if rate else real(variance)
        total_weight = sum(weights)

        def per_unit(r):
            return max(spread(0) * total_weight / weights[0] + spread(r) * total_weight / w for w in weights[1:])

        effect = real(lift) * abs(base)
        total = per_unit(real(lift)) * (errors / effect) ** 2
        by_arm = [max(2, int(mp.ceil(total * w / total_weight))) for w in weights]
        if arms == 2 and not anytime and not rate:
            ratio = weights[1] / weights[0]
            library = NormalIndPower().power(float(abs(effect)) / variance**0.5, float(total) * weights[0] / total_weight, float(own), ratio=ratio)
            close("power at the designed size", power, library, 1e-9, worst)
        units = round(10 ** random.uniform(3, 8))
        # The lift that these units find: where it reaches what is needed.
        lacking = lambda r: r * abs(base) - errors * mp.sqrt(per_unit(r) / units)
        highest = (1 / base - 1) * (1 - mp.mpf("1e-30")) if rate else mp.mpf(10) ** 9
        detectable = float(root(lacking, 0, highest)) if lacking(highest) > 0 else None
        rows.append({
            "rate": rate, "value": value, "unit_variance": variance, "weights": weights, "metrics": metrics, "alpha": alpha,
            "anytime": anytime, "lift": lift, "power": power, "by_arm": by_arm, "inflation": float((errors / single) ** 2),
            "units": units, "detectable": detectable,
            "power_at_units": float(power_of(abs(effect) / mp.sqrt(per_unit(real(lift)) / units), critical)),
        })
    return rows


def days_table(worst):
    random.seed(365)
    rows, tunings = [], {}
    while len(rows) < 120:
        arms = [
            {"units": random.choice([0, 1, round(10 ** random.uniform(2, 6))]), "unit_variance": float(f"{10 ** random.uniform(-3, 3):.6g}"),
             "units_per_day": 0 if random.random() < 0.1 else round(10 ** random.uniform(1, 5))}
            for _ in range(2)
        ]
        arms[1]["unit_variance"] = arms[0]["unit_variance"] * random.choice([0, 0.5, 1, 2])
        alpha, power, planned = random.choice([0.05, 0.01]), random.choice([None, 0.8, 0.95]), random.choice([None, 10_000, 1_000_000])
        day = round(10 ** random.uniform(0, 3.6))
        error = sum(a["unit_variance"] / max(2, a["units"] + day * a["units_per_day"]) for a in arms) ** 0.5
        size = float(f"{error * random.uniform(2, 6):.6g}")
        if planned and (planned, alpha) not in tunings:
            tunings[planned, alpha] = tuned(mp.mpf(planned), real(alpha))
        z = normal_upper_quantile(real(alpha) / 2)
        needed = {}

        def reached(day):
            n = [a["units"] + a["units_per_day"] * day for a in arms]
            if min(n) < 2:
                return False
            error = mp.sqrt(sum(real(a["unit_variance"]) / k for a, k in zip(arms, n)))
            critical = boundary(sum(n), tunings[planned, alpha], real(alpha)) if planned else z
            needed["units"] = n
            if power is None:
                return critical * error <= real(size)
            return power_of(real(size) / error, critical) >= real(power)

        days = 0 if reached(0) else None
        if days is None and reached(3650):
            # Day by day at first, so that a wrong assumption of monotony would show; then by halving.
            days = next((d for d in range(1, 40) if reached(d)), None)
            if days is None:
                low, high = 39, 3650
                while high - low > 1:
                    middle = (low + high) // 2
                    low, high = (low, middle) if reached(middle) else (middle, high)
                days = high
        if days is not None:
            reached(days)
        rows.append({"arms": arms, "alpha": alpha, "power": power, "planned": planned, "size": size, "days": days, "units": needed.get("units") if days else None})
    return rows
