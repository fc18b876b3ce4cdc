import { isWellFormed } from './flat';
import { bucketOf } from './native/binding';

/** Where a unit falls under a salt. */
export interface Bucket {
  /** The hash, 0 to 2^32 − 1. */
  readonly h: number;
  /** 0 to 9999. */
  readonly basisPoint: number;
  /** The slot of a layer, 0 to 999. */
  readonly slot: number;
}

const MAX_UNIT_BYTES = 4_096;

/**
 * The contract's hash of a unit id (text, or an integer within ±(2^53 − 1)) under a salt (1 to 64 of `[A-Za-z0-9_-]`).
 * @throws RangeError for what is no salt or no unit id.
 */
export function bucket(salt: string, unit: string | number | bigint): Bucket {
  if (typeof salt !== 'string' || !/^[A-Za-z0-9_-]{1,64}$/.test(salt)) {
    throw new RangeError('the salt must be 1 to 64 of A-Z, a-z, 0-9, _ and -');
  }
  return bucketOf(salt, unitText(unit));
}

function unitText(unit: unknown): string {
  if (typeof unit === 'string' && unit !== '' && Buffer.byteLength(unit) <= MAX_UNIT_BYTES && isWellFormed(unit)) return unit;
  const number = typeof unit === 'bigint' ? Number(unit) : unit;
  // The sum turns -0 into 0.
  if (typeof number === 'number' && Number.isSafeInteger(number)) return String(number + 0);
  throw new RangeError('a unit id is non-empty Unicode text of at most 4,096 bytes, or an integer within ±(2^53 - 1)');
}
