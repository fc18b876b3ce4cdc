package dev.evenhand.internal

import dev.evenhand.Change
import dev.evenhand.ChangeListener
import java.util.ArrayDeque
import java.util.Collections

/** What is compared. */
internal class ClientState(
    @JvmField val snapshots: Long,
    @JvmField val confirmations: Long,
    @JvmField val stale: Boolean,
    @JvmField val closed: Boolean,
)

/** Compares what a client is with what it was, whenever something has been done for it; without listeners, nothing. */
internal class Changes(private val log: Log, private val state: () -> ClientState) {
    /** An object of its own: one listener may listen twice. */
    private class Entry(val listener: ChangeListener)

    /** The server's last word on why there is no manifest. */
    @Volatile
    var denial: String? = null
        private set

    @Volatile
    private var entries: List<Entry> = Collections.emptyList()

    /** What is still to be told, in order. */
    private val told = ArrayDeque<Change>()
    private var telling = false
    private var seen: ClientState? = null
    private var denials = 0
    private var deniedUntilHeard = false

    @Synchronized
    fun deny(text: String) {
        denial = text
        denials++
    }

    @Synchronized
    fun watch(listener: ChangeListener): AutoCloseable {
        if (entries.isEmpty()) {
            seen = state()
            denials = 0
            deniedUntilHeard = false
        }
        val entry = Entry(listener)
        entries = entries + entry
        return AutoCloseable { leave(entry) }
    }

    @Synchronized
    private fun leave(entry: Entry) {
        entries = entries - entry
    }

    /** On any thread. Whoever finds nobody telling tells, in order, with no lock held. */
    fun look() {
        if (entries.isEmpty() || !compared()) return
        while (true) {
            val change = next() ?: return
            for (entry in entries) {
                try {
                    entry.listener.changed(change)
                } catch (error: Throwable) {
                    log.error("fault", "a listener of the client failed: ${said(error)}", error)
                }
            }
        }
    }

    /** Whether the caller is to tell. */
    @Synchronized
    private fun compared(): Boolean {
        val before = seen ?: return false
        val now = state()
        seen = now
        between(before, now)
        if (telling) return false
        telling = true
        return true
    }

    @Synchronized
    private fun next(): Change? = told.poll().also { if (it == null) telling = false }

    private fun between(before: ClientState, now: ClientState) {
        val another = now.snapshots != before.snapshots
        val heard = another || now.confirmations != before.confirmations
        if (another) told += Change.MANIFEST
        if ((before.stale && !now.stale) || (deniedUntilHeard && heard)) told += Change.FRESH
        if (heard) deniedUntilHeard = false
        if (denials > 0 && !deniedUntilHeard) {
            deniedUntilHeard = true
            told += Change.DENIED
        }
        denials = 0
        if (now.stale && !before.stale) told += Change.STALE
        if (now.closed && !before.closed) told += Change.CLOSED
    }
}
