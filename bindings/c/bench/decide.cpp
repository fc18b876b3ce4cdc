// What a decision costs among 200 experiments, beside a call into the library that does next to nothing: decide DATA [--json FILE] [--strict]
// DATA holds evenhand_200.json and users.json. Strict, it fails when a single decision with a reused context misses its bar; figures are
// the fastest and the median of many short blocks: other load on the machine distorts the median first.
#include <cstdio>
#include <functional>
#include <iostream>

#include "measure.hpp"

namespace {

constexpr double kBar = 120;
constexpr std::size_t kBlock = 1'000, kRounds = 400, kPairs = 100'000;

struct Row {
  const char *name;
  // In nanoseconds; 0 for none.
  double bar;
  // Carries out `kBlock` calls, beginning with the pair of this number.
  std::function<void(std::size_t from)> block;
  std::vector<double> ns = {};
};

int run(const std::string &directory, const std::string &figures, bool strict) {
  evenhand::Engine engine;
  engine.update_manifest(bench::text(directory + "/evenhand_200.json"));
  const auto snapshot = engine.snapshot();
  const EvenhandSnapshot *handle = snapshot.handle();
  const auto users = bench::users(directory + "/users.json");
  std::vector<evenhand::Context> contexts, unbound;
  for (std::size_t at = 0; at < 1'000; at++) {
    contexts.push_back(bench::context(users.at(at), snapshot));
    unbound.push_back(contexts.back().clone());
  }
  std::vector<std::string> keys;
  EvenhandFlagInfo info{};
  for (std::uint32_t flag = 0; evenhand_snapshot_flag_info(handle, flag, &info) == EVENHAND_STATUS_OK; flag++) keys.emplace_back(evenhand::detail::view(info.key));
  if (keys.size() != 200) throw std::runtime_error("the manifest has " + std::to_string(keys.size()) + " flags, not 200");
  struct Pair {
    std::uint32_t flag;
    std::size_t user;
  };
  std::vector<Pair> pairs;
  for (std::size_t at = 0; at < kPairs; at++) pairs.push_back({static_cast<std::uint32_t>((at * 113 + at / 20'000 * 17) % 200), at * 7'919 % 1'000});
  const std::int64_t now = evenhand::now_ms();

  const auto each = [&pairs](auto call) {
    return [&pairs, call](std::size_t from) {
      for (std::size_t at = from; at < from + kBlock; at++) call(pairs[at]);
    };
  };
  const auto by_key = [&](const std::vector<evenhand::Context> &of) {
    return [&keys, &of, handle, now](const Pair &pair) {
      EvenhandDecision decision;
      const std::string &key = keys[pair.flag];
      bench::keep(evenhand_evaluate_key(handle, evenhand::detail::data(key), key.size(), EVENHAND_VALUE_TYPE_NONE, of[pair.user].handle(), now, &decision));
      bench::keep(decision.variation.data);
    };
  };
  std::vector<Row> rows;
  rows.push_back({"a call that does next to nothing", 0, each([](const Pair &pair) { bench::keep(evenhand_has_exposures(pair.flag)); })});
  rows.push_back({"C: evenhand_evaluate, by index, packed", kBar, each([&](const Pair &pair) { bench::keep(evenhand_evaluate(handle, pair.flag, contexts[pair.user].handle(), now)); })});
  rows.push_back({"C: evenhand_evaluate, and read", kBar, each([&](const Pair &pair) {
                    EvenhandDecision decision;
                    const std::uint64_t packed = evenhand_evaluate(handle, pair.flag, contexts[pair.user].handle(), now);
                    bench::keep(evenhand_decision_read(handle, pair.flag, packed, &decision));
                    bench::keep(decision.variation.data);
                  })});
  rows.push_back({"C: evenhand_evaluate_key", kBar, each(by_key(contexts))});
  rows.push_back({"C: evenhand_evaluate_key, not bound", 0, each(by_key(unbound))});
  rows.push_back({"C++: Snapshot::evaluate_packed", kBar, each([&](const Pair &pair) { bench::keep(snapshot.evaluate_packed(pair.flag, contexts[pair.user], now)); })});
  rows.push_back({"C++: Snapshot::evaluate, a Decision", kBar, each([&](const Pair &pair) { bench::keep(snapshot.evaluate(keys[pair.flag], contexts[pair.user], now).value_or("")); })});
  rows.push_back({"C++: Engine::evaluate, a Decision", 0, each([&](const Pair &pair) { bench::keep(engine.evaluate(keys[pair.flag], contexts[pair.user], now).value_or("")); })});

  // In turn, so that a noisy moment does not hit one alone; the first rounds warm up.
  for (std::size_t round = 0; round < kRounds + 20; round++) {
    for (Row &row : rows) {
      const std::size_t from = round * kBlock % kPairs;
      const auto began = std::chrono::steady_clock::now();
      row.block(from);
      const double took = bench::ns_between(began, std::chrono::steady_clock::now()) / kBlock;
      if (round >= 20) row.ns.push_back(took);
    }
  }
  Row all{"C: evenhand_evaluate_all, 200 flags", 0, {}};
  std::vector<std::uint64_t> packed(200);
  for (std::size_t round = 0; round < 2'000; round++) {
    std::size_t written = 0;
    const auto began = std::chrono::steady_clock::now();
    bench::keep(evenhand_evaluate_all(handle, contexts[round % 1'000].handle(), now, packed.data(), packed.size(), &written));
    all.ns.push_back(bench::ns_between(began, std::chrono::steady_clock::now()));
  }
  rows.push_back(std::move(all));

  int missed = 0;
  nlohmann::json told = nlohmann::json::array();
  std::printf("%-42s %8s %8s %8s %8s\n", "ns a call, of blocks of 1,000", "fastest", "median", "x no-op", "bar");
  const double nothing = bench::quantile(rows[0].ns, 0.5);
  for (const Row &row : rows) {
    const double fastest = bench::quantile(row.ns, 0), median = bench::quantile(row.ns, 0.5);
    const bool misses = row.bar > 0 && median >= row.bar;
    missed += misses ? 1 : 0;
    std::printf("%-42s %8.1f %8.1f %8.1f %8s%s\n", row.name, fastest, median, median / nothing, row.bar > 0 ? std::to_string(static_cast<int>(row.bar)).c_str() : "",
                misses ? "  MISSED" : "");
    told.push_back({{"what", row.name}, {"fastest_ns", fastest}, {"median_ns", median}, {"bar_ns", row.bar > 0 ? nlohmann::json(row.bar) : nlohmann::json(nullptr)}});
  }
  if (!figures.empty()) evenhand::replace_file(figures, told.dump());
  return strict && missed > 0 ? 1 : 0;
}

}  // namespace

int main(int count, char **arguments) {
  std::string data, figures;
  bool strict = false;
  for (int at = 1; at < count; at++) {
    const std::string argument = arguments[at];
    if (argument == "--strict") strict = true;
    else if (argument == "--json" && at + 1 < count) figures = arguments[++at];
    else data = argument;
  }
  if (data.empty()) {
    std::cerr << "usage: decide DATA [--json FILE] [--strict]\n";
    return 2;
  }
  try {
    return run(data, figures, strict);
  } catch (const std::exception &error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
