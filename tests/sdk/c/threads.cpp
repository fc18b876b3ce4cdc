// Threads decide while another updates: threads MANIFEST_DIRECTORY UPDATES
//
// The manifests alternate; every name of one says which it is, and the odd one has a flag more before all others. So an index of one
// snapshot read with the table of another shows: as a wrong key, rule, variation, value or version.
#include <evenhand_sticky.hpp>
#include <iostream>
#include <thread>

#include "client.hpp"
#include "manifests.hpp"

using proofs::check;
using proofs::flag_key;
using proofs::Manifest;

namespace {

constexpr int kDeciders = 4;
constexpr std::int64_t kNow = 1'700'000'000'000;

std::string_view prefix_of(std::uint64_t version) { return version % 2 == 0 ? "even-" : "odd-"; }

bool begins(std::optional<std::string_view> text, std::string_view with) { return text && text->substr(0, with.size()) == with; }

// All that a decision says must be of one version.
void check_whole(const evenhand::Decision &decision, std::string_view key) {
  check(decision.manifest_version().has_value(), "a decision has a version");
  const auto prefix = prefix_of(*decision.manifest_version());
  const std::string number(key == "a-first" ? "999" : std::to_string(std::stoi(std::string(key.substr(5)))));
  check(decision.flag() == key, "the key is the one asked for");
  check(decision.reason() == EVENHAND_REASON_SPLIT, "it is a split: " + std::string(evenhand::name(decision.reason())));
  check(begins(decision.variation(), prefix), "the variation is of the same version");
  check(decision.value_or("") == std::string(*decision.variation()) + "-" + number, "the value is of the same version and flag");
  check(decision.rule() == std::string(prefix) + "rule-" + number, "the rule is of the same version and flag");
  check(decision.experiment() == std::string(prefix) + "experiment-" + number, "so is the experiment");
}

struct Failure {
  std::mutex mutex;
  std::string first;
  void add(const std::string &what) {
    const std::lock_guard<std::mutex> lock(mutex);
    if (first.empty()) first = what;
  }
};

// Runs `decide` in several threads until `update` has run. What they throw is the answer.
std::uint64_t race(const std::function<void(unsigned thread, unsigned turn)> &decide, const std::function<void()> &update) {
  std::atomic<bool> over{false};
  std::atomic<std::uint64_t> turns{0};
  Failure failure;
  std::vector<std::thread> threads;
  for (unsigned thread = 0; thread < kDeciders; thread++) {
    threads.emplace_back([&, thread] {
      try {
        for (unsigned turn = 0; !over; turn++, turns++) decide(thread, turn);
      } catch (const std::exception &error) {
        failure.add(error.what());
      }
    });
  }
  try {
    update();
  } catch (const std::exception &error) {
    failure.add(error.what());
  }
  over = true;
  for (std::thread &thread : threads) thread.join();
  check(failure.first.empty(), failure.first);
  return turns;
}

evenhand::Context context_of(unsigned number) {
  evenhand::Context context;
  context.set("user_id", "user-" + std::to_string(number)).set("country", "NZ").set("age", number % 50 + 20);
  return context;
}

// The engine: by key, by index, with contexts bound to snapshots that may be old by now.
std::uint64_t engine(const Manifest (&manifests)[2], unsigned updates) {
  evenhand::Engine engine;
  engine.update_manifest(manifests[0].of_version(2));
  std::atomic<std::uint64_t> newest{2};
  std::vector<evenhand::Context> own;
  evenhand::Context shared = context_of(0);
  shared.bind(engine.snapshot());
  for (unsigned thread = 0; thread < kDeciders; thread++) own.push_back(context_of(thread));
  std::vector<std::uint64_t> seen(kDeciders, 0);
  return race(
      [&](unsigned thread, unsigned turn) {
        const std::uint64_t at_least = newest;
        const std::string key = flag_key(turn * 7 + thread);
        const auto by_key = engine.evaluate(key, turn % 2 == 0 ? own[thread] : shared, kNow);
        check_whole(by_key, key);
        check(*by_key.manifest_version() >= at_least && *by_key.manifest_version() >= seen[thread], "a thread never goes back");
        seen[thread] = *by_key.manifest_version();
        const auto snapshot = engine.snapshot();
        if (turn % 5 == 0) own[thread].bind(snapshot);
        const auto flag = snapshot.flag(key);
        check(flag.has_value(), "the flag is there");
        check_whole(snapshot.read(*flag, snapshot.evaluate_packed(*flag, own[thread], kNow)), key);
        if (turn % 50 == 0) {
          const auto all = snapshot.evaluate_all(shared, kNow);
          check(all.size() == (snapshot.info()->version % 2 == 0 ? 200u : 201u), "all flags are those of one version");
          for (std::uint32_t at = 0; at < all.size(); at++) {
            const auto one = snapshot.read(at, all[at]);
            check_whole(one, std::string(one.flag()));
          }
        }
      },
      [&] {
        for (std::uint64_t version = 3; version < updates + 3; version++) {
          engine.update_manifest(manifests[version % 2].of_version(version));
          newest = version;
        }
      });
}

// The session: decisions, exposures, events, spools and telemetry, all at once.
std::uint64_t session(const Manifest (&manifests)[2], unsigned updates) {
  evenhand::Options options;
  options.turn("fetch", false).number("queue_max_events", 500);
  evenhand::Session session(options, evenhand::fresh_entropy(), kNow);
  session.update_manifest(manifests[0].of_version(2), kNow);
  const auto turns = race(
      [&](unsigned thread, unsigned turn) {
        const auto context = context_of(turn);
        const std::string key = flag_key(turn + thread);
        const auto decision = session.snapshot().evaluate(key, context, kNow);
        check_whole(decision, key);
        check(session.expose(decision, context, kNow).without_unit == 0, "an exposure has its unit");
        if (turn % 16 == 0) session.track("note", context, {}, kNow);
        if (turn % 64 == 0) (void)session.next(kNow);
      },
      [&] {
        for (std::uint64_t version = 3; version < updates + 3; version++) {
          session.update_manifest(manifests[version % 2].of_version(version), kNow);
          if (version % 4 == 0) (void)session.spool();
          (void)session.telemetry(kNow);
        }
      });
  const auto told = session.telemetry(kNow);
  const auto ended = [](const EvenhandEventCounts &kind) { return kind.sent + kind.rejected + kind.refused + kind.dropped + kind.disowned; };
  check(told.exposures.queued + told.events.queued == ended(told.exposures) + ended(told.events) + told.held_events, "every event is accounted for");
  return turns;
}

// The example client without a server: its loop fetches in vain while threads decide, track and change overrides.
std::uint64_t client(const Manifest (&manifests)[2], unsigned updates, const std::string &directory) {
  std::atomic<std::uint64_t> told{0};
  // Of a run that was broken off.
  const std::string spool = directory + "/spool-of-threads";
  std::remove(spool.c_str());
  shop::ClientOptions options;
  options.url = "http://127.0.0.1:9";
  options.key = "k";
  options.bootstrap = manifests[0].of_version(2);
  options.spool = spool;
  options.sticky_store = std::make_shared<evenhand::MemoryStickyStore>(100);
  options.logger = [&](shop::Level, std::string_view, std::string_view) { told++; };
  options.numbers = {{"backoff_base_ms", 10}, {"backoff_max_ms", 20}, {"flush_interval_ms", 1}, {"queue_max_events", 500}};
  shop::Client client(std::move(options));
  const auto turns = race(
      [&](unsigned thread, unsigned turn) {
        const auto context = context_of(turn);
        const std::string key = flag_key(turn + thread);
        check_whole(client.decide(key, context), key);
        if (turn % 16 == 0) check(client.track("note", context).has_value(), "an event is queued");
        if (turn % 64 == 0) client.override_with("nowhere", turn % 128 == 0 ? std::optional<std::string>("x") : std::nullopt);
        if (turn % 200 == 0) (void)client.telemetry();
      },
      [&] {
        for (std::uint64_t version = 3; version < updates + 3; version++) {
          client.update_manifest(manifests[version % 2].of_version(version));
          if (version % 16 == 0) (void)client.flush(shop::milliseconds(1));
        }
      });
  check(!client.close(shop::milliseconds(50)), "there is nobody to deliver to");
  check(told > 0, "the logger hears of it");
  const auto after = client.decide("flag-000", context_of(1));
  check(after.reason() == EVENHAND_REASON_SPLIT, "decisions go on after the end");
  const auto held = client.telemetry().held_events;
  check(!client.track("note", context_of(1)) && client.telemetry().held_events == held, "nothing is queued that nobody would send");
  std::remove(spool.c_str());
  return turns;
}

}  // namespace

int main(int count, char **arguments) {
  try {
    check(count == 3, "the arguments are MANIFEST_DIRECTORY UPDATES");
    const std::string directory = arguments[1];
    const auto updates = static_cast<unsigned>(std::stoul(arguments[2]));
    const Manifest manifests[2] = {Manifest(directory, "even"), Manifest(directory, "odd")};
    const auto a = engine(manifests, updates), b = session(manifests, updates), c = client(manifests, updates, directory);
    std::cout << "  cpp: no decision of " << a + b + c << " mixes two of " << 3 * updates << " snapshots (engine, session, client)\n";
    return 0;
  } catch (const std::exception &error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
