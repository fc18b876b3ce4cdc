// What needs no server: a panic, memory, updates while other threads decide, texts of every kind.   InProcessKt small|full FIGURES
import dev.evenhand.Client
import dev.evenhand.ClientOptions
import dev.evenhand.Context
import dev.evenhand.Engine
import dev.evenhand.EvaluateOptions
import dev.evenhand.FileStickyStore
import dev.evenhand.Logger
import dev.evenhand.Reason
import dev.evenhand.StickyRecord
import dev.evenhand.bucket
import java.io.File
import java.lang.reflect.InvocationTargetException
import java.math.BigDecimal
import java.math.BigInteger
import java.nio.file.Files
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.atomic.AtomicBoolean
import java.util.concurrent.atomic.AtomicInteger
import kotlin.concurrent.thread

private const val NOWHERE = "http://127.0.0.1:9"
private const val MEGABYTE = 1_048_576L
private val told = CopyOnWriteArrayList<String>()
private val listening = Logger { told.add("${it.level} $it") }

private fun offline(configure: ClientOptions.() -> Unit = {}) = Client(NOWHERE, "k") {
    logger = listening
    stream = false
    bootstrap = manifest(1).toByteArray()
    configure()
}

/** The library itself, which no application sees. */
private val core: Any = Class.forName("dev.evenhand.internal.Native").run { getMethod("getCore").invoke(null) }

private fun core(name: String): Any? = Class.forName("dev.evenhand.internal.Core").getMethod(name).invoke(core)

/** Resident bytes after garbage collection; native memory is in them. */
private fun resident(): Long {
    // On the generated way one thread of JNA's frees what each call has allocated, and takes a while to catch up with four threads that
    // decide: collected is what there is when nothing more goes.
    var least = Long.MAX_VALUE
    var unchanged = 0
    for (i in 0 until 400) {
        System.gc()
        Thread.sleep(50)
        val used = heap()
        unchanged = if (used < least - MEGABYTE / 16) 0 else unchanged + 1
        least = minOf(least, used)
        if (unchanged >= 4) break
    }
    return File("/proc/self/status").readLines().first { it.startsWith("VmRSS:") }.filter(Char::isDigit).toLong() * 1_024
}

private fun heap(): Long = Runtime.getRuntime().run { totalMemory() - freeMemory() }

