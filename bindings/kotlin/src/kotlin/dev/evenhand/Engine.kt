package dev.evenhand

import dev.evenhand.generated.EngineSettings
import dev.evenhand.generated.NativeException
import dev.evenhand.internal.CoreEngine
import dev.evenhand.internal.Json
import dev.evenhand.internal.Native
import dev.evenhand.internal.Snapshot
import dev.evenhand.internal.Unusable
import dev.evenhand.internal.valueOr
import java.util.Collections

/** Whom a manifest is made for. */
public enum class Audience(internal val id: String) {
    /** Servers: everything in clear. */
    SERVER("server"),

    /** Applications in users' hands: keys hashed. */
    CLIENT("client"),
}

/**
 * A part of a manifest that did not compile: that flag answers `off` with UNSUPPORTED, the others are as ever.
 *
 * @property flag the flag's key; null for a broken segment, layer, holdout or list as such.
 * @property path where, as `flags.checkout.rules[2].when`.
 * @property line the line, from 1.
 * @property column the column in bytes, from 1.
 * @property message what is wrong.
 * @property remedy how to mend it.
 */
public data class Fault(
    public val flag: String?,
    public val path: String,
    public val line: Long,
    public val column: Long,
    public val message: String,
    public val remedy: String,
)

/**
 * An id list that flags need and that was not supplied (or was refused): they answer NOT_READY.
 *
 * @property list the list's id.
 * @property sha256 its content's address.
 * @property refused why what was supplied was refused; null when nothing was.
 */
public data class MissingList(
    public val list: String,
    public val sha256: String,
    public val refused: String?,
)

/**
 * Decides flags by a manifest held in memory: no network, no clock but the caller's, no exposures. [Client] adds those.
 *
 * Decisions never throw: whatever is wrong, the caller gets a decision and its reason. Any number of threads may share an engine.
 *
 * @param manifest the manifest to begin with, bare or signed; null: none yet.
 * @param keys the publisher's Ed25519 public keys by key id, base64url. With any, only manifests signed by one of them are taken.
 * @param environment refuse manifests of other environments.
 * @param audience refuse manifests made for others.
 * @param lists blobs of the id lists that the manifests name.
 * @throws IllegalArgumentException for a key that can't be read.
 * @throws ManifestException for a manifest or list that is refused.
 */
