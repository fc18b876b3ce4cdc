"""Where ci/deploy put the programs that the checks run."""
from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Tools:
    kustomize: str
    compose: str
    monitors: str
    hadolint: str
    promtool: str
    haproxy: str
    environment: dict[str, str]


def tools() -> Tools:
    place = os.environ.get("DEPLOY_TOOLS")
    if not place:
        raise SystemExit("DEPLOY_TOOLS is not set: run ci/deploy, which installs what the checks need and then runs them")
    root = Path(place)
    libraries = ":".join(str(path) for path in sorted((root / "debian/usr/lib").glob("*-linux-gnu")))
    return Tools(
        kustomize=str(root / "go/kustomize"),
        compose=str(root / "go/compose-spec"),
        monitors=str(root / "go/monitors"),
        hadolint=str(root / "venv/bin/hadolint"),
        promtool=str(root / "debian/usr/bin/promtool"),
        haproxy=str(root / "debian/usr/sbin/haproxy"),
        environment={**os.environ, "LD_LIBRARY_PATH": libraries},
    )
