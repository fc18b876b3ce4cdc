#!/usr/bin/env python3
"""Evenhand in every language beside rust/eppo and rust/yggdrasil: the same workload, in turn, medians over rounds.

usage: benches/peers/run.py HARNESS [--work DIR] [--rounds 3] [--budget 2] [--only rust python …]

HARNESS is the folder of the side-by-side harness (gen_workload.py, rust/). It is not written to: a copy is built under
DIR (default: evenhand-peers in the temporary folder). Compare by CPU time; other load on the machine distorts the rest.
"""
import argparse, json, os, shutil, statistics, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CACHE = os.environ.get("EVENHAND_CACHE", os.path.expanduser("~/.cache/evenhand"))
PEERS = ("eppo", "yggdrasil")
LANGUAGES = ("rust", "c", "python", "node")
METRICS = ("eval_cpu_ns", "eval_p50_call_ns", "all_us", "ctx_ns", "init_200_ms", "init_5000_ms", "rss_delta_kb", "check_violations")


def build(harness, work, only):
    """Builds all and writes the workload; gives each row's command."""
    source, target, data = (os.path.join(work, name) for name in ("harness", "target", "data"))
    if not os.path.isdir(source):
        shutil.copytree(harness, source, ignore=shutil.ignore_patterns("results", "node_modules"))
    subprocess.run(["cargo", "build", "--profile", "bench", "--quiet", "-p", "evenhand-peer"], cwd=HERE, check=True)
    own = own_program()
    if not os.path.isdir(data):
        subprocess.run([sys.executable, os.path.join(source, "gen_workload.py"), data], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([own, "--data", data, "--mode", "convert"], check=True)
    commands = {}
    if "rust" in only:
        commands["rust"] = [own]
        for peer in PEERS:
            subprocess.run(["cargo", "build", "--release", "--quiet", "-p", "peer_" + peer, "--target-dir", target], cwd=os.path.join(source, "rust"), check=True)
            commands["rust/" + peer] = [os.path.join(target, "release", "peer_" + peer)]
    if "c" in only:
        place = os.path.join(CACHE, "c-bench")
        os.makedirs(place, exist_ok=True)
        subprocess.run([os.path.join(ROOT, "bindings/c/bench/build"), place], check=True, stdout=subprocess.DEVNULL)
        for api in ("c", "cpp"):
            commands[api] = [os.path.join(place, "peer"), "--api", api]
    if "python" in only:
        subprocess.run([os.path.join(ROOT, "tests/conformance/python/install")], check=True, stdout=subprocess.DEVNULL)
        for contexts in ("kept", "dict"):
            commands["python, " + contexts] = [os.path.join(CACHE, "conformance/python/venv/bin/python"), os.path.join(ROOT, "python/bench/peer.py"), "--harness", os.path.join(source, "py"), "--contexts", contexts]
    if "node" in only:
        subprocess.run([os.path.join(ROOT, "tests/conformance/node/install")], check=True, stdout=subprocess.DEVNULL)
        for contexts in ("kept", "plain"):
            commands["node, " + contexts] = ["node", os.path.join(ROOT, "node/bench/peer.cjs"), "--harness", os.path.join(source, "node"), "--contexts", contexts]
    return commands, data


def own_program():
    metadata = subprocess.run(["cargo", "metadata", "--format-version", "1", "--no-deps"], cwd=HERE, check=True, capture_output=True, text=True)
    return os.path.join(json.loads(metadata.stdout)["target_directory"], "release", "evenhand-peer")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("harness")
    arguments.add_argument("--work", default=os.path.join(tempfile.gettempdir(), "evenhand-peers"))
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--budget", type=float, default=2)
    arguments.add_argument("--only", nargs="+", choices=LANGUAGES, default=LANGUAGES)
    given = arguments.parse_args()
    os.makedirs(given.work, exist_ok=True)
    commands, data = build(os.path.abspath(given.harness), os.path.abspath(given.work), given.only)
    found = {}
    for _ in range(given.rounds):
        # In turn, so that a noisy minute does not hit one alone.
        for row, command in commands.items():
            for mode in ("bench", "init", "mem"):
                out = subprocess.run([*command, "--data", data, "--mode", mode, "--budget", str(given.budget)], check=True, capture_output=True, text=True).stdout
                for figure in map(json.loads, out.splitlines()):
                    if figure["metric"] in METRICS:
                        found.setdefault((row, figure["metric"]), []).append(figure["value"])
    print("| row | " + " | ".join(METRICS) + " |\n|---|" + "---|" * len(METRICS))
    for row in commands:
        print("| %s | %s |" % (row, " | ".join("%.4g" % statistics.median(found.get((row, metric), [float("nan")])) for metric in METRICS)))


if __name__ == "__main__":
    main()
