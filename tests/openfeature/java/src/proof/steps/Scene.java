package proof.steps;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.evenhand.ClientOptions;
import dev.evenhand.Logger;
import dev.evenhand.openfeature.EvenhandProvider;
import dev.evenhand.openfeature.ProviderOptions;
import dev.openfeature.sdk.Client;
import dev.openfeature.sdk.EventDetails;
import dev.openfeature.sdk.FlagEvaluationDetails;
import dev.openfeature.sdk.ImmutableStructure;
import dev.openfeature.sdk.MutableContext;
import dev.openfeature.sdk.OpenFeatureAPI;
import dev.openfeature.sdk.Value;
import java.io.File;
import java.io.IOException;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import proof.Shop;

/** What the steps of one scenario share. */
public final class Scene {
    static final File MANIFEST = new File(System.getenv("EVENHAND_ROOT"), "tests/openfeature/manifest.json");
    private static final ObjectMapper JSON = new ObjectMapper();
    private static Shop shop;

    final OpenFeatureAPI api = OpenFeatureAPI.createIsolated();
    final List<EvenhandProvider> providers = new ArrayList<>();
    final Map<String, EventDetails> handled = new ConcurrentHashMap<>();
    final MutableContext context = new MutableContext();
    Client client = api.getClient();
    EvenhandProvider provider;
    FlagEvaluationDetails<?> evaluation;
    Throwable thrown;

    /** One server for all scenarios that need one. */
    static synchronized Shop shop() throws Exception {
        if (shop == null) shop = new Shop();
        return shop;
    }

    static synchronized void closeShop() throws Exception {
        if (shop != null) shop.close();
    }

    EvenhandProvider made(String url, String key, long readyTimeoutMs, Consumer<ClientOptions> options) {
        ClientOptions clientOptions = new ClientOptions(url, key);
        clientOptions.setStream(false);
        clientOptions.setLogger(Logger.SILENT);
        options.accept(clientOptions);
        ProviderOptions providerOptions = new ProviderOptions();
        providerOptions.setReadyTimeoutMs(readyTimeoutMs);
        providerOptions.setCloseTimeoutMs(200);
        provider = new EvenhandProvider(clientOptions, providerOptions);
        providers.add(provider);
        return provider;
    }

    static Object parsed(String kind, String text) {
        String plain = (text == null ? "" : text).replace("\\\"", "\"");
        return switch (kind.toLowerCase()) {
            case "boolean" -> switch (plain) {
                case "true" -> true;
                case "false" -> false;
                default -> throw new AssertionError("no boolean: " + plain);
            };
            case "integer" -> Long.valueOf(plain);
            case "float" -> Double.valueOf(plain);
            case "object" -> value(plain);
            case "datetime" -> OffsetDateTime.parse(plain).toInstant();
            default -> plain;
        };
    }

    /** JSON as the SDK's own values. */
    static Value value(String text) {
        try {
            return value(JSON.readTree(text));
        } catch (IOException error) {
            throw new AssertionError("no JSON: " + text, error);
        }
    }

    private static Value value(JsonNode node) {
        if (node.isObject()) {
            Map<String, Value> members = new HashMap<>();
            node.fields().forEachRemaining(member -> members.put(member.getKey(), value(member.getValue())));
            return new Value(new ImmutableStructure(members));
        }
        if (node.isArray()) {
            List<Value> elements = new ArrayList<>();
            node.forEach(element -> elements.add(value(element)));
            return new Value(elements);
        }
        if (node.isBoolean()) return new Value(node.booleanValue());
        if (node.isInt()) return new Value(node.intValue());
        if (node.isLong()) return new Value(node.longValue());
        if (node.isNumber()) return new Value(node.doubleValue());
        return node.isNull() ? new Value() : new Value(node.textValue());
    }
}
