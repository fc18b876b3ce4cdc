#!/usr/bin/env python3
"""What PyPI's ssrm-test says of sequential sample-ratio tests: ssrm.py OUTPUT_DIR. Runs in its own environment (`python ssrm`),
because the package wants NumPy 1. Its logarithms lose digits with n, so n stays below a million and figures are kept to ten.
"""
import pathlib
import random
import sys

import numpy as np
from scipy.stats import multinomial
from ssrm_test.ssrm_test import sequential_bayes_factors, sequential_posteriors


def main():
    # The package's own regression test (test_regression in its test_ssrm_test.py).
    np.random.seed(0)
    data = multinomial.rvs(1, [0.1, 0.49, 0.41], size=10)
    published = sequential_bayes_factors(data, [0.1, 0.5, 0.4])[-1]
    if abs(published - 1.0017496120131435) > 1e-12:
        raise SystemExit(f"ssrm-test no longer gives its published Bayes factor: {published!r}")
    cases = [([1, 5, 4], 10_000, [data.sum(axis=0).tolist()])]
    random.seed(40)
    for _ in range(250):
        k = random.choice([2, 3, 5])
        weights = [random.choice([1, 9, 20, 50]) for _ in range(k)]
        shares = [w * random.uniform(0.9, 1.1) for w in weights]
        batches = []
        for _ in range(random.choice([1, 3, 10])):
            n = 10 ** random.uniform(0.5, 4.7)
            batches.append([max(0, round(random.gauss(n * s / sum(shares), (n * s / sum(shares)) ** 0.5))) for s in shares])
        cases.append((weights, random.choice([100, 10_000, 10_000]), batches))
    rows = []
    for weights, concentration, batches in cases:
        null = np.array(weights) / sum(weights)
        for step in sequential_posteriors(np.array(batches), null, dirichlet_concentration=concentration):
            rows.append(step["log_bayes_factor"])
        rows[-len(batches):] = [
            f'{{"concentration": {concentration}, "weights": {weights}, "batches": {batches}, '
            f'"log_bayes_factors": [{", ".join(f"{value:.10g}" for value in rows[-len(batches):])}]}}'
        ]
    folder = pathlib.Path(sys.argv[1])
    (folder / "ssrm_test.json").write_text("[\n" + ",\n".join(rows) + "\n]\n")
    print(f"ssrm-test: {len(rows)} cases")


if __name__ == "__main__":
    main()
