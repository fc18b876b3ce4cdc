package dev.evenhand

import dev.evenhand.generated.EngineSettings
import dev.evenhand.generated.NativeException
import dev.evenhand.generated.SessionSettings
import dev.evenhand.generated.TrackedEvent
import dev.evenhand.generated.TrackedUnit
import dev.evenhand.internal.Changes
import dev.evenhand.internal.ClientState
import dev.evenhand.internal.CoreSession
import dev.evenhand.internal.Json
import dev.evenhand.internal.Log
import dev.evenhand.internal.Loop
import dev.evenhand.internal.LoopHost
import dev.evenhand.internal.Native
import dev.evenhand.internal.OpenClients
import dev.evenhand.internal.Queue
import dev.evenhand.internal.SDK
import dev.evenhand.internal.Server
import dev.evenhand.internal.Snapshot
import dev.evenhand.internal.Spooling
import dev.evenhand.internal.Unusable
import dev.evenhand.internal.Waiters
import dev.evenhand.internal.decimal
import dev.evenhand.internal.entropy
import dev.evenhand.internal.isWellFormed
import dev.evenhand.internal.level
import dev.evenhand.internal.said
import dev.evenhand.internal.trackedUnits
import dev.evenhand.internal.valueOr
import java.util.Collections
import java.util.concurrent.atomic.AtomicBoolean
import java.util.concurrent.atomic.LongAdder
import java.util.concurrent.locks.ReentrantLock
import kotlin.concurrent.withLock

/**
 * Decides locally, sends exposures and events, and keeps the manifest up to date.
 *
 * Made at once: [ready] waits for the first manifest; or decide right away and get your defaults with reason NOT_READY. Decisions
 * never throw and never wait. Any number of threads may share a client. An open client does not keep the JVM alive; when the JVM ends,
 * what is queued is sent first.
 *
 * @throws IllegalArgumentException for an address, a key or a number that can't be right. All else is told to the logger.
 */
public class Client(options: ClientOptions) : AutoCloseable {
    private val log = Log(options.logger)
    private val store = options.stickyStore
    private val unusable = Unusable()
    private val session: CoreSession
    private val loop: Loop
    private val spooling: Spooling
    private val waiters = Waiters { loop.over }
    private val evaluations = LongAdder()

    @Volatile
    private var overrides: Map<String, String> = HashMap(options.overrides)

    /** Guards what is read from the session together: the snapshot, its number and the unit types. */
    private val changing = ReentrantLock()
    @Volatile
    private var snapshots = 0L

    @Volatile
    private var snapshot: Snapshot? = null

    @Volatile
    private var unitTypes: List<String> = DEFAULT_UNIT_TYPES

    /** Where exposures and events go; null once nobody sends them any more. */
    @Volatile
    private var queue: Queue?

    @Volatile
    private var broken: Throwable? = null
    private val closing = AtomicBoolean()
    private val closed = AtomicBoolean()
    private val changes = Changes(log) { state() }

    init {
        val server = Server(options.url, options.key, options.timeoutMs)
        session = opened(options)
        spooling = Spooling(session, log)
        queue = Queue(session) { notice() }
        val host = object : LoopHost {
            override fun stepped(): Long {
                changed()
                return spooling.writeIfDue()
            }

            override fun ended() = finish()
        }
        loop = Loop(session, server, options.executor ?: Loop.requests, log, host)
        bootstrap(options)
        options.spool?.let { spooling.begin(it) }
        changed()
        OpenClients.add(this)
        loop.start(if (snapshot == null) 0 else HEAD_START_NANOS)
    }

    /** The same, with options that are set in place: `Client(url, key) { stream = false }`. */
    public constructor(url: String, key: String, configure: ClientOptions.() -> Unit) : this(ClientOptions(url, key).apply(configure))

    /** The same with the defaults. */
    public constructor(url: String, key: String) : this(ClientOptions(url, key))

    /** Evaluates a flag. No exposure is queued (see [decide], [expose]), and nothing thrown. */
    @JvmOverloads
    public fun evaluate(flag: String, context: Context, options: EvaluateOptions? = null): Decision =
        decided(flag, context, options, null, null)

