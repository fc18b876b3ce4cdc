"""The differ: results of all languages against the vectors and against each other, byte for byte, every case counted.

A difference names file, group, case, field and both values. `compare` and `disagreements` are functions of files' contents,
so that the self-test (differ_selftest.py) can hand them damaged ones."""
from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

# What a language's values may be unable to hold; all else that a case needs, every language has.
REPLACEABLE = {"lone_surrogate", "bigint", "int64"}
# The format that no runner plays: the policy below all SDKs, proven once in core/session.
PROVEN_ELSEWHERE = "session"
# Languages that answer for some formats only: a server has no engine API.
FORMATS_OF = {"http": {"population"}}


@dataclass
class Line:
    """One line that a right runner writes. `needs` is what its case may be substituted for."""

    file: str
    content: dict
    needs: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.encoded = encode(self.content)

    @property
    def is_case(self) -> bool:
        return "case" in self.content

    def where(self) -> str:
        group, case = self.content.get("group"), self.content.get("case")
        return ", ".join([self.file, *([f"group {group!r}"] if group is not None else []), *([f"case {case!r}"] if case is not None else [])])


@dataclass
class Expected:
    """The lines of all files, in order."""

    lines: dict[str, list[Line]] = field(default_factory=dict)
    formats: dict[str, str] = field(default_factory=dict)
    cases: dict[str, int] = field(default_factory=dict)
    needs: dict[str, dict[str, int]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def files_of(self, language: str) -> list[str]:
        played = FORMATS_OF.get(language)
        return [name for name, kind in self.formats.items() if played is None or kind in played]


@dataclass
class Verdict:
    """What became of one language's results."""

    passed: Counter = field(default_factory=Counter)
    substituted: Counter = field(default_factory=Counter)
    packed_null: int = 0
    differences: list[str] = field(default_factory=list)


def encode(line: dict) -> bytes:
    """As tests/conformance/README.md, "A line" has it. Python leaves U+007F alone: the one character of ASCII that is escaped too."""
    return json.dumps(line, sort_keys=True, separators=(",", ":")).replace("\x7f", "\\u007f").encode("ascii") + b"\n"


# ---- what is expected ----


def expected(vectors: Path) -> Expected:
    index = json.loads((vectors / "index.json").read_bytes())
    found = Expected()
    for name, entry in index["files"].items():
        content = (vectors / name).read_bytes()
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            found.faults.append(f"{name}: its SHA-256 is not the one that index.json lists")
        document = json.loads(content)
        if document["format"] != entry["format"]:
            found.faults.append(f"{name}: format {document['format']!r}, index.json lists {entry['format']!r}")
        if entry["format"] == PROVEN_ELSEWHERE:
            continue
        if entry["format"] not in LINES:
            found.faults.append(f"{name}: the differ does not know the format {entry['format']!r}: teach it")
            continue
        lines = [Line(name, {**content, "file": name}, frozenset(needs)) for content, needs in LINES[entry["format"]](document)]
        cases = sum(line.is_case for line in lines)
        if cases != entry["cases"]:
            found.faults.append(f"{name}: it has {cases} cases, index.json lists {entry['cases']}")
        needs = Counter(need for line in lines for need in line.needs)
        if dict(needs) != entry["needs"]:
            found.faults.append(f"{name}: its cases need {dict(needs)}, index.json lists {entry['needs']}")
        found.lines[name] = [Line(name, {"cases": cases, "file": name}), *lines]
        found.formats[name], found.cases[name], found.needs[name] = entry["format"], cases, dict(needs)
    listed = set(index["files"]) | {"index.json"}
    found.faults += [f"{path.name} lies beside the vectors, but index.json does not list it" for path in sorted(vectors.glob("*.json")) if path.name not in listed]
    return found


def hash_lines(document: dict):
    for case in document["cases"]:
        yield {"case": case["name"], "h": case["h"], "basis_point": case["basis_point"], "slot": case["slot"]}, ()


def decision_lines(document: dict):
    for group in document["groups"]:
        taken = group["error"] is None
        yield {"group": group["name"], "manifest": "taken" if taken else "refused", "unsupported": group["unsupported"] if taken else []}, ()
        for case in group["cases"]:
            yield {"group": group["name"], "case": case["name"], "decision": case["expect"]}, case.get("needs", ())


def envelope_lines(document: dict):
    for case in document["cases"]:
        told = [{name: delivery[name] for name in ("accepted", "generation", "version")} for delivery in case["deliveries"]]
        yield {"case": case["name"], "deliveries": told}, ()


def token_lines(document: dict):
    for case in document["cases"]:
        yield {name: case[name] for name in ("valid", "flag", "variation")} | {"case": case["name"]}, ()


def population_lines(document: dict):
    for case in document["cases"]:
        yield {name: case[name] for name in ("checkpoints", "counts", "sha256")} | {"case": case["name"]}, ()


LINES = {"hash": hash_lines, "decisions": decision_lines, "envelope": envelope_lines, "tokens": token_lines, "population": population_lines}


# ---- one language against what is expected ----


def compare(language: str, content: bytes, wanted: Expected) -> Verdict:
    verdict = Verdict()
    lines = [line for name in wanted.files_of(language) for line in wanted.lines[name]]
    found = content.splitlines(keepends=True)
    seen_packed = set()
    for number, (raw, line) in enumerate(zip(found, lines), 1):
        place = f"{language}, line {number} ({line.where()})"
        differences = compare_line(raw, line, verdict, seen_packed)
        verdict.differences += [f"{place}: {difference}" for difference in differences]
        if not differences and line.is_case:
            verdict.passed[line.file] += 1
    if len(found) != len(lines):
        beyond = f"the first that is missing is {lines[len(found)].where()}" if len(found) < len(lines) else f"the first that is too many is {found[len(lines)][:200]!r}"
        verdict.differences.append(f"{language}: {len(found)} lines, expected {len(lines)}; {beyond}")
    # A binding shows the packed form, or it does not: null now and then would hide a difference.
    if seen_packed == {True, False}:
        verdict.differences.append(f"{language}: `packed` is null in {verdict.packed_null} decisions and a number in others; it is null in all or in none")
    return verdict


def compare_line(raw: bytes, line: Line, verdict: Verdict, seen_packed: set[bool]) -> list[str]:
    wanted = line.content
    if raw == line.encoded:
        if "decision" in wanted:
            seen_packed.add(True)
        return []
    try:
        found = json.loads(raw)
        readable = isinstance(found, dict)
    except ValueError:
        readable = False
    if not readable:
        return [f"not a JSON object: {raw[:200]!r}"]
    # What a language may say otherwise: that something stood in for a value, and that it does not show the packed form.
    wanted = dict(wanted)
    differences = []
    if "substituted" in found:
        marks = found["substituted"]
        if not isinstance(marks, list) or not marks or marks != sorted(set(map(str, marks))):
            differences.append(f"substituted: {marks!r} is no sorted list of names")
        elif unneeded := [mark for mark in marks if mark not in line.needs or mark not in REPLACEABLE]:
            differences.append(f"substituted: {unneeded} although the case needs {sorted(line.needs)} and only {sorted(REPLACEABLE)} may be replaced")
        else:
            verdict.substituted.update((mark, line.file) for mark in marks)
        wanted["substituted"] = marks
    decision = found.get("decision")
    if "decision" in wanted and isinstance(decision, dict) and "packed" in decision:
        seen_packed.add(decision["packed"] is not None)
        if decision["packed"] is None:
            verdict.packed_null += 1
            wanted["decision"] = {**wanted["decision"], "packed": None}
    if raw == encode(wanted):
        return differences
    fields = list(unequal(wanted, found, ""))
    if fields:
        return differences + [f"{path}: found {got}, expected {want}" for path, want, got in fields]
    return [*differences, f"the same values written otherwise: found {raw[:300]!r}, expected {encode(wanted)[:300]!r}"]


def unequal(wanted, found, path: str):
    """The smallest fields that differ. 1, 1.0 and true are three values."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for name in sorted(wanted.keys() | found.keys()):
            inner = f"{path}.{name}" if path else name
            if name not in found or name not in wanted:
                yield inner, json.dumps(wanted[name]) if name in wanted else "no such field", json.dumps(found[name]) if name in found else "no such field"
            else:
                yield from unequal(wanted[name], found[name], inner)
    elif json.dumps(wanted, sort_keys=True) != json.dumps(found, sort_keys=True):
        yield path or "the line", json.dumps(wanted), json.dumps(found)


# ---- the languages against each other ----


def disagreements(contents: dict[str, bytes]) -> list[str]:
    """Lines of the same case that two languages write differently, `substituted` and `packed` left out. Expected values are not
    asked: what a language says beside the vectors must agree as well."""
    told: list[str] = []
    first: dict[tuple, tuple[str, bytes]] = {}
    for language, content in contents.items():
        cursor = Counter()
        for raw in content.splitlines():
            try:
                line = json.loads(raw)
                line.pop("substituted", None)
                if isinstance(line.get("decision"), dict):
                    line["decision"].pop("packed", None)
                place = (line.get("file"), line.get("group"), line.get("case"))
            except (ValueError, AttributeError):
                continue  # said by `compare`
            cursor[place] += 1
            key, value = (*place, cursor[place]), encode(line)
            other = first.setdefault(key, (language, value))
            if other[1] != value:
                told.append(f"{language} and {other[0]} differ in {place}: {value[:300]!r} and {other[1][:300]!r}")
    return told

