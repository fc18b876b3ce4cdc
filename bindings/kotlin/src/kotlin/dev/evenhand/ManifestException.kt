package dev.evenhand

/**
 * A manifest or an id list that was refused; whoever was given it keeps what it holds.
 *
 * @property code stable: `not_json`, `unsigned`, `unknown_key`, `wrong_signature`, `older`, `other_environment`, `bad_manifest`,
 *   `bad_list`, … (docs/contract/manifest.md). The message says what, where and how to mend it.
 */
public class ManifestException internal constructor(
    public val code: String,
    message: String,
) : Exception(message)
