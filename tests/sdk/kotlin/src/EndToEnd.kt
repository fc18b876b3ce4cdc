// The client against a running server: each event counted once, kill switches seen, outages survived.   EndToEndKt small|full FIGURES
import com.fasterxml.jackson.databind.node.ObjectNode
import dev.evenhand.Change
import dev.evenhand.Client
import dev.evenhand.ClientOptions
import dev.evenhand.FileStickyStore
import dev.evenhand.Logger
import dev.evenhand.MemoryStickyStore
import dev.evenhand.Reason
import dev.evenhand.StickyStore
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import java.io.File
import java.net.ServerSocket
import java.nio.file.Files
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.TimeUnit

private val told = CopyOnWriteArrayList<String>()
private val listening = Logger { told.add("${it.level} $it") }

private fun client(world: World, configure: ClientOptions.() -> Unit = {}) = Client(world.url, world.key) {
    logger = listening
    configure()
}

private fun fast(options: ClientOptions) {
    options.backoffBaseMs = 50
    options.backoffMaxMs = 200
    options.flushIntervalMs = 20
}

private fun user(id: Any) = mapOf("user_id" to id)

/** The same JVM's options, so that a child takes the same way into the library. */
fun child(vararg arguments: String, path: String = System.getProperty("java.class.path"), options: List<String> = emptyList()): Process {
    val java = File(System.getProperty("java.home"), "bin/java").path
    val way = System.getProperty("evenhand.native")?.let { listOf("-Devenhand.native=$it") }.orEmpty()
    return ProcessBuilder(listOf(java) + way + options + listOf("-cp", path, "ChildKt") + arguments)
        .redirectError(ProcessBuilder.Redirect.INHERIT).start()
}

private fun units(client: Client): Set<String> = setOf("control", "treatment").filter { arm ->
    (0 until 40).any { client.evaluate("checkout", user("arm-$it")).variation == arm }
}.toSet()

