// Evenhand in C and C++ as rows of the side-by-side harness: peer --data DIR --mode bench|init|mem [--budget SECONDS] [--api c|cpp]
// prints JSON lines {"peer","lang","version","metric","value"}. What each figure means is the harness's own definition; the loops follow
// it: users built beforehand, one fixed pseudo-random order of 200,000 (experiment, user) pairs, process CPU time.
// DIR holds evenhand_200.json and evenhand_5000.json, as `evenhand-peer --mode convert` writes them.
#include <atomic>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <thread>

#include "measure.hpp"

namespace {

constexpr std::size_t kPairs = 200'000;

bool through_c = false;

void emit(const std::string &metric, const nlohmann::json &value, nlohmann::json row = nlohmann::json::object()) {
  row["peer"] = "evenhand";
  row["lang"] = through_c ? "c" : "cpp";
  row["version"] = "0.1.0";
  row["metric"] = metric;
  row["value"] = value;
  std::cout << row.dump() << std::endl;
}

evenhand::Snapshot compile(const std::string &manifest) {
  evenhand::Engine engine;
  engine.update_manifest(manifest);
  if (!engine.unsupported().empty()) throw std::runtime_error("the manifest has flags that do not compile: " + engine.report());
  return engine.snapshot();
}

std::string manifest(const std::string &data, int count) { return bench::text(data + "/evenhand_" + std::to_string(count) + ".json"); }

// The variation's key, handed to `use`. By way of the C API, or with a Decision a call.
template <typename Use>
void variation(const evenhand::Snapshot &snapshot, std::string_view key, const evenhand::Context &user, Use use) {
  if (through_c) {
    EvenhandDecision decision;
    evenhand_evaluate_key(snapshot.handle(), evenhand::detail::data(key), key.size(), EVENHAND_VALUE_TYPE_NONE, user.handle(), 0, &decision);
    use(evenhand::detail::view(decision.variation));
  } else {
    const evenhand::Decision decision = snapshot.evaluate(key, user, 0);
    use(decision.variation().value_or(std::string_view()));
  }
}

void evaluate(const evenhand::Snapshot &snapshot, std::string_view key, const evenhand::Context &user) {
  variation(snapshot, key, user, [](std::string_view found) { bench::keep(found.data()); });
}

long resident_kb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmRSS:", 0) == 0) return std::stol(line.substr(6));
  }
  throw std::runtime_error("/proc/self/status has no VmRSS");
}

