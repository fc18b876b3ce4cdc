package dev.evenhand

import java.util.logging.Level

/** How much a message matters. */
public enum class LogLevel {
    /** Worth knowing when one looks for something. */
    INFO,

    /** Something failed that will be tried again, or was left out. */
    WARN,

    /** Something is wrong that somebody must mend. */
    ERROR,
}

/**
 * A message of a client.
 *
 * @property level how much it matters.
 * @property code the stable name of what happened (docs/contract/session.md, "Diagnostics").
 * @property message what happened, for people.
 * @property times how often it happened in a row.
 * @property error what was thrown, where something was.
 */
public class LogMessage internal constructor(
    public val level: LogLevel,
    public val code: String,
    public val message: String,
    public val times: Int = 1,
    public val error: Throwable? = null,
) {
    override fun toString(): String = "$message ($code)"
}

/** Where a client tells what happens to it. Called from the client's threads, and from those that use it; what it throws is ignored. */
public fun interface Logger {
    /** Takes a message. Be quick: the client's own loop waits meanwhile. */
    public fun log(message: LogMessage)

    public companion object {
        /** Tells nobody. */
        @JvmField
        public val SILENT: Logger = Logger { }

        /** `java.util.logging`, logger `dev.evenhand`. The default; Android shows it in logcat. */
        @JvmField
        public val JAVA_UTIL: Logger = Logger { told ->
            val level = when (told.level) {
                LogLevel.INFO -> Level.FINE
                LogLevel.WARN -> Level.WARNING
                LogLevel.ERROR -> Level.SEVERE
            }
            java.util.logging.Logger.getLogger("dev.evenhand").log(level, told.toString(), told.error)
        }
    }
}
