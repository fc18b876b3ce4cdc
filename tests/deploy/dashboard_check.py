"""Dashboards and the table of series: Grafana's JSON has what Grafana needs, every query parses, and no rule or panel asks for a series that
deploy/alerts/README.md does not list."""
from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import yaml

from toolbox import Tools

SERIES = re.compile(r"\bevenhand_[a-z0-9_]+")
SUFFIXES = ("_bucket", "_count", "_sum")


def faults(deploy: Path, tools: Tools, scratch: Path) -> tuple[list[str], int]:
    found: list[str] = []
    queries: list[tuple[str, str]] = []
    for path in sorted((deploy / "dashboards").glob("*.json")):
        try:
            found += _dashboard_faults(json.loads(path.read_text()), path.name, queries)
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            found.append(f"dashboards/{path.name}: {error!r}")
    if not queries:
        found.append("dashboards: no query was found")
    found += _unparsable(queries, tools, scratch)
    rules = sorted((deploy / "alerts").glob("*.yaml"))
    ran = subprocess.run([tools.promtool, "check", "rules", *map(str, rules)], capture_output=True, text=True)
    if ran.returncode != 0:
        found.append(f"promtool check rules: {(ran.stdout + ran.stderr).strip()[-1500:]}")
        return found, len(queries)
    recorded = set()
    for path in rules:
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                queries.append((f"alerts/{path.name}: {rule.get('alert') or rule.get('record')}", rule["expr"]))
                recorded |= {rule["record"]} if "record" in rule else set()
                if "alert" in rule:
                    found += _alert_faults(rule, path.name)
    listed = set(re.findall(r"^\| `(evenhand_[a-z0-9_]+)", (deploy / "alerts/README.md").read_text(), re.M))
    found += _not_in_code(deploy)
    for where, query in queries:
        for name in SERIES.findall(query):
            base = name
            for suffix in SUFFIXES:
                if name not in listed and name.endswith(suffix):
                    base = name.removesuffix(suffix)
            if base not in listed:
                found.append(f"{where}: {name} is not in the table of alerts/README.md")
        for name in re.findall(r"\bevenhand:[a-z0-9_:]+", query):
            if name not in recorded:
                found.append(f"{where}: nothing records {name}")
    return found, len(queries)


def _not_in_code(deploy: Path) -> list[str]:
    """Series that the table calls there, and that no source file names."""
    server = Path(__file__).resolve().parents[2] / "server"
    source = "\n".join(path.read_text() for path in server.glob("*/src/**/*.rs"))
    said = re.findall(r"^\| `evenhand_([a-z0-9_]+)`.*\| now \|$", (deploy / "alerts/README.md").read_text(), re.M)
    gone = [name for name in said if f'"{name.removesuffix("_total")}"' not in source and f"evenhand_{name}" not in source]
    return [f"alerts/README.md: evenhand_{name} is called there, but no source below server/ names it" for name in gone]


def _alert_faults(rule: dict, file: str) -> list[str]:
    found = []
    if rule.get("labels", {}).get("severity") not in ("page", "ticket"):
        found.append(f"alerts/{file}: {rule['alert']}: severity is page or ticket")
    text = rule.get("annotations", {}).get("description", "")
    if not re.search(r"\bDo\b", text) or not rule["annotations"].get("summary"):
        found.append(f"alerts/{file}: {rule['alert']}: the description must say what to do")
    return found


def _dashboard_faults(dashboard: dict, name: str, queries: list) -> list[str]:
    found = [f"dashboards/{name}: no {key}" for key in ("uid", "title", "schemaVersion", "panels", "templating", "time") if key not in dashboard]
    ids, places = set(), []
    variables = {"datasource"} | {variable["name"] for variable in dashboard["templating"]["list"]}
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        if panel["id"] in ids:
            found.append(f"dashboards/{name}: two panels have the id {panel['id']}")
        ids.add(panel["id"])
        if place["x"] + place["w"] > 24:
            found.append(f"dashboards/{name}: {panel['title']} is beyond the right edge")
        for x, y, w, h, title in places:
            if place["x"] < x + w and x < place["x"] + place["w"] and place["y"] < y + h and y < place["y"] + place["h"]:
                found.append(f"dashboards/{name}: {panel['title']} lies over {title}")
        places.append((place["x"], place["y"], place["w"], place["h"], panel["title"]))
        if panel["type"] == "row":
            continue
        if not panel.get("targets") or not panel.get("description") or "unit" not in panel["fieldConfig"]["defaults"]:
            found.append(f"dashboards/{name}: {panel['title']} needs targets, a unit and a description")
        for target in panel.get("targets", []):
            queries.append((f"dashboards/{name}: {panel['title']}", target["expr"]))
            for variable in re.findall(r"\$(\w+)", target["expr"]):
                if variable not in variables and not variable.startswith("__"):
                    found.append(f"dashboards/{name}: {panel['title']}: there is no variable ${variable}")
    return found


def _unparsable(queries: list[tuple[str, str]], tools: Tools, scratch: Path) -> list[str]:
    """promtool reads them as recording rules, with something in the place of each variable."""
    plain = [re.sub(r"\$__rate_interval", "5m", query) for _, query in queries]
    rules = [{"record": f"dashboard:query:{number}", "expr": re.sub(r"\$\w+", ".*", query)} for number, query in enumerate(plain)]
    file = scratch / "dashboard.rules.yaml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    ran = subprocess.run([tools.promtool, "check", "rules", "--lint=none", str(file)], capture_output=True, text=True)
    if ran.returncode == 0:
        return []
    said = (ran.stdout + ran.stderr).strip()
    numbers = {int(n) for n in re.findall(r"dashboard:query:(\d+)", said)}
    return [f"{queries[n][0]}: the query does not parse: {said[-400:]}" for n in sorted(numbers)] or [said[-500:]]
