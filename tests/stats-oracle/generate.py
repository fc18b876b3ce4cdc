#!/usr/bin/env python3
"""Writes the expected values of core/stats: generate.py OUTPUT_DIR.

Every number is computed in exact or 50-digit arithmetic and then held against SciPy and statsmodels; a disagreement stops the
program. The files are the same on every machine, byte for byte.
"""
import concurrent.futures
import json
import pathlib
import sys
import time

import arms
import bandits
import beta
import design
import distributions
import effect_posterior
import effects
import group_sequential
import lifts
import multiple
import planning
import rates
import sequential_srm


def write(path, rows):
    """One case a line, so that a change of one shows as one line."""
    if isinstance(rows, dict):
        body = ",\n".join(f"{json.dumps(key)}: [\n" + ",\n".join(map(json.dumps, part)) + "\n]" for key, part in rows.items())
        path.write_text("{\n" + body + "\n}\n")
    else:
        path.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")


TABLES = (
    ("distributions", distributions.table),
    ("lifts", lifts.table),
    ("arms", arms.table),
    ("effects", effects.table),
    ("group_sequential", group_sequential.table),
    ("multiple", multiple.table),
    ("srm", planning.srm_table),
    ("power", planning.power_table),
    ("sequential_srm", sequential_srm.table),
    ("beta", beta.table),
    ("rates", rates.table),
    ("effect_posterior", effect_posterior.table),
    ("design", design.design_table),
    ("days_left", design.days_table),
    ("bandits", bandits.table),
)


def make(table):
    """A table, how far the libraries were off, and the seconds of processor time it took."""
    worst, start = {}, time.process_time()
    return table(worst), worst, time.process_time() - start


def main():
    if len(sys.argv) != 2:
        raise SystemExit("usage: generate.py OUTPUT_DIR")
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    worst, cases = {}, {}
    # Each table seeds its own draws, so that they can be made side by side.
    with concurrent.futures.ProcessPoolExecutor() as pool:
        made = [(name, pool.submit(make, table)) for name, table in TABLES]
        for name, future in made:
            rows, distances, seconds = future.result()
            write(folder / f"{name}.json", rows)
            cases[name] = sum(map(len, rows.values())) if isinstance(rows, dict) else len(rows)
            worst |= {key: max(distance, worst.get(key, 0.0)) for key, distance in distances.items()}
            print(f"{name:28} {cases[name]:5} cases in {seconds:.0f} s")
    for name, distance in sorted(worst.items()):
        print(f"{name:28} farthest from the libraries: {distance:.1e}")
    print("cases: " + ", ".join(f"{count} {name}" for name, count in cases.items()))


if __name__ == "__main__":
    main()
