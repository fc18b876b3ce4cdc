"""deploy/Dockerfile: hadolint, and that it fits the repository."""
from __future__ import annotations

import re
import subprocess
from pathlib import Path

from toolbox import Tools


def faults(deploy: Path, repository: Path, tools: Tools) -> list[str]:
    file = deploy / "Dockerfile"
    text = file.read_text()
    ran = subprocess.run([tools.hadolint, "--no-color", "--failure-threshold", "info", str(file)], capture_output=True, text=True)
    found = [f"Dockerfile: hadolint: {line}" for line in ran.stdout.splitlines()] if ran.returncode != 0 else []
    toolchain = re.search(r'channel = "([\d.]+)"', (repository / "rust-toolchain.toml").read_text()).group(1)
    if f"FROM rust:{toolchain}-" not in text:
        found.append(f"Dockerfile: it does not build with Rust {toolchain} of rust-toolchain.toml")
    releases = set(re.findall(r"^FROM \S+?(bookworm|trixie|bullseye)", text, re.M))
    if len(releases) != 1:
        found.append(f"Dockerfile: built and run on different releases of Debian: {sorted(releases)}")
    if not re.search(r"^USER (?!0)\d+:\d+$", text, re.M):
        found.append("Dockerfile: the user must be a number that is not 0")
    if not re.search(r"^ENTRYPOINT \[\"/usr/bin/evenhand\"\]$", text, re.M):
        found.append("Dockerfile: signals reach the process only in the exec form of ENTRYPOINT")
    return found
