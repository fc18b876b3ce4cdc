// What holds of shop::Client without a server: client MANIFEST_DIRECTORY
// Whose records count, who waits for whom, what a closing client still takes.
//
// Linked with --wrap, so that two calls of the library can be held up and watched.
#include <future>
#include <iostream>

#include "client.hpp"
#include "manifests.hpp"

using proofs::check;
using proofs::Manifest;
using namespace std::chrono_literals;

namespace {

// A call of evenhand_session_is_flushed, held up as if the session were busy.
struct Gate {
  std::atomic<bool> armed{false};
  std::promise<void> entered, opened;
  std::atomic<bool> in_time{true};
} gate;
std::atomic<int> shutdowns{0};

}  // namespace

extern "C" {
bool __real_evenhand_session_is_flushed(const EvenhandSession *session, std::uint64_t mark);
bool __wrap_evenhand_session_is_flushed(const EvenhandSession *session, std::uint64_t mark);
EvenhandStatus __real_evenhand_session_shutdown(const EvenhandSession *session, std::int64_t now, std::int64_t deadline);
EvenhandStatus __wrap_evenhand_session_shutdown(const EvenhandSession *session, std::int64_t now, std::int64_t deadline);

bool __wrap_evenhand_session_is_flushed(const EvenhandSession *session, std::uint64_t mark) {
  if (gate.armed.exchange(false)) {
    gate.entered.set_value();
    gate.in_time = gate.opened.get_future().wait_for(10s) == std::future_status::ready;
  }
  return __real_evenhand_session_is_flushed(session, mark);
}
EvenhandStatus __wrap_evenhand_session_shutdown(const EvenhandSession *session, std::int64_t now, std::int64_t deadline) {
  const EvenhandStatus status = __real_evenhand_session_shutdown(session, now, deadline);
  shutdowns++;
  return status;
}
}

