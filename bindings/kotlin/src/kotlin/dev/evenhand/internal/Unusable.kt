package dev.evenhand.internal

import java.util.concurrent.ConcurrentHashMap

/** How often an attribute that a rule asks for was there but unusable, by name. */
internal class Unusable {
    private val byName = ConcurrentHashMap<String, Long>()

    fun count(name: String) {
        // An application can't fill memory with ever new names: those that count come from the manifest.
        if (byName.size < MAX_NAMES || byName.containsKey(name)) byName.merge(name, 1L, Long::plus)
    }

    fun counts(): Map<String, Long> = HashMap(byName)

    private companion object {
        const val MAX_NAMES = 1_000
    }
}