    /** The same for attributes by name; see [Context] for what counts as a value. */
    @JvmOverloads
    public fun evaluate(flag: String, attributes: Map<String, *>, options: EvaluateOptions? = null): Decision =
        decided(flag, attributes, options, null, null)

    /** Evaluates all flags of the manifest, by their keys in it. No exposure is queued. */
    @JvmOverloads
    public fun evaluateAll(context: Context, options: EvaluateOptions? = null): Map<String, Decision> = allDecided(context, options)

    /** The same for attributes by name. */
    @JvmOverloads
    public fun evaluateAll(attributes: Map<String, *>, options: EvaluateOptions? = null): Map<String, Decision> =
        allDecided(attributes, options)

    /** Evaluates a flag and queues its exposure. Nothing is thrown: whatever breaks, there is a decision and its reason. */
    @JvmOverloads
    public fun decide(flag: String, context: Context, options: EvaluateOptions? = null): Decision = decidedAndKept(flag, context, options, null)

    /** The same for attributes by name. */
    @JvmOverloads
    public fun decide(flag: String, attributes: Map<String, *>, options: EvaluateOptions? = null): Decision =
        decidedAndKept(flag, attributes, options, null)

    private fun allDecided(context: Any, options: EvaluateOptions?): Map<String, Decision> {
        val snapshot = this.snapshot ?: return emptyMap()
        return try {
            val decisions = snapshot.evaluateAll(enriched(context, snapshot), options)
            evaluations.add(decisions.size.toLong())
            decisions
        } catch (error: Throwable) {
            broken = error
            snapshot.defaults(Reason.ERROR)
        }
    }

    private fun decidedAndKept(flag: String, context: Any, options: EvaluateOptions?, type: FlagType?): Decision {
        val decision = decided(flag, context, options, type, queue)
        if (store != null && decision.reason == Reason.SPLIT) keep(decision, store)
        return decision
    }

    private fun decided(flag: String, context: Any, options: EvaluateOptions?, type: FlagType?, queue: Queue?): Decision {
        val snapshot = this.snapshot ?: return Decision.callersDefault(flag, Reason.NOT_READY, Decision.NO_VERSION)
        return try {
            val given = if (store == null && overrides.isEmpty()) context else enriched(context, snapshot)
            val decision = snapshot.evaluate(flag, given, options, type, queue)
            evaluations.increment()
            decision
        } catch (error: Throwable) {
            broken = error
            Decision.callersDefault(flag, Reason.ERROR, snapshot.version)
        }
    }

    /** Queues the exposure of a decision that [evaluate] or [evaluateAll] made, unless the same was queued lately. */
    public fun expose(decision: Decision) {
        try {
            val table = decision.table
            val context = decision.context
            if (table == null || context == null || !decision.exposes) return
            val queue = checkNotNull(queue) { "the client is closed; expose before you close it" }
            val snapshot = table.of
            val queued = queue.session.expose(snapshot.bound(context), table.index, decision.packed, System.currentTimeMillis())
            snapshot.keep()
            if (queued > 0) notice()
        } catch (error: Throwable) {
            broken = error
            log.error("exposure_lost", "an exposure is lost: ${error.message ?: said(error)}", error)
        }
    }

    /** Decides a `bool` flag: its value, or `fallback`. */
    public fun booleanValue(flag: String, context: Context, fallback: Boolean): Boolean =
        decidedAndKept(flag, context, null, FlagType.BOOL).valueOr(fallback)

    /** The same for attributes by name. */
    public fun booleanValue(flag: String, attributes: Map<String, *>, fallback: Boolean): Boolean =
        decidedAndKept(flag, attributes, null, FlagType.BOOL).valueOr(fallback)

    /** Decides a `string` flag: its value, or `fallback`. */
    public fun stringValue(flag: String, context: Context, fallback: String): String =
        decidedAndKept(flag, context, null, FlagType.STRING).valueOr(fallback)

    /** The same for attributes by name. */
    public fun stringValue(flag: String, attributes: Map<String, *>, fallback: String): String =
        decidedAndKept(flag, attributes, null, FlagType.STRING).valueOr(fallback)

