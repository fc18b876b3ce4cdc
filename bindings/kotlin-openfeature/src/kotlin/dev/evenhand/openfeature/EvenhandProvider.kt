package dev.evenhand.openfeature

import dev.evenhand.Change
import dev.evenhand.Client
import dev.evenhand.ClientOptions
import dev.evenhand.Decision
import dev.evenhand.EvaluateOptions
import dev.evenhand.FlagType
import dev.evenhand.ManifestInfo
import dev.evenhand.Reason
import dev.openfeature.sdk.ErrorCode
import dev.openfeature.sdk.EvaluationContext
import dev.openfeature.sdk.EventProvider
import dev.openfeature.sdk.Metadata
import dev.openfeature.sdk.ProviderEvaluation
import dev.openfeature.sdk.ProviderEvent
import dev.openfeature.sdk.TrackingEventDetails
import dev.openfeature.sdk.Value
import dev.openfeature.sdk.exceptions.FatalError
import dev.openfeature.sdk.exceptions.OpenFeatureError
import dev.openfeature.sdk.exceptions.ProviderNotReadyError
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit

/**
 * The provider for OpenFeature's Java SDK: evaluates by a [Client], in the process. A resolution queues its exposure, as
 * [Client.decide] does, and waits for nothing. How things map stands in docs/openfeature.md.
 */
