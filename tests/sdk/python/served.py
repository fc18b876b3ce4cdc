"""A real `evenhand serve` with one running experiment, and how the proofs of this folder are run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "e2e"))
from world import P, World  # noqa: E402

EXPERIMENT = "checkout-test"
HOUR_MS = 3_600_000


class Shop(World):
    """`checkout` gives half the users `a`, the others `b`; `purchase` is what the experiment counts."""

    def __init__(self, directory: Path):
        super().__init__(directory)
        self.flag("checkout")
        self.api(
            "POST",
            f"{P}/metrics",
            {"key": "purchases", "kind": "conversion_rate", "event": {"event_name": "purchase"}},
        )
        self.experiment(EXPERIMENT, "checkout", metrics=[{"metric": "purchases", "role": "primary"}])
        self.act(EXPERIMENT, "start")
        self.key = self.keys["server"]
        self.eventually(lambda: EXPERIMENT in self.manifest(), bool, "the experiment is published")

    def manifest(self) -> str:
        return self.http("GET", f"/v1/manifest/{self.key}", key=self.key).body.decode()

    def kill(self) -> None:
        self.server.kill()
        self.connection.close()

    def revive(self) -> None:
        self.server.start()

    def arms(self) -> dict[str, int]:
        return {arm["id"]: arm["units"] for arm in self.results(EXPERIMENT)["variations"]}

    def units(self) -> int:
        return sum(self.arms().values())

    def conversions(self) -> int:
        arms = self.results(EXPERIMENT)["metrics"][0]["arms"]
        return round(sum((arm["estimate"] or {}).get("total", 0) for arm in arms))

    def rows(self, name: str) -> int:
        """Stored events of a name."""
        return int(self.sql(f"SELECT count(*) FROM events WHERE event_name = '{name}'")[0][0])

    def duplicates(self) -> int:
        """Records that came a second time under an id that was there."""
        text = self.http("GET", "/metrics").body.decode()
        values = [line.split()[-1] for line in text.splitlines() if line.startswith("evenhand_events_duplicate")]
        self.check(bool(values), "the metrics count duplicates", text[:300])
        return round(sum(map(float, values)))

    def takes(self, units: int, conversions: int | None = None) -> None:
        """The results come to so many units, each by one exposure, and stay there."""
        self.eventually(self.units, lambda found: found == units, f"{units} units are counted")
        if conversions is not None:
            self.eventually(
                self.conversions, lambda found: found == conversions, f"{conversions} conversions are counted"
            )
        self.equal(self.rows("$exposure"), units, "there is one exposure a unit")


def python(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """A fresh interpreter with the installed package, whatever lies in the caller's folder."""
    return subprocess.Popen([sys.executable, *arguments], text=True, stdout=subprocess.PIPE, **{"cwd": HERE, **options})


def finished(process: subprocess.Popen[str], seconds: float = 60.0) -> str:
    """What it printed; it must end well, and in time."""
    try:
        out, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise AssertionError(f"{process.args} does not end") from None
    if process.returncode != 0:
        raise AssertionError(f"{process.args} ends with {process.returncode}; it printed: {out[-2000:]}")
    return out


def figures(name: str, **found: object) -> None:
    """Adds to the figures of the run."""
    if path := os.environ.get("SDK_FIGURES"):
        with open(path, "a") as file:
            file.write(json.dumps({name: found}) + "\n")


def run(title: str, proofs: list[tuple[str, Callable[[Shop], str | None]]]) -> None:
    """All of them against one server; the first that fails ends it."""
    only = sys.argv[2:]
    with tempfile.TemporaryDirectory(prefix="evenhand-sdk-") as directory:
        shop = Shop(Path(directory))
        try:
            for name, prove in proofs:
                if only and not any(word in name for word in only):
                    continue
                began = time.monotonic()
                detail = prove(shop)
                print(f"  {name} ({f'{detail}, ' if detail else ''}{time.monotonic() - began:.1f} s)", flush=True)
        except BaseException:
            print(shop.server.tail(), file=sys.stderr)
            raise
        finally:
            shop.close()
        print(f"{title}: {shop.checks} checks", flush=True)
