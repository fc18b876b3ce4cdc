package proof.steps;

import static proof.Checks.equal;
import static proof.Checks.that;
import static proof.steps.Scene.parsed;

import dev.openfeature.sdk.ErrorCode;
import dev.openfeature.sdk.FlagEvaluationDetails;
import dev.openfeature.sdk.FlagEvaluationOptions;
import dev.openfeature.sdk.Value;
import io.cucumber.datatable.DataTable;
import io.cucumber.java.en.Given;
import io.cucumber.java.en.Then;
import io.cucumber.java.en.When;
import java.time.Instant;
import java.util.List;
import java.util.Map;

/** Flags, contexts, and what their evaluation gives. */
public final class EvaluationSteps {
    private final Scene scene;
    private String kind;
    private String key;
    private Object fallback;
    private Object remembered;
    private Map<String, Object> before;

    public EvaluationSteps(Scene scene) {
        this.scene = scene;
    }

    @Given("^an? (\\w+)-flag with key \"(.*)\" and a default value \"(.*)\"$")
    public void flag(String kind, String key, String text) {
        this.kind = kind.toLowerCase();
        this.key = key;
        this.fallback = parsed(kind, text);
    }

    @Given("^a context containing a key \"(.*)\", with type \"(.*)\" and with value \"(.*)\"$")
    public void attribute(String key, String kind, String text) {
        Object value = parsed(kind, text);
        if (value instanceof Value structure) scene.context.add(key, structure.asStructure());
        else if (value instanceof Boolean flag) scene.context.add(key, flag);
        else if (value instanceof Long number) scene.context.add(key, number.intValue());
        else if (value instanceof Double number) scene.context.add(key, number);
        else if (value instanceof Instant instant) scene.context.add(key, instant);
        else scene.context.add(key, (String) value);
    }

    @Given("^a context containing a key \"(.*)\" with null value$")
    public void nothing(String key) {
        scene.context.add(key, (String) null);
    }

    @Given("^a context containing a targeting key with value \"(.*)\"$")
    public void targetingKey(String value) {
        scene.context.setTargetingKey(value);
    }

    @Given("an evaluation context with modifiable data")
    public void modifiable() {
        Instant since = Instant.parse("2026-01-02T00:00:00Z");
        scene.context.add("since", since).add("tags", List.of(new Value("a"), new Value(since)));
        before = scene.context.asObjectMap();
    }

    @When("the flag was evaluated with details")
    public void evaluate() {
        evaluate(FlagEvaluationOptions.EMPTY);
    }

    void evaluate(FlagEvaluationOptions options) {
        try {
            scene.evaluation = details(options);
        } catch (RuntimeException error) {
            scene.thrown = error;
        }
    }

    private FlagEvaluationDetails<?> details(FlagEvaluationOptions options) {
        var client = scene.client;
        var context = scene.context;
        return switch (kind) {
            case "boolean" -> client.getBooleanDetails(key, (Boolean) fallback, context, options);
            case "string" -> client.getStringDetails(key, (String) fallback, context, options);
            case "float" -> client.getDoubleDetails(key, (Double) fallback, context, options);
            case "object" -> client.getObjectDetails(key, (Value) fallback, context, options);
            case "integer" -> integer(options);
            default -> throw new AssertionError("no type of flag: " + kind);
        };
    }

    /** Java has two types of integer: both say the same, but of a number that an `int` does not hold. */
    private FlagEvaluationDetails<?> integer(FlagEvaluationOptions options) {
        Long fallback = (Long) this.fallback;
        var asLong = scene.client.getLongDetails(key, fallback, scene.context, options);
        var asInteger = scene.client.getIntegerDetails(key, fallback.intValue(), scene.context, options);
        if (asLong.getErrorCode() == null && asLong.getValue() > Integer.MAX_VALUE) {
            equal(asInteger.getErrorCode(), ErrorCode.TYPE_MISMATCH, "a number beyond 32 bits, as an int");
            equal(asInteger.getValue(), fallback.intValue(), "which gives the caller's default");
            return asLong;
        }
        equal((long) asInteger.getValue(), asLong.getValue(), "an int is the long");
        equal(asInteger.getErrorCode(), asLong.getErrorCode(), "and so is its error");
        equal(asInteger.getReason(), asLong.getReason(), "and its reason");
        return asLong;
    }

