"""The provider: OpenFeature's verbs on a client."""

# The SDK begins and ends a provider on threads of its own, whatever kind of client it has: by what both kinds are made of.
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent, ProviderEventDetails
from openfeature.exception import ErrorCode, OpenFeatureError, ProviderFatalError, ProviderNotReadyError
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType
from openfeature.provider import AbstractProvider, Metadata
from openfeature.track import TrackingEventDetails

from .._async_client import AsyncClient
from .._base_client import FlagType
from .._changes import Change
from .._client import Client
from .._errors import EvenhandError
from .._native import Decision
from ._context import attributes_of, has_unit, properties_of
from ._details import code_of, failed, served

if TYPE_CHECKING:
    from typing_extensions import Self

_AnyClient: TypeAlias = Client | AsyncClient
_Structure: TypeAlias = Sequence[FlagValueType] | Mapping[str, FlagValueType]

_CLOSED = "the Evenhand client is closed: decisions go on by the last manifest, nothing is queued any more"
_FRESH = "the manifest is up to date"
_SHUT = "the provider is shut down: set it again (set_provider) before you evaluate"


class _Shape(NamedTuple):
    """`static`: the flag has no rules, and gives everybody the same. `units`: what its rules lack where there is no unit at all."""

    static: bool
    units: frozenset[str]


class _Known:
    """What is asked once of a manifest: its environment, and of its flags as they are asked for, their shape."""

    def __init__(self, version: int | None, environment: str | None) -> None:
        self.version = version
        self.environment = environment
        self.shapes: dict[str, _Shape] = {}


