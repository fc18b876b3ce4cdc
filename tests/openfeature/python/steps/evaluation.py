"""Flags, contexts, and what their evaluation gives."""

from __future__ import annotations

import copy
import dataclasses
import json
from datetime import datetime, timezone
from typing import Any

from behave import given, then, use_step_matcher, when
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import FlagEvaluationDetails, FlagEvaluationOptions
from openfeature.hook import Hook

use_step_matcher("re")
KINDS = {"boolean": bool, "string": str, "integer": int, "float": float, "object": (dict, list)}


def parsed(kind: str, text: str) -> Any:
    text = text.replace('\\"', '"')
    match kind.lower():
        case "boolean":
            assert text in ("true", "false"), text
            return text == "true"
        case "integer":
            return int(text)
        case "float":
            return float(text)
        case "object":
            return json.loads(text)
        case "datetime":
            return datetime.fromisoformat(text.replace("Z", "+00:00"))
        case _:
            return text


def evaluation_context(context: Any) -> EvaluationContext:
    return EvaluationContext(context.targeting_key, context.attributes)


@given('an? (\\w+)-flag with key "(.*)" and a default value "(.*)"')
def flag(context: Any, kind: str, key: str, default: str) -> None:
    context.flag = (key, kind.lower(), parsed(kind, default))


@given('a context containing a key "(.*)", with type "(.*)" and with value "(.*)"')
def attribute(context: Any, key: str, kind: str, value: str) -> None:
    context.attributes[key] = parsed(kind, value)


@given('a context containing a key "(.*)" with null value')
def null_attribute(context: Any, key: str) -> None:
    context.attributes[key] = None


@given('a context containing a targeting key with value "(.*)"')
def targeting_key(context: Any, value: str) -> None:
    context.targeting_key = value


@given("an evaluation context with modifiable data")
def modifiable(context: Any) -> None:
    context.attributes = {"since": datetime(2026, 1, 2, tzinfo=timezone.utc), "tags": ["a", datetime(2026, 1, 2)]}
    context.before = copy.deepcopy(context.attributes)


def evaluate(context: Any, options: FlagEvaluationOptions | None = None) -> FlagEvaluationDetails[Any]:
    key, kind, default = context.flag
    method = getattr(context.client, f"get_{kind}_details")
    return method(key, default, evaluation_context(context), options)


@when("the flag was evaluated with details")
def with_details(context: Any) -> None:
    try:
        context.evaluation = evaluate(context)
    except Exception as error:
        context.thrown = error


@when("the flag was evaluated with details using the evaluation options")
def with_options(context: Any) -> None:
    context.evaluation = evaluate(context, context.options)


@when("the flag was evaluated with details asynchronously")
def asynchronously(context: Any) -> None:
    key, kind, default = context.flag
    method = getattr(context.client, f"get_{kind}_details_async")
    coroutine = method(key, default, evaluation_context(context))
    # Driven by hand: whatever it waited for would come out here.
    try:
        context.waited_for = coroutine.send(None)
        context.waited = True
        coroutine.close()
    except StopIteration as done:
        context.evaluation, context.waited = done.value, False


@then("the evaluation should complete without blocking")
def without_waiting(context: Any) -> None:
    assert not context.waited, context.waited_for


@then("the result should be equivalent to synchronous evaluation")
def as_synchronous(context: Any) -> None:
    assert context.evaluation == evaluate(context), (context.evaluation, evaluate(context))


@then('the resolved details value should be "(.*)"')
def value_is(context: Any, expected: str) -> None:
    _, kind, _ = context.flag
    found = context.evaluation.value
    assert found == parsed(kind, expected), (found, expected)
    assert isinstance(found, KINDS[kind]) and (kind == "boolean" or not isinstance(found, bool)), type(found)


@then("the resolved object value should contain")
def object_contains(context: Any) -> None:
    for row in context.table:
        assert context.evaluation.value[row["key"]] == parsed(row["type"], row["value"]), context.evaluation


@then('the flag key should be "(.*)"')
def flag_key(context: Any, expected: str) -> None:
    assert context.evaluation.flag_key == expected, context.evaluation


@then('the variant should be "(.*)"')
def variant(context: Any, expected: str) -> None:
    assert context.evaluation.variant == expected, context.evaluation


@then('the reason should be "(.*)"')
def reason(context: Any, expected: str) -> None:
    assert context.evaluation.reason == expected, context.evaluation