    /** Decides an `int` flag: its value, or `fallback`. */
    public fun intValue(flag: String, context: Context, fallback: Long): Long =
        decidedAndKept(flag, context, null, FlagType.INT).valueOr(fallback)

    /** The same for attributes by name. */
    public fun intValue(flag: String, attributes: Map<String, *>, fallback: Long): Long =
        decidedAndKept(flag, attributes, null, FlagType.INT).valueOr(fallback)

    /** Decides a `float` or `int` flag: its value, or `fallback`. */
    public fun floatValue(flag: String, context: Context, fallback: Double): Double =
        decidedAndKept(flag, context, null, FlagType.FLOAT).valueOr(fallback)

    /** The same for attributes by name. */
    public fun floatValue(flag: String, attributes: Map<String, *>, fallback: Double): Double =
        decidedAndKept(flag, attributes, null, FlagType.FLOAT).valueOr(fallback)

    /** Decides a `json` flag: its value (read-only), or `fallback`. */
    public fun jsonValue(flag: String, context: Context, fallback: Any?): Any? =
        decidedAndKept(flag, context, null, FlagType.JSON).let { if (it.variation == null) fallback else it.value }

    /** The same for attributes by name. */
    public fun jsonValue(flag: String, attributes: Map<String, *>, fallback: Any?): Any? =
        decidedAndKept(flag, attributes, null, FlagType.JSON).let { if (it.variation == null) fallback else it.value }

    /**
     * Queues an event of the units in a context. What the server would refuse is logged, counted, and gives null; after [close]
     * everything is.
     *
     * @param value the event's own number. A [java.math.BigDecimal] is exact (at most 6 digits behind the point).
     * @param properties what JSON has a form for: null, text, numbers, booleans, lists and maps of those.
     * @param timestamp when it happened, in milliseconds since 1970; now when left out.
     * @return the event's id.
     */
    @JvmOverloads
    public fun track(name: String, context: Context, value: Number? = null, properties: Map<String, *>? = null, timestamp: Long? = null): String? =
        tracked(name, context, value, properties, timestamp)

    /** The same for attributes by name. */
    @JvmOverloads
    public fun track(name: String, attributes: Map<String, *>, value: Number? = null, properties: Map<String, *>? = null, timestamp: Long? = null): String? =
        tracked(name, attributes, value, properties, timestamp)

    private fun tracked(name: String, context: Any, value: Number?, properties: Map<String, *>?, timestamp: Long?): String? {
        try {
            val queue = checkNotNull(queue) { "the client is closed; track before you close it" }
            require(isWellFormed(name)) { "the name of an event is Unicode text" }
            val event = TrackedEvent(
                name,
                units(context),
                value?.let(::decimal),
                if (value is Double || value is Float) value.toDouble() else null,
                properties?.let(Json::write),
                timestamp,
            )
            val id = queue.session.track(event, System.currentTimeMillis())
            notice()
            return id
        } catch (refused: NativeException.Refused) {
            log.error("track_refused", "the event \"$name\" is not queued: ${refused.detail}")
        } catch (error: Throwable) {
            log.error("track_refused", "the event \"$name\" is not queued: ${error.message ?: said(error)}", error)
        }
        return null
    }

    /** The units of a context, as an event has them. */
    private fun units(context: Any): List<TrackedUnit> =
        trackedUnits(unitTypes, if (context is Context) context.attributes else dev.evenhand.internal.attributes(context))

    /** For tests: forces a variation of a flag from now on; null ends it. */
    @Synchronized
    public fun override(flag: String, variation: String?) {
        overrides = if (variation == null) overrides - flag else overrides + (flag to variation)
    }

    /**
     * A decision and how it came about: every rule, every step, every leaf. For people; its shape may grow.
     * @throws IllegalStateException when there is no manifest.
     */
    @JvmOverloads
    public fun explain(flag: String, context: Context, options: EvaluateOptions? = null): Map<String, Any?> =
        held().let { it.explain(flag, enriched(context, it), options) }

