package dev.evenhand.internal

import dev.evenhand.Client
import java.util.concurrent.ConcurrentHashMap

/**
 * Clients that are open when the JVM ends: when it ends by itself, or is asked to (SIGTERM), they send what is queued first. Android
 * kills processes without a word; there, the spool is for that.
 */
internal object OpenClients {
    /** What the end of a JVM may be held up for. */
    private const val PATIENCE_MS = 2_000L

    private val open: MutableSet<Client> = ConcurrentHashMap.newKeySet()

    init {
        try {
            Runtime.getRuntime().addShutdownHook(Thread({ closeAll() }, "evenhand-exit"))
        } catch (_: IllegalStateException) {
            // It is ending already.
        }
    }

    fun add(client: Client) {
        open.add(client)
    }

    fun remove(client: Client) {
        open.remove(client)
    }

    private fun closeAll() {
        val clients = open.toList()
        clients.forEach { it.beginClose(PATIENCE_MS) }
        clients.forEach { it.close(PATIENCE_MS) }
    }
}
