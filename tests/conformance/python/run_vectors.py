"""Carries out every vector through the package's public API and writes what came of it, one JSON object a line."""

import base64
import contextlib
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import evenhand


def main() -> None:
    vectors, out = Path(sys.argv[1]), Path(sys.argv[2])
    index = json.loads((vectors / "index.json").read_text("ascii"))
    with out.open("w", encoding="ascii", newline="\n") as lines:
        for name, entry in index["files"].items():
            # The policy below all SDKs, proven once (core/session).
            if entry["format"] == "session":
                continue
            document = read(vectors / name)
            if entry["format"] not in FORMATS:
                raise SystemExit(f"{name} has the format {entry['format']}, which this runner does not know: teach it")
            produced = list(FORMATS[entry["format"]](document))
            cases = sum("case" in line for line in produced)
            for line in [{"cases": cases}, *produced]:
                lines.write(json.dumps({"file": name, **line}, sort_keys=True, separators=(",", ":")) + "\n")


def read(path: Path) -> Any:
    # Python's reader makes floats of numbers with a fraction or an exponent, and ints of all others: as the vectors want it.
    return json.loads(path.read_text("ascii"))


def hash_lines(document: Any) -> Iterator[dict[str, Any]]:
    for case in document["cases"]:
        found = evenhand.bucket(case["salt"], case["unit"])
        yield {"case": case["name"], "h": found.h, "basis_point": found.basis_point, "slot": found.slot}


def decision_lines(document: Any) -> Iterator[dict[str, Any]]:
    for group in document["groups"]:
        engine = evenhand.Engine()
        for blob in group.get("lists", {}).values():
            # A refused blob counts as not supplied.
            with contextlib.suppress(evenhand.ManifestError):
                engine.add_list(base64.b64decode(blob))
        taken = accepts(engine, group["manifest"])
        yield {
            "group": group["name"],
            "manifest": "taken" if taken else "refused",
            "unsupported": engine.unsupported() if taken else [],
        }
        for case in group["cases"]:
            attributes = {name: native(value) for name, value in case["context"].items()}
            context: Any = attributes
            if "sticky" in case or "forced" in case:
                context = evenhand.Context(attributes, sticky=case.get("sticky"), forced=case.get("forced"))
            decision = engine.evaluate(case["flag"], context, case["now_ms"], case.get("type"))
            # The same through a context made beforehand: another path through the package, no other answer.
            reused = evenhand.Context(attributes, sticky=case.get("sticky"), forced=case.get("forced"))
            again = engine.evaluate(case["flag"], reused, case["now_ms"], case.get("type"))
            if facts(again) != facts(decision):
                raise SystemExit(
                    f"{group['name']}/{case['name']}: a dict gives {facts(decision)}, a Context {facts(again)}"
                )
            yield {"group": group["name"], "case": case["name"], "decision": facts(decision)}


def facts(decision: evenhand.Decision) -> dict[str, Any]:
    return {
        "flag": decision.flag,
        "variation": decision.variation,
        "value": None if decision.variation is None else canonical(decision.value),
        "reason": decision.reason,
        "rule": decision.rule,
        "experiment": decision.experiment,
        "phase": decision.phase,
        "epoch": decision.epoch,
        "bucket": decision.bucket,
        "manifest_version": decision.manifest_version,
        "exposure": decision.exposure,
        "holdout_exposures": decision.holdout_exposures,
        "packed": decision.packed,
    }


def envelope_lines(document: Any) -> Iterator[dict[str, Any]]:
    for case in document["cases"]:
        engine = evenhand.Engine(keys=case["keys"])
        deliveries = []
        for delivery in case["deliveries"]:
            accepted = accepts(engine, delivery["text"])
            held = engine.manifest or {"generation": None, "version": None}
            deliveries.append({"accepted": accepted, "generation": held["generation"], "version": held["version"]})
        yield {"case": case["name"], "deliveries": deliveries}