public class Engine @JvmOverloads constructor(
    manifest: ByteArray? = null,
    keys: Map<String, String> = Collections.emptyMap(),
    environment: String? = null,
    audience: Audience? = null,
    lists: List<ByteArray> = Collections.emptyList(),
) {
    private val core: CoreEngine = refusalsTold { Native.core.engine(EngineSettings(HashMap(keys), environment, audience?.id)) }
    private val unusable = Unusable()

    @Volatile
    private var snapshot: Snapshot? = null

    @Volatile
    private var broken: Throwable? = null

    init {
        for (list in lists) addList(list)
        if (manifest != null) updateManifest(manifest)
    }

    /** The same with a manifest as text. */
    public constructor(manifest: String) : this(manifest.toByteArray())

    /**
     * Takes the blob of an id list, for manifests handed in afterwards.
     * @throws ManifestException `bad_list` when it is none.
     */
    public fun addList(blob: ByteArray): Unit = refusalsTold { core.addList(blob) }

    /**
     * Puts a manifest, bare or signed, in the place of the one held, as a whole.
     * @throws ManifestException when it is refused; the engine then keeps what it holds.
     */
    @Synchronized
    public fun updateManifest(manifest: ByteArray) {
        snapshot = Snapshot(refusalsTold { core.update(manifest) }, unusable)
    }

    /** The same with a manifest as text. */
    public fun updateManifest(manifest: String): Unit = updateManifest(manifest.toByteArray())

    /** The manifest held; null when there is none. */
    public val manifest: ManifestInfo? get() = snapshot?.manifest

    /** Evaluates a flag. Nothing is logged and nothing thrown. */
    @JvmOverloads
    public fun evaluate(flag: String, context: Context, options: EvaluateOptions? = null): Decision = decided(flag, context, options, null)

    /** The same for attributes by name; see [Context] for what counts as a value. */
    @JvmOverloads
    public fun evaluate(flag: String, attributes: Map<String, *>, options: EvaluateOptions? = null): Decision =
        decided(flag, attributes, options, null)

    private fun decided(flag: String, context: Any, options: EvaluateOptions?, type: FlagType?): Decision {
        val snapshot = this.snapshot ?: return Decision.callersDefault(flag, Reason.NO_MANIFEST, Decision.NO_VERSION)
        return try {
            snapshot.evaluate(flag, context, options, type, null)
        } catch (error: Throwable) {
            broken = error
            Decision.callersDefault(flag, Reason.ERROR, snapshot.version)
        }
    }

    /** Evaluates all flags of the manifest, by their keys in it. */
    @JvmOverloads
    public fun evaluateAll(context: Context, options: EvaluateOptions? = null): Map<String, Decision> = allDecided(context, options)

    /** The same for attributes by name. */
    @JvmOverloads
    public fun evaluateAll(attributes: Map<String, *>, options: EvaluateOptions? = null): Map<String, Decision> =
        allDecided(attributes, options)

    private fun allDecided(context: Any, options: EvaluateOptions?): Map<String, Decision> {
        val snapshot = this.snapshot ?: return emptyMap()
        return try {
            snapshot.evaluateAll(context, options)
        } catch (error: Throwable) {
            broken = error
            snapshot.defaults(Reason.ERROR)
        }
    }

    /** The value of a `bool` flag, or `fallback` when there is none. */
    public fun booleanValue(flag: String, context: Context, fallback: Boolean): Boolean =
        decided(flag, context, null, FlagType.BOOL).valueOr(fallback)

    /** The same for attributes by name. */
    public fun booleanValue(flag: String, attributes: Map<String, *>, fallback: Boolean): Boolean =
        decided(flag, attributes, null, FlagType.BOOL).valueOr(fallback)

    /** The value of a `string` flag, or `fallback` when there is none. */
    public fun stringValue(flag: String, context: Context, fallback: String): String =
        decided(flag, context, null, FlagType.STRING).valueOr(fallback)

    /** The same for attributes by name. */
    public fun stringValue(flag: String, attributes: Map<String, *>, fallback: String): String =
        decided(flag, attributes, null, FlagType.STRING).valueOr(fallback)

    /** The value of an `int` flag, or `fallback` when there is none. */
    public fun intValue(flag: String, context: Context, fallback: Long): Long = decided(flag, context, null, FlagType.INT).valueOr(fallback)

    /** The same for attributes by name. */
    public fun intValue(flag: String, attributes: Map<String, *>, fallback: Long): Long =
        decided(flag, attributes, null, FlagType.INT).valueOr(fallback)

    /** The value of a `float` or `int` flag, or `fallback` when there is none. */
    public fun floatValue(flag: String, context: Context, fallback: Double): Double =
        decided(flag, context, null, FlagType.FLOAT).valueOr(fallback)

    /** The same for attributes by name. */
    public fun floatValue(flag: String, attributes: Map<String, *>, fallback: Double): Double =
        decided(flag, attributes, null, FlagType.FLOAT).valueOr(fallback)

    /** The value of a `json` flag (read-only), or `fallback` when there is none. */
    public fun jsonValue(flag: String, context: Context, fallback: Any?): Any? =
        decided(flag, context, null, FlagType.JSON).let { if (it.variation == null) fallback else it.value }

    /** The same for attributes by name. */
    public fun jsonValue(flag: String, attributes: Map<String, *>, fallback: Any?): Any? =
        decided(flag, attributes, null, FlagType.JSON).let { if (it.variation == null) fallback else it.value }

    /**
     * A decision and how it came about: every rule, every step, every leaf. For people; its shape may grow.
     * @throws IllegalStateException when there is no manifest.
     */
    @JvmOverloads
    public fun explain(flag: String, context: Context, options: EvaluateOptions? = null): Map<String, Any?> =
        held().explain(flag, context, options)

    /** The same for attributes by name. */
    @JvmOverloads
    public fun explain(flag: String, attributes: Map<String, *>, options: EvaluateOptions? = null): Map<String, Any?> =
        held().explain(flag, attributes, options)

    private fun held(): Snapshot = checkNotNull(snapshot) { "there is no manifest to explain by: hand one to updateManifest first" }

    /** The flags of the manifest held. */
    public fun flags(): List<FlagInfo> = snapshot?.flags().orEmpty()

    /** What did not compile in the manifest held. */
    public fun faults(): List<Fault> = reported("faults") {
        Fault(it["flag"] as String?, it["path"] as String, it["line"] as Long, it["column"] as Long, it["message"] as String, it["remedy"] as String)
    }

    /** Id lists that the manifest held names and that were not there when it was handed in. */
    public fun missingLists(): List<MissingList> = reported("missing_lists") {
        MissingList(it["list"] as String, it["sha256"] as String, it["refused"] as String?)
    }

    private fun <T> reported(name: String, read: (Map<*, *>) -> T): List<T> {
        val report = Json.parse(core.reportJson()) as Map<*, *>
        return (report[name] as List<*>).map { read(it as Map<*, *>) }
    }

    /** How often an attribute that a rule asks for was there but unusable, by name; at most 1,000 names. */
    public fun unusableAttributes(): Map<String, Long> = unusable.counts()

    /** What was thrown behind the last decision with reason ERROR; null when there was none. */
    public val lastError: Throwable? get() = broken
}

/** A refusal as the exception that callers know. */
internal inline fun <T> refusalsTold(ask: () -> T): T = try {
    ask()
} catch (refused: NativeException.Refused) {
    throw ManifestException(refused.code, refused.detail)
} catch (invalid: NativeException.Invalid) {
    throw IllegalArgumentException(invalid.detail)
}