    /** The same for attributes by name. */
    @JvmOverloads
    public fun explain(flag: String, attributes: Map<String, *>, options: EvaluateOptions? = null): Map<String, Any?> =
        held().let { it.explain(flag, enriched(attributes, it), options) }

    private fun held(): Snapshot = checkNotNull(snapshot) { "there is no manifest to explain by yet: wait for ready() first" }

    /** The context with stored assignments and overrides; most clients have neither. */
    private fun enriched(context: Any, snapshot: Snapshot): Any {
        val forced = overrides
        if (store == null && forced.isEmpty()) return context
        val kept = context as? Context
        return snapshot.context(context, stored(context) + kept?.sticky.orEmpty(), forced + kept?.forced.orEmpty())
    }

    private fun stored(context: Any): List<StickyRecord> {
        val store = this.store ?: return emptyList()
        return try {
            units(context).flatMap { unit ->
                val id = unit.text ?: unit.number?.let(session::unitText)
                if (id == null) emptyList() else store.load(id)
            }
        } catch (error: Throwable) {
            log.error("sticky_store", "the sticky store could not be read: ${said(error)}", error)
            emptyList()
        }
    }

    private fun keep(decision: Decision, store: StickyStore) {
        try {
            val snapshot = decision.table?.of ?: return
            val row = session.stickyRecord(snapshot.bound(decision.context ?: return), decision.table.index, decision.packed)
            snapshot.keep()
            if (row != null) store.save(StickyRecord(row.experiment, row.phase.toLong(), row.unit, row.variation))
        } catch (error: Throwable) {
            log.error("sticky_store", "the sticky store could not be written: ${said(error)}", error)
        }
    }

    /**
     * Puts a manifest from elsewhere in use, until the server has a newer one.
     * @throws ManifestException when it is refused; the one in use stays.
     */
    public fun updateManifest(manifest: ByteArray) {
        try {
            refusalsTold { session.updateManifest(manifest, System.currentTimeMillis()) }
        } finally {
            changed()
            loop.kick()
        }
    }

    /** The same with a manifest as text. */
    public fun updateManifest(manifest: String): Unit = updateManifest(manifest.toByteArray())

    /** The manifest in use; null when there is none. */
    public val manifest: ManifestInfo? get() = snapshot?.manifest

    /** The flags of the manifest in use. */
    public fun flags(): List<FlagInfo> = snapshot?.flags().orEmpty()

    /** The client in numbers. */
    public fun telemetry(): Telemetry {
        session.countEvaluations(evaluations.sumThenReset())
        return dev.evenhand.internal.telemetry(session.telemetry(System.currentTimeMillis()))
    }

    /** How often an attribute that a rule asks for was there but unusable, by name; at most 1,000 names. */
    public fun unusableAttributes(): Map<String, Long> = unusable.counts()

    /** What was thrown behind the last decision with reason ERROR; null when there was none. */
    public val lastError: Throwable? get() = broken

    /**
     * Calls a listener from now on, with what has changed; closing the answer ends that. On a thread of the client (or the one that
     * calls [updateManifest] or [close]), one call at a time.
     */
    public fun onChange(listener: ChangeListener): AutoCloseable = changes.watch(listener)

    /** Why the server denied the manifest when last it did, such as for a wrong key; null when it never has. */
    public val denial: String? get() = changes.denial

    private fun state(): ClientState {
        val row = session.telemetry(System.currentTimeMillis())
        // The session may have one more than this client has taken over: who hears of a manifest is to find it in use.
        return ClientState(snapshots, row.manifestConfirmations.toLong(), row.stale, queue == null)
    }

    /** Waits for the first manifest; false when it did not come in time, or the client was closed. */
    @JvmSynthetic
    public suspend fun ready(timeoutMs: Long = 10_000): Boolean = waiters.suspendUntil(timeoutMs) { snapshot != null }

    /** [ready] for callers without coroutines: blocks. */
    @JvmOverloads
    public fun awaitReady(timeoutMs: Long = 10_000): Boolean = waiters.block(timeoutMs) { snapshot != null }

    /** Sends what is queued now; false when the server did not take it in time. */
    @JvmSynthetic
    public suspend fun flush(timeoutMs: Long = 10_000): Boolean {
        val mark = beginFlush()
        return waiters.suspendUntil(timeoutMs) { session.isFlushed(mark) }
    }

