package dev.evenhand.internal

import kotlinx.coroutines.suspendCancellableCoroutine
import kotlinx.coroutines.withTimeoutOrNull
import java.util.concurrent.CompletableFuture
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.TimeUnit
import java.util.concurrent.TimeoutException
import kotlin.coroutines.resume

/** Those who wait for something to become true, in threads and in coroutines. */
internal class Waiters(private val isOver: () -> Boolean) {
    private class Waiter(val holds: () -> Boolean) {
        val done = CompletableFuture<Boolean>()
    }

    private val waiting = CopyOnWriteArrayList<Waiter>()

    /** Something may have changed. */
    fun look() {
        for (waiter in waiting) look(waiter)
    }

    private fun look(waiter: Waiter) {
        if (waiter.holds()) {
            waiter.done.complete(true)
        } else if (isOver()) {
            // Nothing changes any more in a closed client.
            waiter.done.complete(false)
        }
    }

    /** Blocks until it holds; false when it does not in time, or never will. */
    fun block(timeoutMs: Long, holds: () -> Boolean): Boolean {
        if (holds()) return true
        val waiter = enter(holds)
        try {
            return waiter.done.get(maxOf(timeoutMs, 0), TimeUnit.MILLISECONDS)
        } catch (_: TimeoutException) {
            return holds()
        } finally {
            waiting.remove(waiter)
        }
    }

    /** Suspends until it holds; false when it does not in time, or never will. */
    suspend fun suspendUntil(timeoutMs: Long, holds: () -> Boolean): Boolean {
        if (holds()) return true
        val waiter = enter(holds)
        try {
            return withTimeoutOrNull(timeoutMs) {
                suspendCancellableCoroutine { continuation ->
                    waiter.done.whenComplete { held, _ -> if (continuation.isActive) continuation.resume(held) }
                }
            } ?: holds()
        } finally {
            waiting.remove(waiter)
        }
    }

    private fun enter(holds: () -> Boolean): Waiter {
        val waiter = Waiter(holds)
        waiting.add(waiter)
        // It may have become true just before.
        look(waiter)
        return waiter
    }
}
