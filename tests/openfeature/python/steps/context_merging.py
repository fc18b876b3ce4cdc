"""Which context reaches the provider."""

from __future__ import annotations

from typing import Any

from behave import given, then, use_step_matcher, when
from evenhand.openfeature import EvenhandProvider
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.hook import Hook
from providers import NOWHERE

use_step_matcher("re")


class Retrievable(EvenhandProvider):
    """Remembers the context that it resolves by."""

    merged: EvaluationContext | None = None

    def resolve_boolean_details(self, flag_key: str, default_value: bool, evaluation_context: Any = None) -> Any:
        self.merged = evaluation_context
        return super().resolve_boolean_details(flag_key, default_value, evaluation_context)


@given("a stable provider with retrievable context is registered")
def registered(context: Any) -> None:
    context.provider = Retrievable.connect(
        NOWHERE, "nobody", bootstrap=context.manifest, stream=False, close_timeout=0.2
    )
    context.providers.append(context.provider)
    api.set_provider_and_wait(context.provider)
    context.client = api.get_client()
    context.levels = {}


@given('A context entry with key "(.*)" and value "(.*)" is added to the "(.*)" level')
def entry(context: Any, key: str, value: str, level: str) -> None:
    context.levels.setdefault(level, {})[key] = value


@given("A table with levels of increasing precedence")
def precedence(context: Any) -> None:
    context.precedence = [context.table.headings[0], *(row[0] for row in context.table)]


@given('Context entries for each level from API level down to the "(.*)" level, with key "(.*)" and value "(.*)"')
def entries(context: Any, last: str, key: str, value: str) -> None:
    for level in context.precedence:
        context.levels.setdefault(level, {})[key] = value if level == last else f"not {level}"
        if level == last:
            return


@when("Some flag was evaluated")
def evaluated(context: Any) -> None:
    def made(level: str) -> EvaluationContext:
        return EvaluationContext(attributes=context.levels.get(level, {}))

    class BeforeHook(Hook):
        def before(self, hook_context: Any, hints: Any) -> EvaluationContext:
            return made("Before Hooks")

    api.set_evaluation_context(made("API"))
    api.set_transaction_context(made("Transaction"))
    context.client.context = made("Client")
    context.client.add_hooks([BeforeHook()])
    details = context.client.get_boolean_details("boolean-flag", False, made("Invocation"))
    assert details.value is True, details


@then('The merged context contains an entry with key "(.*)" and value "(.*)"')
def merged(context: Any, key: str, value: str) -> None:
    assert context.provider.merged is not None
    assert context.provider.merged.attributes[key] == value, context.provider.merged
