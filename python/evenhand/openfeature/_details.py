"""A decision as OpenFeature's resolution details. The table stands in docs/openfeature.md."""

from __future__ import annotations

from typing import Any, TypeVar

from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagMetadata, FlagResolutionDetails, Reason

from .._native import Decision

_T = TypeVar("_T")

# A variation was served.
_REASONS = {
    "SPLIT": Reason.SPLIT,
    "STICKY": Reason.SPLIT,
    "ROLLOUT": Reason.SPLIT,
    "HOLDOUT": Reason.SPLIT,
    "TARGETED": Reason.TARGETING_MATCH,
    "OVERRIDE": Reason.TARGETING_MATCH,
    "DEFAULT": Reason.DEFAULT,
    "NO_UNIT": Reason.DEFAULT,
    "KILLED": Reason.DISABLED,
    "ARCHIVED": Reason.DISABLED,
    "PAUSED": Reason.DISABLED,
    "UNSUPPORTED": Reason.DISABLED,
    "NOT_READY": Reason.STALE,
}
# The caller's default counts.
_ERRORS = {
    "NO_MANIFEST": ErrorCode.PROVIDER_NOT_READY,
    "NOT_READY": ErrorCode.PROVIDER_NOT_READY,
    "FLAG_UNKNOWN": ErrorCode.FLAG_NOT_FOUND,
    "TYPE_MISMATCH": ErrorCode.TYPE_MISMATCH,
    "UNSUPPORTED": ErrorCode.PARSE_ERROR,
}


def served(decision: Decision, value: Any, static: bool, environment: str | None) -> FlagResolutionDetails[Any]:
    reason = Reason.STATIC if static else _REASONS.get(decision.reason, Reason.UNKNOWN)
    return FlagResolutionDetails(
        value=value, reason=reason, variant=decision.variation, flag_metadata=metadata(decision, environment)
    )


def code_of(decision: Decision) -> ErrorCode:
    return _ERRORS.get(decision.reason, ErrorCode.GENERAL)


def failed(
    default: _T, code: ErrorCode, message: str, decision: Decision | None = None, environment: str | None = None
) -> FlagResolutionDetails[_T]:
    return FlagResolutionDetails(
        value=default,
        reason=Reason.ERROR,
        error_code=code,
        error_message=message,
        flag_metadata={} if decision is None else metadata(decision, environment),
    )


def metadata(decision: Decision, environment: str | None) -> FlagMetadata:
    """What is null in the decision is left out: OpenFeature's values are texts, numbers and booleans."""
    found: dict[str, bool | int | float | str | None] = {
        "evenhandReason": decision.reason,
        "experiment": decision.experiment,
        "phase": decision.phase,
        "epoch": decision.epoch,
        "rule": decision.rule,
        "bucket": decision.bucket,
        "exposure": decision.exposure,
        "manifestVersion": decision.manifest_version,
        # The names that OpenFeature's telemetry knows.
        "flagSetId": environment,
        "version": None if decision.manifest_version is None else str(decision.manifest_version),
    }
    return {name: value for name, value in found.items() if value is not None}
