import { isWellFormed } from './flat';
import { verifyOverrideToken } from './native/binding';

/** What an override token says, or why it counts for nothing. */
export type OverrideResult =
  | { readonly valid: true; readonly flag: string; readonly variation: string; readonly expiresAt: number }
  | { readonly valid: false; readonly code: string; readonly message: string };

/** What a token is verified with. */
export interface OverrideOptions {
  /** The environment's Ed25519 public keys for overrides, base64url. Any of them may have signed. */
  readonly keys: readonly string[];
  /** The environment's id. */
  readonly environment: string;
  /** Milliseconds since 1970; the clock's when left out. */
  readonly now?: number;
}

/**
 * Verifies an override token (from a header, cookie or link). Pass what it grants as `forced: {[flag]: variation}`.
 * @throws Error for a key that can't be read. A token that is not valid is told, not thrown.
 */
export function verifyOverride(token: string, options: OverrideOptions): OverrideResult {
  if (typeof token !== 'string' || !isWellFormed(token)) {
    return { valid: false, code: 'malformed', message: 'the override token is no text: copy the link again, whole' };
  }
  const found = verifyOverrideToken(token, [...options.keys], options.environment, options.now ?? Date.now());
  if (found.flag !== undefined && found.variation !== undefined) {
    return { valid: true, flag: found.flag, variation: found.variation, expiresAt: found.expiresAtMs ?? 0 };
  }
  return { valid: false, code: found.code ?? 'malformed', message: found.message ?? 'the override token is not valid' };
}
