"""Our row in the side-by-side measurement of SDKs (benches/peers), through the public API of the installed package.

python peer.py --harness FOLDER/py --contexts kept|dict --data DATA --mode bench|init|mem [--budget 2]

DATA holds evenhand_200.json and evenhand_5000.json, as `evenhand-peer --mode convert` writes them.
"""

import sys
from collections.abc import Callable, Iterable
from typing import Any


def taken(name: str) -> str:
    """An argument of ours: the harness reads the others."""
    at = sys.argv.index(name)
    value = sys.argv[at + 1]
    del sys.argv[at : at + 2]
    return value


sys.path.insert(0, taken("--harness"))
KEPT = {"kept": True, "dict": False}[taken("--contexts")]

from harness import Peer, run  # noqa: E402

import evenhand  # noqa: E402


class Evenhand(Peer):  # type: ignore[misc]
    name = "evenhand" if KEPT else "evenhand, dict"
    package = "evenhand"
    fmt = "evenhand"
    bulk_api = True

    def load(self, text: str, path: str) -> evenhand.Engine:
        return evenhand.Engine(text.encode())

    def ctx(self, client: evenhand.Engine, user: dict[str, Any]) -> Any:
        return evenhand.Context(user) if KEPT else user

    def evaluator(self, client: evenhand.Engine) -> Callable[[str, Any], str | None]:
        # Each experiment's values are its variations' keys.
        value = client.string_value
        return lambda key, context: value(key, context, "off")

    def bulk(
        self, client: evenhand.Engine, keys: Iterable[str]
    ) -> Callable[[dict[str, Any]], dict[str, evenhand.Decision]]:
        return client.evaluate_all


run(Evenhand)
