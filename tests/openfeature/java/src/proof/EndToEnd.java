package proof;

import static proof.Checks.equal;
import static proof.Checks.eventually;
import static proof.Checks.that;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.evenhand.Change;
import dev.evenhand.Client;
import dev.evenhand.ClientOptions;
import dev.evenhand.Logger;
import dev.evenhand.MemoryStickyStore;
import dev.evenhand.openfeature.EvenhandProvider;
import dev.evenhand.openfeature.ProviderOptions;
import dev.openfeature.sdk.ErrorCode;
import dev.openfeature.sdk.EvaluationContext;
import dev.openfeature.sdk.EvaluationEvent;
import dev.openfeature.sdk.EventDetails;
import dev.openfeature.sdk.FlagEvaluationDetails;
import dev.openfeature.sdk.FlagEvaluationOptions;
import dev.openfeature.sdk.Hook;
import dev.openfeature.sdk.HookContext;
import dev.openfeature.sdk.ImmutableContext;
import dev.openfeature.sdk.ImmutableStructure;
import dev.openfeature.sdk.MutableContext;
import dev.openfeature.sdk.MutableTrackingEventDetails;
import dev.openfeature.sdk.OpenFeatureAPI;
import dev.openfeature.sdk.ProviderEvent;
import dev.openfeature.sdk.ProviderState;
import dev.openfeature.sdk.Telemetry;
import dev.openfeature.sdk.Value;
import dev.openfeature.sdk.exceptions.OpenFeatureError;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;

/** The provider of the installed package against a running server: exposures and tracking arrive once, changes are heard. */
public final class EndToEnd {
    private static final File MANIFEST = new File(System.getenv("EVENHAND_ROOT"), "tests/openfeature/manifest.json");
    private static Shop shop;

    private EndToEnd() {}

    private interface Proof {
        void prove() throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, Proof> proofs = new LinkedHashMap<>();
        proofs.put("counted once", EndToEnd::countedOnce);
        proofs.put("what the README shows", EndToEnd::readme);
        proofs.put("changes are heard", EndToEnd::changesAreHeard);
        proofs.put("a client closed elsewhere", EndToEnd::closedElsewhere);
        proofs.put("a late manifest", EndToEnd::lateManifest);
        proofs.put("ended while it begins", EndToEnd::endedWhileItBegins);
        proofs.put("what is exposed", EndToEnd::whatIsExposed);
        proofs.put("values", EndToEnd::values);
        proofs.put("attributes", EndToEnd::attributes);
        proofs.put("OpenFeature's telemetry", EndToEnd::telemetry);
        proofs.put("many threads", EndToEnd::manyThreads);
        proofs.put("many changes", EndToEnd::manyChanges);
        proofs.put("listeners", EndToEnd::listeners);
        shop = new Shop();
        try (Shop open = shop) {
            System.out.println("  a server at " + open.url());
            for (var proof : proofs.entrySet()) {
                long began = System.nanoTime();
                proof.getValue().prove();
                System.out.printf("  %s (%.1f s)%n", proof.getKey(), (System.nanoTime() - began) / 1e9);
            }
        }
    }

    private static ClientOptions at(String url, String key, Consumer<ClientOptions> more) {
        ClientOptions options = new ClientOptions(url, key);
        options.setLogger(Logger.SILENT);
        options.setFlushIntervalMs(20L);
        options.setBackoffBaseMs(50L);
        options.setBackoffMaxMs(200L);
        more.accept(options);
        return options;
    }

    private static ClientOptions served() throws Exception {
        return at(shop.url(), shop.key(), options -> {});
    }

    private static ProviderOptions quick(Consumer<ProviderOptions> more) {
        ProviderOptions options = new ProviderOptions();
        options.setCloseTimeoutMs(100);
        more.accept(options);
        return options;
    }

    /** Without a server, by the manifest of the scenarios. */
    private static EvenhandProvider bootstrapped(Consumer<ClientOptions> more, Consumer<ProviderOptions> options) {
        return new EvenhandProvider(
                at("http://127.0.0.1:9", "nobody", client -> {
                    client.setStream(false);
                    client.setBootstrapFile(MANIFEST);
                    more.accept(client);
                }),
                quick(options));
    }

