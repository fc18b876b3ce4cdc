#!/usr/bin/env python3
"""Evenhand beside rust/eppo and rust/yggdrasil: the same workload, in turn, medians over rounds.

usage: benches/peers/run.py HARNESS [--work DIR] [--rounds 3] [--budget 2]

HARNESS is the folder of the side-by-side harness (gen_workload.py, rust/). It is not written to: a copy is built under
DIR (default: evenhand-peers in the temporary folder). Compare by CPU time; other load on the machine distorts the rest.
"""
import argparse, json, os, shutil, statistics, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = ("evenhand", "eppo", "yggdrasil")
METRICS = ("eval_cpu_ns", "eval_p50_call_ns", "all_us", "ctx_ns", "init_200_ms", "init_5000_ms", "rss_delta_kb", "check_violations")


def build(harness, work):
    """Builds all three and writes the workload; gives each peer's program."""
    source, target, data = (os.path.join(work, name) for name in ("harness", "target", "data"))
    if not os.path.isdir(source):
        shutil.copytree(harness, source, ignore=shutil.ignore_patterns("results", "node_modules"))
    subprocess.run(["cargo", "build", "--profile", "bench", "--quiet", "-p", "evenhand-peer"], cwd=HERE, check=True)
    programs = {"evenhand": own_program()}
    for peer in PEERS[1:]:
        subprocess.run(["cargo", "build", "--release", "--quiet", "-p", "peer_" + peer, "--target-dir", target], cwd=os.path.join(source, "rust"), check=True)
        programs[peer] = os.path.join(target, "release", "peer_" + peer)
    if not os.path.isdir(data):
        subprocess.run([sys.executable, os.path.join(source, "gen_workload.py"), data], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([programs["evenhand"], "--data", data, "--mode", "convert"], check=True)
    return programs, data


def own_program():
    metadata = subprocess.run(["cargo", "metadata", "--format-version", "1", "--no-deps"], cwd=HERE, check=True, capture_output=True, text=True)
    return os.path.join(json.loads(metadata.stdout)["target_directory"], "release", "evenhand-peer")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("harness")
    arguments.add_argument("--work", default=os.path.join(tempfile.gettempdir(), "evenhand-peers"))
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--budget", type=float, default=2)
    given = arguments.parse_args()
    os.makedirs(given.work, exist_ok=True)
    programs, data = build(os.path.abspath(given.harness), os.path.abspath(given.work))
    found = {}
    for _ in range(given.rounds):
        # In turn, so that a noisy minute does not hit one alone.
        for peer in PEERS:
            for mode in ("bench", "init", "mem"):
                command = [programs[peer], "--data", data, "--mode", mode, "--budget", str(given.budget)]
                out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                for row in map(json.loads, out.splitlines()):
                    if row["metric"] in METRICS:
                        found.setdefault((peer, row["metric"]), []).append(row["value"])
    print("| peer | " + " | ".join(METRICS) + " |\n|---|" + "---|" * len(METRICS))
    for peer in PEERS:
        print("| %s | %s |" % (peer, " | ".join("%.4g" % statistics.median(found[peer, metric]) for metric in METRICS)))
    own = statistics.median(found["evenhand", "eval_cpu_ns"])
    for peer in PEERS[1:]:
        print("%s takes %.1f times as long as evenhand for one evaluation (CPU)" % (peer, statistics.median(found[peer, "eval_cpu_ns"]) / own))


if __name__ == "__main__":
    main()
