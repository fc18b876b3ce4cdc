#!/usr/bin/env python3
"""Writes seeds for the fuzz targets from tests/vectors: seeds_from_vectors.py OUTPUT_DIR.

The vectors are committed and name every operator, error and reason, so they are the best seeds there are; kept as one file
each they would be thousands. What is committed below fuzz/seeds is what the vectors don't hold, and inputs of mended faults.
"""
import collections
import hashlib
import json
import pathlib
import sys

LARGEST = 16_384  # a larger seed slows every mutation of it and finds no more
CONTEXTS_EACH = 2


def main():
    if len(sys.argv) != 2:
        raise SystemExit("usage: seeds_from_vectors.py OUTPUT_DIR")
    output = pathlib.Path(sys.argv[1])
    vectors = pathlib.Path(__file__).resolve().parent.parent / "tests" / "vectors"
    seeds = {"manifest": set(), "expression": set(), "context": set(), "override_token": set(), "spool": set(), "stream": set()}
    for path in sorted(vectors.glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        for group in document.get("groups", []):
            seeds["manifest"].add(text_bytes(group["manifest"]))
            expressions(group, seeds)
        for case in document.get("cases", []):
            for delivery in case.get("deliveries", []):
                seeds["manifest"].add(text_bytes(delivery["text"]))
            if "token" in case:
                seeds["override_token"].add(text_bytes(case["token"]))
            for step in case.get("steps", []):
                if step["do"] == "spool":
                    # Behind magic, checksum and line feed: the target makes those.
                    seeds["spool"].add(text_bytes(step["expect"])[8 + 64 + 1 :])
                elif step["do"] == "stream_bytes":
                    seeds["stream"].add(text_bytes(step["text"]))
    counts = []
    for target, texts in seeds.items():
        folder = output / target
        folder.mkdir(parents=True, exist_ok=True)
        kept = [text for text in texts if text and len(text) <= LARGEST]
        for text in kept:
            (folder / hashlib.sha256(text).hexdigest()[:16]).write_bytes(text)
        counts.append(f"{target} {len(kept)}")
    print("seeds from the vectors: " + ", ".join(counts))


def text_bytes(text):
    return text.encode("utf-8", "surrogatepass")


def expressions(group, seeds):
    """Each flag's first guard with a few of the contexts that it is asked in, as the target reads them: two lines."""
    asked = collections.Counter()
    try:
        flags = json.loads(group["manifest"])["flags"]
    except (ValueError, KeyError, TypeError):
        return
    for case in group["cases"]:
        context = json.dumps(case["context"], separators=(",", ":")).encode()
        seeds["context"].add(context)
        flag = flags.get(case["flag"]) if isinstance(flags, dict) else None
        rules = flag.get("rules") if isinstance(flag, dict) else None
        for rule in (rules if isinstance(rules, list) else [])[:1]:
            if isinstance(rule, dict) and "when" in rule and asked[case["flag"]] < CONTEXTS_EACH:
                asked[case["flag"]] += 1
                seeds["expression"].add(context + b"\n" + json.dumps(rule["when"], separators=(",", ":")).encode())


if __name__ == "__main__":
    main()