    private static EvaluationContext user(String key) {
        return new ImmutableContext(key);
    }

    private static void countedOnce() throws Exception {
        OpenFeatureAPI api = OpenFeatureAPI.createIsolated();
        EvenhandProvider provider = new EvenhandProvider(served());
        api.setProviderAndWait(provider);
        var client = api.getClient();
        int treated = 0;
        for (int number = 0; number < 60; number++) {
            EvaluationContext someone = new MutableContext("of-" + number).add("country", "NZ").add("since", Instant.now());
            var details = client.getStringDetails("checkout", "mine", someone);
            equal(details.getReason(), "SPLIT", "it is drawn");
            equal(details.getFlagMetadata().getString("experiment"), "checkout-test", "the metadata name the experiment");
            if (details.getValue().equals("b")) treated++;
            for (int more = 0; more < 3; more++) equal(client.getStringValue("checkout", "mine", someone), details.getValue(), "the same again");
            if (number % 3 == 0) {
                client.track("purchase", someone, new MutableTrackingEventDetails(9.99)
                        .add("plan", "pro")
                        .add("at", Instant.parse("2026-01-02T00:00:00Z"))
                        .add("cart", new ImmutableStructure(Map.of("items", new Value(List.of(new Value(1), new Value(2)))))));
            }
        }
        that(treated > 10 && treated < 50, "both arms are dealt", treated);
        // No unit: refused, counted, and nothing thrown.
        client.track("purchase", new MutableContext().add("country", "NZ"));
        equal(provider.getClient().telemetry().getTrackErrors(), 1L, "a purchase of nobody is refused");
        api.shutdown();
        equal(provider.getClient(), null, "its own client is closed, with all delivered");
        eventually(() -> shop.units(), 60, "units that are counted");
        equal(shop.rows("$exposure"), 60, "by one exposure each");
        var tracked = shop.sql("SELECT DISTINCT value, properties FROM events WHERE event_name = 'purchase'");
        equal(tracked.size(), 1, "all purchases are alike");
        equal(tracked.get(0).get(0).asText(), "9.99", "the value arrives");
        ObjectMapper json = new ObjectMapper();
        equal(
                json.readTree(tracked.get(0).get(1).asText()),
                json.readTree("{\"plan\": \"pro\", \"at\": \"2026-01-02T00:00:00.000Z\", \"cart\": {\"items\": [1, 2]}}"),
                "and so do the other details");
        equal(shop.rows("purchase"), 20, "purchases");
    }

    /** The two programs of the README, with the address and the key of this server. */
    private static void readme() throws Exception {
        int units = shop.units();
        int purchases = shop.rows("purchase");
        for (String program : List.of("readme.JavaStart", "readme.KotlinStartKt")) {
            String java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
            ProcessBuilder builder = new ProcessBuilder(java, "-cp", System.getProperty("java.class.path"), program);
            builder.environment().putAll(Map.of("EVENHAND_URL", shop.url(), "EVENHAND_KEY", shop.key()));
            Process process = builder.redirectError(ProcessBuilder.Redirect.INHERIT).start();
            String layout = new String(process.getInputStream().readAllBytes()).strip();
            equal(process.waitFor(), 0, program + " ends well");
            that(Set.of("a", "b").contains(layout), program + " is given a variation", layout);
        }
        // What was queued is sent when the JVM ends.
        eventually(() -> shop.rows("purchase"), purchases + 2, "both purchases arrive");
        eventually(() -> shop.units(), units + 1, "of one user");
    }

