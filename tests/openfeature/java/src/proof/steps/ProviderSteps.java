package proof.steps;

import static proof.Checks.equal;
import static proof.Checks.eventually;
import static proof.Checks.that;
import static proof.Checks.within;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.openfeature.sdk.ErrorCode;
import dev.openfeature.sdk.NoOpProvider;
import dev.openfeature.sdk.ProviderEvent;
import dev.openfeature.sdk.exceptions.OpenFeatureError;
import io.cucumber.java.After;
import io.cucumber.java.AfterAll;
import io.cucumber.java.en.Given;
import io.cucumber.java.en.Then;
import io.cucumber.java.en.When;
import java.util.Map;
import proof.Shop;

/** Providers in every state, of the installed package; and the events that they emit. */
public final class ProviderSteps {
    private static final String NOWHERE = "http://127.0.0.1:9";
    private static final Map<String, ProviderEvent> EVENTS = Map.of(
            "ready", ProviderEvent.PROVIDER_READY,
            "error", ProviderEvent.PROVIDER_ERROR,
            "stale", ProviderEvent.PROVIDER_STALE,
            "change", ProviderEvent.PROVIDER_CONFIGURATION_CHANGED);
    private final Scene scene;

    public ProviderSteps(Scene scene) {
        this.scene = scene;
    }

    @After
    public void end() {
        scene.api.shutdown();
        scene.providers.forEach(provider -> provider.shutdown());
    }

    @AfterAll
    public static void endAll() throws Exception {
        Scene.closeShop();
    }

    @Given("a stable provider")
    public void stable() {
        scene.api.setProviderAndWait(scene.made(NOWHERE, "nobody", 5_000, options -> options.setBootstrapFile(Scene.MANIFEST)));
    }

    @Given("a not ready provider")
    public void notReady() {
        scene.api.setProvider(scene.made(NOWHERE, "nobody", 5_000, options -> {}));
    }

    @Given("^an? (?:error|unavailable) provider$")
    public void unavailable() {
        fails(NOWHERE, "nobody", ErrorCode.PROVIDER_NOT_READY);
    }

    @Given("a fatal provider")
    public void fatal() throws Exception {
        fails(Scene.shop().url(), "wrong-key", ErrorCode.PROVIDER_FATAL);
    }

    private void fails(String url, String key, ErrorCode code) {
        try {
            scene.api.setProviderAndWait(scene.made(url, key, code == ErrorCode.PROVIDER_FATAL ? 10_000 : 300, options -> {}));
        } catch (OpenFeatureError error) {
            equal(error.getErrorCode(), code, "why it can't begin: " + error.getMessage());
            return;
        }
        throw new AssertionError("the initialization ends well");
    }

    @Given("a stale provider")
    public void stale() throws Exception {
        scene.api.setProviderAndWait(scene.made(NOWHERE, "nobody", 5_000, options -> {
            options.setBootstrapFile(Scene.MANIFEST);
            options.setStaleAfterMs(1_000L);
        }));
        inState("stale");
    }

    @Given("a provider of a running server")
    public void served() throws Exception {
        Shop shop = Scene.shop();
        scene.api.setProviderAndWait(scene.made(shop.url(), shop.key(), 10_000, options -> {
            options.setPollIntervalMs(1_000L);
            options.setStaleAfterMs(2_500L);
            options.setBackoffBaseMs(50L);
            options.setBackoffMaxMs(200L);
        }));
    }

    @When("the connection is lost")
    public void lost() throws Exception {
        scene.handled.clear();
        Scene.shop().kill();
    }

    @When("the connection is restored")
    public void restored() throws Exception {
        scene.handled.clear();
        Scene.shop().start();
    }

    @Given("^an? (ready|error|stale|change) event handler$")
    public void handler(String name) {
        scene.client.on(EVENTS.get(name), details -> scene.handled.put(name, details));
    }

    @Then("^the (ready|error|stale|change) event handler should have been executed$")
    public void handled(String name) throws Exception {
        handledWithin(name, 10_000);
    }

    @When("^an? (ready|error|stale|change) event was fired$")
    public void fired(String name) throws Exception {
        handledWithin(name, 10_000);
    }

    @Then("^the (ready|error|stale|change) event handler should have been executed within (\\d+)ms$")
    public void handledWithin(String name, long milliseconds) throws Exception {
        within(milliseconds, "the event " + name, () -> scene.handled.containsKey(name));
        // A handler that comes after the event is told no name by the SDK.
        String provider = scene.handled.get(name).getProviderName();
        that(provider == null || provider.equals("Evenhand"), "the event is ours", provider);
    }

    @Then("^the client should be in (ready|error|stale) state$")
    public void inState(String name) throws Exception {
        eventually(() -> scene.client.getProviderState().name(), name.toUpperCase(), "the state of the client");
    }

    @Then("^the provider status should be \"(.*)\"$")
    public void status(String expected) {
        equal(scene.client.getProviderState().name(), expected, "the state of the client");
    }

    @Then("^the provider name should be \"(.*)\"$")
    public void name(String expected) {
        equal(scene.provider.getMetadata().getName(), expected, "the provider's name");
        equal(scene.api.getProviderMetadata().getName(), expected, "the name that the SDK has");
    }

    @When("the flag was modified")
    public void modified() throws Exception {
        ObjectNode manifest = (ObjectNode) new ObjectMapper().readTree(Scene.MANIFEST);
        ObjectNode flag = (ObjectNode) manifest.get("flags").get(scene.evaluation.getFlagKey());
        for (var variation : flag.get("variations")) {
            String key = variation.get("key").asText();
            if (!key.equals(scene.evaluation.getVariant())) flag.put("default", key);
        }
        manifest.put("version", manifest.get("version").asInt() + 1);
        scene.provider.getClient().updateManifest(manifest.toString());
    }

    @When("the provider is shut down")
    public void shut() throws Exception {
        scene.api.setProviderAndWait(new NoOpProvider());
        // On a thread of the SDK.
        eventually("its own client is closed", () -> scene.provider.getClient() == null);
    }

    @When("the provider is set again")
    public void setAgain() {
        scene.api.setProviderAndWait(scene.provider);
    }
}
