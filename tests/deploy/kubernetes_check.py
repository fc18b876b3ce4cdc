"""deploy/kubernetes: both overlays are built; every object is held against its schema, and objects against one another."""
from __future__ import annotations

import functools
import json
import re
import subprocess
import tomllib
from pathlib import Path

import kubernetes_validate
import yaml

import settings
from toolbox import Tools

VERSION = "1.33"
OVERLAYS = ("small", "large")
UNITS = {"": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}
# At the stop a node answers what runs for this long (server/evenhand/src/http/connections.rs).
DRAIN_SECONDS = 5


def size(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([KMGT]i)?", text).groups()
    return int(number) * UNITS[unit or ""]


def faults(deploy: Path, tools: Tools, structs: dict) -> tuple[list[str], int]:
    found: list[str] = []
    count = 0
    for overlay in OVERLAYS:
        ran = subprocess.run([tools.kustomize, "build", str(deploy / "kubernetes/overlays" / overlay)], capture_output=True, text=True)
        if ran.returncode != 0:
            found.append(f"overlays/{overlay}: {ran.stderr.strip()[-1500:]}")
            continue
        objects = [document for document in yaml.load_all(ran.stdout, yaml.CSafeLoader) if document]
        count += len(objects)
        found += _schema_faults(objects, f"overlays/{overlay}")
        found += _monitor_faults(ran.stdout, objects, tools, f"overlays/{overlay}")
        try:
            found += _together(objects, structs, f"overlays/{overlay}")
        except KeyError as missing:
            found.append(f"overlays/{overlay}: there is no {missing}")
    job = yaml.safe_load((deploy / "kubernetes/check-job.yaml").read_text())
    count += 1
    found += _schema_faults([job], "check-job.yaml") + _pod_faults(job["spec"]["template"]["spec"], "check-job.yaml", probes=False)
    ran = subprocess.run([tools.kustomize, "build", str(deploy / "kubernetes/base")], capture_output=True, text=True)
    if ran.returncode != 0:
        found.append(f"base: {ran.stderr.strip()[-500:]}")
    found += settings.toml_faults(structs, (deploy / "kubernetes/base/evenhand.toml").read_text(), "base/evenhand.toml")
    return found, count


def _schema_faults(objects: list[dict], where: str) -> list[str]:
    found = []
    for document in objects:
        if document.get("apiVersion") == "monitoring.coreos.com/v1":
            continue
        if message := _schema_fault(json.dumps(document)):
            found.append(f"{where}: {document.get('kind')}/{document.get('metadata', {}).get('name', '')}: {message}")
    return found


@functools.cache  # damaged copies are mostly the same objects again, and each costs a schema of half a megabyte
def _schema_fault(text: str) -> str | None:
    document = json.loads(text)
    try:
        kubernetes_validate.validate(document, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(map(str, error.path))}: {error.message[:300]}"
    except kubernetes_validate.SchemaNotFoundError:
        return f"Kubernetes {VERSION} has no {document.get('apiVersion')}"
    return None


def _monitor_faults(text: str, objects: list[dict], tools: Tools, where: str) -> list[str]:
    there = sum(document.get("apiVersion") == "monitoring.coreos.com/v1" for document in objects)
    ran = subprocess.run([tools.monitors], input=text, capture_output=True, text=True)
    if ran.returncode != 0 or int(ran.stdout) != there:
        return [f"{where}: monitors: {ran.stderr.strip()[-500:] or ran.stdout}"]
    return []


def _matches(selector: dict, labels: dict) -> bool:
    wanted = selector.get("matchLabels", {})
    chosen = all(labels.get(key) == value for key, value in wanted.items())
    return chosen and all(labels.get(e["key"]) in e["values"] for e in selector.get("matchExpressions", []) if e["operator"] == "In")


def _together(objects: list[dict], structs: dict, where: str) -> list[str]:
    """What a schema can't see: names that lead nowhere, and figures that don't fit one another."""
    found = []
    by_kind: dict[str, dict[str, dict]] = {}
    for document in objects:
        by_kind.setdefault(document["kind"], {})[document["metadata"]["name"]] = document
    if "Secret" in by_kind:
        found.append(f"{where}: a Secret stands in the repository; only references may")
    workloads = {f"{kind}/{name}": w for kind in ("StatefulSet", "Deployment") for name, w in by_kind.get(kind, {}).items()}
    pods = {name: w["spec"]["template"] for name, w in workloads.items()}
    for name, template in pods.items():
        found += _pod_faults(template["spec"], f"{where}: {name}", probes=True)
        for container in template["spec"]["containers"]:
            for variable in container.get("env", []):
                found += settings.variable_faults(structs, variable["name"], variable.get("value", ""), f"{where}: {name}")
        if template["spec"]["serviceAccountName"] not in by_kind["ServiceAccount"]:
            found.append(f"{where}: {name}: no such service account")
        for volume in template["spec"]["volumes"]:
            if "configMap" in volume and volume["configMap"]["name"] not in by_kind["ConfigMap"]:
                found.append(f"{where}: {name}: there is no ConfigMap {volume['configMap']['name']}")
    for kind, selector in (("Service", lambda d: {"matchLabels": d["spec"]["selector"]}), ("PodDisruptionBudget", lambda d: d["spec"]["selector"]), ("NetworkPolicy", lambda d: d["spec"]["podSelector"])):
        for name, document in by_kind[kind].items():
            chosen = [pod for pod in pods.values() if _matches(selector(document), pod["metadata"]["labels"])]
            if len(chosen) != 1:
                found.append(f"{where}: {kind}/{name} selects {len(chosen)} workloads, not one")
            ports = {port["name"] for pod in chosen for c in pod["spec"]["containers"] for port in c["ports"]}
            for port in document["spec"].get("ports", []) if kind == "Service" else []:
                if port["targetPort"] not in ports:
                    found.append(f"{where}: Service/{name}: the pods have no port {port['targetPort']}")
    for name, document in by_kind["Ingress"].items():
        for rule in document["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = by_kind["Service"].get(path["backend"]["service"]["name"])
                if not service or path["backend"]["service"]["port"]["name"] not in {p["name"] for p in service["spec"]["ports"]}:
                    found.append(f"{where}: Ingress/{name}: {path['path']} leads nowhere")
                if not path["path"].startswith(("/v1/", "/ofrep/")):
                    found.append(f"{where}: Ingress/{name} opens {path['path']} to the outside")
    configs = [document["data"]["evenhand.toml"] for document in by_kind["ConfigMap"].values()]
    for text in configs:
        found += settings.toml_faults(structs, text, f"{where}: evenhand.toml")
    try:
        config = tomllib.loads(configs[0])
    except tomllib.TOMLDecodeError:
        return found
    events = config.get("events", {})
    for name, scaler in by_kind["HorizontalPodAutoscaler"].items():
        target = scaler["spec"]["scaleTargetRef"]
        workload = workloads.get(f"{target['kind']}/{target['name']}")
        if workload is None:
            found.append(f"{where}: HorizontalPodAutoscaler/{name}: there is no {target['kind']}/{target['name']}")
        elif "replicas" in workload["spec"]:
            found.append(f"{where}: {target['kind']}/{target['name']}: `replicas` would undo the autoscaler at each apply")
        if target["name"] == "evenhand-process" and scaler["spec"]["maxReplicas"] > events.get("partitions", 24):
            found.append(f"{where}: more process nodes than partitions")
    claim = size(by_kind["StatefulSet"]["evenhand-serve"]["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"])
    if events.get("spool_bytes", 1 << 30) > 0.8 * claim:
        found.append(f"{where}: spool_bytes is more than 80 % of the claim of {claim} bytes")
    return found


def _pod_faults(pod: dict, where: str, probes: bool) -> list[str]:
    found = []
    security = pod.get("securityContext", {})
    if not security.get("runAsNonRoot") or security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        found.append(f"{where}: the pod may run as root or without a seccomp profile")
    if pod.get("automountServiceAccountToken") is not False:
        found.append(f"{where}: the pod gets a token of the Kubernetes API")
    volumes = {volume["name"] for volume in pod.get("volumes", [])} | ({"data"} if probes else set())
    for container in pod["containers"]:
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False or not own.get("readOnlyRootFilesystem") or own.get("capabilities", {}).get("drop") != ["ALL"]:
            found.append(f"{where}: the container's securityContext allows too much")
        resources = container.get("resources", {})
        if not {"cpu", "memory"} <= set(resources.get("requests", {})) or "memory" not in resources.get("limits", {}):
            found.append(f"{where}: requests of cpu and memory and a limit of memory are needed")
        if probes and not {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container):
            found.append(f"{where}: a probe is missing")
        if probes and ":" not in container["image"]:
            found.append(f"{where}: the image {container['image']} has no version")
        if container.get("livenessProbe", {}).get("httpGet", {}).get("path") == "/readyz":
            found.append(f"{where}: liveness must not ask for the servers behind")
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                found.append(f"{where}: there is no volume {mount['name']}")
        wait = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        if pod.get("terminationGracePeriodSeconds", 30) < wait + 2 * DRAIN_SECONDS:
            found.append(f"{where}: the pod is killed before it is done")
    return found