    private static void changesAreHeard() throws Exception {
        OpenFeatureAPI api = OpenFeatureAPI.createIsolated();
        // Nothing is sent before somebody asks for it.
        Client own = new Client(at(shop.url(), shop.key(), options -> options.setFlushIntervalMs(3_600_000L)));
        int exposures = shop.rows("$exposure");
        api.setProviderAndWait(new EvenhandProvider(own));
        var client = api.getClient();
        List<EventDetails> changes = new CopyOnWriteArrayList<>();
        client.onProviderConfigurationChanged(changes::add);
        var before = client.getStringDetails("checkout", "mine", user("watcher"));
        equal(before.getReason(), "SPLIT", "it runs");
        Thread.sleep(200);
        equal(changes.size(), 0, "the first manifest is no change");
        shop.act("pause");
        eventually("the pause is told", () -> !changes.isEmpty());
        var paused = client.getStringDetails("checkout", "mine", user("watcher"));
        equal(paused.getReason(), "DISABLED", "and applied");
        equal(paused.getVariant(), "control", "with the variation that is off");
        equal(paused.getFlagMetadata().getString("evenhandReason"), "PAUSED", "and our own reason");
        shop.act("resume");
        eventually(() -> client.getStringDetails("checkout", "mine", user("watcher")).getReason(), "SPLIT", "and back");
        equal(client.getStringValue("checkout", "mine", user("watcher")), before.getValue(), "with the same variation");
        api.shutdown();
        eventually(() -> shop.rows("$exposure"), exposures + 1, "the end of the provider delivers");
        // A client that was handed in is its owner's.
        equal(own.decide("checkout", Map.of("user_id", "watcher")).getValue(), before.getValue(), "it goes on");
        that(own.track("still-open", Map.of("user_id", "watcher")) != null, "and is open", "closed");
        own.close();
        eventually(() -> shop.rows("still-open"), 1, "what its owner tracks arrives");
    }

    private static void closedElsewhere() throws Exception {
        OpenFeatureAPI api = OpenFeatureAPI.createIsolated();
        Client own = new Client(served());
        api.setProviderAndWait(new EvenhandProvider(own));
        var client = api.getClient();
        List<EventDetails> errors = new CopyOnWriteArrayList<>();
        client.onProviderError(errors::add);
        own.close();
        eventually(client::getProviderState, ProviderState.ERROR, "the SDK learns of it");
        eventually("its handler is told", () -> !errors.isEmpty());
        that(errors.get(0).getMessage().contains("closed"), "and why", errors.get(0));
        that(Set.of("a", "b").contains(client.getStringValue("checkout", "mine", user("watcher"))), "decisions go on", "the caller's default");
        api.shutdown();
    }

    /** Not ready in time: an error; the manifest comes later: ready, and no change of configuration. */
    private static void lateManifest() throws Exception {
        OpenFeatureAPI api = OpenFeatureAPI.createIsolated();
        EvenhandProvider provider = bootstrapped(options -> options.setBootstrapFile(null), options -> options.setReadyTimeoutMs(200));
        var client = api.getClient("late");
        List<String> events = new CopyOnWriteArrayList<>();
        for (ProviderEvent event : ProviderEvent.values()) {
            // Until ours is set, the SDK's own is there, and ready.
            client.on(event, details -> {
                if ("Evenhand".equals(details.getProviderName())) events.add(event.name());
            });
        }
        try {
            api.setProviderAndWait("late", provider);
            throw new AssertionError("the initialization ends well");
        } catch (OpenFeatureError error) {
            that(error.getMessage().contains("no manifest within 200 ms"), "it says what is missing", error.getMessage());
        }
        provider.getClient().updateManifest(Files.readString(MANIFEST.toPath()));
        eventually(client::getProviderState, ProviderState.READY, "it becomes ready");
        eventually("both events", () -> events.size() > 1);
        Thread.sleep(100);
        equal(List.copyOf(events), List.of("PROVIDER_ERROR", "PROVIDER_READY"), "the events");
        equal(client.getBooleanValue("boolean-flag", false), true, "and decides");
        api.shutdown();
    }

    private static void endedWhileItBegins() throws Exception {
        OpenFeatureAPI api = OpenFeatureAPI.createIsolated();
        EvenhandProvider provider = bootstrapped(options -> options.setBootstrapFile(null), options -> options.setReadyTimeoutMs(60_000));
        api.setProvider(provider);
        Thread.sleep(100);
        long began = System.nanoTime();
        api.shutdown();
        that(System.nanoTime() - began < 2_000_000_000L, "the wait ends with the provider", (System.nanoTime() - began) / 1_000_000 + " ms");
        equal(provider.getClient(), null, "its own client is closed");
        equal(provider.getBooleanEvaluation("boolean-flag", true, null).getErrorCode(), ErrorCode.PROVIDER_NOT_READY, "what it gives then");
    }