def token_lines(document: Any) -> Iterator[dict[str, Any]]:
    for case in document["cases"]:
        found = evenhand.verify_override(case["token"], case["keys"], case["environment"], case["now_ms"])
        yield {"case": case["name"], "valid": found.valid, "flag": found.flag, "variation": found.variation}


def population_lines(document: Any) -> Iterator[dict[str, Any]]:
    for case in document["cases"]:
        engine = evenhand.Engine(case["manifest"].encode())
        digest = hashlib.sha256()
        counts: dict[str, dict[str, int]] = {flag: {} for flag in case["flags"]}
        checkpoints = {}
        for number in range(case["units"]):
            unit = population_unit(number)
            for flag in case["flags"]:
                decision = engine.evaluate(flag, {"user_id": unit}, case["now_ms"])
                variation, reason, bucket = decision.variation, decision.reason, decision.bucket
                digest.update(
                    f"{unit}\t{flag}\t{variation or ''}\t{reason}\t{'' if bucket is None else bucket}\n".encode()
                )
                outcome = f"{variation}/{reason}"
                counts[flag][outcome] = counts[flag].get(outcome, 0) + 1
            if str(number + 1) in case["checkpoints"]:
                checkpoints[str(number + 1)] = digest.hexdigest()
        yield {"case": case["name"], "counts": counts, "checkpoints": checkpoints, "sha256": digest.hexdigest()}


def population_unit(number: int) -> str | int:
    return (f"user-{number}", number, f"{number:08x}@example.com", f"\u00fc{number}", -number)[number % 5]


FORMATS = {
    "hash": hash_lines,
    "decisions": decision_lines,
    "envelope": envelope_lines,
    "tokens": token_lines,
    "population": population_lines,
}


def accepts(engine: evenhand.Engine, text: str) -> bool:
    try:
        engine.update_manifest(text.encode())
    except evenhand.ManifestError:
        return False
    return True


def native(value: Any) -> Any:
    """A context's value as the vectors' README says to hand it in."""
    if isinstance(value, list):
        return [native(item) for item in value]
    if not (isinstance(value, dict) and list(value)[:1] == ["$special"]):
        return value
    match value:
        case {"$special": "nan" | "inf" | "-inf" as number}:
            return float(number)
        case {"$special": "lone_surrogate"}:
            return "\ud800"
        case {"$special": "repeat", "text": text, "times": times}:
            return text * times
        case {"$special": "repeat_list", "item": item, "times": times}:
            return [native(item)] * times
    raise SystemExit(f"this runner does not know the mark {value}")


def canonical(value: Any) -> str:
    """RFC 8785: members sorted by UTF-16 units, numbers as ECMAScript writes them."""
    match value:
        case dict():
            members = sorted(value.items(), key=lambda member: member[0].encode("utf-16-be"))
            return "{" + ",".join(f"{canonical(key)}:{canonical(item)}" for key, item in members) + "}"
        case list():
            return "[" + ",".join(map(canonical, value)) + "]"
        case float():
            return ecmascript(value)
        case _:
            return json.dumps(value, ensure_ascii=False)


def ecmascript(number: float) -> str:
    """Number::toString: the shortest digits are repr's, where the point stands is not."""
    if number == 0:
        return "0"
    if number < 0:
        return "-" + ecmascript(-number)
    mantissa, _, exponent = repr(number).partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = fraction.rstrip("0") if fraction.strip("0") else ""
    digits = (whole + fraction).lstrip("0")
    # The value is 0.digits times 10^point.
    point = (
        len(whole) + int(exponent or 0)
        if whole != "0"
        else int(exponent or 0) - (len(fraction) - len(fraction.lstrip("0")))
    )
    digits = digits.rstrip("0")
    if len(digits) <= point <= 21:
        return digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return digits[:point] + "." + digits[point:]
    if -6 < point <= 0:
        return "0." + "0" * -point + digits
    power = f"e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return digits[0] + ("." + digits[1:] if len(digits) > 1 else "") + power


if __name__ == "__main__":
    main()
