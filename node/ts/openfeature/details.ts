import type { ErrorCode, FlagMetadata, ResolutionDetails } from '@openfeature/core';
import type { Decision } from '../decision';
import type { Reason } from '../reason';
import type { FlagType } from '../snapshot';

// The table stands in docs/openfeature.md.

/** A variation was served. */
const REASONS: { readonly [reason in Reason]?: string } = {
  SPLIT: 'SPLIT',
  STICKY: 'SPLIT',
  ROLLOUT: 'SPLIT',
  HOLDOUT: 'SPLIT',
  TARGETED: 'TARGETING_MATCH',
  OVERRIDE: 'TARGETING_MATCH',
  DEFAULT: 'DEFAULT',
  NO_UNIT: 'DEFAULT',
  KILLED: 'DISABLED',
  ARCHIVED: 'DISABLED',
  PAUSED: 'DISABLED',
  UNSUPPORTED: 'DISABLED',
  NOT_READY: 'STALE',
};

/** The caller's default counts. */
const ERRORS: { readonly [reason in Reason]?: `${ErrorCode}` } = {
  NO_MANIFEST: 'PROVIDER_NOT_READY',
  NOT_READY: 'PROVIDER_NOT_READY',
  FLAG_UNKNOWN: 'FLAG_NOT_FOUND',
  TYPE_MISMATCH: 'TYPE_MISMATCH',
  UNSUPPORTED: 'PARSE_ERROR',
};

export function served<T>(decision: Decision, value: T, isStatic: boolean, environment: string | null): ResolutionDetails<T> {
  return {
    value,
    reason: isStatic ? 'STATIC' : (REASONS[decision.reason] ?? 'UNKNOWN'),
    ...(decision.variation === null ? {} : { variant: decision.variation }),
    flagMetadata: metadata(decision, environment),
  };
}

export function failed<T>(
  fallback: T,
  code: `${ErrorCode}`,
  errorMessage: string,
  decision: Decision | null = null,
  environment: string | null = null,
): ResolutionDetails<T> {
  return {
    value: fallback,
    reason: 'ERROR',
    // An enum of texts: its values are these, and importing it for them would load the SDK a second time.
    errorCode: code as ErrorCode,
    errorMessage,
    ...(decision === null ? {} : { flagMetadata: metadata(decision, environment) }),
  };
}

export function codeOf(decision: Decision): `${ErrorCode}` {
  return ERRORS[decision.reason] ?? 'GENERAL';
}

export function messageOf(decision: Decision, type: FlagType, environment: string | null): string {
  const { flag, reason } = decision;
  switch (reason) {
    case 'FLAG_UNKNOWN':
      return `flag ${flag} not found in environment ${environment}: create it, or mend the key`;
    case 'TYPE_MISMATCH':
      return `flag ${flag} is not of type ${type}: ask for the type it has`;
    case 'NO_MANIFEST':
    case 'NOT_READY':
      return 'there is no manifest yet: wait for the provider to be ready';
    case 'UNSUPPORTED':
      return `flag ${flag} can't be read by this version of evenhand: see the log, and upgrade`;
    default:
      return `flag ${flag} could not be decided (${reason}): see the client's lastError`;
  }
}

/** What is null in the decision is left out: OpenFeature's values are texts, numbers and booleans. */
function metadata(decision: Decision, environment: string | null): FlagMetadata {
  const { reason, experiment, phase, epoch, rule, bucket, exposure, manifestVersion } = decision;
  // `flagSetId` and `version` are the names that OpenFeature's telemetry knows.
  const version = manifestVersion === null ? null : String(manifestVersion);
  const all = {
    evenhandReason: reason,
    experiment,
    phase,
    epoch,
    rule,
    bucket,
    exposure,
    manifestVersion,
    flagSetId: environment,
    version,
  };
  const found: FlagMetadata = {};
  for (const [name, value] of Object.entries(all)) if (value !== null) found[name] = value;
  return found;
}
