"""Does a check see what is broken? Copies of deploy/ with one thing damaged each: every one must be reported, by the check that it belongs to and
in words that name it."""
from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

# check, file, what stands there, what stands there instead, what the report must hold
DAMAGES = [
    ("compose", "compose.yaml", "condition: service_healthy", "condition: service_healty", "condition"),
    ("compose", "compose.yaml", "restart: unless-stopped", "restrat: unless-stopped", "restrat"),
    ("compose", "compose.yaml", "secrets: [redis-password]", "secrets: [redis-pasword]", "redis-pasword"),
    ("compose", "compose.yaml", "-cwal_level=logical", "-cwal_level=replica", "wal_level=logical"),
    ("compose", "compose.yaml", "EVENHAND__DEFINITIONS__ADMIN_TOKEN_FILE", "EVENHAND__DEFINITION__ADMIN_TOKEN_FILE", "no section `definition`"),
    ("compose", "compose.yaml", "secrets/pseudonym.key", "secrets/pseudonym-key", "does not make"),
    ("compose", "compose/evenhand.toml", "partitions = 6", "partition = 6", "`partition` is no setting"),
    ("compose", "compose/evenhand.toml", 'feed = "replication"', 'feed = "replicate"', "`replicate` is none of"),
    ("compose", "compose/evenhand.toml", "postgres://evenhand@", "postgres://evenhand:hunter2@", "holds a password"),
    ("compose", "compose/clickhouse.xml", "</logger>", "</loger>", "clickhouse.xml"),
    ("compose", "compose/haproxy.cfg", "balance leastconn", "balance leastcon", "haproxy.cfg"),
    ("kubernetes", "kubernetes/base/serve.yaml", "readinessProbe:", "readyProbe:", "readyProbe"),
    ("kubernetes", "kubernetes/base/serve.yaml", "EVENHAND__PSEUDONYM_KEY_FILE", "EVENHAND__PSEUDONYM_KEYFILE", "pseudonym_keyfile"),
    ("kubernetes", "kubernetes/base/serve.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "allows too much"),
    ("kubernetes", "kubernetes/base/serve.yaml", "{ name: grpc, containerPort: 8788 }", "{ name: rpc, containerPort: 8788 }", "no port grpc"),
    ("kubernetes", "kubernetes/base/serve.yaml", "httpGet: { path: /healthz, port: http }\n            periodSeconds: 10", "httpGet: { path: /readyz, port: http }\n            periodSeconds: 10", "liveness"),
    ("kubernetes", "kubernetes/base/process.yaml", "configMap: { name: evenhand-config }", "configMap: { name: evenhand-settings }", "no ConfigMap"),
    ("kubernetes", "kubernetes/base/autoscaling.yaml", "kind: StatefulSet, name: evenhand-serve", "kind: Deployment, name: evenhand-serve", "there is no Deployment/evenhand-serve"),
    ("kubernetes", "kubernetes/base/disruption.yaml", "maxUnavailable: 1", "maxUnavailable: [1]", "maxUnavailable"),
    ("kubernetes", "kubernetes/overlays/large/kustomization.yaml", "storage, value: 80Gi", "storage, value: 50Gi", "80 %"),
    ("kubernetes", "kubernetes/overlays/large/kustomization.yaml", "path: /spec/maxReplicas, value: 24", "path: /spec/maxReplicass, value: 24", "overlays/large"),
    ("kubernetes", "kubernetes/overlays/large/evenhand.toml", "partitions = 24", "partitions = 12", "more process nodes than partitions"),
    ("kubernetes", "kubernetes/overlays/small/evenhand.toml", "retention_days = 400", "retention_days = 0", "retention_days"),
    ("kubernetes", "kubernetes/components/monitors/monitors.yaml", "podMetricsEndpoints:", "podMetricEndpoints:", "podMetricEndpoints"),
    ("kubernetes", "kubernetes/components/ingress/ingress.yaml", "path: /v1/,", "path: /,", "opens / to the outside"),
    ("kubernetes", "kubernetes/check-job.yaml", "backoffLimit: 0", "backoffLimits: 0", "backoffLimits"),
    ("series", "alerts/events.yaml", "max(evenhand_clickhouse_up) == 0", "max(evenhand_clickhouse_up == 0", "EvenhandClickHouseCutOff"),
    ("series", "alerts/events.yaml", "min by (instance) (evenhand_kafka_up)", "min by (instance) (evenhand_kafka_upp)", "evenhand_kafka_upp is not in the table"),
    ("series", "alerts/recording.yaml", "record: evenhand:process_lag:seconds", "record: evenhand:processing_lag:seconds", "nothing records evenhand:process_lag:seconds"),
    ("series", "alerts/README.md", "`evenhand_decisions_total`", "`evenhand_decided_total`", "no source below server/ names it"),
    ("series", "dashboards/evenhand.json", '"panels"', '"pannels"', "panels"),
    ("series", "dashboards/evenhand.json", "histogram_quantile(0.99", "histogram_quantil(0.99", "does not parse"),
    ("alerts", "alerts/serving.yaml", "> 0.01", "> 0.1", "EvenhandAssignmentsSlow"),
    ("alerts", "alerts/definitions.yaml", 'status=~"unreserved|lost"', 'status=~"reserved|lost"', "EvenhandSlotEndangered"),
    ("image", "Dockerfile", "USER 10001:10001", "USER root", "not 0"),
    ("image", "Dockerfile", "FROM rust:1.95.0-bookworm", "FROM rust:1.94.0-bookworm", "rust-toolchain.toml"),
    ("image", "Dockerfile", "WORKDIR /source", "WORKDIR source", "hadolint"),
]


def faults(deploy: Path, checks: dict) -> tuple[list[str], int]:
    """`checks`: name → (copy of deploy → faults)."""
    missed = []
    for check, file, before, after, words in DAMAGES:
        with tempfile.TemporaryDirectory(prefix="evenhand-deploy-") as directory:
            copy = Path(directory).resolve() / "deploy"
            shutil.copytree(deploy, copy, ignore=shutil.ignore_patterns("secrets", "flink"))
            text = (copy / file).read_text()
            if before not in text:
                missed.append(f"damaged: {file} has no `{before}` any more; mend tests/deploy/damaged.py")
                continue
            (copy / file).write_text(text.replace(before, after))
            try:
                reported = "\n".join(checks[check](copy))
            except SystemExit as stopped:
                reported = str(stopped)
            if words not in reported:
                missed.append(f"damaged: `{after}` in {file} was not reported by the check `{check}`; it said: {reported[:600] or 'nothing'}")
    return missed, len(DAMAGES)
