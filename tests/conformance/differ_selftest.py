"""Shows, at every run and on the very results it is about to judge, that the differ finds damage: each mutation must be told,
and told at its place."""
from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from differ_core import Expected, compare, disagreements, encode


@dataclass
class Mutation:
    name: str
    content: bytes
    # What the differ's message must hold.
    told: str


def find(lines: list[bytes], holds: Callable[[dict], bool], what: str) -> int:
    for at, line in enumerate(lines):
        if holds(json.loads(line)):
            return at
    raise SystemExit(f"self-test: the results hold no line with {what} to damage")


def mutations(content: bytes) -> Iterator[Mutation]:
    lines = content.splitlines(keepends=True)

    def changed(at: int, change: Callable[[dict], None]) -> bytes:
        line = json.loads(lines[at])
        change(line)
        return b"".join([*lines[:at], encode(line), *lines[at + 1 :]])

    decided = find(lines, lambda line: line.get("decision", {}).get("bucket") is not None, "a bucket")
    bare = find(lines, lambda line: "decision" in line and "substituted" not in line, "nothing substituted")
    marked = find(lines, lambda line: "group" in line and "case" not in line and line["manifest"] == "refused", "a refused manifest")
    found = json.loads(lines[decided])["decision"]
    place = f"case {json.loads(lines[decided])['case']!r}"

    yield Mutation("a bucket one higher", changed(decided, lambda line: line["decision"].update(bucket=found["bucket"] + 1)), "decision.bucket: found")
    yield Mutation("another variation", changed(decided, lambda line: line["decision"].update(variation=found["variation"] + "x")), place)
    yield Mutation("a number as a fraction", changed(decided, lambda line: line["decision"].update(bucket=float(found["bucket"]))), "decision.bucket: found")
    yield Mutation("a field more", changed(decided, lambda line: line["decision"].update(extra=1)), "decision.extra: found 1, expected no such field")
    yield Mutation("a field less", changed(decided, lambda line: line["decision"].pop("epoch") and None), "decision.epoch: found no such field")
    yield Mutation("a manifest taken", changed(marked, lambda line: line.update(manifest="taken")), 'manifest: found "taken"')
    yield Mutation("packed null once", changed(decided, lambda line: line["decision"].update(packed=None)), "`packed` is null in")
    yield Mutation("a space", b"".join([*lines[:decided], lines[decided].replace(b":", b": ", 1), *lines[decided + 1 :]]), "written otherwise")
    yield Mutation("substituted without need", changed(bare, lambda line: line.update(substituted=["bigint"])), "although the case needs")
    yield Mutation("an invented substitution", changed(bare, lambda line: line.update(substituted=["nul"])), "although the case needs")
    yield Mutation("a line dropped", b"".join(lines[:decided] + lines[decided + 1 :]), "lines, expected")
    yield Mutation("a line twice", b"".join(lines[: decided + 1] + lines[decided:]), "lines, expected")
    yield Mutation("two lines changed round", b"".join([*lines[:decided], lines[decided + 1], lines[decided], *lines[decided + 2 :]]), place)
    yield Mutation("the end cut off", content[:-1], f"line {len(lines)} ")
    yield Mutation("half a file", b"".join(lines[: len(lines) // 2]), "the first that is missing")
    yield Mutation("nothing", b"", "0 lines, expected")
    heads = [at for at, line in enumerate(lines) if set(json.loads(line)) == {"cases", "file"}]
    yield Mutation("a case too few counted", changed(heads[1], lambda line: line.update(cases=line["cases"] - 1)), "cases: found")


def run(language: str, content: bytes, wanted: Expected) -> tuple[int, list[str]]:
    """How many mutations of one language's right results were made, and which were not found."""
    missed, made = [], 0
    before = compare(language, content, wanted)
    if before.packed_null:
        return 0, [f"self-test: {language} does not show the packed form; damage a language that does"]
    for mutation in mutations(content):
        made += 1
        if mutation.content == content:
            missed.append(f"self-test: the mutation {mutation.name!r} changes nothing")
        differences = [one for one in compare(language, mutation.content, wanted).differences if one not in before.differences]
        if not any(mutation.told in one for one in differences):
            missed.append(f"self-test: the differ did not tell of {mutation.name!r} ({mutation.told!r}); it told {[one[:300] for one in differences[:2]]}")
    # A language that differs from all others in one value, even if the vectors expected that value.
    first = next(mutations(content))
    made += 1
    if not disagreements({"right": content, "wrong": first.content}):
        missed.append("self-test: two languages that differ were not told apart")
    return made, missed
