"""The differential: random manifests and cases through the oracle and through the core, compared. Usage and shapes: README.md."""

import argparse
import base64
import json
import multiprocessing
import random
import subprocess
import sys
import time

from context import revive
from coverage import Coverage
from evaluation import load
from random_manifest import random_line
from shrink import shrink

# manifests × cases of each
SIZES = {"small": (2_000, 15), "full": (12_500, 80)}


def oracle_answer(line: dict, coverage=None) -> dict:
    engine, refusal = load(line["manifest"].encode("utf-8"), {name: base64.b64decode(blob) for name, blob in line["lists"].items()})
    contexts, decisions = {}, []
    for case in line["cases"]:
        key = id(case["context"])
        if key not in contexts:
            contexts[key] = {name: revive(value) for name, value in case["context"].items()}
        decisions.append(engine.evaluate(case["flag"], contexts[key], case["now_ms"], case.get("sticky", ()), case.get("forced"), case.get("type")))
    manifest = engine.manifest
    if coverage:
        coverage.totals["manifests"] += 1
        coverage.totals["cases"] += len(decisions)
        coverage.totals["refused"] += manifest is None
        if manifest:
            coverage.totals["flags"] += len(manifest.flags)
            coverage.totals["unsupported flags"] += len(manifest.faults)
            for fault in manifest.faults.values():
                coverage.cause(fault)
        else:
            coverage.cause(str(refusal))
        for decision in decisions:
            coverage.decision(decision)
    return {"id": line["id"], "error": None if manifest else "refused", "unsupported": manifest.unsupported() if manifest else [], "decisions": decisions}


class Core:
    """The core's program, one line in, one line out. `ended`: it stopped answering."""

    def __init__(self, command):
        self.command = command
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def answer(self, line: dict) -> dict:
        try:
            self.process.stdin.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
            self.process.stdin.flush()
            text = self.process.stdout.readline()
        except BrokenPipeError:
            text = b""
        if not text:
            status = self.process.wait()
            self.start()
            return {"id": line["id"], "error": f"the program ended with status {status}", "unsupported": [], "decisions": []}
        return json.loads(text)

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def differences(expected: dict, got: dict) -> list:
    """What is not the same, as text."""
    found = [f"{name}: oracle {expected[name]!r}, core {got.get(name)!r}" for name in ("id", "error", "unsupported") if expected[name] != got.get(name)]
    theirs = got.get("decisions", [])
    if len(theirs) != len(expected["decisions"]):
        found.append(f"decisions: oracle {len(expected['decisions'])}, core {len(theirs)}")
    for at, (own, other) in enumerate(zip(expected["decisions"], theirs)):
        if own != other:
            parts = [f"{name}: oracle {own.get(name)!r}, core {other.get(name)!r}" for name in {**own, **other} if own.get(name) != other.get(name)]
            found.append(f"decision {at}: " + "; ".join(parts))
    return found


def work(arguments):
    """A worker: its share of the lines, up to `wanted` failures. (coverage, failures)"""
    command, seed, manifests, cases, first, step, wanted = arguments
    coverage, core, failures = Coverage(), Core(command), []
    coverage.watch()
    for number in range(first, manifests, step):
        line = random_line(random.Random(f"{seed}/{number}"), number, cases)
        found = differences(oracle_answer(line, coverage), core.answer(line))
        if found:
            failures.append((number, found[0]))
            if len(failures) >= wanted:
                break
    core.stop()
    return coverage, failures


def report(command, seed, number, cases):
    """Prints one failing line, made small."""
    core = Core(command)
    line = random_line(random.Random(f"{seed}/{number}"), number, cases)

    def fails(candidate):
        return bool(differences(oracle_answer(candidate), core.answer(candidate)))

    small = shrink(line, fails)
    print(f"--- line {number} of seed {seed}, made small ---")
    print(small["manifest"])
    for name in ("lists", "cases"):
        print(name + ":", json.dumps(small[name], ensure_ascii=False))
    for text in differences(oracle_answer(small), core.answer(small)):
        print(text)
    print("oracle:", json.dumps(oracle_answer(small), ensure_ascii=False))
    print("core:  ", json.dumps(core.answer(small), ensure_ascii=False))
    core.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--seed", default="2026")
    parser.add_argument("--json", metavar="FILE", help="where the figures go")
    parser.add_argument("--manifests", type=int, help="instead of the size's")
    parser.add_argument("--cases", type=int, help="of each manifest, instead of the size's")
    parser.add_argument("--failures", type=int, default=1, help="failures that each worker collects before it stops")
    parser.add_argument("--workers", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("command", nargs="+", help="the core's program")
    options = parser.parse_args()
    manifests, cases = SIZES[options.size]
    manifests, cases = options.manifests or manifests, options.cases or cases
    began = time.monotonic()
    shares = [(options.command, options.seed, manifests, cases, at, options.workers, options.failures) for at in range(options.workers)]
    coverage, failures = Coverage(), []
    with multiprocessing.Pool(options.workers) as pool:
        for covered, failed in pool.imap_unordered(work, shares):
            coverage.add(covered)
            failures += failed
    seconds = time.monotonic() - began
    for number, text in sorted(failures):
        print(f"line {number}: {text[:300]}")
    if failures:
        report(options.command, options.seed, min(failures)[0], cases)
    missing = coverage.missing()
    written = coverage.written()
    print("reasons:", json.dumps(written["reasons"]))
    print("operators:", json.dumps(written["operators"]))
    print("causes:", json.dumps(written["causes"], ensure_ascii=False))
    if missing and not failures:
        print("never occurred:", ", ".join(missing))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as out:
            json.dump({"seed": options.seed, "differences": len(failures), "seconds": round(seconds, 1), **written, "never_occurred": missing}, out, indent=1)
            out.write("\n")
    totals = coverage.totals
    verdict = "no difference" if not failures else f"{len(failures)} manifests differ"
    print(f"oracle: {totals['cases']:,} cases of {totals['manifests']:,} random manifests against the core: {verdict} ({seconds:.0f} s, seed {options.seed})")
    sys.exit(1 if failures or missing else 0)


if __name__ == "__main__":
    main()
