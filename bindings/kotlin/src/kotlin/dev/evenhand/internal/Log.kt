package dev.evenhand.internal

import dev.evenhand.LogLevel
import dev.evenhand.LogMessage
import dev.evenhand.Logger

/** A logger that never throws: a broken one must not stop a client. */
internal class Log(private val logger: Logger) {
    fun tell(level: LogLevel, code: String, message: String, times: Int = 1, error: Throwable? = null) {
        try {
            logger.log(LogMessage(level, code, message, times, error))
        } catch (_: Throwable) {
            // There is nobody left to tell.
        }
    }

    fun error(code: String, message: String, error: Throwable? = null): Unit = tell(LogLevel.ERROR, code, message, 1, error)

    fun warn(code: String, message: String, error: Throwable? = null): Unit = tell(LogLevel.WARN, code, message, 1, error)
}

/** What an error says. Anything may have been thrown; this throws nothing. */
internal fun said(error: Throwable): String = try {
    val message = error.message
    val kind = error.javaClass.simpleName
    if (message.isNullOrBlank()) kind else "$kind: $message"
} catch (_: Throwable) {
    "something was thrown that can't be shown"
}