    /** Only what was handed out; sticky assignments are kept; the unit is what was asked for. */
    private static void whatIsExposed() throws Exception {
        OpenFeatureAPI api = OpenFeatureAPI.createIsolated();
        EvenhandProvider provider = bootstrapped(options -> options.setStickyStore(new MemoryStickyStore()), options -> {});
        api.setProviderAndWait(provider);
        var client = api.getClient();
        EvaluationContext u1 = user("u1");
        client.getIntegerValue("split-flag", 1, u1);
        client.getObjectValue("bare-json-flag", new Value(), u1);
        client.getStringValue("missing-flag", "", u1);
        client.getStringValue("split-flag", "");
        client.getBooleanValue("rollout-flag", false, u1);
        equal(queued(provider), 0L, "what was not shown, or is no experiment, is not exposed");
        client.getStringValue("split-flag", "", u1);
        client.getStringValue("split-flag", "", u1);
        equal(queued(provider), 1L, "what was shown is, once");
        var first = client.getStringDetails("sticky-flag", "", u1);
        var again = client.getStringDetails("sticky-flag", "", u1);
        equal(again.getValue(), first.getValue(), "an assignment that was kept");
        equal(again.getReason(), "SPLIT", "is of the split");
        equal(again.getFlagMetadata().getString("evenhandReason"), "STICKY", "and kept");
        EvaluationContext both = new MutableContext("u1").add("user_id", "tester");
        equal(
                client.getStringDetails("split-flag", "", both).getFlagMetadata().getString("evenhandReason"),
                "OVERRIDE",
                "an attribute of the unit's name goes before the targeting key");
        api.setProviderAndWait(bootstrapped(options -> {}, options -> options.setUnit("company_id")));
        equal(client.getStringDetails("company-flag", "", user("c-1")).getReason(), "SPLIT", "another unit");
        equal(client.getStringDetails("company-flag", "").getErrorCode(), ErrorCode.TARGETING_KEY_MISSING, "which is missing then");
        api.shutdown();
    }

    private static long queued(EvenhandProvider provider) {
        return provider.getClient().telemetry().getExposures().getQueued();
    }

    /** Structures are the SDK's own, numbers keep what they are, and what can't be handed out is not exposed. */
    private static void values() throws Exception {
        OpenFeatureAPI api = OpenFeatureAPI.createIsolated();
        EvenhandProvider provider = bootstrapped(options -> {}, options -> {});
        api.setProviderAndWait(provider);
        var client = api.getClient();
        ObjectNode manifest = (ObjectNode) new ObjectMapper().readTree(MANIFEST);
        ObjectNode flags = (ObjectNode) manifest.get("flags");
        experiment(flags, "huge-split-flag", "int", 1L << 40);
        experiment(flags, "bare-split-flag", "json", 5L);
        manifest.put("version", 8);
        provider.getClient().updateManifest(manifest.toString());
        equal(client.getIntegerDetails("huge-split-flag", 1, user("u1")).getErrorCode(), ErrorCode.TYPE_MISMATCH, "no int, in an experiment");
        equal(client.getObjectDetails("bare-split-flag", new Value(), user("u1")).getErrorCode(), ErrorCode.TYPE_MISMATCH, "no structure");
        equal(queued(provider), 0L, "what was not handed out is not exposed");
        equal(client.getLongValue("huge-split-flag", 1L, user("u1")), 1L << 40, "what was");
        equal(queued(provider), 1L, "is");
        var structure = client.getObjectValue("object-flag", new Value()).asStructure();
        equal(
                structure.asObjectMap(),
                Map.of("showImages", true, "title", "Check out these pics!", "imagesPerPage", 100),
                "the SDK's own conversion");
        equal(client.getObjectValue("list-flag", new Value()).asList().get(0).asString(), "a", "a list");
        equal(client.getLongValue("huge-integer-flag", 1L), 9_007_199_254_740_991L, "a long");
        equal(client.getIntegerDetails("huge-integer-flag", 1).getErrorCode(), ErrorCode.TYPE_MISMATCH, "no int");
        equal(client.getDoubleValue("integer-flag", 0.5), 10.0, "an int flag as a double");
        // Whatever the caller's own default is.
        equal(client.getStringDetails("missing-flag", null).getValue(), null, "a default of null");
        equal(client.getStringDetails(null, "mine").getErrorCode(), ErrorCode.GENERAL, "no key");
        equal(client.getStringValue(null, "mine"), "mine", "and nothing thrown");
        api.shutdown();
    }

