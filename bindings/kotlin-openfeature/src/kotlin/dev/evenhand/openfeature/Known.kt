package dev.evenhand.openfeature

import dev.evenhand.Client
import dev.evenhand.Decision
import java.util.concurrent.ConcurrentHashMap

/** `isStatic`: the flag has no rules, and gives everybody the same. `units`: what its rules lack where there is no unit at all. */
internal class Shape(@JvmField val isStatic: Boolean, @JvmField val units: Set<String>) {
    internal companion object {
        @JvmField
        val UNASKED: Shape = Shape(false, emptySet())
    }
}

/** What is asked once of a manifest: its environment, and of its flags as they are asked for, their shape. */
internal class Known(@JvmField val version: Long?, @JvmField val environment: String?) {
    private val shapes = ConcurrentHashMap<String, Shape>()

    fun fits(decision: Decision): Boolean = version != null && version == decision.manifestVersion

    fun shape(client: Client, flag: String): Shape = shapes[flag] ?: asked(client, flag)?.also { shapes[flag] = it } ?: Shape.UNASKED

    private fun asked(client: Client, flag: String): Shape? {
        val explained = try {
            client.explain(flag, emptyMap<String, Any?>())
        } catch (_: Exception) {
            // A resolution that was decided is not to fail for this.
            return null
        }
        val rules = explained["rules"] as? List<*> ?: return null
        val steps = rules.flatMap { rule -> (rule as? Map<*, *>)?.get("steps") as? List<*> ?: emptyList<Any?>() }
        val units = steps.mapNotNullTo(HashSet()) { step ->
            (step as? Map<*, *>)?.let { if (it["step"] == "unit" && it["holds"] == false) it["attribute"] as? String else null }
        }
        return Shape(rules.isEmpty(), units)
    }
}
