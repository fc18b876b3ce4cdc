package proof.steps;

import static proof.Checks.equal;
import static proof.steps.Scene.parsed;

import dev.openfeature.sdk.EvaluationContext;
import dev.openfeature.sdk.FlagEvaluationDetails;
import dev.openfeature.sdk.FlagEvaluationOptions;
import dev.openfeature.sdk.Hook;
import dev.openfeature.sdk.HookContext;
import io.cucumber.datatable.DataTable;
import io.cucumber.java.en.Given;
import io.cucumber.java.en.Then;
import io.cucumber.java.en.When;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;

/** What hooks hear of an evaluation. */
public final class HookSteps {
    private final Scene scene;
    private final EvaluationSteps evaluation;
    private final List<String> order = new ArrayList<>();
    private List<Recording> given;
    private Recording added;

    public HookSteps(Scene scene, EvaluationSteps evaluation) {
        this.scene = scene;
        this.evaluation = evaluation;
    }

    private static final class Recording implements Hook<Object> {
        final Map<String, List<FlagEvaluationDetails<Object>>> calls = new TreeMap<>();
        private final String name;
        private final List<String> order;

        Recording(String name, List<String> order) {
            this.name = name;
            this.order = order;
        }

        private void called(String stage, FlagEvaluationDetails<Object> details) {
            calls.computeIfAbsent(stage, none -> new ArrayList<>()).add(details);
            order.add(stage + " " + name);
        }

        @Override
        public Optional<EvaluationContext> before(HookContext<Object> context, Map<String, Object> hints) {
            called("before", null);
            return Optional.empty();
        }

        @Override
        public void after(HookContext<Object> context, FlagEvaluationDetails<Object> details, Map<String, Object> hints) {
            called("after", details);
        }

        @Override
        public void error(HookContext<Object> context, Exception error, Map<String, Object> hints) {
            called("error", null);
        }

        @Override
        public void finallyAfter(HookContext<Object> context, FlagEvaluationDetails<Object> details, Map<String, Object> hints) {
            called("finally", details);
        }
    }

    @Given("a client with added hook")
    public void add() {
        added = new Recording("", order);
        scene.client.addHooks(added);
    }

    @Then("^the \"(.*)\" hook should have been executed$")
    public void executed(String stage) {
        equal(added.calls.getOrDefault(stage, List.of()).size(), 1, "calls of " + stage);
    }

    @Then("^the \"(.*)\" hooks should be called with evaluation details$")
    public void heard(String stages, DataTable table) {
        for (String stage : stages.split(", ")) {
            FlagEvaluationDetails<Object> details = added.calls.get(stage).get(0);
            for (Map<String, String> row : table.asMaps()) {
                String key = row.get("key");
                Object found = switch (key) {
                    case "flag_key" -> details.getFlagKey();
                    case "value" -> details.getValue();
                    case "variant" -> details.getVariant();
                    case "reason" -> details.getReason();
                    case "error_code" -> details.getErrorCode() == null ? null : details.getErrorCode().name();
                    default -> throw new AssertionError("no detail: " + key);
                };
                // A default stands in the type of its flag.
                String kind = key.equals("value") && evaluation.kind().equals("string") ? "string" : row.get("data_type");
                equal(found, "None".equals(row.get("value")) ? null : parsed(kind, row.get("value")), stage + " " + key);
            }
        }
    }

    @Given("evaluation options containing specific hooks")
    public void options() {
        given = List.of(new Recording("one", order), new Recording("two", order));
    }

    @When("the flag was evaluated with details using the evaluation options")
    public void evaluate() {
        evaluation.evaluate(FlagEvaluationOptions.builder().hooks(given).build());
    }

    @Then("the specified hooks should execute during evaluation")
    public void allExecuted() {
        for (Recording hook : given) equal(hook.calls.keySet(), Set.of("before", "after", "finally"), "what was called");
    }

    @Then("the hook order should be maintained")
    public void inOrder() {
        // This SDK begins with the hook that was given last; what matters is that the way back is the way there, reversed.
        equal(order, List.of("before two", "before one", "after one", "after two", "finally one", "finally two"), "the order");
    }
}