void memory(const std::string &data) {
  const long before = resident_kb();
  std::string text = manifest(data, 5'000);
  const auto snapshot = compile(text);
  std::string().swap(text);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  emit("rss_delta_kb", resident_kb() - before);
  bench::keep(snapshot.handle());
}

void init(const std::string &data, double budget) {
  for (const auto &[count, most] : {std::pair<int, std::size_t>(200, 30), {5'000, 7}}) {
    const std::string text = manifest(data, count);
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(budget);
    std::vector<double> times;
    while (times.size() < most && (times.size() < 2 || std::chrono::steady_clock::now() < end)) {
      const auto began = std::chrono::steady_clock::now();
      const auto snapshot = compile(text);
      times.push_back(bench::ns_between(began, std::chrono::steady_clock::now()));
    }
    emit("init_" + std::to_string(count) + "_ms", bench::quantile(times, 0.5) / 1e6);
  }
}

struct Pair {
  std::string_view key;
  const evenhand::Context *user;
};

// Nobody whom targeting excludes is assigned; everybody whom it includes at full traffic is.
void check(const std::string &data, const nlohmann::json &experiments, const evenhand::Snapshot &snapshot, const std::vector<bench::User> &users) {
  int violations = 0, assigned = 0;
  double expected = 0;
  std::size_t at = 0;
  for (const auto &row : bench::json(data + "/check.json")) {
    const auto user = bench::context(users.at(at++), snapshot);
    const auto targeted = row.get<std::string>();
    for (std::size_t experiment = 0; experiment < experiments.size(); experiment++) {
      const auto traffic = experiments[experiment].at("traffic").get<double>();
      bool on = false;
      variation(snapshot, experiments[experiment].at("key").get<std::string>(), user, [&on](std::string_view found) { on = !found.empty() && found != "off"; });
      if (targeted.at(experiment) == '1') {
        expected += traffic;
        assigned += on ? 1 : 0;
        violations += traffic >= 1.0 && !on ? 1 : 0;
      } else {
        violations += on ? 1 : 0;
      }
    }
  }
  emit("check_violations", violations, {{"assigned", assigned}, {"expected", static_cast<int>(expected + 0.5)}});
}

double calls_per_second(const evenhand::Snapshot &snapshot, const std::vector<Pair> &pairs, unsigned threads) {
  std::atomic<bool> stop{false};
  std::atomic<double> sum{0};
  std::vector<std::thread> all;
  for (unsigned thread = 0; thread < threads; thread++) {
    all.emplace_back([&, thread] {
      std::size_t from = thread * 70'000, count = 0;
      const auto began = std::chrono::steady_clock::now();
      for (; !stop; count += 200, from = (from + 200) % (kPairs - 200)) {
        for (std::size_t at = from; at < from + 200; at++) evaluate(snapshot, pairs[at].key, *pairs[at].user);
      }
      const double rate = static_cast<double>(count) / bench::ns_between(began, std::chrono::steady_clock::now()) * 1e9;
      for (double before = sum; !sum.compare_exchange_weak(before, before + rate);) {
      }
    });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  stop = true;
  for (std::thread &thread : all) thread.join();
  return sum;
}

void decisions(const std::string &data, double budget) {
  const auto neutral = bench::json(data + "/neutral_200.json");
  const auto &experiments = neutral.at("experiments");
  std::vector<std::string> keys;
  for (const auto &experiment : experiments) keys.push_back(experiment.at("key"));
  const auto users = bench::users(data + "/users.json");
  const auto snapshot = compile(manifest(data, 200));
  emit("exposure", "none");
  emit("note", through_c ? "C API: evenhand_evaluate_key with a bound context" : "evenhand.hpp: a Decision a call, with a bound context");
  emit("bulk_api", true);
  check(data, experiments, snapshot, users);

  auto began = std::chrono::steady_clock::now();
  for (std::size_t at = 0; at < 5'000; at++) bench::keep(bench::context(users.at(at), snapshot).handle());
  emit("ctx_ns", bench::ns_between(began, std::chrono::steady_clock::now()) / 5'000);

  std::vector<evenhand::Context> contexts;
  for (const auto &user : users) contexts.push_back(bench::context(user, snapshot));
  std::vector<Pair> pairs;
  for (std::size_t at = 0; at < kPairs; at++) pairs.push_back({keys[(at * 113 + at / 20'000 * 17) % 200], &contexts[at * 7'919 % 20'000]});
  for (std::size_t at = 0; at < 20'000; at++) evaluate(snapshot, pairs[at].key, *pairs[at].user);

  // The sequence as often as the budget allows, at least once.
  std::vector<double> blocks;
  std::size_t calls = 0;
  const double cpu = bench::cpu_ns();
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(budget);
  while (calls == 0 || (std::chrono::steady_clock::now() < end && calls < 20 * kPairs)) {
    for (std::size_t block = 0; block < kPairs; block += 1'000) {
      began = std::chrono::steady_clock::now();
      for (std::size_t at = block; at < block + 1'000; at++) evaluate(snapshot, pairs[at].key, *pairs[at].user);
      blocks.push_back(bench::ns_between(began, std::chrono::steady_clock::now()) / 1'000);
    }
    calls += kPairs;
  }
  emit("eval_cpu_ns", (bench::cpu_ns() - cpu) / static_cast<double>(calls));
  emit("eval_ns", bench::quantile(blocks, 0.5));
  emit("eval_best_block_ns", bench::quantile(blocks, 0));
  std::vector<double> single;
  for (const Pair &pair : pairs) {
    began = std::chrono::steady_clock::now();
    evaluate(snapshot, pair.key, *pair.user);
    single.push_back(bench::ns_between(began, std::chrono::steady_clock::now()));
  }
  emit("eval_p50_call_ns", bench::quantile(single, 0.5));
  emit("eval_p99_call_ns", bench::quantile(single, 0.99));

  // All experiments for one user, the context included.
  std::vector<double> all;
  for (std::size_t at = 0; at < 1'000; at++) {
    const auto &user = users[at * 7'919 % 20'000];
    began = std::chrono::steady_clock::now();
    const auto context = bench::context(user, snapshot);
    const auto packed = snapshot.evaluate_all(context, 0);
    std::vector<std::string_view> assigned;
    assigned.reserve(packed.size());
    EvenhandDecision decision;
    for (std::uint32_t flag = 0; flag < packed.size(); flag++) {
      evenhand_decision_read(snapshot.handle(), flag, packed[flag], &decision);
      assigned.push_back(evenhand::detail::view(decision.variation));
    }
    bench::keep(assigned.data());
    all.push_back(bench::ns_between(began, std::chrono::steady_clock::now()));
  }
  emit("all_us", bench::quantile(all, 0.5) / 1e3);

  std::vector<double> one, two, scaling;
  for (int round = 0; round < 3; round++) {
    one.push_back(calls_per_second(snapshot, pairs, 1));
    two.push_back(calls_per_second(snapshot, pairs, 2));
    scaling.push_back(two.back() / one.back());
  }
  emit("thr1_per_s", bench::quantile(one, 0.5));
  emit("thr2_per_s", bench::quantile(two, 0.5));
  emit("thr_scaling", bench::quantile(scaling, 0.5));
}

}  // namespace

int main(int count, char **arguments) {
  std::map<std::string, std::string> given = {{"--data", "."}, {"--mode", "bench"}, {"--budget", "5"}, {"--api", "cpp"}};
  for (int at = 1; at + 1 < count; at += 2) given[arguments[at]] = arguments[at + 1];
  through_c = given["--api"] == "c";
  try {
    const double budget = std::stod(given["--budget"]);
    if (given["--mode"] == "bench") decisions(given["--data"], budget);
    else if (given["--mode"] == "init") init(given["--data"], budget);
    else if (given["--mode"] == "mem") memory(given["--data"]);
    else throw std::runtime_error("no mode " + given["--mode"] + ": use bench, init or mem");
    return 0;
  } catch (const std::exception &error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
