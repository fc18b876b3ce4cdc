"""10,000 assignments a second over HTTP and over gRPC with PostgreSQL and Redis behind the node: the load of `tests/scale`, which starts the server, here
with a configuration that names both."""
from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "servers"))
from cluster import Cluster  # noqa: E402
from servers import Postgres, Redis  # noqa: E402

SCALE = Path(__file__).resolve().parent.parent / "scale" / "run"


def wrapper(cluster: Cluster, directory: Path) -> Path:
    """A command that is the binary with these engines behind it."""
    configuration = directory / "evenhand.toml"
    configuration.write_text(
        f'[definitions]\npostgres = "{cluster.servers["postgres"].url}"\nsigning_keys_file = "{cluster.secrets}/signing-keys.json"\n'
        f'[cache]\nredis = "{cluster.servers["redis"].url}"\n')
    command = directory / "evenhand-with-engines"
    command.write_text(f'#!/bin/sh\nexec "{cluster.binary}" "$@" --config "{configuration}"\n')
    command.chmod(0o755)
    return command


def play(directory: Path, size: str) -> dict:
    with Cluster(directory, (Postgres, Redis)) as cluster:
        figures = directory / "figures.json"
        subprocess.run(
            [SCALE, "--size", size, "--only", "assign", "--only", "grpc", "--json", figures], check=True,
            env={**os.environ, "EVENHAND_BIN": str(wrapper(cluster, directory))})
        # The engines must have been in use, or this measured a single machine again.
        redis = cluster.servers["redis"]
        with socket.create_connection(("127.0.0.1", redis.port), 10) as connection:
            connection.sendall(b"EXISTS active_experiments_v1:production\r\n")
            if not connection.recv(16).startswith(b":1"):
                raise AssertionError("Redis holds no manifest of production")
        published = int(cluster.servers["postgres"].sql("SELECT count(*) FROM manifests"))
        if not published:
            raise AssertionError("PostgreSQL holds no manifest")
    return json.loads(figures.read_text())
