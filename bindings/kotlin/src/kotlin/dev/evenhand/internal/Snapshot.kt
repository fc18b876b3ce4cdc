package dev.evenhand.internal

import dev.evenhand.Context
import dev.evenhand.Decision
import dev.evenhand.EvaluateOptions
import dev.evenhand.FlagInfo
import dev.evenhand.FlagType
import dev.evenhand.ManifestInfo
import dev.evenhand.Reason
import dev.evenhand.StickyRecord
import dev.evenhand.generated.ForcedRow
import dev.evenhand.generated.StickyRow
import java.util.Collections
import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.atomic.AtomicInteger
import java.util.concurrent.atomic.AtomicLong

/** Where exposures go, and who is told when one was queued. */
internal class Queue(@JvmField val session: CoreSession, @JvmField val noticed: () -> Unit)

/** A compiled manifest with the tables its packed decisions are read with: one object, so that an update can't mix them. */
internal class Snapshot(private val core: CoreSnapshot, private val unusable: Unusable) {
    /** A context knows by it which snapshot it is bound to. */
    @JvmField
    val id: Long = snapshots.incrementAndGet()

    private val facts = core.facts()

    @JvmField
    val version: Long = facts.version
    private val attributes = Array(facts.attributes.size) { at -> Asked(at, facts.attributes[at]) }
    private val byKey = ConcurrentHashMap<String, Any>()
    private val unknown = AtomicInteger()

    /** All flags by their index, each read when it is first needed. */
    private val byIndex = arrayOfNulls<FlagTable>(facts.keys.size)

    val manifest: ManifestInfo get() = ManifestInfo(facts.environment, facts.generation, version)

    /** Up to here a context that is bound to it can be used: that does not keep it alive. */
    fun keep(): Unit = keepAlive(core)

    fun flags(): List<FlagInfo> = facts.keys.mapIndexed { at, key -> FlagInfo(key, facts.types[at]) }

    /** Evaluates a flag; with a queue, its exposures go there. `context` is a [Context] or a map. */
    fun evaluate(key: String, context: Any, options: EvaluateOptions?, type: FlagType?, queue: Queue?): Decision {
        val flag = byKey[key] ?: find(key)
        if (flag !is FlagTable) return Decision.callersDefault(key, Reason.FLAG_UNKNOWN, version)
        val wanted = type ?: options?.type
        if (wanted != null && !flag.gives(wanted)) return Decision.callersDefault(key, Reason.TYPE_MISMATCH, version)
        val given = if (options == null) context else withExtras(context, options)
        val packed = packed(flag, given, options?.now ?: System.currentTimeMillis(), queue)
        return Decision(key, packed, version, flag, given)
    }

    private fun packed(flag: FlagTable, context: Any, now: Long, queue: Queue?): Long {
        if (context is Context) {
            val bound = context.boundTo(this)
            return if (queue == null) core.evaluate(bound, flag.index, now) else told(queue, queue.session.decide(core, bound, flag.index, now))
        }
        return Records.borrow { records ->
            val length = records.write(flag.asked, attributes(context), unusable)
            if (queue == null) {
                core.evaluateRecords(records, length, flag.index, now)
            } else {
                told(queue, queue.session.decideRecords(core, records, length, flag.index, now))
            }
        }
    }

    /** Below zero it says that an exposure was queued. */
    private fun told(queue: Queue, number: Long): Long {
        if (number >= 0) return number
        queue.noticed()
        return -1 - number
    }

    fun evaluateAll(context: Any, options: EvaluateOptions?): Map<String, Decision> {
        val now = options?.now ?: System.currentTimeMillis()
        val given = if (options == null) context else withExtras(context, options)
        val bound = bound(given)
        try {
            val packed = core.evaluateAll(bound, now, byIndex.size)
            val decisions = LinkedHashMap<String, Decision>(packed.size * 2)
            for (at in packed.indices) {
                val key = facts.keys[at]
                decisions[key] = Decision(key, packed[at], version, byIndex[at] ?: read(at), given)
            }
            return decisions
        } finally {
            // What was bound for this call alone.
            if (given !is Context) bound.close()
        }
    }

