"""Each scenario has the API of the SDK to itself, and its providers closed at its end. One real server for all that need one."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from openfeature import api
from openfeature.transaction_context import set_transaction_context_propagator
from openfeature.transaction_context.context_var_transaction_context_propagator import (
    ContextVarsTransactionContextPropagator,
)

ROOT = Path(os.environ["EVENHAND_ROOT"])
sys.path.insert(0, str(ROOT / "tests" / "sdk" / "python"))
from served import Shop  # noqa: E402


def before_all(context: Any) -> None:
    context.manifest = ROOT / "tests" / "openfeature" / "manifest.json"
    context.directory = tempfile.TemporaryDirectory(prefix="evenhand-openfeature-")
    context.server = None

    def server() -> Shop:
        if context.server is None:
            # Not on behave's current layer, or it would go with the scenario.
            server = Shop(Path(context.directory.name))
            context._root["server"] = server
        return context._root["server"]

    context.served = server


def before_scenario(context: Any, scenario: Any) -> None:
    context.providers = []
    context.flag = context.evaluation = context.options = None
    context.attributes, context.targeting_key = {}, None
    context.thrown = None
    context.handled = {}
    set_transaction_context_propagator(ContextVarsTransactionContextPropagator())


def after_scenario(context: Any, scenario: Any) -> None:
    api.shutdown()
    for provider in context.providers:
        provider.shutdown()


def after_all(context: Any) -> None:
    if context.server is not None:
        context.server.close()
    context.directory.cleanup()
