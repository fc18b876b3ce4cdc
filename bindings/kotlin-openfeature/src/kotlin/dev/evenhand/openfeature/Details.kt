package dev.evenhand.openfeature

import dev.evenhand.Decision
import dev.evenhand.FlagType
import dev.evenhand.Reason
import dev.openfeature.sdk.ErrorCode
import dev.openfeature.sdk.ImmutableMetadata
import dev.openfeature.sdk.ImmutableStructure
import dev.openfeature.sdk.ProviderEvaluation
import dev.openfeature.sdk.Value

/** A variation was served. The table stands in docs/openfeature.md. */
internal fun <T> served(decision: Decision, value: T, isStatic: Boolean, environment: String?): ProviderEvaluation<T> =
    ProviderEvaluation.builder<T>()
        .value(value)
        .variant(decision.variation)
        .reason(if (isStatic) "STATIC" else reason(decision.reason))
        .flagMetadata(metadata(decision, environment))
        .build()

/** The caller's default counts. */
internal fun <T> failed(
    fallback: T,
    code: ErrorCode,
    message: String,
    decision: Decision? = null,
    environment: String? = null,
): ProviderEvaluation<T> = ProviderEvaluation.builder<T>()
    .value(fallback)
    .reason("ERROR")
    .errorCode(code)
    .errorMessage(message)
    .flagMetadata(if (decision == null) ImmutableMetadata.EMPTY else metadata(decision, environment))
    .build()

/** Texts, for the SDK's own enum has no STALE. */
private fun reason(reason: Reason): String = when (reason) {
    Reason.SPLIT, Reason.STICKY, Reason.ROLLOUT, Reason.HOLDOUT -> "SPLIT"
    Reason.TARGETED, Reason.OVERRIDE -> "TARGETING_MATCH"
    Reason.DEFAULT, Reason.NO_UNIT -> "DEFAULT"
    Reason.KILLED, Reason.ARCHIVED, Reason.PAUSED, Reason.UNSUPPORTED -> "DISABLED"
    Reason.NOT_READY -> "STALE"
    Reason.NO_MANIFEST, Reason.FLAG_UNKNOWN, Reason.TYPE_MISMATCH, Reason.ERROR -> "UNKNOWN"
}

internal fun codeOf(decision: Decision): ErrorCode = when (decision.reason) {
    Reason.NO_MANIFEST, Reason.NOT_READY -> ErrorCode.PROVIDER_NOT_READY
    Reason.FLAG_UNKNOWN -> ErrorCode.FLAG_NOT_FOUND
    Reason.TYPE_MISMATCH -> ErrorCode.TYPE_MISMATCH
    Reason.UNSUPPORTED -> ErrorCode.PARSE_ERROR
    else -> ErrorCode.GENERAL
}

internal fun messageOf(decision: Decision, type: FlagType, environment: String?): String {
    val flag = decision.flag
    return when (decision.reason) {
        Reason.FLAG_UNKNOWN -> "flag $flag not found in environment $environment: create it, or mend the key"
        Reason.TYPE_MISMATCH -> "flag $flag is not of type ${type.name.lowercase()}: ask for the type it has"
        Reason.NO_MANIFEST, Reason.NOT_READY -> "there is no manifest yet: wait for the provider to be ready"
        Reason.UNSUPPORTED -> "flag $flag can't be read by this version of evenhand: see the log, and upgrade"
        else -> "flag $flag could not be decided (${decision.reason}): see the client's lastError"
    }
}

/** What is null in the decision is left out: OpenFeature's values are texts, numbers and booleans. */
private fun metadata(decision: Decision, environment: String?): ImmutableMetadata {
    val builder = ImmutableMetadata.builder()
        .addString("evenhandReason", decision.reason.name)
        .addBoolean("exposure", decision.exposure)
    decision.experiment?.let { builder.addString("experiment", it) }
    decision.rule?.let { builder.addString("rule", it) }
    // All of one type: whoever reads them need not know which of them outgrow an Integer.
    decision.phase?.let { builder.addLong("phase", it) }
    decision.epoch?.let { builder.addLong("epoch", it) }
    decision.bucket?.let { builder.addLong("bucket", it.toLong()) }
    decision.manifestVersion?.let {
        builder.addLong("manifestVersion", it)
        // These two are the names that OpenFeature's telemetry knows.
        builder.addString("version", it.toString())
    }
    environment?.let { builder.addString("flagSetId", it) }
    return builder.build()
}

/** What a `json` flag gives, in the SDK's values. */
internal fun structure(value: Any?): Value = when (value) {
    is Map<*, *> -> Value(ImmutableStructure(value.entries.associate { (name, member) -> name as String to structure(member) }))
    is List<*> -> Value(value.map(::structure))
    is Boolean -> Value(value)
    is String -> Value(value)
    // The SDK's own conversions of structures know no Long.
    is Long -> if (value in INTEGERS) Value(value.toInt()) else Value(value)
    is Double -> Value(value)
    else -> Value()
}

internal val INTEGERS: LongRange = Int.MIN_VALUE.toLong()..Int.MAX_VALUE.toLong()