fun main(arguments: Array<String>) {
    val world = World(Files.createTempDirectory("evenhand-kotlin-").toFile())
    val proofs = Proofs()

    proofs.add("decisions before the first manifest are the caller's, and construction does not wait") {
        client(world).close()
        val began = System.nanoTime()
        val client = client(world)
        val took = (System.nanoTime() - began) / 1_000_000
        check(took < 50, "construction takes less than 50 ms", took)
        // The fetch may have been quicker than this thread.
        val nowhere = Client("http://127.0.0.1:9", "k") { logger = Logger.SILENT }
        check(nowhere.decide("checkout", user("early")).reason == Reason.NOT_READY, "NOT_READY", "")
        check(nowhere.stringValue("checkout", user("early"), "mine") == "mine", "the caller's default", "")
        nowhere.close(1)
        check(client.awaitReady(), "it becomes ready", client.telemetry())
        check(units(client) == setOf("control", "treatment"), "both arms are given", units(client))
        client.close()
        "$took ms"
    }

    proofs.add("exposures and conversions are counted exactly once, from coroutines") {
        val expected = hashMapOf("control" to 0L, "treatment" to 0L)
        runBlocking {
            val client = client(world) {
                // One batch: the server corrects times by how long each was under way, and a purchase within a few milliseconds of its
                // exposure could else come out before it (docs/contract/events.md).
                flushIntervalMs = 3_600_000
                dispatcher(Dispatchers.IO)
            }
            check(client.ready(), "it becomes ready", client.telemetry())
            val given = (0 until 300).map { i ->
                async(Dispatchers.Default) {
                    val decision = client.decide("checkout", user("once-$i"))
                    repeat(3) { client.decide("checkout", user("once-$i")) }
                    if (i % 3 == 0) client.track("purchase", user("once-$i"), value = java.math.BigDecimal("1.25"))
                    decision.variation!!
                }
            }.awaitAll()
            given.forEach { expected.merge(it, 1, Long::plus) }
            val later = client.evaluate("checkout", user("later"))
            client.expose(later)
            client.expose(later)
            expected.merge(later.variation!!, 1, Long::plus)
            check(client.flush(), "the queue is flushed", client.telemetry())
            val telemetry = client.telemetry()
            check(telemetry.exposures.sent == 301L && telemetry.events.sent == 100L, "301 exposures and 100 events were sent", telemetry)
            check(telemetry.evaluations == 1_201L, "1,201 evaluations", telemetry)
            check(client.track("purchase", emptyMap<String, Any>()) == null, "an event without a unit is refused, not thrown", "")
            client.shutdown()
        }
        eventually("100 conversions", world::conversions) { it == 100L }
        eventually("the arms are $expected", world::arms) { it == expected }
    }

    proofs.add("a kill is seen within a second by push") {
        val client = client(world)
        client.awaitReady()
        eventually("the stream opens", { client.telemetry().streaming }) { it }
        world.act("kill")
        val (_, took) = eventually("the kill is seen", { client.evaluate("checkout", user("u")).reason }) { it == Reason.KILLED }
        check(took < 1_000, "within a second", took)
        world.act("unkill")
        eventually("so is its end", { client.evaluate("checkout", user("u")).reason }) { it == Reason.SPLIT }
        val began = System.nanoTime()
        client.close()
        check(System.nanoTime() - began < 1_000_000_000, "closing waits for no stream", (System.nanoTime() - began) / 1_000_000)
        "$took ms"
    }

    proofs.add("and within the poll interval without push") {
        val client = client(world) {
            stream = false
            pollIntervalMs = 1_000
        }
        client.awaitReady()
        world.act("kill")
        val (_, took) = eventually("the kill is seen", { client.evaluate("checkout", user("u")).reason }) { it == Reason.KILLED }
        check(took < 1_500, "within the interval", took)
        world.act("unkill")
        client.close()
        "$took ms"
    }

    proofs.add("a dead server leaves decisions as they are; what is queued arrives after its return") {
        val before = world.units()
        val client = client(world, ::fast)
        client.awaitReady()
        world.killServer()
        val fresh = client(world, ::fast)
        check(!fresh.awaitReady(300), "a client that finds no server is not ready", "")
        check(fresh.decide("checkout", user("x")).reason == Reason.NOT_READY, "and says so", "")
        repeat(40) { check(client.decide("checkout", user("outage-$it")).reason == Reason.SPLIT, "decisions go on", it) }
        check(!client.awaitFlush(300), "nothing can be sent", "")
        world.startServer()
        check(client.awaitFlush(), "everything is sent", client.telemetry())
        check(fresh.awaitReady(), "the other becomes ready by itself", fresh.telemetry())
        eventually("the 40 units are counted", world::units) { it == before + 40 }
        client.close()
        fresh.close()
    }

    proofs.add("a server that answers nothing holds nobody up") {
        ServerSocket(0).use { mute ->
            val client = Client("http://127.0.0.1:${mute.localPort}", "k") {
                logger = listening
                timeoutMs = 200
                bootstrap = manifest(1).toByteArray()
            }
            repeat(20) { check(client.decide("flag-0", user("u-$it")).reason == Reason.SPLIT, "it decides", it) }
            check(!client.awaitFlush(500), "nothing is sent", "")
            val began = System.nanoTime()
            client.close(300)
            val took = (System.nanoTime() - began) / 1_000_000
            check(took < 1_500, "closing keeps to its limit", took)
            check(client.telemetry().heldEvents == 20L, "the events are held", client.telemetry())
        }
    }

    proofs.add("killed with events in the spool: the next start sends them, once") {
        val before = world.units()
        val file = File(world.directory, "spool")
        val child = child("spool", world.url, world.key, file.path)
        check(child.inputStream.bufferedReader().readLine() == "written", "the child has written", "")
        child.destroyForcibly().waitFor()
        check(world.units() == before, "nothing was sent yet", world.units())
        world.killServer()
        val client = client(world) {
            fast(this)
            spool = file
        }
        check(client.decide("checkout", user("offline")).reason == Reason.SPLIT, "the spooled manifest decides at once, without a server", told)
        check(client.telemetry().exposures.restored == 60L, "sixty exposures come back", client.telemetry())
        world.startServer()
        check(client.awaitFlush(), "they are sent", client.telemetry())
        eventually("61 units are counted", world::units) { it == before + 61 }
        client.close()
        val again = client(world) { spool = file }
        check(again.telemetry().exposures.restored == 0L, "and never again", again.telemetry())
        again.close()
    }

    proofs.add("two clients share a spool path; files of the dead are taken over and removed") {
        val before = world.units()
        val file = File(world.directory, "shared")
        val pattern = Regex("shared(\\.\\d+-[0-9a-f]{8})?")
        fun files() = world.directory.list()!!.filter(pattern::matches)
        val slow: ClientOptions.() -> Unit = {
            spool = file
            flushIntervalMs = 3_600_000
        }
        val first = client(world, slow)
        val second = client(world, slow)
        first.awaitReady()
        second.awaitReady()
        first.track("note", user("a"))
        second.track("note", user("b"))
        eventually("each has its file", ::files) { it.size == 2 }
        // A process beside them that dies leaves a third one.
        val child = child("spool", world.url, world.key, file.path)
        child.inputStream.bufferedReader().readLine()
        eventually("so has the other process", ::files) { it.size == 3 }
        child.destroyForcibly().waitFor()
        val third = client(world, slow)
        check(third.telemetry().exposures.restored == 60L, "the dead one's sixty exposures come back", third.telemetry())
        check(third.telemetry().events.restored == 0L, "the living ones' events do not", third.telemetry())
        listOf(first, second, third).forEach(Client::close)
        eventually("the 60 units are counted", world::units) { it == before + 60 }
        val left = world.directory.list()!!.filter { it.startsWith("shared.") && it != "shared.lock" }
        check(left.isEmpty(), "nothing but the first file is left", left)
    }

    proofs.add("a JVM with an open client ends by itself, and sends what is queued first; by SIGTERM as well") {
        val before = world.units()
        val began = System.nanoTime()
        val child = child("end", world.url, world.key)
        check(child.waitFor(10, TimeUnit.SECONDS) && child.exitValue() == 0, "it ends", "")
        val took = (System.nanoTime() - began) / 1_000_000
        eventually("the 20 units are counted", world::units) { it == before + 20 }
        val asked = child("term", world.url, world.key)
        check(asked.inputStream.bufferedReader().readLine() == "ready", "the other is ready", "")
        asked.destroy()
        check(asked.waitFor(5, TimeUnit.SECONDS), "it ends when it is asked to", "")
        eventually("its 20 units are counted", world::units) { it == before + 40 }
        "$took ms"
    }

    proofs.add("waiting can be cancelled, and many may wait") {
        runBlocking {
            val client = Client("http://127.0.0.1:9", "k") { logger = Logger.SILENT }
            val waiting = List(100) { launch { client.ready(60_000) } }
            delay(50)
            waiting.take(50).forEach { it.cancel() }
            client.updateManifest(manifest(1))
            waiting.forEach { it.join() }
            check(client.ready(0), "ready", "")
            client.shutdown(1)
        }
    }

    proofs.add("bootstrap, overrides, sticky stores") {
        val body = world.manifest() as ObjectNode
        val file = File(world.directory, "manifest.json").apply { writeText(body.toString()) }
        fun nowhere(configure: ClientOptions.() -> Unit) = Client("http://127.0.0.1:9", "none") {
            logger = listening
            configure()
        }
        for (set in listOf<ClientOptions.() -> Unit>({ bootstrapFile = file }, { bootstrap = file.readBytes() })) {
            val client = nowhere {
                set()
                overrides = mapOf("checkout" to "treatment")
            }
            val forced = client.decide("checkout", user("u"))
            check(forced.reason == Reason.OVERRIDE && forced.value == "b", "an override of the options holds", "$forced ${client.lastError?.stackTraceToString()}")
            client.override("checkout", null)
            check(client.decide("checkout", user("u")).reason == Reason.SPLIT, "and ends", "")
            client.close(50)
        }
        nowhere { bootstrapFile = File(world.directory, "nowhere.json") }.close(50)
        check(told.any { "bootstrap_ignored" in it }, "a bootstrap that is not there is told", told)

        (body["flags"]["checkout"]["rules"][0] as ObjectNode).put("sticky", true)
        val one = body.deepCopy()
        one.put("version", body["version"].longValue() + 1)
        (one["flags"]["checkout"]["rules"][0]["split"] as ObjectNode)
            .set<ObjectNode>("ranges", JSON.readTree("""[[0,1,"control"],[1,4294967296,"treatment"]]"""))
        val memory = MemoryStickyStore()
        val sticky = File(world.directory, "sticky")
        for (stores in listOf<() -> StickyStore>({ FileStickyStore(sticky) }, { memory })) {
            val first = nowhere {
                bootstrap = body.toString().toByteArray()
                stickyStore = stores()
            }
            val given = List(50) { first.decide("checkout", user(it)).variation }
            first.close(50)
            val second = nowhere {
                bootstrap = one.toString().toByteArray()
                stickyStore = stores()
            }
            val after = List(50) { second.decide("checkout", user(it)) }
            check(after.map { it.variation } == given && after.all { it.reason == Reason.STICKY }, "everybody keeps what they had", after)
            check("control" in given, "also the arm that nobody new gets", given)
            check(second.decide("checkout", user("new")).variation == "treatment", "a new unit does not", "")
            second.close(50)
        }
    }

    proofs.add("what the README shows runs, in Kotlin and in Java") {
        val before = world.conversions()
        val cwd = File(world.directory, "readme").apply { mkdir() }
        File(cwd, "manifest.json").writeText(world.manifest().toString())
        val log = File(cwd, "log")
        val java = File(System.getProperty("java.home"), "bin/java").path
        val way = "-Devenhand.native=${System.getProperty("evenhand.native")}"
        val program = ProcessBuilder(java, way, "-Devenhand.url=${world.url}", "-Devenhand.key=${world.key}", "-cp", System.getProperty("java.class.path"), "SnippetsKt")
            .directory(cwd).redirectErrorStream(true).redirectOutput(log).start()
        check(program.waitFor(30, TimeUnit.SECONDS) && program.exitValue() == 0, "it ends well", log.readText())
        check("because SPLIT" in log.readText(), "it decides", log.readText())
        // The same user twice.
        eventually("its purchases arrive", world::conversions) { it == before + 1 }
    }

    proofs.add("a denied key is told, to the logger and to who listens; so are manifests and the end") {
        val client = Client(world.url, "wrong") {
            logger = listening
            bootstrap = manifest(1).toByteArray()
        }
        val changes = CopyOnWriteArrayList<Change>()
        val ended = CopyOnWriteArrayList<Change>()
        client.onChange { changes.add(it) }
        client.onChange { ended.add(it) }.close()
        eventually("the denial is told", { told.any { "manifest_denied" in it } }) { it }
        client.updateManifest(manifest(2))
        client.close(50)
        val all = setOf(Change.DENIED, Change.MANIFEST, Change.FRESH, Change.CLOSED)
        eventually("denied, another manifest, which is fresh, closed", { changes.toSet() }) { it == all }
        check(ended.isEmpty(), "nobody hears who has stopped listening", ended)
        check(client.denial != null, "and why", client.denial)
    }

    proofs.run { System.err.println("${world.log}\n${told.takeLast(20).joinToString("\n")}") }
    world.close()
    File(arguments[1]).writeText(JSON.writeValueAsString(proofs.details))
}
