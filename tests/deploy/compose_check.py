"""deploy/compose.yaml: read by Compose's own loader (schema, interpolation, references), and what a loader does not ask."""
from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import yaml

import settings
from toolbox import Tools

NO_HEALTH_CHECK = {"collector"}  # its image has no program that could ask


def faults(deploy: Path, tools: Tools, structs: dict) -> tuple[list[str], int]:
    file = deploy / "compose.yaml"
    ran = subprocess.run([tools.compose, "--format", "json", str(file)], cwd=deploy, capture_output=True, text=True)
    if ran.returncode != 0:
        return [f"compose.yaml: {(ran.stdout + ran.stderr).strip()[-1500:]}"], 0
    project = json.loads(ran.stdout)
    found: list[str] = []
    made = _made_secrets(deploy)
    for name, secret in project["secrets"].items():
        relative = Path(secret["file"]).relative_to(deploy)
        if relative.parts[0] != "secrets" or relative.name not in made:
            found.append(f"compose.yaml: secret {name} is {relative}, which deploy/make-secrets does not make")
    for name, config in project["configs"].items():
        if not Path(config["file"]).is_file():
            found.append(f"compose.yaml: config {name}: there is no file {config['file']}")
    used = {kind: set() for kind in ("configs", "secrets", "volumes")}
    for name, service in project["services"].items():
        found += _service_faults(name, service, project, structs)
        used["configs"] |= {entry["source"] for entry in service.get("configs", [])}
        used["secrets"] |= {entry["source"] for entry in service.get("secrets", [])}
        used["volumes"] |= {entry["source"] for entry in service.get("volumes", [])}
    for kind, names in used.items():
        for name in sorted(set(project[kind]) - names):
            found.append(f"compose.yaml: {kind}: nobody uses {name}")
    found += _postgres_faults(project["services"]["postgres"])
    found += settings.toml_faults(structs, (deploy / "compose/evenhand.toml").read_text(), "compose/evenhand.toml")
    ran = subprocess.run([tools.haproxy, "-c", "-q", "-f", str(deploy / "compose/haproxy.cfg")], capture_output=True, text=True, env=tools.environment)
    if ran.returncode != 0:
        found.append(f"compose/haproxy.cfg: {ran.stderr.strip()[-800:]}")
    for path in sorted((deploy / "compose").iterdir()):
        try:
            if path.suffix == ".xml":
                ElementTree.parse(path)
            elif path.suffix == ".yaml":
                yaml.safe_load(path.read_text())
        except (ElementTree.ParseError, yaml.YAMLError) as error:
            found.append(f"compose/{path.name}: {error}")
    ran = subprocess.run(["bash", "-n", str(deploy / "compose/postgres-roles.sh")], capture_output=True, text=True)
    if ran.returncode != 0:
        found.append(f"compose/postgres-roles.sh: {ran.stderr.strip()}")
    return found, len(project["services"])


def _made_secrets(deploy: Path) -> set[str]:
    """What make-secrets makes; a second run must change nothing."""
    with tempfile.TemporaryDirectory() as directory:
        make = [str(deploy / "make-secrets"), directory]
        subprocess.run(make, check=True, capture_output=True)
        first = {path.name: path.read_bytes() for path in Path(directory).iterdir()}
        subprocess.run([*make, "--environment", "production"], check=True, capture_output=True)
        if first != {path.name: path.read_bytes() for path in Path(directory).iterdir()}:
            raise SystemExit("make-secrets changes what is there")
        keys = json.loads(first["signing-keys.json"])["production"]
        if any(not re.fullmatch(r"[A-Za-z0-9_-]{43}", keys[kind]["seed"]) for kind in ("manifest", "overrides")):
            raise SystemExit("make-secrets: a seed is not 32 bytes of base64url")
        if not re.fullmatch(rb"[0-9a-f]{64}\n", first["pseudonym.key"]):
            raise SystemExit("make-secrets: the pseudonym key is not 64 hexadecimal digits")
    return set(first)


def _service_faults(name: str, service: dict, project: dict, structs: dict) -> list[str]:
    found = []
    where = f"compose.yaml: {name}"
    if not service.get("deploy", {}).get("resources", {}).get("limits", {}).get("memory"):
        found.append(f"{where} has no memory limit")
    # The loader leaves these to the engine.
    for kind in ("configs", "secrets"):
        for entry in service.get(kind, []):
            if entry["source"] not in project[kind]:
                found.append(f"{where}: {kind}: there is no {entry['source']}")
    if not service.get("restart"):
        found.append(f"{where} is not restarted")
    if "healthcheck" not in service and name not in NO_HEALTH_CHECK:
        found.append(f"{where} has no health check")
    if re.search(r":latest$|^[^:@]+$", service["image"]):
        found.append(f"{where}: the image {service['image']} has no version")
    for other, how in service.get("depends_on", {}).items():
        if how["condition"] == "service_healthy" and "healthcheck" not in project["services"][other]:
            found.append(f"{where} waits for the health of {other}, which has no check of it")
    for variable, value in (service.get("environment") or {}).items():
        found += settings.variable_faults(structs, variable, value or "", where)
        if value and value.startswith("/run/secrets/") and value.removeprefix("/run/secrets/") not in {entry["source"] for entry in service.get("secrets", [])}:
            found.append(f"{where}: {variable} is {value}, which is not mounted")
    return found


def _postgres_faults(service: dict) -> list[str]:
    given = " ".join(service["command"])
    return [f"compose.yaml: postgres lacks {setting}" for setting in ("wal_level=logical", "max_slot_wal_keep_size=") if setting not in given]