    /** A flag that draws as `split-flag` does, with one value for both arms. */
    private static void experiment(ObjectNode flags, String key, String type, long value) {
        ObjectNode flag = flags.get("split-flag").deepCopy();
        flag.put("type", type);
        for (var variation : flag.get("variations")) ((ObjectNode) variation).put("value", value);
        ObjectNode rule = (ObjectNode) flag.get("rules").get(0);
        rule.put("id", "rule-" + key).put("experiment", key);
        flags.set(key, flag);
    }

    private static void attributes() throws Exception {
        OpenFeatureAPI api = OpenFeatureAPI.createIsolated();
        EvenhandProvider provider = bootstrapped(options -> {}, options -> {});
        api.setProviderAndWait(provider);
        var client = api.getClient();
        Map<String, Boolean> since = new LinkedHashMap<>();
        since.put("2026-01-01T00:00:00Z", true);
        since.put("2025-12-31T23:59:59.999999999Z", false);
        // Out of the years that RFC 3339 has: unusable, and nothing thrown.
        since.put("+12026-01-01T00:00:00Z", false);
        for (var entry : since.entrySet()) {
            EvaluationContext context = new MutableContext("u").add("since", Instant.parse(entry.getKey()));
            equal(client.getBooleanValue("date-flag", false, context), entry.getValue(), entry.getKey());
        }
        equal(provider.getClient().unusableAttributes(), Map.of("since", 1L), "the last one is counted");
        var end = client.getBooleanDetails("date-flag", true, new MutableContext("u").add("since", Instant.MAX));
        equal(end.getReason(), "DEFAULT", "the end of time is no date either: " + end.getErrorMessage());
        // An empty targeting key is none.
        equal(client.getStringDetails("split-flag", "", user("")).getErrorCode(), ErrorCode.TARGETING_KEY_MISSING, "an empty key");
        api.shutdown();
    }

    private static void telemetry() throws Exception {
        OpenFeatureAPI api = OpenFeatureAPI.createIsolated();
        api.setProviderAndWait(bootstrapped(options -> {}, options -> {}));
        AtomicReference<EvaluationEvent> event = new AtomicReference<>();
        Hook<Object> hook = new Hook<>() {
            @Override
            public void finallyAfter(HookContext<Object> context, FlagEvaluationDetails<Object> details, Map<String, Object> hints) {
                event.set(Telemetry.createEvaluationEvent(context, details));
            }
        };
        api.getClient().getStringDetails("split-flag", "", user("u1"), FlagEvaluationOptions.builder().hook(hook).build());
        Map<String, Object> found = event.get().getAttributes();
        equal(found.get("feature_flag.set.id"), "gherkin", "the flag set");
        equal(found.get("feature_flag.version"), "7", "the version");
        equal(found.get("feature_flag.provider.name"), "Evenhand", "the provider");
        equal(found.get("feature_flag.result.reason"), "split", "the reason");
        api.shutdown();
    }

