package dev.evenhand.internal

import java.io.ByteArrayOutputStream
import java.io.IOException
import java.io.InputStream
import java.net.HttpURLConnection
import java.net.URI
import java.net.URISyntaxException
import java.net.URLEncoder
import java.util.zip.GZIPInputStream

/** What came back, unpacked. */
internal class Answer(
    @JvmField val status: Int,
    @JvmField val etag: String?,
    @JvmField val retryAfter: String?,
    @JvmField val body: ByteArray,
)

/** What a stream tells, on one thread. */
internal interface StreamEvents {
    fun answered(status: Int, retryAfter: String?)

    fun heard(bytes: ByteArray)

    /** The end, once; the error is null when the server ended it. */
    fun ended(error: Throwable?)
}

/**
 * One server, asked with one key. By `HttpURLConnection`, which Android has as well, and which follows the proxies and certificates
 * that the system is set up with.
 *
 * @throws IllegalArgumentException for an address or a key that can't be right.
 */
internal class Server(url: String, private val key: String, private val timeoutMs: Int) {
    private val base: String
    private val userAgent = "$SDK java/${System.getProperty("java.version")}"

    init {
        val address = try {
            URI(url)
        } catch (_: URISyntaxException) {
            null
        }
        val scheme = address?.scheme?.lowercase()
        require(address != null && (scheme == "http" || scheme == "https") && address.host != null) {
            "`url` is \"$url\": give the server's address, such as https://flags.example.com"
        }
        require(key.isNotEmpty() && key.all { it in '\u0021'..'\u007e' }) {
            "`key` must be the environment's server or client key, printable ASCII without blanks"
        }
        require(timeoutMs > 0) { "`timeoutMs` is $timeoutMs: give it a whole number of milliseconds from 1 up" }
        val path = address.rawPath.orEmpty()
        var end = path.length
        while (end > 0 && path[end - 1] == '/') end--
        base = "$scheme://${address.rawAuthority}${path.substring(0, end)}"
    }

    fun manifest(etag: String?): Answer = ask("GET", "/v1/manifest/${URLEncoder.encode(key, "UTF-8")}", mapOf("If-None-Match" to etag), null)

    fun list(sha256: String): Answer = ask("GET", "/v1/lists/$sha256", emptyMap(), null)

    fun events(contentType: String, body: ByteArray): Answer = ask("POST", "/v1/events", mapOf("Content-Type" to contentType), body)

    private fun open(method: String, path: String, headers: Map<String, String?>): HttpURLConnection {
        val connection = URI(base + path).toURL().openConnection() as HttpURLConnection
        connection.requestMethod = method
        connection.instanceFollowRedirects = false
        connection.useCaches = false
        connection.connectTimeout = timeoutMs
        connection.readTimeout = timeoutMs
        for ((name, value) in headers) if (value != null) connection.setRequestProperty(name, value)
        connection.setRequestProperty("Authorization", "Bearer $key")
        connection.setRequestProperty("User-Agent", userAgent)
        return connection
    }

    /**
     * Asks once, and waits.
     * @throws IOException when there is no whole answer within the timeout.
     */
    private fun ask(method: String, path: String, headers: Map<String, String?>, content: ByteArray?): Answer {
        val deadline = System.nanoTime() + timeoutMs * 1_000_000L
        val connection = open(method, path, headers + ("Accept-Encoding" to "gzip"))
        try {
            if (content != null) {
                connection.doOutput = true
                // Else it would send a batch again by itself when a kept connection breaks.
                connection.setFixedLengthStreamingMode(content.size)
                connection.outputStream.use { it.write(content) }
            }
            val status = status(connection)
            val body = if (status >= 400) connection.errorStream else connection.inputStream
            // Nothing is no gzip.
            val encoding = if (connection.contentLength == 0 || status == HttpURLConnection.HTTP_NOT_MODIFIED) null else connection.contentEncoding
            val whole = body?.let { unpacked(it, encoding) }?.use { read(it, deadline) } ?: ByteArray(0)
            return Answer(status, connection.getHeaderField("ETag"), connection.getHeaderField("Retry-After"), whole)
        } catch (error: Throwable) {
            connection.disconnect()
            throw error
        }
    }

    private fun status(connection: HttpURLConnection): Int {
        val status = connection.responseCode
        if (status < 100) throw IOException("what answers at $base speaks no HTTP")
        return status
    }

    private fun unpacked(body: InputStream, encoding: String?): InputStream = when (encoding) {
        null, "identity" -> body
        "gzip" -> GZIPInputStream(body)
        else -> throw IOException("the answer is packed as $encoding, which was not asked for")
    }

    private fun read(body: InputStream, deadline: Long): ByteArray {
        val whole = ByteArrayOutputStream()
        val piece = ByteArray(PIECE_BYTES)
        while (true) {
            val length = body.read(piece)
            if (length < 0) return whole.toByteArray()
            whole.write(piece, 0, length)
            if (whole.size() > MAX_BODY_BYTES) throw IOException("the answer has more than $MAX_BODY_BYTES bytes")
            if (System.nanoTime() > deadline) throw IOException("no answer within $timeoutMs ms")
        }
    }

    /** A stream, on a daemon thread of its own: it blocks as long as it is open. */
    fun stream(lastEventId: String?, idleTimeoutMs: Long, events: StreamEvents): OpenStream {
        val connection = open("GET", "/v1/manifest/stream", mapOf("Last-Event-ID" to lastEventId, "Accept" to "text/event-stream"))
        connection.readTimeout = idleTimeoutMs.coerceIn(1, Int.MAX_VALUE.toLong()).toInt()
        val stream = OpenStream(connection, events)
        daemon("evenhand-stream", stream).start()
        return stream
    }

    internal inner class OpenStream(private val connection: HttpURLConnection, private val events: StreamEvents) : Runnable {
        @Volatile
        private var over = false

        override fun run() {
            val error = try {
                listen()
                null
            } catch (error: Throwable) {
                error
            }
            connection.disconnect()
            if (!over) {
                over = true
                events.ended(error)
            }
        }

        private fun listen() {
            val status = status(connection)
            if (over) return
            events.answered(status, connection.getHeaderField("Retry-After"))
            val body = (if (status >= 400) connection.errorStream else connection.inputStream) ?: return
            val piece = ByteArray(PIECE_BYTES)
            while (!over) {
                val length = body.read(piece)
                if (length < 0) return
                if (!over) events.heard(piece.copyOf(length))
            }
        }

        /**
         * Ends it; nothing is told any more. The JDK lets nobody close a connection that another thread reads, so this is asked for
         * on a thread of its own, and the connection itself may live until the server's next sign of life.
         */
        fun close() {
            if (over) return
            over = true
            daemon("evenhand-close", connection::disconnect).start()
        }
    }

    private companion object {
        const val PIECE_BYTES = 16_384

        /** No manifest and no id list is larger; more than this is no answer of an Evenhand server. */
        const val MAX_BODY_BYTES = 256 * 1024 * 1024
    }
}

/** A thread that keeps no JVM alive. */
internal fun daemon(name: String, work: Runnable): Thread = Thread(work, name).apply { isDaemon = true }
