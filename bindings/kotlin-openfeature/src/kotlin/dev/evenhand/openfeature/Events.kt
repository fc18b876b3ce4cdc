package dev.evenhand.openfeature

import dev.openfeature.sdk.Awaitable
import dev.openfeature.sdk.ErrorCode
import dev.openfeature.sdk.ProviderEvent
import dev.openfeature.sdk.ProviderEventDetails
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.ThreadPoolExecutor
import java.util.concurrent.TimeUnit

/**
 * Emits events one after the other. The SDK gives each a thread of its own, so that the second could overtake the first; and each
 * waits as long as any provider is being set, which the loop of a client must not.
 */
internal class Events(private val emit: (ProviderEvent, ProviderEventDetails) -> Awaitable) {
    private val thread = ThreadPoolExecutor(1, 1, IDLE_SECONDS, TimeUnit.SECONDS, LinkedBlockingQueue()) { work ->
        Thread(work, "evenhand-openfeature-events").apply { isDaemon = true }
    }.apply { allowCoreThreadTimeOut(true) }

    fun tell(event: ProviderEvent, message: String, code: ErrorCode? = null) {
        val details = ProviderEventDetails.builder().message(message).errorCode(code).build()
        thread.execute { emit(event, details).await() }
    }

    private companion object {
        const val IDLE_SECONDS = 5L
    }
}
