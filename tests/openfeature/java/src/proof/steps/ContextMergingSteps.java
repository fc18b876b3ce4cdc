package proof.steps;

import static proof.Checks.equal;

import dev.evenhand.openfeature.EvenhandProvider;
import dev.openfeature.sdk.BooleanHook;
import dev.openfeature.sdk.EvaluationContext;
import dev.openfeature.sdk.FeatureProvider;
import dev.openfeature.sdk.HookContext;
import dev.openfeature.sdk.Metadata;
import dev.openfeature.sdk.MutableContext;
import dev.openfeature.sdk.ProviderEvaluation;
import dev.openfeature.sdk.ThreadLocalTransactionContextPropagator;
import dev.openfeature.sdk.Value;
import io.cucumber.datatable.DataTable;
import io.cucumber.java.en.Given;
import io.cucumber.java.en.Then;
import io.cucumber.java.en.When;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Which context reaches the provider. */
public final class ContextMergingSteps {
    private final Scene scene;
    private final Map<String, MutableContext> levels = new HashMap<>();
    private List<String> precedence;
    private Retrievable provider;

    public ContextMergingSteps(Scene scene) {
        this.scene = scene;
    }

    /** Ours, with the context remembered that it resolves by. */
    private static final class Retrievable implements FeatureProvider {
        private final EvenhandProvider provider;
        EvaluationContext merged;

        Retrievable(EvenhandProvider provider) {
            this.provider = provider;
        }

        @Override
        public Metadata getMetadata() {
            return provider.getMetadata();
        }

        @Override
        public void initialize(EvaluationContext context) {
            provider.initialize(context);
        }

        @Override
        public void shutdown() {
            provider.shutdown();
        }

        @Override
        public ProviderEvaluation<Boolean> getBooleanEvaluation(String key, Boolean fallback, EvaluationContext context) {
            merged = context;
            return provider.getBooleanEvaluation(key, fallback, context);
        }

        @Override
        public ProviderEvaluation<String> getStringEvaluation(String key, String fallback, EvaluationContext context) {
            return provider.getStringEvaluation(key, fallback, context);
        }

        @Override
        public ProviderEvaluation<Integer> getIntegerEvaluation(String key, Integer fallback, EvaluationContext context) {
            return provider.getIntegerEvaluation(key, fallback, context);
        }

        @Override
        public ProviderEvaluation<Double> getDoubleEvaluation(String key, Double fallback, EvaluationContext context) {
            return provider.getDoubleEvaluation(key, fallback, context);
        }

        @Override
        public ProviderEvaluation<Value> getObjectEvaluation(String key, Value fallback, EvaluationContext context) {
            return provider.getObjectEvaluation(key, fallback, context);
        }
    }

    @Given("a stable provider with retrievable context is registered")
    public void registered() {
        provider = new Retrievable(scene.made("http://127.0.0.1:9", "nobody", 5_000, options -> options.setBootstrapFile(Scene.MANIFEST)));
        scene.api.setProviderAndWait(provider);
    }

    @Given("^A context entry with key \"(.*)\" and value \"(.*)\" is added to the \"(.*)\" level$")
    public void entry(String key, String value, String level) {
        level(level).add(key, value);
    }

    private MutableContext level(String level) {
        return levels.computeIfAbsent(level, none -> new MutableContext());
    }

    @Given("A table with levels of increasing precedence")
    public void precedence(DataTable table) {
        precedence = table.asList();
    }

    @Given("^Context entries for each level from API level down to the \"(.*)\" level, with key \"(.*)\" and value \"(.*)\"$")
    public void entries(String last, String key, String value) {
        for (String level : precedence) {
            level(level).add(key, level.equals(last) ? value : "not " + level);
            if (level.equals(last)) return;
        }
    }

    @When("Some flag was evaluated")
    public void evaluated() {
        scene.api.setEvaluationContext(level("API"));
        scene.api.setTransactionContextPropagator(new ThreadLocalTransactionContextPropagator());
        scene.api.setTransactionContext(level("Transaction"));
        scene.client.setEvaluationContext(level("Client"));
        scene.client.addHooks(new BooleanHook() {
            @Override
            public Optional<EvaluationContext> before(HookContext<Boolean> context, Map<String, Object> hints) {
                return Optional.of(level("Before Hooks"));
            }
        });
        equal(scene.client.getBooleanValue("boolean-flag", false, level("Invocation")), true, "the value");
    }

    @Then("^The merged context contains an entry with key \"(.*)\" and value \"(.*)\"$")
    public void merged(String key, String value) {
        equal(provider.merged.getValue(key).asString(), value, key);
    }
}