    @Then("^the resolved details value should be \"(.*)\"$")
    public void value(String expected) {
        equal(scene.evaluation.getValue(), parsed(kind, expected), "the value");
    }

    @Then("the resolved object value should contain")
    public void members(DataTable table) {
        for (Map<String, String> row : table.asMaps()) {
            Object found = ((Value) scene.evaluation.getValue()).asStructure().getValue(row.get("key")).asObject();
            Object expected = parsed(row.get("type"), row.get("value"));
            equal(found instanceof Integer number ? (Object) number.longValue() : found, expected, row.get("key"));
        }
    }

    @Then("^the flag key should be \"(.*)\"$")
    public void flagKey(String expected) {
        equal(scene.evaluation.getFlagKey(), expected, "the flag's key");
    }

    @Then("^the variant should be \"(.*)\"$")
    public void variant(String expected) {
        equal(scene.evaluation.getVariant(), expected, "the variant");
    }

    @Then("^the reason should be \"(.*)\"$")
    public void reason(String expected) {
        equal(scene.evaluation.getReason(), expected, "the reason");
    }

    @Then("^the error-code should be \"(.*)\"$")
    public void errorCode(String expected) {
        equal(scene.evaluation.getErrorCode() == null ? "" : scene.evaluation.getErrorCode().name(), expected, "the error's code");
    }

    @Then("^the error message should contain \"(.*)\"$")
    public void errorMessage(String text) {
        that(String.valueOf(scene.evaluation.getErrorMessage()).contains(text), "the error's message", scene.evaluation.getErrorMessage());
    }

    @Then("the error message should be empty")
    public void noErrorMessage() {
        equal(scene.evaluation.getErrorMessage(), null, "the error's message");
    }

    @Then("no exception should have been thrown")
    public void nothingThrown() {
        equal(scene.thrown, null, "what was thrown");
    }

    @Then("the resolved metadata should contain")
    public void metadata(DataTable table) {
        Map<String, Object> metadata = scene.evaluation.getFlagMetadata().asUnmodifiableMap();
        for (Map<String, String> row : table.asMaps()) {
            equal(metadata.get(row.get("key")), parsed(row.get("metadata_type"), row.get("value")), row.get("key"));
        }
    }

    @Then("^the resolved metadata should have an integer \"(.*)\"$")
    public void metadataInteger(String key) {
        that(scene.evaluation.getFlagMetadata().getLong(key) != null, "the metadata have a long " + key, scene.evaluation.getFlagMetadata());
    }

    @Then("^the resolved metadata should not contain \"(.*)\"$")
    public void noMetadata(String keys) {
        Map<String, Object> metadata = scene.evaluation.getFlagMetadata().asUnmodifiableMap();
        for (String key : keys.split(", ")) that(!metadata.containsKey(key), "no " + key, metadata);
    }

    @Then("^the client should have counted \"(.*)\" as unusable$")
    public void unusable(String name) {
        that(scene.provider.getClient().unusableAttributes().getOrDefault(name, 0L) > 0, name + " is counted", "nothing");
    }

    @Then("the original evaluation context should remain unmodified")
    public void unmodified() {
        equal(scene.context.asObjectMap(), before, "the context");
    }

    @When("the resolved value is remembered")
    public void remember() {
        remembered = scene.evaluation.getValue();
    }

    @Then("the resolved details value should have changed")
    public void changed() {
        that(!scene.evaluation.getValue().equals(remembered), "another value", remembered);
    }

    String kind() {
        return kind;
    }
}