    /** [flush] for callers without coroutines: blocks. */
    @JvmOverloads
    public fun awaitFlush(timeoutMs: Long = 10_000): Boolean {
        val mark = beginFlush()
        return waiters.block(timeoutMs) { session.isFlushed(mark) }
    }

    private fun beginFlush(): ULong = session.flush(System.currentTimeMillis()).also { loop.kick() }

    /** Sends what is queued, ends all requests, and writes the spool. Decisions go on with the manifest held. */
    @JvmSynthetic
    public suspend fun shutdown(timeoutMs: Long = 5_000) {
        beginClose(timeoutMs)
        if (!waiters.suspendUntil(timeoutMs + GRACE_MS) { closed.get() }) finish()
    }

    /** [shutdown] for callers without coroutines: blocks, for 5 seconds at most. */
    override fun close(): Unit = close(CLOSE_MS)

    /** The same with another limit. */
    public fun close(timeoutMs: Long) {
        beginClose(timeoutMs)
        if (!waiters.block(timeoutMs + GRACE_MS) { closed.get() }) finish()
    }

    internal fun beginClose(timeoutMs: Long) {
        if (!closing.compareAndSet(false, true)) return
        val now = System.currentTimeMillis()
        session.shutdown(now, now + timeoutMs)
        loop.kick()
    }

    /** After the last step of the loop, or when that does not come. */
    private fun finish() {
        queue = null
        synchronized(closed) {
            if (closed.get()) return
            spooling.end { telemetry().heldEvents == 0L }
            OpenClients.remove(this)
            read()
            closed.set(true)
        }
        waiters.look()
        changes.look()
    }

    private fun bootstrap(options: ClientOptions) {
        try {
            val bytes = options.bootstrap ?: options.bootstrapFile?.readBytes() ?: return
            session.updateManifest(bytes, System.currentTimeMillis())
        } catch (refused: NativeException.Refused) {
            log.error("bootstrap_ignored", "the bootstrap is not used: ${refused.detail}")
        } catch (error: Throwable) {
            // A client always begins: the server will have a manifest.
            log.error("bootstrap_ignored", "the bootstrap is not used: ${said(error)}", error)
        }
    }

    /** Something was queued. */
    private fun notice() {
        if (spooling.soon() || session.wakes()) loop.kick()
    }

    /** After every step of the loop. */
    private fun changed() {
        read()
        changes.look()
    }

    /** Takes over what the session has become. */
    private fun read() {
        changing.withLock {
            val counted = session.snapshots()
            if (counted != snapshots) {
                session.snapshot()?.let { snapshot = Snapshot(it, unusable) }
                unitTypes = session.unitTypes().ifEmpty { DEFAULT_UNIT_TYPES }
                snapshots = counted
            }
        }
        // What came now would be held for ever: nobody sends it, and the spool is written.
        if (loop.over) queue = null
        if (spooling.soon()) loop.kick()
        for (told in session.takeDiagnostics()) {
            val times = told.times.toInt()
            log.tell(level(told.level), told.code, if (times > 1) "${told.text} ($times times)" else told.text, times)
            if (told.code == "manifest_denied") changes.deny(told.text)
        }
        waiters.look()
    }

    private companion object {
        val DEFAULT_UNIT_TYPES: List<String> = Collections.singletonList("user_id")
        const val CLOSE_MS = 5_000L
        const val HEAD_START_NANOS = 50_000_000L

        /** What the loop may take beyond a deadline. */
        const val GRACE_MS = 500L

        /** @throws IllegalArgumentException for a key or a number that can't be right. */
        fun opened(options: ClientOptions): CoreSession {
            val engine = EngineSettings(HashMap(options.keys), options.environment, options.audience?.id)
            val settings = SessionSettings(engine, SDK, true, options.stream, options.numbers())
            try {
                return Native.core.session(settings, entropy(), System.currentTimeMillis())
            } catch (invalid: NativeException.Invalid) {
                throw IllegalArgumentException(inOurNames(invalid.detail))
            }
        }
    }
}