@then('the error-code should be "(.*)"')
def error_code(context: Any, expected: str) -> None:
    found = context.evaluation.error_code
    assert (found.value if found else "") == expected, context.evaluation


@then('the error message should contain "(.*)"')
def error_contains(context: Any, expected: str) -> None:
    assert expected in context.evaluation.error_message, context.evaluation


@then("the error message should be empty")
def no_error(context: Any) -> None:
    assert not context.evaluation.error_message, context.evaluation


@then("no exception should have been thrown")
def nothing_thrown(context: Any) -> None:
    assert context.thrown is None, context.thrown


@then("the resolved metadata should contain")
def metadata_contains(context: Any) -> None:
    for row in context.table:
        found = context.evaluation.flag_metadata.get(row["key"])
        expected = parsed(row["metadata_type"], row["value"])
        assert found == expected and type(found) is type(expected), (row["key"], found, expected)


@then('the resolved metadata should have an integer "(.*)"')
def metadata_integer(context: Any, key: str) -> None:
    assert type(context.evaluation.flag_metadata.get(key)) is int, context.evaluation


@then('the resolved metadata should not contain "(.*)"')
def metadata_without(context: Any, keys: str) -> None:
    for key in keys.split(", "):
        assert key not in context.evaluation.flag_metadata, context.evaluation


@then('the client should have counted "(.*)" as unusable')
def unusable(context: Any, name: str) -> None:
    key, _, _ = context.flag
    # Only what a rule reads by its value is unusable; `is_present` counts it all the same.
    counted = context.provider.client.unusable_attributes()
    assert counted.get(name, 0) > 0, (key, counted)


@then("the original evaluation context should remain unmodified")
def unmodified(context: Any) -> None:
    assert context.attributes == context.before, context.attributes


@when("the resolved value is remembered")
def remember(context: Any) -> None:
    context.remembered = context.evaluation.value


@then("the resolved details value should have changed")
def has_changed(context: Any) -> None:
    assert context.evaluation.value != context.remembered, context.evaluation


# Hooks.


class Recording(Hook):
    def __init__(self, name: str = "", order: list[str] | None = None) -> None:
        self.calls: dict[str, list[FlagEvaluationDetails[Any] | None]] = {}
        self.name, self.order = name, order if order is not None else []

    def _called(self, stage: str, details: FlagEvaluationDetails[Any] | None = None) -> None:
        self.calls.setdefault(stage, []).append(details)
        self.order.append(f"{stage} {self.name}")

    def before(self, hook_context: Any, hints: Any) -> None:
        self._called("before")

    def after(self, hook_context: Any, details: FlagEvaluationDetails[Any], hints: Any) -> None:
        self._called("after", details)

    def error(self, hook_context: Any, exception: Exception, hints: Any) -> None:
        self._called("error")

    def finally_after(self, hook_context: Any, details: FlagEvaluationDetails[Any], hints: Any) -> None:
        self._called("finally", details)


@given("a client with added hook")
def client_with_hook(context: Any) -> None:
    context.hook = Recording()
    context.client.add_hooks([context.hook])


@then('the "(.*)" hook should have been executed')
def hook_executed(context: Any, stage: str) -> None:
    assert len(context.hook.calls.get(stage, [])) == 1, context.hook.calls


@then('the "(.*)" hooks should be called with evaluation details')
def hooks_called(context: Any, stages: str) -> None:
    for stage in stages.split(", "):
        (details,) = context.hook.calls[stage]
        for row in context.table:
            found = dataclasses.asdict(details)[row["key"]]
            _, kind, _ = context.flag
            expected = None if row["value"] == "None" else parsed(row["data_type"], row["value"])
            # A default stands in the type of its flag.
            if row["key"] == "value" and kind == "string":
                expected = row["value"]
            assert found == expected, (stage, row["key"], found, expected)


@given("evaluation options containing specific hooks")
def options_with_hooks(context: Any) -> None:
    context.order = []
    context.options = FlagEvaluationOptions(hooks=[Recording("one", context.order), Recording("two", context.order)])


@then("the specified hooks should execute during evaluation")
def option_hooks_ran(context: Any) -> None:
    assert all(set(hook.calls) == {"before", "after", "finally"} for hook in context.options.hooks)


@then("the hook order should be maintained")
def hook_order(context: Any) -> None:
    expected = ["before one", "before two", "after two", "after one", "finally two", "finally one"]
    assert context.order == expected, context.order
