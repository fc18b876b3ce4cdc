"""What the run asks of the platform beside ingestion: an experiment, its exposures, stored ids, results."""
from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from connection import Answer, Connection
from traffic import PURCHASE, Arm

if TYPE_CHECKING:
    from server_process import ServerProcess

PROJECT, ENVIRONMENT = "default", "production"
FLAG, EXPERIMENT = "durability-flag", "durability"
UNITS = 1_500
PAGE = 50_000


class Platform:
    """Routes of the management and the public side; every unexpected answer raises with what was said."""

    def __init__(self, server: "ServerProcess"):
        self.server = server
        self._keys: dict[str, str] | None = None
        self._token: str | None = None

    # ---- credentials, made at first start ----

    def _secret(self, name: str) -> str:
        path = Path(self.server.data, name)
        if not path.exists():
            raise RuntimeError(f"the server is ready but {path.name} is not in its data directory")
        return path.read_text().strip()

    @property
    def token(self) -> str:
        if self._token is None:
            self._token = self._secret("admin-token")
        return self._token

    @property
    def keys(self) -> dict[str, str]:
        if self._keys is None:
            self._keys = json.loads(self._secret("keys.json"))
        return self._keys

    @property
    def event_headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys['server']}"}

    # ---- calls ----

    def api(self, connection: Connection, method: str, path: str, body=None, expect: tuple[int, ...] = (200, 201, 202, 204)) -> Answer:
        headers = {"Authorization": f"Bearer {self.token}"}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        answer = connection.request(method, path, data, headers)
        if answer.status not in expect:
            raise RuntimeError(f"{method} {path}: {answer.status} {answer.body[:500]!r}")
        return answer

    def sql(self, connection: Connection, query: str, limit: int = PAGE) -> list[list]:
        answer = self.api(connection, "POST", f"/api/environments/{ENVIRONMENT}/sql", {"query": query, "limit": limit}).json()
        if answer.get("truncated"):
            raise RuntimeError(f"more than {limit} rows: {query}")
        return answer["rows"]

    # ---- definitions ----

    def create_flag(self, connection: Connection, key: str) -> None:
        flag = {"key": key, "type": "string", "off": "control", "default": "control",
                "variations": [{"key": "control", "value": "a"}, {"key": "treatment", "value": "b"}]}
        self.api(connection, "POST", f"/api/projects/{PROJECT}/flags", flag)

    def has_flag(self, connection: Connection, key: str) -> bool:
        return self.api(connection, "GET", f"/api/projects/{PROJECT}/flags/{key}", expect=(200, 404)).status == 200

    def version(self, connection: Connection) -> tuple[int, int]:
        """(generation, version) of the manifest that is served."""
        answer = connection.request("GET", f"/v1/manifest/{self.keys['server']}")
        if answer.status != 200:
            raise RuntimeError(f"GET /v1/manifest: {answer.status} {answer.body[:300]!r}")
        manifest = answer.json()
        manifest = manifest.get("signed", manifest)
        return int(manifest["generation"]), int(manifest["version"])

    def prepare(self, connection: Connection) -> dict[str, dict]:
        """One running experiment; unit → the exposure record that the platform says to send."""
        self.create_flag(connection, FLAG)
        for kind in ("conversion_rate", "count", "sum"):
            self.api(connection, "POST", f"/api/projects/{PROJECT}/metrics", {"key": f"purchase-{kind.replace('_', '-')}", "kind": kind, "event": {"event_name": PURCHASE}})
        self.api(connection, "POST", f"/api/projects/{PROJECT}/experiments", {
            "key": EXPERIMENT, "flag": FLAG, "unit": "user_id",
            "variations": [{"variation": "control", "weight": 5000}, {"variation": "treatment", "weight": 5000}],
            "metrics": [{"metric": "purchase-conversion-rate", "role": "primary"}, {"metric": "purchase-count", "role": "secondary"}, {"metric": "purchase-sum", "role": "secondary"}]})
        self.api(connection, "POST", f"/api/environments/{ENVIRONMENT}/experiments/{EXPERIMENT}/start", {})
        exposures = {}
        until = time.monotonic() + 5
        for number in range(UNITS):
            unit = f"unit-{number}"
            while unit not in exposures:
                answer = connection.request("POST", "/v1/assignments", json.dumps({"context": {"user_id": unit}, "flags": [FLAG]}).encode(),
                                            {**self.event_headers, "Content-Type": "application/json"})
                decision = answer.json().get("assignments", {}).get(FLAG, {}) if answer.status == 200 else {}
                if "exposure" in decision:
                    exposures[unit] = decision["exposure"]
                elif time.monotonic() > until:
                    raise RuntimeError(f"no exposure for {unit} 5 s after the start of the experiment: {answer.status} {answer.body[:500]!r}")
        return exposures

    # ---- what became of the events ----

    def settled(self, connection: Connection) -> bool:
        """Whether processing has caught up with the log."""
        answer = connection.request("GET", "/metrics")
        lags = re.findall(rb"^evenhand_[a-z_]*lag_events(?:\{[^}]*\})? ([0-9.e+]+)$", answer.body, re.M)
        if not lags:
            raise RuntimeError("no metric says how many events are unprocessed")
        return all(float(lag) == 0 for lag in lags)

    def which_stored(self, connection: Connection, ids: list[str]) -> set[str]:
        if not ids:
            return set()
        listed = ",".join(f"'{event_id}'" for event_id in ids)
        return {row[0] for row in self.sql(connection, f"select event_id from events where event_id in ({listed})")}

    def stored_ids(self, connection: Connection) -> list[str]:
        """All of them, with repetitions if there are any."""
        found: list[str] = []
        after = ""
        while True:
            page = self.sql(connection, f"select event_id, count(*) from events where event_id > '{after}' group by event_id order by event_id limit {PAGE}")
            for event_id, count in page:
                found += [event_id] * int(count)
            if len(page) < PAGE:
                return found
            after = page[-1][0]

    def compare_results(self, connection: Connection, arms: dict[str, Arm], multiple: int) -> list[str]:
        """What differs between the results endpoint and the model, in words."""
        path = f"/api/environments/{ENVIRONMENT}/experiments/{EXPERIMENT}/results"
        until = time.monotonic() + 5
        while True:
            found = self.figures(self.api(connection, "GET", path).json())
            expected = {"units with two variations": multiple}
            for variation, arm in arms.items():
                expected |= {f"{variation} units": arm.units, f"{variation} converted": arm.converted,
                             f"{variation} purchases": arm.purchases, f"{variation} micros": arm.micros}
            wrong = [f"results: {name} is {found.get(name)}, the model says {value}" for name, value in expected.items() if found.get(name) != value]
            if not wrong or time.monotonic() > until:
                return wrong
            time.sleep(0.1)

    @staticmethod
    def figures(results: dict) -> dict[str, int]:
        figures = {"units with two variations": results["multiple_exposure_units"]}
        for variation in results["variations"]:
            figures[f"{variation['id']} units"] = variation["units"]
        # The built-in guardrail, which every experiment has, is none of the model's.
        for metric in (metric for metric in results["metrics"] if metric["id"] != "error"):
            # Conversions and counts are kept in the same exact millionths as sums of values.
            name, unit = {"purchase-conversion-rate": ("converted", 10**6), "purchase-count": ("purchases", 10**6), "purchase-sum": ("micros", 1)}[metric["id"]]
            for arm in metric["arms"]:
                whole, rest = divmod(int(arm["sum_micros"]), unit)
                figures[f"{arm['variation_id']} {name}"] = whole if rest == 0 else whole + rest / unit
        return figures
