/** Why a decision is what it is, in the order of the packed form (docs/contract/evaluation.md, "Reasons"). */
export const REASONS = [
  'NO_MANIFEST',
  'NOT_READY',
  'FLAG_UNKNOWN',
  'ARCHIVED',
  'KILLED',
  'PAUSED',
  'OVERRIDE',
  'HOLDOUT',
  'TARGETED',
  'ROLLOUT',
  'SPLIT',
  'STICKY',
  'DEFAULT',
  'NO_UNIT',
  'UNSUPPORTED',
  'TYPE_MISMATCH',
  'ERROR',
] as const;

/** Why a decision is what it is. The list is closed. */
export type Reason = (typeof REASONS)[number];