    fun defaults(reason: Reason): Map<String, Decision> =
        facts.keys.associateTo(LinkedHashMap()) { it to Decision.callersDefault(it, reason, version) }

    @Suppress("UNCHECKED_CAST")
    fun explain(key: String, context: Any, options: EvaluateOptions?): Map<String, Any?> {
        val given = if (options == null) context else withExtras(context, options)
        val text = core.explain(key, bound(given), options?.now ?: System.currentTimeMillis())
        return Json.parse(text) as Map<String, Any?>
    }

    /** The values of a context in this snapshot's slots. */
    fun bound(context: Any): CoreContext =
        if (context is Context) context.boundTo(this) else bind(attributes(context), Collections.emptyList(), Collections.emptyMap())

    fun bind(attributes: Map<String, *>, sticky: List<StickyRecord>, forced: Map<String, String>): CoreContext =
        Records.borrow { records ->
            val length = records.write(this.attributes, attributes, unusable)
            core.bind(records, length, sticky.mapNotNull { row(it) }, forced.mapNotNull { (flag, variation) -> row(flag, variation) })
        }

    /** A context for decisions of this snapshot alone: of a caller's map it has what the snapshot's flags can ask for. */
    fun context(given: Any, sticky: List<StickyRecord>, forced: Map<String, String>): Context {
        if (given is Context) return Context(given.attributes, sticky, forced)
        val map = attributes(given)
        val known = HashMap<String, Any?>()
        for (asked in attributes) map[asked.name]?.let { known[asked.name] = it }
        return Context(known, sticky, forced)
    }

    /** The context with what the options force upon it; the context itself, usually. */
    private fun withExtras(context: Any, options: EvaluateOptions): Any {
        if (options.sticky == null && options.forced == null) return context
        val kept = context as? Context
        val sticky = kept?.sticky.orEmpty() + options.sticky.orEmpty()
        val forced = kept?.forced.orEmpty() + options.forced.orEmpty()
        return context(context, sticky, forced)
    }

    private fun find(key: String): Any {
        // A key with a lone surrogate would reach the other side as another one.
        val index = if (isWellFormed(key)) core.flagIndex(key) else -1
        if (index >= 0) {
            val flag = byIndex[index] ?: read(index)
            byKey[key] = flag
            return flag
        }
        if (unknown.incrementAndGet() <= MAX_UNKNOWN) byKey[key] = UNKNOWN
        return UNKNOWN
    }

    private fun read(index: Int): FlagTable = synchronized(byIndex) {
        byIndex[index] ?: FlagTable(this, index, core.flagFacts(index), attributes).also { byIndex[index] = it }
    }

    private companion object {
        /** Unknown keys that are remembered; an application that asks for ever new ones costs a call each, not memory. */
        const val MAX_UNKNOWN = 1_000
        val UNKNOWN = Any()
        val snapshots = AtomicLong()
    }
}

/** A context that is no [Context]: the caller's map. */
@Suppress("UNCHECKED_CAST")
internal fun attributes(context: Any): Map<String, *> = context as Map<String, *>

// A record with a lone surrogate can't equal anything; it is left out, and not turned into another text on its way.
private fun row(record: StickyRecord): StickyRow? {
    val (experiment, phase, unit, variation) = record
    val usable = isWellFormed(experiment) && isWellFormed(unit) && isWellFormed(variation) && phase in 0..UInt.MAX_VALUE.toLong()
    return if (usable) StickyRow(experiment, phase.toUInt(), unit, variation) else null
}

private fun row(flag: String, variation: String): ForcedRow? =
    if (isWellFormed(flag) && isWellFormed(variation)) ForcedRow(flag, variation) else null