    /** Threads that resolve while manifests change see one or the other, whole. */
    private static void manyThreads() throws Exception {
        OpenFeatureAPI api = OpenFeatureAPI.createIsolated();
        EvenhandProvider provider = bootstrapped(options -> {}, options -> {});
        api.setProviderAndWait(provider);
        var client = api.getClient();
        Set<String> seen = ConcurrentHashMap.newKeySet();
        List<Thread> threads = new ArrayList<>();
        AtomicReference<Throwable> failure = new AtomicReference<>();
        AtomicReference<Boolean> over = new AtomicReference<>(false);
        for (int number = 0; number < 4; number++) {
            Thread thread = new Thread(() -> {
                try {
                    while (!over.get()) {
                        var details = client.getStringDetails("string-flag", "mine", user("u"));
                        equal(details.getReason(), "STATIC", "the reason");
                        seen.add(details.getValue() + " by " + details.getFlagMetadata().getString("version"));
                    }
                } catch (Throwable error) {
                    failure.set(error);
                }
            });
            thread.start();
            threads.add(thread);
        }
        String manifest = Files.readString(MANIFEST.toPath());
        Set<String> possible = new HashSet<>(Set.of("hi by 7"));
        for (int version = 8; version < 40; version++) {
            String value = version % 2 == 0 ? "parting" : "greeting";
            String next = manifest.replace("\"version\": 7", "\"version\": " + version)
                    .replace("\"off\": \"greeting\", \"default\": \"greeting\"", "\"off\": \"greeting\", \"default\": \"" + value + "\"");
            provider.getClient().updateManifest(next);
            possible.add((version % 2 == 0 ? "bye" : "hi") + " by " + version);
            Thread.sleep(5);
        }
        over.set(true);
        for (Thread thread : threads) thread.join();
        equal(failure.get(), null, "what failed");
        that(seen.size() > 5 && possible.containsAll(seen), "each value is of its manifest", seen);
        api.shutdown();
    }

    /** No change is lost, however closely it follows what the client's own loop does after the last one. */
    private static void manyChanges() throws Exception {
        OpenFeatureAPI api = OpenFeatureAPI.createIsolated();
        EvenhandProvider provider = bootstrapped(options -> {}, options -> {});
        api.setProviderAndWait(provider);
        AtomicInteger changes = new AtomicInteger();
        api.onProviderConfigurationChanged(details -> changes.incrementAndGet());
        String manifest = Files.readString(MANIFEST.toPath());
        for (int version = 8; version < 508; version++) {
            int before = changes.get();
            provider.getClient().updateManifest(manifest.replace("\"version\": 7", "\"version\": " + version));
            long end = System.nanoTime() + 5_000_000_000L;
            while (changes.get() == before) that(System.nanoTime() < end, "a change is told, to version " + version, before + " before");
        }
        equal(api.getClient().getProviderState(), ProviderState.READY, "it is ready all the time");
        api.shutdown();
    }

    /** `onChange`, without OpenFeature: each kind, in order, until it is ended; one that throws disturbs nobody. */
    private static void listeners() throws Exception {
        List<Change> heard = new CopyOnWriteArrayList<>();
        Client client = new Client(at(shop.url(), shop.key(), options -> {
            options.setStream(false);
            options.setPollIntervalMs(1_000L);
            options.setStaleAfterMs(2_000L);
        }));
        AutoCloseable broken = client.onChange(change -> {
            throw new IllegalStateException("a listener of no use");
        });
        AutoCloseable listening = client.onChange(heard::add);
        that(client.awaitReady(), "it is ready", "not");
        // Whether the first manifest came before the listener did, nobody knows.
        Thread.sleep(100);
        heard.clear();
        shop.act("pause");
        eventually(() -> List.copyOf(heard), List.of(Change.MANIFEST), "another manifest");
        shop.kill();
        eventually(() -> List.copyOf(heard), List.of(Change.MANIFEST, Change.STALE), "stale");
        shop.start();
        eventually("fresh", () -> heard.size() > 2);
        equal(heard.subList(0, 3), List.of(Change.MANIFEST, Change.STALE, Change.FRESH), "in order");
        int told = heard.size();
        listening.close();
        listening.close();
        broken.close();
        client.close();
        equal(heard.size(), told, "what has ended hears nothing more");

        List<Change> found = new CopyOnWriteArrayList<>();
        Client denied = new Client(at(shop.url(), "wrong-key", options -> options.setDeniedRetryMs(1_000L)));
        denied.onChange(found::add);
        eventually(() -> List.copyOf(found), List.of(Change.DENIED), "a wrong key");
        that(denied.getDenial().matches("(?s).*40\\d.*"), "and why", denied.getDenial());
        denied.updateManifest(Files.readString(MANIFEST.toPath()));
        equal(List.copyOf(found), List.of(Change.DENIED, Change.MANIFEST, Change.FRESH), "a manifest after all");
        denied.close(100);
        equal(List.copyOf(found), List.of(Change.DENIED, Change.MANIFEST, Change.FRESH, Change.CLOSED), "the end");
    }
}