namespace {

// What a client has told its logger.
class Log {
 public:
  shop::Logger logger() {
    return [this](shop::Level, std::string_view code, std::string_view message) {
      const std::lock_guard<std::mutex> lock(mutex_);
      lines_.push_back(std::string(code) + ": " + std::string(message));
    };
  }
  std::size_t count(const std::string &part) {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::size_t found = 0;
    for (const auto &line : lines_) found += line.find(part) != std::string::npos ? 1 : 0;
    return found;
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

// Nobody listens there, and it tries again and again.
shop::ClientOptions offline(const Manifest &manifest, Log &log) {
  shop::ClientOptions options;
  options.url = "http://127.0.0.1:9";
  options.key = "k";
  options.bootstrap = manifest.of_version(2);
  options.logger = log.logger();
  options.numbers = {{"backoff_base_ms", 10}, {"backoff_max_ms", 20}, {"flush_interval_ms", 10}};
  return options;
}

evenhand::Context context_of(const std::string &user) {
  evenhand::Context context;
  context.set("user_id", user);
  return context;
}

void precedence(const Manifest &manifest) {
  Log log;
  auto options = offline(manifest, log);
  const std::string plain = "\"kind\":\"experiment\",";
  for (std::size_t at = 0; (at = options.bootstrap->find(plain, at)) != std::string::npos; at += plain.size()) options.bootstrap->insert(at + plain.size(), "\"sticky\":true,");
  const auto store = std::make_shared<evenhand::MemoryStickyStore>();
  for (const char *arm : {"even-a", "even-b"}) store->save({"even-experiment-2", 1, std::string("stored ") + arm, arm});
  options.sticky_store = store;
  options.overrides = {{"flag-000", "even-a"}};
  shop::Client client(std::move(options));
  const auto says = [&client](std::string_view flag, const evenhand::Context &context) {
    const auto decision = client.evaluate(flag, context);
    return std::string(decision.variation().value_or("none")) + " " + std::string(evenhand::name(decision.reason()));
  };
  auto forced = context_of("u");
  check(says("flag-000", forced) == "even-a OVERRIDE", "an override of the client holds");
  forced.force("flag-000", "even-b");
  check(says("flag-000", forced) == "even-b OVERRIDE", "but not over what the context itself forces: " + says("flag-000", forced));
  client.override_with("flag-004", "even-a");
  check(says("flag-004", forced) == "even-a OVERRIDE", "which is of one flag only");
  for (const std::string arm : {"even-a", "even-b"}) {
    auto context = context_of("stored " + arm);
    check(says("flag-002", context) == arm + " STICKY", "a stored assignment holds: " + says("flag-002", context));
    const std::string other = arm == "even-a" ? "even-b" : "even-a";
    context.set_sticky({"even-experiment-2", 1, "stored " + arm, other});
    check(says("flag-002", context) == other + " STICKY", "but not over the context's own: " + says("flag-002", context));
  }
  std::cout << "  cpp: a context's own forced variations and assignments count before the client's\n";
}

void waiting(const Manifest &manifest) {
  Log log;
  shop::Client client(offline(manifest, log));
  check(client.track("note", context_of("u")).has_value(), "an event is queued");
  gate.armed = true;
  auto flushed = std::async(std::launch::async, [&client] { return client.flush(200ms); });
  check(gate.entered.get_future().wait_for(10s) == std::future_status::ready, "a flush asks the session");
  // The session does not answer. Nobody else waits with the flush.
  check(client.evaluate("flag-000", context_of("u")).reason() == EVENHAND_REASON_SPLIT, "decisions go on");
  check(client.ready(0ms), "a client with a manifest is ready");
  gate.opened.set_value();
  check(!flushed.get(), "nothing could be delivered");
  check(gate.in_time, "a decision does not wait for a flush that waits for the session");
  const auto began = shop::Clock::now();
  check(!client.flush(300ms) && shop::Clock::now() - began >= 300ms, "a flush waits its time");
  (void)client.close(0ms);
  std::cout << "  cpp: a flush that waits for a busy session holds up no decision\n";
}

void closing(const Manifest &manifest, const std::string &directory) {
  Log log;
  auto options = offline(manifest, log);
  const std::string spool = directory + "/spool-of-closing";
  std::remove(spool.c_str());
  options.spool = spool;
  shop::Client client(std::move(options));
  const auto user = context_of("u");
  const auto early = client.evaluate("flag-000", user), late = client.evaluate("flag-002", user);
  // Without it there would be nothing to drain.
  check(client.track("before it closes", user).has_value(), "an event is queued");
  const int before = shutdowns;
  auto closed = std::async(std::launch::async, [&client] { return client.close(3'000ms); });
  for (int at = 0; at < 10'000 && shutdowns == before; at++) std::this_thread::sleep_for(1ms);
  check(shutdowns > before, "a client that is closed shuts its session down");
  // It drains, in vain, for three seconds.
  check(client.track("while it drains", user).has_value(), "an event is taken until draining is over");
  client.expose(early, user);
  check(client.telemetry().held_events == 3, "so is an exposure");
  // Some of these come before the end, some behind it, and perhaps one at the very moment.
  std::uint64_t taken = 3, refused = 0;
  for (int at = 0; at < 20'000 && refused < 3; at++) {
    (client.track("note", user) ? taken : refused)++;
    std::this_thread::sleep_for(1ms);
  }
  check(refused == 3, "a closed client takes no event");
  check(!closed.get(), "there is nobody to deliver to");
  check(client.telemetry().held_events == taken, "what was taken is held");
  const std::string kept = evenhand::read_file(spool).value();
  std::uint64_t spooled = 0;
  for (std::size_t at = 0; (at = kept.find("\"event_id\":\"", at)) != std::string::npos; at++) spooled++;
  check(spooled == taken, "and stands in the spool: " + std::to_string(taken) + " and " + std::to_string(spooled));
  check(log.count("track_refused: the event note is not queued: the client is closed") == refused, "each event that is refused is told");
  check(client.decide("flag-002", user).reason() == EVENHAND_REASON_SPLIT, "decisions go on");
  check(client.telemetry().held_events == taken && log.count("exposure_lost") == 0, "without an exposure, and without a word");
  client.expose(late, user);
  check(client.telemetry().held_events == taken && log.count("exposure_lost: the client is closed") == 1, "an exposure that is asked for is told");
  std::remove(spool.c_str());
  std::remove((spool + ".lock").c_str());
  std::cout << "  cpp: a closing client takes events until draining is over (" << taken << "), and none afterwards\n";
}

}  // namespace

int main(int count, char **arguments) {
  try {
    check(count == 2, "the argument is MANIFEST_DIRECTORY");
    const std::string directory = arguments[1];
    const Manifest even(directory, "even");
    precedence(even);
    waiting(even);
    closing(even, directory);
    return 0;
  } catch (const std::exception &error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
