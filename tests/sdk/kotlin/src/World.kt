import com.fasterxml.jackson.databind.JsonNode
import com.fasterxml.jackson.databind.ObjectMapper
import java.io.File
import java.net.HttpURLConnection
import java.net.ServerSocket
import java.net.URI

private const val PROJECT = "/api/projects/default"
private const val ENVIRONMENT = "/api/environments/production"
val JSON = ObjectMapper()

/** A real `evenhand serve` with one experiment. */
class World(val directory: File) : AutoCloseable {
    private val port = ServerSocket(0).use { it.localPort }
    private var server = started()
    val url = "http://127.0.0.1:$port"
    val key: String get() = JSON.readTree(File(directory, "data/keys.json"))["server"].textValue()
    val log: String get() = File(directory, "server.log").readText().takeLast(2_000)

    init {
        define()
    }

    private fun define() {
        val variations = """[{"key":"control","value":"a"},{"key":"treatment","value":"b"}]"""
        api("POST", "$PROJECT/flags", """{"key":"checkout","type":"string","off":"control","default":"control","variations":$variations}""")
        api("POST", "$PROJECT/metrics", """{"key":"purchases","kind":"conversion_rate","event":{"event_name":"purchase"}}""")
        val weights = """[{"variation":"control","weight":5000},{"variation":"treatment","weight":5000}]"""
        val metrics = """[{"metric":"purchases","role":"primary"}]"""
        api("POST", "$PROJECT/experiments", """{"key":"checkout-test","flag":"checkout","unit":"user_id","variations":$weights,"metrics":$metrics}""")
        act("start")
    }

    private fun started(): Process {
        val options = listOf(System.getenv("EVENHAND_BIN"), "serve", "--data-dir", "$directory/data", "--listen", "127.0.0.1:$port")
        val process = ProcessBuilder(options).redirectErrorStream(true)
            .redirectOutput(ProcessBuilder.Redirect.appendTo(File(directory, "server.log"))).start()
        Runtime.getRuntime().addShutdownHook(Thread { process.destroyForcibly() })
        eventually("the server is ready", { status("http://127.0.0.1:$port/readyz") }, { it == 200 })
        return process
    }

    private fun status(url: String): Int = try {
        (URI(url).toURL().openConnection() as HttpURLConnection).responseCode
    } catch (_: java.io.IOException) {
        0
    }

    fun startServer() {
        server = started()
    }

    /** kill -9 */
    fun killServer() {
        server.destroyForcibly().waitFor()
    }

    fun api(method: String, path: String, body: String? = null): JsonNode {
        val connection = URI("$url$path").toURL().openConnection() as HttpURLConnection
        connection.requestMethod = method
        connection.setRequestProperty("Authorization", "Bearer ${File(directory, "data/admin-token").readText().trim()}")
        connection.setRequestProperty("Content-Type", "application/json")
        if (body != null) {
            connection.doOutput = true
            connection.outputStream.use { it.write(body.toByteArray()) }
        }
        val status = connection.responseCode
        val text = (if (status >= 400) connection.errorStream else connection.inputStream)?.use { String(it.readBytes()) }.orEmpty()
        check(status in 200..299, "$method $path is done", "$status $text")
        return if (text.isEmpty()) JSON.nullNode() else JSON.readTree(text)
    }

    fun act(action: String): JsonNode = api("POST", "$ENVIRONMENT/experiments/checkout-test/$action", "{}")

    /** Units by arm. */
    fun arms(): Map<String, Long> = results()["variations"].associate { it["id"].textValue() to it["units"].longValue() }

    fun units(): Long = arms().values.sum()

    fun conversions(): Long = results()["metrics"][0]["arms"].sumOf { it["estimate"]?.get("total")?.longValue() ?: 0 }

    private fun results(): JsonNode = api("GET", "$ENVIRONMENT/experiments/checkout-test/results")

    fun manifest(): JsonNode = api("GET", "$ENVIRONMENT/manifest").let { it["manifest"] ?: it }

    override fun close() {
        server.destroyForcibly().waitFor()
        directory.deleteRecursively()
    }
}
