"""Making a failing input line small enough to be read: pieces are taken away as long as the two evaluators still disagree."""

import json

from strict_json import NotJson, Number, Object, parse

MOST_TRIES = 4000


def as_text(value) -> str:
    """JSON of a parsed value, numbers as they were written, names that stand twice kept."""
    if isinstance(value, Number):
        return value.text
    if isinstance(value, Object):
        return "{" + ",".join(json.dumps(name) + ":" + as_text(member) for name, member in value.pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(as_text, value)) + "]"
    return json.dumps(value)


def _holders(value):
    """Every list of members inside, outermost first."""
    todo = [value]
    while todo:
        next_level = []
        for holder in todo:
            members = holder.pairs if isinstance(holder, Object) else holder
            yield members
            for member in members:
                inner = member[1] if isinstance(holder, Object) else member
                if isinstance(inner, (Object, list)):
                    next_level.append(inner)
        todo = next_level


def _remove_one(tree, still_fails, budget):
    """Takes away one member somewhere, if the failure stays. True when it did."""
    for members in list(_holders(tree)):
        at = len(members) - 1
        while at >= 0:
            if budget[0] <= 0:
                return False
            budget[0] -= 1
            taken = members.pop(at)
            if still_fails():
                return True
            members.insert(at, taken)
            at -= 1
    return False


def shrink(line: dict, fails) -> dict:
    """The smallest line found for which `fails(line)` holds."""
    cases = list(line["cases"])
    for case in cases:
        if fails({**line, "cases": [case]}):
            line = {**line, "cases": [case]}
            break
    if fails({**line, "cases": []}):
        line = {**line, "cases": []}
    budget = [MOST_TRIES]
    try:
        manifest = parse(line["manifest"])
    except NotJson:
        return line
    candidate = {**line, "manifest": as_text(manifest)}
    if not fails(candidate):
        return line
    line = candidate

    def manifest_fails():
        return fails({**line, "manifest": as_text(manifest)})

    while isinstance(manifest, (Object, list)) and _remove_one(manifest, manifest_fails, budget):
        pass
    line = {**line, "manifest": as_text(manifest)}
    for case in line["cases"]:
        for part in (case["context"], case.get("forced", {}), line["lists"]):
            for name in list(part):
                kept = part.pop(name)
                if not fails(line):
                    part[name] = kept
        for name in ("sticky", "forced", "type"):
            if name in case:
                kept = case.pop(name)
                if not fails(line):
                    case[name] = kept
    return line
