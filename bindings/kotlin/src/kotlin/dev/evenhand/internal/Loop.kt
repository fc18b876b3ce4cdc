package dev.evenhand.internal

import dev.evenhand.generated.NextAction
import java.util.concurrent.Executor
import java.util.concurrent.SynchronousQueue
import java.util.concurrent.ThreadPoolExecutor
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicBoolean
import java.util.concurrent.locks.LockSupport

/** What the loop's owner does beside it. */
internal interface LoopHost {
    /** After every step; the answer is when it wants to be called again, on `System.nanoTime`, or `Loop.NEVER`. */
    fun stepped(): Long

    /** Once, after the last step. */
    fun ended()
}

/**
 * Does what the session asks for and reports. It has no policy of its own: when to fetch, send and try again stands in
 * `core/session`. One daemon thread waits and asks; requests block threads of `executor`, a stream one of its own.
 */
internal class Loop(
    private val session: CoreSession,
    private val server: Server,
    private val executor: Executor,
    private val log: Log,
    private val host: LoopHost,
) {
    private val thread = daemon("evenhand-loop") { run() }
    private val kicked = AtomicBoolean()
    private var headStart = 0L

    @Volatile
    private var stream: Server.OpenStream? = null

    /** Whether the session is done. */
    @Volatile
    var over: Boolean = false
        private set

    /** Begins; after `headStart`, so that what the first request loads doesn't compete with an application that can decide already. */
    fun start(headStartNanos: Long) {
        headStart = headStartNanos
        thread.start()
    }

    /** Asks the session soon; never inside the caller. */
    fun kick() {
        if (kicked.compareAndSet(false, true)) LockSupport.unpark(thread)
    }

    private fun run() {
        if (headStart > 0 && !kicked.get()) LockSupport.parkNanos(this, headStart)
        while (true) {
            kicked.set(false)
            val until = try {
                step()
            } catch (error: Throwable) {
                // The loop outlives whatever went wrong in one step; an action without report lapses in the session.
                log.error("fault", "a step of the client failed: ${said(error)}", error)
                System.nanoTime() + RECOVERY_NANOS
            }
            val own = try {
                host.stepped()
            } catch (error: Throwable) {
                log.error("fault", "a step of the client failed: ${said(error)}", error)
                NEVER
            }
            if (over) break
            val now = System.nanoTime()
            val wait = minOf(until - now, if (own == NEVER) Long.MAX_VALUE else own - now)
            if (wait > 0 && !kicked.get()) LockSupport.parkNanos(this, wait)
            // Somebody's interrupt must not make this a loop without rest.
            Thread.interrupted()
        }
        host.ended()
    }

    /** Until when to wait, on `System.nanoTime`. */
    private fun step(): Long {
        while (true) {
            when (val action = session.next(System.currentTimeMillis())) {
                is NextAction.Wait -> {
                    val wait = maxOf(0, action.untilMs - System.currentTimeMillis())
                    return System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(wait)
                }
                is NextAction.Done -> {
                    over = true
                    stream?.close()
                    return System.nanoTime()
                }
                is NextAction.OpenStream -> openStream(action)
                else -> perform(action)
            }
        }
    }

    private fun perform(action: NextAction) {
        try {
            executor.execute { carryOut(action) }
        } catch (error: Throwable) {
            reported { failed(action, error) }
        }
    }

    private fun carryOut(action: NextAction) {
        val report: () -> Unit = try {
            when (action) {
                is NextAction.FetchManifest -> server.manifest(action.etag).let {
                    { session.manifestResponse(action.ticket, it.status, it.etag, it.retryAfter, it.body, System.currentTimeMillis()) }
                }
                is NextAction.FetchList -> server.list(action.sha256).let {
                    { session.listResponse(action.ticket, it.status, it.retryAfter, it.body, System.currentTimeMillis()) }
                }
                is NextAction.SendEvents -> server.events(action.contentType, action.body).let {
                    { session.batchResponse(action.ticket, it.status, it.retryAfter, it.body, System.currentTimeMillis()) }
                }
                is NextAction.OpenStream, is NextAction.Wait, is NextAction.Done -> return
            }
        } catch (error: Throwable) {
            { failed(action, error) }
        }
        reported(report)
    }

    private fun failed(action: NextAction, error: Throwable) {
        val now = System.currentTimeMillis()
        when (action) {
            is NextAction.FetchManifest -> session.fetchFailed(action.ticket, said(error), now)
            is NextAction.FetchList -> session.fetchFailed(action.ticket, said(error), now)
            is NextAction.SendEvents -> session.batchFailed(action.ticket, said(error), now)
            is NextAction.OpenStream -> session.fetchFailed(action.ticket, said(error), now)
            is NextAction.Wait, is NextAction.Done -> Unit
        }
    }

    private fun reported(report: () -> Unit) {
        try {
            report()
        } catch (error: Throwable) {
            log.error("fault", "a report to the session failed: ${said(error)}", error)
        }
        kick()
    }

    private fun openStream(action: NextAction.OpenStream) {
        // One that was never answered has lapsed in the session, but may still be open here.
        stream?.close()
        val ticket = action.ticket
        try {
            stream = server.stream(
                action.lastEventId,
                action.idleTimeoutMs,
                object : StreamEvents {
                    private var answered = false
                    private var open = false

                    override fun answered(status: Int, retryAfter: String?) {
                        answered = true
                        open = status in 200..299
                        reported { session.streamResponse(ticket, status, retryAfter, System.currentTimeMillis()) }
                    }

                    override fun heard(bytes: ByteArray) = reported { session.streamBytes(ticket, bytes, System.currentTimeMillis()) }

                    override fun ended(error: Throwable?) = reported {
                        val now = System.currentTimeMillis()
                        if (open) {
                            session.streamClosed(ticket, now)
                        } else if (!answered) {
                            session.fetchFailed(ticket, error?.let(::said) ?: "the connection was closed", now)
                        }
                    }
                },
            )
        } catch (error: Throwable) {
            reported { failed(action, error) }
        }
    }

    internal companion object {
        const val NEVER: Long = Long.MAX_VALUE

        /** After a fault of the loop itself. */
        private const val RECOVERY_NANOS = 1_000_000_000L

        /** For requests, where the application gives no executor: daemon threads that end after five idle seconds. */
        val requests: Executor =
            ThreadPoolExecutor(0, Int.MAX_VALUE, 5, TimeUnit.SECONDS, SynchronousQueue()) { daemon("evenhand-request", it) }
    }
}
