package proof;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Map;

/** A real `evenhand serve` with one running experiment: `checkout` gives half the users `a`, the others `b`. */
public final class Shop implements AutoCloseable {
    private static final String PROJECT = "/api/projects/default";
    private static final String ENVIRONMENT = "/api/environments/production";
    private static final ObjectMapper JSON = new ObjectMapper();

    private final HttpClient http = HttpClient.newHttpClient();
    private final Path directory;
    private final int port;
    private Process server;

    public Shop() throws Exception {
        directory = Files.createTempDirectory("evenhand-java-");
        try (ServerSocket probe = new ServerSocket(0)) {
            port = probe.getLocalPort();
        }
        start();
        List<Map<String, String>> variations = List.of(Map.of("key", "control", "value", "a"), Map.of("key", "treatment", "value", "b"));
        api("POST", PROJECT + "/flags", Map.of("key", "checkout", "type", "string", "off", "control", "default", "control", "variations", variations));
        api("POST", PROJECT + "/metrics", Map.of("key", "purchases", "kind", "conversion_rate", "event", Map.of("event_name", "purchase")));
        List<Map<String, Object>> weights =
                List.of(Map.of("variation", "control", "weight", 5_000), Map.of("variation", "treatment", "weight", 5_000));
        List<Map<String, String>> metrics = List.of(Map.of("metric", "purchases", "role", "primary"));
        api("POST", PROJECT + "/experiments",
                Map.of("key", "checkout-test", "flag", "checkout", "unit", "user_id", "variations", weights, "metrics", metrics));
        act("start");
    }

    public String url() {
        return "http://127.0.0.1:" + port;
    }

    public String key() throws IOException {
        return JSON.readTree(directory.resolve("data/keys.json").toFile()).get("server").asText();
    }

    public void start() throws Exception {
        server = new ProcessBuilder(
                        System.getenv("EVENHAND_BIN"), "serve", "--data-dir", directory.resolve("data").toString(), "--listen", "127.0.0.1:" + port)
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.appendTo(directory.resolve("server.log").toFile()))
                .start();
        HttpRequest ready = HttpRequest.newBuilder(URI.create(url() + "/readyz")).build();
        Checks.eventually("the server is ready", () -> {
            try {
                return http.send(ready, HttpResponse.BodyHandlers.discarding()).statusCode() == 200;
            } catch (IOException unreachable) {
                return false;
            }
        });
    }

    public void kill() throws InterruptedException {
        server.destroyForcibly().waitFor();
    }

    public void act(String action) throws Exception {
        api("POST", ENVIRONMENT + "/experiments/checkout-test/" + action, Map.of());
    }

    /** Units that the results count. */
    public int units() throws Exception {
        int units = 0;
        for (JsonNode arm : api("GET", ENVIRONMENT + "/experiments/checkout-test/results", null).get("variations")) units += arm.get("units").asInt();
        return units;
    }

    /** Rows of the stored events, by SQL. */
    public JsonNode sql(String query) throws Exception {
        return api("POST", ENVIRONMENT + "/sql", Map.of("query", query)).get("rows");
    }

    /** Stored events of a name. */
    public int rows(String name) throws Exception {
        return sql("SELECT count(*) FROM events WHERE event_name = '" + name + "'").get(0).get(0).asInt();
    }

    private JsonNode api(String method, String path, Object body) throws Exception {
        String token = Files.readString(directory.resolve("data/admin-token")).strip();
        HttpRequest request = HttpRequest.newBuilder(URI.create(url() + path))
                .header("Authorization", "Bearer " + token)
                .header("Content-Type", "application/json")
                .method(method, body == null
                        ? HttpRequest.BodyPublishers.noBody()
                        : HttpRequest.BodyPublishers.ofString(JSON.writeValueAsString(body)))
                .build();
        HttpResponse<String> response = http.send(request, HttpResponse.BodyHandlers.ofString());
        Checks.that(response.statusCode() / 100 == 2, method + " " + path + " is done", response.statusCode() + " " + response.body());
        return JSON.readTree(response.body());
    }

    @Override
    public void close() throws Exception {
        if (server.isAlive()) kill();
        try (var files = Files.walk(directory)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) Files.delete(file);
        }
    }
}