class EvenhandProvider(AbstractProvider):
    """Evaluates by a `Client` or an `AsyncClient`, in the process. A resolution queues its exposure, as `decide` does.

    `unit`: the unit type that the targeting key is.
    `ready_timeout`: how many seconds `initialize` waits for the first manifest; one that comes later still makes it ready.
    `close_timeout`: how many seconds `shutdown` takes to deliver events.
    A client that is handed in stays open at `shutdown`, with its events delivered: close it yourself.
    """

    def __init__(
        self,
        client: Client | AsyncClient,
        *,
        unit: str = "user_id",
        ready_timeout: float = 10.0,
        close_timeout: float = 5.0,
    ) -> None:
        super().__init__()
        self._client: _AnyClient | None = client
        self._open: Callable[[], _AnyClient] | None = None
        self._unit = unit
        self._ready_timeout = ready_timeout
        self._close_timeout = close_timeout
        self._known = _Known(None, None)
        self._unwatch: Callable[[], None] | None = None
        # What the SDK was last told: nothing is told before `initialize` has an outcome.
        self._told: ProviderEvent | None = None
        # Whether there was a manifest: the first changes no configuration.
        self._had = False

    @classmethod
    def connect(
        cls,
        url: str,
        key: str,
        *,
        unit: str = "user_id",
        ready_timeout: float = 10.0,
        close_timeout: float = 5.0,
        **options: Any,
    ) -> Self:
        """With a client of its own, made of the options of `Client`; `shutdown` closes it, `initialize` makes it anew."""

        def opened() -> Client:
            return Client(url, key, **options)

        provider = cls(opened(), unit=unit, ready_timeout=ready_timeout, close_timeout=close_timeout)
        provider._open = opened
        return provider

    @property
    def client(self) -> Client | AsyncClient | None:
        """The client behind it, for what OpenFeature has no verb for; None between `shutdown` and `initialize` of its own."""
        return self._client

    def get_metadata(self) -> Metadata:
        return Metadata(name="Evenhand")

    # The life of a provider.

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """Waits for the first manifest.

        Raises `ProviderFatalError` when the server denies it, `ProviderNotReadyError` when it does not come in time.
        """
        if self._client is None and self._open is not None:
            self._client = self._open()
        client = self._client
        if client is None:
            raise ProviderNotReadyError(_SHUT)
        self._told, self._had = None, client.manifest is not None
        if self._unwatch is None:
            self._unwatch = client.on_change(self._changed)
        client._until(lambda: client.manifest is not None or client._changes.denials > 0, self._ready_timeout)
        if client.manifest is None:
            self._told = ProviderEvent.PROVIDER_ERROR
            raise self._why(client)
        self._had = True
        self._told = ProviderEvent.PROVIDER_READY

    def shutdown(self) -> None:
        """Delivers what is queued; closes the client if it was made here."""
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        self._told = None
        client = self._client
        if client is None:
            return
        if self._open is None:
            client._flush_now(self._close_timeout)
        else:
            self._client = None
            client._close_now(self._close_timeout)

    def _why(self, client: _AnyClient) -> OpenFeatureError:
        if client._changes.denials > 0:
            return ProviderFatalError(client._changes.denial)
        error = client.telemetry()["last_error"]
        seconds = f"no manifest within {self._ready_timeout} s"
        return ProviderNotReadyError(seconds if error is None else f"{seconds}: {error}")

    def _changed(self, change: Change) -> None:
        """On a thread of the client."""
        had = self._had
        if change == "manifest":
            self._had = True
            self._known = _Known(None, None)
        if self._told is None:
            return
        match change:
            case "manifest":
                if self._told is not ProviderEvent.PROVIDER_READY:
                    self._tell(ProviderEvent.PROVIDER_READY, _FRESH)
                if had:
                    self.emit_provider_configuration_changed(ProviderEventDetails(message="a new manifest is in use"))
            case "fresh" if self._told is not ProviderEvent.PROVIDER_READY:
                self._tell(ProviderEvent.PROVIDER_READY, _FRESH)
            case "fresh":
                pass
            case "stale":
                message = "the server has not confirmed the manifest for long: decisions go on by the last one"
                self._tell(ProviderEvent.PROVIDER_STALE, message)
            case "denied":
                message = "the server denies the manifest: see the log of evenhand, and mend key or address"
                ready = self._client is not None and self._client.manifest is not None
                code = ErrorCode.GENERAL if ready else ErrorCode.PROVIDER_FATAL
                self._tell(ProviderEvent.PROVIDER_ERROR, message, code)
            case "closed":
                self._tell(ProviderEvent.PROVIDER_ERROR, _CLOSED, ErrorCode.GENERAL)

    def _tell(self, event: ProviderEvent, message: str, code: ErrorCode | None = None) -> None:
        self._told = event
        self.emit(event, ProviderEventDetails(message=message, error_code=code))

    # Resolution. The `…_async` of the base class call these: nothing here waits.

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        return self._resolve(flag_key, default_value, evaluation_context, "bool")

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        return self._resolve(flag_key, default_value, evaluation_context, "string")

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        return self._resolve(flag_key, default_value, evaluation_context, "int")

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        return self._resolve(flag_key, default_value, evaluation_context, "float")

    def resolve_object_details(
        self, flag_key: str, default_value: _Structure, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[_Structure]:
        return self._resolve(flag_key, default_value, evaluation_context, "json")

    def _resolve(
        self, flag: str, default: Any, context: EvaluationContext | None, type: FlagType
    ) -> FlagResolutionDetails[Any]:
        client = self._client
        if client is None:
            return failed(default, ErrorCode.PROVIDER_NOT_READY, _SHUT)
        attributes = attributes_of(context, self._unit)
        if type == "json":
            # Before the exposure: a value that OpenFeature can't hand out was not shown to anybody.
            seen = client.evaluate(flag, attributes, type=type)
            if seen.variation is not None and not isinstance(seen.value, (dict, list)):
                message = f"flag {flag} gives no structure but a bare JSON value: make it an object or a list"
                return failed(default, ErrorCode.TYPE_MISMATCH, message, seen, self._manifest(client, seen).environment)
        decision = client.decide(flag, attributes, type=type)
        known = self._manifest(client, decision)
        if decision.variation is None and client._changes.denials and client.manifest is None:
            return failed(default, ErrorCode.PROVIDER_FATAL, client._changes.denial, decision)
        if decision.variation is None:
            return failed(default, code_of(decision), _message(decision, type, known), decision, known.environment)
        shape = _UNASKED
        if decision.reason in ("DEFAULT", "NO_UNIT"):
            shape = _shape(client, flag, known)
        if decision.reason == "NO_UNIT" and self._unit in shape.units and not has_unit(attributes, self._unit):
            message = f"flag {flag} needs a targeting key (the unit {self._unit}): set it in the evaluation context"
            return failed(default, ErrorCode.TARGETING_KEY_MISSING, message, decision, known.environment)
        value = float(decision.value) if type == "float" else decision.value
        return served(decision, value, shape.static, known.environment)

    def _manifest(self, client: _AnyClient, decision: Decision) -> _Known:
        known = self._known
        if known.version != decision.manifest_version:
            manifest = client.manifest
            known = _Known(decision.manifest_version, None if manifest is None else manifest["environment"])
            self._known = known
        return known

    # Tracking.

    def track(
        self,
        tracking_event_name: str,
        evaluation_context: EvaluationContext | None = None,
        tracking_event_details: TrackingEventDetails | None = None,
    ) -> None:
        """Queues an event of the context's units. What the server would refuse is told to the logger `evenhand`."""
        client = self._client
        if client is None:
            return
        details = tracking_event_details
        client.track(
            tracking_event_name,
            attributes_of(evaluation_context, self._unit),
            value=None if details is None else details.value,
            properties=properties_of(details.attributes) if details is not None and details.attributes else None,
        )


_UNASKED = _Shape(False, frozenset())


def _shape(client: _AnyClient, flag: str, known: _Known) -> _Shape:
    shape = known.shapes.get(flag)
    if shape is None:
        try:
            rules = client.explain(flag, {})["rules"]
        except EvenhandError:
            return _UNASKED
        lacking = (step for rule in rules for step in rule["steps"] if step["step"] == "unit" and not step["holds"])
        shape = known.shapes[flag] = _Shape(not rules, frozenset(step["attribute"] for step in lacking))
    return shape


def _message(decision: Decision, type: FlagType, known: _Known) -> str:
    flag = decision.flag
    match decision.reason:
        case "FLAG_UNKNOWN":
            return f"flag {flag} not found in environment {known.environment}: create it, or mend the key"
        case "TYPE_MISMATCH":
            return f"flag {flag} is not of type {type}: ask for the type it has"
        case "NOT_READY" | "NO_MANIFEST":
            return "there is no manifest yet: wait for the provider to be ready"
        case "UNSUPPORTED":
            return f"flag {flag} can't be read by this version of evenhand: see the log, and upgrade"
        case reason:
            return f"flag {flag} could not be decided ({reason}): see the log of evenhand"
