"""What a decision costs among 200 experiments, beside calls that do nothing: process CPU time, the median of many short blocks.

python decide.py DATA [--rounds 60] [--json FILE] [--strict]

DATA holds evenhand_200.json and users.json. FILE gets a list of {"what", "fastest_ns", "median_ns", "bar_ns"}. Strict, it
fails when a bar is missed.
"""

import argparse
import gc
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from evenhand import Client, Context, Engine

# In nanoseconds.
BARS = {"evaluate, Context kept": 250, "evaluate, dict passed in": 450, "evaluate_all, Context kept": 30_000}
BLOCK = 2_000


def nothing(flag: str, context: object) -> None:
    pass


def blocks(pairs: Sequence[tuple[str, Any]], call: Callable[[str, Any], object]) -> float:
    began = time.process_time_ns()
    for flag, context in pairs:
        call(flag, context)
    return (time.process_time_ns() - began) / len(pairs)


def empty(pairs: Sequence[tuple[str, Any]]) -> float:
    began = time.process_time_ns()
    for _flag, _context in pairs:
        pass
    return (time.process_time_ns() - began) / len(pairs)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("data", type=Path)
    arguments.add_argument("--rounds", type=int, default=60)
    arguments.add_argument("--json", type=Path)
    arguments.add_argument("--strict", action="store_true")
    given = arguments.parse_args()
    manifest = (given.data / "evenhand_200.json").read_bytes()
    users = json.loads((given.data / "users.json").read_text())
    engine = Engine(manifest)
    client = Client("http://127.0.0.1:9", "k", bootstrap=manifest, stream=False, backoff_base_ms=60_000)
    flags = engine.flags()
    contexts = [Context(user) for user in users[:1_000]]
    # A Context keeps what the last snapshot asked for: one shared by two is read anew at each change.
    of_client = [Context(user) for user in users[:1_000]]
    dicts = users[:1_000]
    gc.freeze()

    def pairs(of: Sequence[Any], first: int, count: int = BLOCK) -> list[tuple[str, Any]]:
        return [(flags[(at * 113) % 200], of[(at * 7919) % len(of)]) for at in range(first, first + count)]

    few = [(flag, of_client[at % 10]) for at, flag in enumerate(flags[:20] * 100)]
    measured: dict[str, Callable[[int], float]] = {
        "the loop alone": lambda first: empty(pairs(contexts, first)),
        "a Python function that does nothing": lambda first: blocks(pairs(contexts, first), nothing),
        "a call into C that does next to nothing (isinstance)": lambda first: blocks(
            [(context, Context) for _, context in pairs(contexts, first)], isinstance
        ),
        "evaluate, Context kept": lambda first: blocks(pairs(contexts, first), engine.evaluate),
        "evaluate, dict passed in": lambda first: blocks(pairs(dicts, first), engine.evaluate),
        "evaluate and variation, Context kept": lambda first: blocks(
            pairs(contexts, first), lambda flag, context: engine.evaluate(flag, context).variation
        ),
        "string_value, Context kept": lambda first: blocks(
            pairs(contexts, first), lambda flag, context: engine.string_value(flag, context, "off")
        ),
        "Client.evaluate, Context kept": lambda first: blocks(pairs(of_client, first), client.evaluate),
        "Client.decide, Context kept, exposure known": lambda first: blocks(few, client.decide),
        "making a Context": lambda first: blocks([(user, None) for user in dicts], lambda user, _: Context(user)),
        "evaluate_all, Context kept": lambda first: blocks(
            pairs(contexts, first, 20), lambda _, context: engine.evaluate_all(context)
        ),
        "evaluate_all, dict passed in": lambda first: blocks(
            pairs(dicts, first, 20), lambda _, context: engine.evaluate_all(context)
        ),
        "evaluate_many of 1,000, each": lambda first: (
            blocks([(flags[first % 200], contexts)], engine.evaluate_many) / 1_000
        ),
    }
    found: dict[str, list[float]] = {name: [] for name in measured}
    # In turn, so that a noisy second does not hit one alone; the first rounds warm up.
    for turn in range(given.rounds + 3):
        for name, measure in measured.items():
            taken = measure(turn * BLOCK)
            if turn >= 3:
                found[name].append(taken)
    rows = [
        {"what": name, "fastest_ns": min(times), "median_ns": statistics.median(times), "bar_ns": BARS.get(name)}
        for name, times in found.items()
    ]
    for row in rows:
        bar = f"   bar {row['bar_ns']:,} ns" if row["bar_ns"] else ""
        print(f"{row['what']:55} {row['median_ns']:9.0f} ns, fastest {row['fastest_ns']:7.0f}{bar}")
    ratios = two_threads(engine, pairs(contexts, 0, 20_000))
    print(
        f"two threads decide as many as one: CPU {ratios['cpu']:.2f}, elapsed {ratios['elapsed']:.2f} of one thread's time"
    )
    client.close(0.1)
    if given.json:
        given.json.write_text(json.dumps(rows))
    over = [str(row["what"]) for row in rows if row["bar_ns"] and row["median_ns"] >= row["bar_ns"]]
    if over:
        print(f"not below the bar: {', '.join(over)}", file=sys.stderr)
    sys.exit(1 if over and given.strict else 0)


def two_threads(engine: Engine, pairs: Sequence[tuple[str, Any]]) -> dict[str, float]:
    """The same number of decisions, by two threads and by one. With the interpreter's lock 1 is the best there can be."""
    half = len(pairs) // 2

    def once(parts: Sequence[Sequence[tuple[str, Any]]]) -> tuple[float, float]:
        threads = [threading.Thread(target=blocks, args=(part, engine.evaluate)) for part in parts]
        cpu, began = time.process_time(), time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.process_time() - cpu, time.perf_counter() - began

    one = [once([pairs]) for _ in range(30)]
    two = [once([pairs[:half], pairs[half:]]) for _ in range(30)]
    return {
        "cpu": min(cpu for cpu, _ in two) / min(cpu for cpu, _ in one),
        "elapsed": min(elapsed for _, elapsed in two) / min(elapsed for _, elapsed in one),
    }


if __name__ == "__main__":
    main()