fun main(arguments: Array<String>) {
    val full = arguments[0] == "full"
    val proofs = Proofs()
    val way = core("getName") as String
    val slow = if (way == "jni") 1 else 20
    check(way == System.getProperty("evenhand.native"), "the way is the one asked for", way)

    proofs.add("a panic inside the library becomes an exception, and the JVM lives") {
        repeat(3) {
            try {
                core("panicForTests")
                check(false, "the panic is thrown", "")
            } catch (thrown: InvocationTargetException) {
                check(thrown.cause?.message.orEmpty().contains("deliberate panic"), "the message says what", thrown.cause)
            }
        }
        check(Engine(manifest(1)).evaluate("flag-0", mapOf("user_id" to "u")).reason == Reason.SPLIT, "decisions go on", "")
    }

    proofs.add("nothing that is handed in makes a decision throw") {
        val engine = Engine(manifest(1))
        val broken = object : AbstractMap<String, Any?>() {
            override val entries: Set<Map.Entry<String, Any?>> get() = error("a map of the application's that fails")

            override fun get(key: String): Any? = error("a map of the application's that fails")
        }
        check(engine.evaluate("flag-0", broken).reason == Reason.ERROR, "it is an ERROR", engine.lastError)
        check(engine.lastError?.message.orEmpty().contains("that fails"), "and says why", engine.lastError)
        check(engine.evaluateAll(broken).values.all { it.reason == Reason.ERROR }, "for all flags as well", "")
        val evaluate = Engine::class.java.getMethod("evaluate", String::class.java, Map::class.java)
        val client = offline()
        for (on in listOf(engine, client)) {
            val method = if (on === engine) evaluate else Client::class.java.getMethod("decide", String::class.java, Map::class.java)
            for (given in listOf(arrayOf<Any?>(null, emptyMap<String, Any>()), arrayOf<Any?>("flag-0", null), arrayOf<Any?>(null, null))) {
                check((method.invoke(on, *given) as dev.evenhand.Decision).reason == Reason.ERROR, "nulls from Java are an ERROR", given.toList())
            }
        }
        check(Engine().evaluate("x", emptyMap<String, Any>()).reason == Reason.NO_MANIFEST, "no manifest", "")
        check(engine.evaluate("\ud800", emptyMap<String, Any>()).reason == Reason.FLAG_UNKNOWN, "a key that is no Unicode is unknown", "")
        check(engine.intValue("flag-0", mapOf("user_id" to "u"), 7) == 7L, "another type gives the fallback", "")
        // A map that asks for a decision itself.
        val curious = object : HashMap<String, Any?>(mapOf("user_id" to "outer", "country" to "NZ")) {
            override fun get(key: String): Any? {
                engine.evaluate("flag-1", mapOf("user_id" to "someone else", "country" to "DE"))
                return super.get(key)
            }
        }
        val plain = engine.evaluate("flag-1", mapOf("user_id" to "outer", "country" to "NZ"))
        check(engine.evaluate("flag-1", curious).packed == plain.packed, "a decision inside a decision disturbs none", "")
        client.close(1)
    }

    proofs.add("every text is hashed as the UTF-8 it is") {
        val engine = Engine(manifest(1))
        val long = "ab\u00fc\ud83d\ude00".repeat(512)
        val ids = listOf("u-1", "\ud83d\ude00", "a\u0000b", "\u0000", "\u00fc\u20ac\ud83e\udd37\u200d\u2640\ufe0f", long.take(1_500), "x".repeat(4_096))
        for (id in ids) {
            val expected = bucket("s0", id).basisPoint
            for (given in listOf<CharSequence>(id, StringBuilder(id))) {
                val found = engine.evaluate("flag-0", mapOf("user_id" to given))
                check(found.reason == Reason.SPLIT && found.bucket == expected, "the bucket of $id is $expected", found.bucket)
                check(engine.evaluate("flag-0", Context(mapOf("user_id" to given))).bucket == expected, "also in a Context", id)
            }
        }
        for (number in listOf<Number>(7, 7L, 7.0, 7f, 7.toShort(), BigInteger.valueOf(7), BigDecimal("7.0"), AtomicInteger(7))) {
            check(engine.evaluate("flag-0", mapOf("user_id" to number)).bucket == bucket("s0", 7).basisPoint, "${number.javaClass} 7 is 7", number)
        }
        check(engine.evaluate("flag-0", mapOf("user_id" to 7u)).bucket == bucket("s0", 7).basisPoint, "an unsigned 7 is 7", "")
        check(engine.unusableAttributes().isEmpty(), "nothing was unusable until here", engine.unusableAttributes())
        val none = listOf("x".repeat(4_097), "x".repeat(65_537), "\u00fc".repeat(32_769), "\ud800", "\udc00", "a\ud83d", Double.NaN, 0.5, 9_007_199_254_740_993L, listOf(1), Any())
        for (id in none) check(engine.evaluate("flag-0", mapOf("user_id" to id)).reason == Reason.NO_UNIT, "no unit id", id)
        val longest = mapOf("user_id" to "u", "country" to "x".repeat(65_536))
        engine.evaluate("flag-1", longest)
        val counted = engine.unusableAttributes()
        check(counted.keys == setOf("user_id"), "the longest text is usable", counted)
        check(engine.evaluate("flag-1", mapOf("user_id" to "u", "country" to "x".repeat(65_537))).reason == Reason.DEFAULT, "one byte more matches nothing", "")
        check(engine.unusableAttributes()["country"] == 1L, "and is counted", engine.unusableAttributes())
        for (tags in listOf(listOf("x"), setOf("x"), arrayOf("x"), listOf("y", 1, true, "x"))) {
            check(engine.evaluate("flag-1", mapOf("user_id" to "u", "tags" to tags)).reason in setOf(Reason.SPLIT, Reason.DEFAULT), "lists are read", tags)
        }
        check(engine.evaluate("flag-1", mapOf("user_id" to "u", "tags" to List(1_001) { "x" })).reason == Reason.DEFAULT, "1,001 elements are unusable", "")
    }

    proofs.add("an option that can't be right is refused by its name") {
        fun refusal(url: String = NOWHERE, key: String = "k", configure: ClientOptions.() -> Unit = {}): String = try {
            Client(url, key, configure).close(1)
            "nothing"
        } catch (error: IllegalArgumentException) {
            error.message.orEmpty()
        }
        check(refusal("flags.example.com").startsWith("`url` is \"flags.example.com\""), "the address", refusal("flags.example.com"))
        check(refusal(key = "").startsWith("`key` must be"), "the key", refusal(key = ""))
        check(refusal { pollIntervalMs = 5 }.startsWith("`pollIntervalMs` can't be 5: give it a value from 1000"), "a number", refusal { pollIntervalMs = 5 })
        check(refusal { pollIntervalMs = -5 }.startsWith("`pollIntervalMs` is -5"), "one below zero", refusal { pollIntervalMs = -5 })
        check(refusal { keys = mapOf("k" to "!") }.contains("public key `k`"), "a key that can't be read", refusal { keys = mapOf("k" to "!") })
    }

    proofs.add("a closed client says so at once, decides on, and takes no event that nobody would send") {
        val empty = Client(NOWHERE, "k") { logger = Logger.SILENT }
        empty.close(50)
        val began = System.nanoTime()
        check(!empty.awaitReady(), "it will never be ready", "")
        check(System.nanoTime() - began < 1_000_000_000, "and does not wait to say so", "")
        val client = offline()
        told.clear()
        check(client.track("before", mapOf("user_id" to "u")) != null, "an open client takes events", told)
        client.close(50)
        client.close(50)
        check(client.stringValue("flag-0", mapOf("user_id" to "u"), "mine") != "mine", "it decides on", "")
        check(client.track("after", mapOf("user_id" to "u")) == null && told.any { "the client is closed" in it }, "an event is refused aloud", told)
        check(!client.awaitFlush(), "nothing can be flushed", "")
        val before = client.telemetry().exposures.queued
        check(client.decide("flag-0", mapOf("user_id" to "late")).reason == Reason.SPLIT, "a decision", "")
        client.expose(client.evaluate("flag-0", mapOf("user_id" to "late")))
        check(client.telemetry().exposures.queued == before, "no exposure is queued", client.telemetry())
        check(told.any { "an exposure is lost: the client is closed" in it }, "expose says that it is lost", told)
        check(client.telemetry().heldEvents == 1L, "the one event of before the end is held", client.telemetry())
    }

    proofs.add("track takes what is right and refuses all else aloud") {
        val client = offline()
        told.clear()
        fun refusals() = told.filter { "(track_refused)" in it }
        val who = mapOf("user_id" to "u")
        for (value in listOf<Number>(1, 1L, 0.1, 0.5f, BigDecimal("9.99"), BigDecimal("1E+3"), BigInteger.TEN)) {
            check(client.track("t", who, value) != null, "$value is taken", told)
        }
        for (properties in listOf(mapOf("a" to listOf(1, 2.5, null, mapOf("b" to true))), mapOf("emoji" to "\ud83d\ude00", "nul" to "\u0000"))) {
            check(client.track("t", who, null, properties) != null, "$properties are taken", told)
        }
        check(client.track("t", Context(who), timestamp = System.currentTimeMillis() - 5_000) != null, "so is an earlier time", told)
        val queued = client.telemetry().events.queued
        check(queued == 10L && refusals().isEmpty(), "ten events are queued", client.telemetry())
        for (value in listOf<Number>(Double.NaN, BigDecimal("0.0000001"), BigDecimal("1E+100000000"))) check(client.track("t", who, value) == null, "$value is refused", told)
        for (properties in listOf(mapOf("a" to Any()), mapOf("a" to Double.NaN), mapOf<String, Any?>("a" to "\ud800"))) {
            check(client.track("t", who, null, properties) == null, "$properties are refused", told)
        }
        val endless = HashMap<String, Any?>()
        endless["self"] = endless
        check(client.track("t", who, null, endless) == null, "so is a map that contains itself", told)
        check(client.track("\ud800", who) == null && client.track("t", emptyMap<String, Any>()) == null, "no name, no unit", told)
        check(refusals().size == 9 && refusals().all { "is not queued: " in it }, "each is told", refusals())
        check(client.telemetry().events.queued == queued, "and none queued", client.telemetry())
        client.close(1)
    }

    proofs.add("a sticky record that a killed process left half written takes no other along") {
        val directory = Files.createTempDirectory("evenhand-sticky-").toFile()
        val file = File(directory, "sticky")
        fun record(unit: String) = StickyRecord("e", 1, unit, "treatment")
        FileStickyStore(file).save(record("before \"\ud83d\ude00\" \\\n"))
        file.appendText("""{"experiment":"e","phase":1,"unit":"torn","var""")
        FileStickyStore(file).save(record("behind"))
        val store = FileStickyStore(file)
        for ((unit, kept) in listOf("before \"\ud83d\ude00\" \\\n" to 1, "behind" to 1, "torn" to 0)) {
            check(store.load(unit).size == kept, "$unit: $kept", store.load(unit))
        }
        check("rw-------" == java.nio.file.attribute.PosixFilePermissions.toString(Files.getPosixFilePermissions(file.toPath())), "nobody else reads it", "")
        directory.deleteRecursively()
    }

    proofs.add("updates while four threads decide never mix two snapshots") {
        // Even versions give everybody `even-…`, odd ones `odd-…`, so that a table of another version would show.
        val engine = Engine(manifest(1, prefix = "odd"))
        val client = offline { bootstrap = manifest(1, prefix = "odd").toByteArray() }
        val over = AtomicBoolean()
        val wrong = AtomicInteger()
        val decisions = AtomicInteger()
        val shared = List(50) { Context(mapOf("user_id" to "u$it", "country" to "NZ", "age" to it)) }
        val threads = List(4) { number ->
            thread {
                var i = number
                while (!over.get()) {
                    i++
                    val flag = "flag-${i % 200}"
                    val decision = when (i % 4) {
                        0 -> engine.evaluate(flag, shared[i % 50])
                        1 -> engine.evaluate(flag, mapOf("user_id" to "u$i", "country" to "NZ", "age" to i))
                        2 -> client.decide(flag, shared[i % 50])
                        else -> client.decide(flag, mapOf("user_id" to "u$i", "country" to "NZ", "age" to i))
                    }
                    val prefix = if (decision.manifestVersion!! % 2 == 0L) "even" else "odd"
                    if (decision.reason != Reason.SPLIT || !(decision.value as String).startsWith(prefix)) wrong.incrementAndGet()
                    decisions.incrementAndGet()
                }
            }
        }
        // JNA frees what a call has allocated on one thread, which does not keep up with four that bind contexts without rest.
        for (version in 2..(if (full && slow == 1) 2_000 else 200)) {
            val bytes = manifest(version, prefix = if (version % 2 == 0) "even" else "odd").toByteArray()
            engine.updateManifest(bytes)
            client.updateManifest(bytes)
        }
        over.set(true)
        threads.forEach(Thread::join)
        client.close(1)
        check(wrong.get() == 0 && decisions.get() > 1_000, "no decision is wrong", "$wrong of $decisions")
        "$decisions decisions"
    }

    proofs.add("decisions, updates and clients leave no memory behind") {
        val engine = Engine(manifest(1))
        var version = 1
        val client = offline {
            logger = Logger.SILENT
            dedupeCapacity = 1_000
            queueMaxEvents = 100
        }
        fun round(decisions: Int, updates: Int, clients: Int) {
            for (i in 0 until decisions) {
                val attributes = mapOf("user_id" to "user-$i", "country" to "NZ", "age" to i % 90, "tags" to listOf("a", "b"))
                val flag = "flag-${i % 200}"
                when {
                    i % 2 == 0 -> client.decide(flag, attributes)
                    i % 3 == 0 -> engine.evaluate(flag, Context(attributes))
                    else -> engine.evaluate(flag, attributes)
                }
            }
            repeat(updates) {
                val bytes = manifest(++version).toByteArray()
                engine.updateManifest(bytes)
                client.updateManifest(bytes)
                engine.evaluateAll(mapOf("user_id" to "u", "country" to "NZ"))
                engine.faults()
            }
            repeat(clients) {
                val one = offline { logger = Logger.SILENT }
                one.decide("flag-0", mapOf("user_id" to "u$it"))
                one.close(1)
            }
        }
        val size = (if (full) 4 else 1) * 1_000_000 / slow
        // The JVM's own memory (compiled code, its compilers' arenas) must have come to rest, or it would be taken for the library's.
        var before = 0L
        for (i in 0 until 8) {
            val last = before
            round(size / 8, 125 / slow, 10)
            before = resident()
            if (i >= 3 && before - last < MEGABYTE) break
        }
        var grown = 0L
        var heapGrown = 0L
        // A leak grows each time; a JVM whose compilers were late (other programs have the processors) grows once.
        for (attempt in 0 until 3) {
            before = resident()
            val heapBefore = heap()
            // In parts: one long round leaves garbage that a few collections don't give back.
            repeat(4) {
                round(size / 4, 250 / slow, 20)
                resident()
            }
            grown = resident() - before
            heapGrown = heap() - heapBefore
            if (grown < 8 * MEGABYTE && heapGrown < 4 * MEGABYTE) break
        }
        client.close(1)
        // A leak of 8 bytes a decision, or of 5 % of a manifest an update, is more than this.
        check(grown < 8 * MEGABYTE, "less than 8 MB more resident", "${grown / MEGABYTE} MB")
        check(heapGrown < 4 * MEGABYTE, "less than 4 MB more of heap", "${heapGrown / MEGABYTE} MB")
        "%.1f MB resident, %.1f MB heap after %,d decisions".format(grown.toDouble() / MEGABYTE, heapGrown.toDouble() / MEGABYTE, size)
    }

    proofs.add("options of a decision: the moment, the type, what is forced") {
        val engine = Engine(manifest(1))
        val who = mapOf("user_id" to "u")
        val forced = engine.evaluate("flag-0", who, EvaluateOptions(forced = mapOf("flag-0" to "b")))
        check(forced.reason == Reason.OVERRIDE && forced.value == "arm-b" && forced.exposure, "forced", forced)
        val client = offline { overrides = mapOf("flag-0" to "b") }
        check(client.decide("flag-0", who).reason == Reason.OVERRIDE, "an override of the options", "")
        client.override("flag-0", null)
        check(client.decide("flag-0", who).reason == Reason.SPLIT, "and its end", "")
        val explained = client.explain("flag-0", who)["decision"] ?: client.explain("flag-0", who)
        check(explained.toString().contains("SPLIT"), "it is explained", explained)
        client.close(1)
    }

    proofs.run()
    File(arguments[1]).writeText(JSON.writeValueAsString(proofs.details))
}
