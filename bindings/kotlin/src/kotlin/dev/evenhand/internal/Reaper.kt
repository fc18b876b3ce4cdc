package dev.evenhand.internal

import java.lang.ref.PhantomReference
import java.lang.ref.ReferenceQueue
import java.util.concurrent.ConcurrentHashMap

/**
 * Frees native objects when nobody holds them any more. (`java.lang.ref.Cleaner` does the same, but Android has it only since API 33.)
 */
internal object Reaper {
    private val queue = ReferenceQueue<Any>()
    private val watched: MutableSet<Watch> = ConcurrentHashMap.newKeySet()

    init {
        val thread = Thread({ reap() }, "evenhand-reaper")
        thread.isDaemon = true
        thread.start()
    }

    /** Calls `free(address)` once `owner` is unreachable, or when it is asked to before. */
    fun watch(owner: Any, address: Long, free: Free): Watch = Watch(owner, address, free).also { watched.add(it) }

    class Watch(owner: Any, private val address: Long, private val free: Free) : PhantomReference<Any>(owner, queue) {
        fun now() {
            // Who takes it out of the set frees it: nobody does so twice.
            if (!watched.remove(this)) return
            clear()
            free.free(address)
        }
    }

    fun interface Free {
        fun free(address: Long)
    }

    private fun reap() {
        while (true) {
            try {
                (queue.remove() as Watch).now()
            } catch (_: Throwable) {
                // This thread must go on: without it all native memory leaks.
            }
        }
    }
}

/**
 * Keeps an object reachable up to here, so that its native half is not freed amid a call. (`Reference.reachabilityFence` does the
 * same, but Android has it only since API 28.)
 */
internal object Fence {
    /** Nobody's; not final, so that no compiler knows what it holds, and the comparison needs the object itself. */
    @JvmField
    var nobody: Any? = null

    @JvmField
    var met: Int = 0
}

@Suppress("NOTHING_TO_INLINE")
internal inline fun keepAlive(owner: Any) {
    if (owner === Fence.nobody) Fence.met++
}
