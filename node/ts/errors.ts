/**
 * A manifest or an id list that was refused; the engine keeps what it holds.
 *
 * `code` is stable: `not_readable`, `unsigned`, `unknown_key`, `wrong_signature`, `older`, `other_environment`, `bad_manifest`,
 * `bad_list`, … (docs/contract/manifest.md); the message says what, where and how to mend it.
 */
export class ManifestError extends Error {
  /** The stable name of the error. */
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = 'ManifestError';
    this.code = code;
  }
}
