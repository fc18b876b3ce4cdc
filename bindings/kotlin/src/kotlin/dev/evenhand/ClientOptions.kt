package dev.evenhand

import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.asExecutor
import java.io.File
import java.util.Collections
import java.util.concurrent.Executor

/**
 * What a client is made with. Read once, when it is made; times are milliseconds. The defaults and limits of the numbers stand in
 * docs/contract/session.md, "Options"; null means the default.
 *
 * @property url the server's address, such as `https://flags.example.com`.
 * @property key the environment's server key (or client key; then set [stream] to false).
 */
public class ClientOptions(
    public val url: String,
    public val key: String,
) {
    /** The publisher's Ed25519 public keys by key id, base64url. With any, only manifests signed by one of them are taken. */
    public var keys: Map<String, String> = Collections.emptyMap()

    /** Refuse manifests of other environments. */
    public var environment: String? = null

    /** Refuse manifests made for others. */
    public var audience: Audience? = null

    /** Hear of changes by push (needs a server or sidecar key). */
    public var stream: Boolean = true

    /** A manifest to begin with; goes before [bootstrapFile]. */
    public var bootstrap: ByteArray? = null

    /** A file with a manifest to begin with. One that can't be read is told to the logger; the server will have a manifest. */
    public var bootstrapFile: File? = null

    /** A file that keeps the manifest and undelivered events for the next start. Processes may share it. */
    public var spool: File? = null

    /** Where sticky assignments are kept. Without one there are none. */
    public var stickyStore: StickyStore? = null

    /** Variations by flag, for tests. */
    public var overrides: Map<String, String> = Collections.emptyMap()

    /** Where the client tells what happens to it. */
    public var logger: Logger = Logger.JAVA_UTIL

    /**
     * Where requests run, each of which blocks a thread for as long as it takes; the client's own daemon threads by default. (What
     * waits for the next request, and what reads the stream, has a daemon thread of its own.)
     */
    public var executor: Executor? = null

    /** What a request may take. */
    public var timeoutMs: Int = 10_000

    /** Between two polls while no stream is open (60,000; from 1,000). */
    public var pollIntervalMs: Long? = null

    /** Between two polls while a stream is open (600,000). */
    public var streamPollIntervalMs: Long? = null

    /** Over which the fetches after an announcement are spread (250). */
    public var announceJitterMs: Long? = null

    /** Before the first retry; doubled for each further one (1,000). */
    public var backoffBaseMs: Long? = null

    /** That the doubling ends at (60,000). */
    public var backoffMaxMs: Long? = null

    /** Before a denial (401, 403, 404, …) is tried again (300,000). */
    public var deniedRetryMs: Long? = null

    /** That a server's `Retry-After` is honoured for at most (300,000). */
    public var retryAfterMaxMs: Long? = null

    /** After which a request without end counts as failed (120,000). */
    public var reportTimeoutMs: Long? = null

    /** Without confirmation by the server after which the manifest is called stale (600,000). */
    public var staleAfterMs: Long? = null

    /** Exposures remembered, so that they are not sent again; 0 sends every one (50,000). */
    public var dedupeCapacity: Long? = null

    /** That an exposure is remembered (3,600,000). */
    public var dedupeTtlMs: Long? = null

    /** Events held at most; beyond it the oldest are dropped and counted (10,000). */
    public var queueMaxEvents: Long? = null

    /** Bytes of events held at most (8,388,608). */
    public var queueMaxBytes: Long? = null

    /** Events of one batch (500). */
    public var batchMaxEvents: Long? = null

    /** Bytes of one batch (524,288). */
    public var batchMaxBytes: Long? = null

    /** An event waits so long for others (5,000). */
    public var flushIntervalMs: Long? = null

    /** Runs requests on a dispatcher for blocking work, such as `Dispatchers.IO`; the same as setting [executor]. */
    public fun dispatcher(dispatcher: CoroutineDispatcher) {
        executor = dispatcher.asExecutor()
    }

    /**
     * The numbers that were set, by the names the session has for them.
     * @throws IllegalArgumentException for one below zero.
     */
    internal fun numbers(): Map<String, ULong> {
        val numbers = HashMap<String, ULong>()
        fun set(name: String, value: Long?) {
            if (value == null) return
            require(value >= 0) { "`$name` is $value: give it a whole number from 0 up, or leave it out" }
            numbers[name.replace(Regex("[A-Z]")) { "_" + it.value.lowercase() }] = value.toULong()
        }
        set("pollIntervalMs", pollIntervalMs)
        set("streamPollIntervalMs", streamPollIntervalMs)
        set("announceJitterMs", announceJitterMs)
        set("backoffBaseMs", backoffBaseMs)
        set("backoffMaxMs", backoffMaxMs)
        set("deniedRetryMs", deniedRetryMs)
        set("retryAfterMaxMs", retryAfterMaxMs)
        set("reportTimeoutMs", reportTimeoutMs)
        set("staleAfterMs", staleAfterMs)
        set("dedupeCapacity", dedupeCapacity)
        set("dedupeTtlMs", dedupeTtlMs)
        set("queueMaxEvents", queueMaxEvents)
        set("queueMaxBytes", queueMaxBytes)
        set("batchMaxEvents", batchMaxEvents)
        set("batchMaxBytes", batchMaxBytes)
        set("flushIntervalMs", flushIntervalMs)
        return numbers
    }
}

/** What the session says, which has other names for the options, in the names of [ClientOptions]. */
internal fun inOurNames(detail: String): String =
    detail.replace(Regex("`\\w+`")) { name -> name.value.replace(Regex("_([a-z])")) { it.groupValues[1].uppercase() } }