public class EvenhandProvider private constructor(
    given: Client?,
    private val open: (() -> Client)?,
    options: ProviderOptions,
) : EventProvider() {
    private val unit = options.unit
    private val readyTimeoutMs = options.readyTimeoutMs
    private val closeTimeoutMs = options.closeTimeoutMs
    private val events = Events(::emit)

    /** The client behind it, for what OpenFeature has no verb for; null between `shutdown` and `initialize` of one of its own. */
    @Volatile
    public var client: Client? = given ?: open?.invoke()
        private set

    @Volatile
    private var known = Known(null, null)

    /** Guards what follows. */
    private val life = Any()
    private var watch: AutoCloseable? = null

    /** What the SDK was told last; nothing before `initialize` has an outcome. */
    private var told: ProviderEvent? = null

    /** The manifest that the SDK knows to be in use: the first changes no configuration. */
    private var had: ManifestInfo? = null

    /** Ends the wait of `initialize`. */
    private var outcome = CountDownLatch(1)

    /** With a client of yours, which stays open at `shutdown`, with its events delivered: close it yourself. */
    @JvmOverloads
    public constructor(client: Client, options: ProviderOptions = ProviderOptions()) : this(client, null, options)

    /**
     * With a client of its own, which `shutdown` closes and `initialize` makes anew.
     * @throws IllegalArgumentException for an address, a key or a number that can't be right.
     */
    @JvmOverloads
    public constructor(client: ClientOptions, options: ProviderOptions = ProviderOptions()) : this(null, { Client(client) }, options)

    /** The same with options that are set in place: `EvenhandProvider(url, key) { stream = false }`. */
    public constructor(url: String, key: String, configure: ClientOptions.() -> Unit) : this(ClientOptions(url, key).apply(configure))

    /** The same with the defaults. */
    public constructor(url: String, key: String) : this(ClientOptions(url, key))

    override fun getMetadata(): Metadata = Metadata { "Evenhand" }

    /**
     * Waits for the first manifest.
     * @throws FatalError when the server denies it.
     * @throws ProviderNotReadyError when it does not come in time.
     */
    override fun initialize(evaluationContext: EvaluationContext?) {
        val settled = CountDownLatch(1)
        val client = synchronized(life) {
            val client = this.client ?: open?.invoke() ?: throw ProviderNotReadyError(SHUT)
            this.client = client
            told = null
            outcome = settled
            if (watch == null) watch = client.onChange { changed(client, it) }
            client
        }
        if (client.manifest == null && client.denial == null) settled.await(readyTimeoutMs, TimeUnit.MILLISECONDS)
        synchronized(life) {
            // Shut down meanwhile.
            if (watch == null) throw ProviderNotReadyError(SHUT)
            had = client.manifest
            told = if (had == null) ProviderEvent.PROVIDER_ERROR else ProviderEvent.PROVIDER_READY
            if (had == null) throw why(client)
        }
    }

    private fun why(client: Client): OpenFeatureError {
        client.denial?.let { return FatalError(it) }
        val last = client.telemetry().lastError
        val waited = "no manifest within $readyTimeoutMs ms"
        return ProviderNotReadyError(if (last == null) waited else "$waited: ${last.message}")
    }

    /** Delivers what is queued; closes the client if it was made here. */
    override fun shutdown() {
        // Not the base class's: it would end the threads of events for good, and a provider may be set again.
        val client = synchronized(life) {
            watch?.close()
            watch = null
            told = null
            outcome.countDown()
            this.client.also { if (open != null) this.client = null }
        }
        try {
            if (open == null) client?.awaitFlush(closeTimeoutMs) else client?.close(closeTimeoutMs)
        } catch (_: InterruptedException) {
            // The SDK's patience is shorter than ours; the client goes on delivering by itself.
            Thread.currentThread().interrupt()
        }
    }

    /** On a thread of the client, one at a time; also one that was already under way when the provider was shut down, and set again. */
    private fun changed(of: Client, change: Change): Unit = synchronized(life) {
        if (watch == null || of !== client) return
        val before = had
        if (change == Change.MANIFEST) {
            had = of.manifest
            known = Known(null, null)
        }
        if (change == Change.MANIFEST || change == Change.DENIED || change == Change.CLOSED) outcome.countDown()
        if (told == null) return
        when (change) {
            Change.MANIFEST -> {
                ready()
                if (before != null && before != had) events.tell(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, "a new manifest is in use")
            }
            // Without a manifest it is not ready yet: that is told next.
            Change.FRESH -> if (had != null) ready()
            Change.STALE -> tell(ProviderEvent.PROVIDER_STALE, STALE)
            Change.DENIED -> tell(ProviderEvent.PROVIDER_ERROR, DENIED, if (had == null) ErrorCode.PROVIDER_FATAL else ErrorCode.GENERAL)
            Change.CLOSED -> tell(ProviderEvent.PROVIDER_ERROR, CLOSED, ErrorCode.GENERAL)
        }
    }

    private fun ready() {
        if (told != ProviderEvent.PROVIDER_READY) tell(ProviderEvent.PROVIDER_READY, FRESH)
    }

    private fun tell(event: ProviderEvent, message: String, code: ErrorCode? = null) {
        told = event
        events.tell(event, message, code)
    }

    override fun getBooleanEvaluation(key: String, defaultValue: Boolean?, ctx: EvaluationContext?): ProviderEvaluation<Boolean> =
        resolve(key, defaultValue, ctx, FlagType.BOOL) { it as? Boolean }

    override fun getStringEvaluation(key: String, defaultValue: String?, ctx: EvaluationContext?): ProviderEvaluation<String> =
        resolve(key, defaultValue, ctx, FlagType.STRING) { it as? String }

    /** An `int` flag whose value an [Int] holds; [getLongEvaluation] has them all. */
    override fun getIntegerEvaluation(key: String, defaultValue: Int?, ctx: EvaluationContext?): ProviderEvaluation<Int> =
        resolve(key, defaultValue, ctx, FlagType.INT, SHORT) { (it as? Long)?.toInt() }

    override fun getLongEvaluation(key: String, defaultValue: Long?, ctx: EvaluationContext?): ProviderEvaluation<Long> =
        resolve(key, defaultValue, ctx, FlagType.INT) { it as? Long }

    /** A flag of type `float` or `int`. */
    override fun getDoubleEvaluation(key: String, defaultValue: Double?, ctx: EvaluationContext?): ProviderEvaluation<Double> =
        resolve(key, defaultValue, ctx, FlagType.FLOAT) { (it as? Number)?.toDouble() }

    /** A flag of type `json` that gives an object or a list. */
    override fun getObjectEvaluation(key: String, defaultValue: Value?, ctx: EvaluationContext?): ProviderEvaluation<Value> =
        resolve(key, defaultValue, ctx, FlagType.JSON, STRUCTURE, ::structure)

    /**
     * Resolves a flag and queues its exposure. Where not every value of the type can be handed out, `only` says which: the flag is then
     * evaluated before it is decided, for a value that nobody is shown is no exposure.
     */
    private fun <T> resolve(
        flag: String,
        fallback: T?,
        context: EvaluationContext?,
        type: FlagType,
        only: Limit? = null,
        read: (Any?) -> T?,
    ): ProviderEvaluation<T> {
        @Suppress("UNCHECKED_CAST")
        val default = fallback as T
        val client = this.client ?: return failed(default, ErrorCode.PROVIDER_NOT_READY, SHUT)
        val attributes = Attributes(context, unit)
        val options = options(type)
        if (only != null) {
            val seen = client.evaluate(flag, attributes, options)
            if (seen.variation != null && !only.has(seen.value)) {
                return failed(default, ErrorCode.TYPE_MISMATCH, "flag $flag ${only.otherwise}", seen, manifest(client, seen).environment)
            }
        }
        val decision = client.decide(flag, attributes, options)
        val known = manifest(client, decision)
        if (decision.variation == null) {
            val denial = if (client.manifest == null) client.denial else null
            if (denial != null) return failed(default, ErrorCode.PROVIDER_FATAL, denial, decision)
            return failed(default, codeOf(decision), messageOf(decision, type, known.environment), decision, known.environment)
        }
        val reason = decision.reason
        val shape = if (reason == Reason.DEFAULT || reason == Reason.NO_UNIT) known.shape(client, flag) else Shape.UNASKED
        if (reason == Reason.NO_UNIT && unit in shape.units && !attributes.hasUnit) {
            val message = "flag $flag needs a targeting key (the unit $unit): set it in the evaluation context"
            return failed(default, ErrorCode.TARGETING_KEY_MISSING, message, decision, known.environment)
        }
        val value = if (only == null || only.has(decision.value)) read(decision.value) else null
        // Only where the manifest has changed since the look above.
        if (value == null) return failed(default, ErrorCode.TYPE_MISMATCH, "flag $flag ${only?.otherwise}", decision, known.environment)
        return served(decision, value, shape.isStatic, known.environment)
    }

    private fun manifest(client: Client, decision: Decision): Known {
        val held = known
        if (held.fits(decision)) return held
        return Known(decision.manifestVersion, client.manifest?.environment).also { known = it }
    }

    /** Queues an event of the context's units. What the server would refuse is told to the client's logger. */
    override fun track(eventName: String, context: EvaluationContext?, details: TrackingEventDetails?) {
        val value = details?.value?.orElse(null)
        val properties = details?.let(::properties)?.ifEmpty { null }
        client?.track(eventName, Attributes(context, unit), value, properties)
    }

    /** Which values of a type OpenFeature can hand out, and what is said of others. */
    private class Limit(val otherwise: String, val has: (Any?) -> Boolean)

    private companion object {
        val SHORT = Limit("gives a number beyond 32 bits: ask for a long") { it is Long && it in INTEGERS }
        val STRUCTURE = Limit("gives no structure but a bare JSON value: make it an object or a list") { it is Map<*, *> || it is List<*> }

        const val SHUT = "the provider is shut down: set it again (setProvider) before you evaluate"
        const val CLOSED = "the Evenhand client is closed: decisions go on by the last manifest, nothing is queued any more"
        const val FRESH = "the manifest is up to date"
        const val STALE = "the server has not confirmed the manifest for long: decisions go on by the last one"
        const val DENIED = "the server denies the manifest: mend key or address"

        private val OPTIONS = FlagType.values().map { EvaluateOptions(type = it) }

        fun options(type: FlagType): EvaluateOptions = OPTIONS[type.ordinal]
    }
}
