// Carries out every vector through evenhand.hpp: runner VECTORS_DIR OUT.ndjson [MOST]. With MOST, at most so many cases of a group (for valgrind,
// which is slow), and no population.
#include <algorithm>
#include <cstdio>
#include <evenhand.hpp>
#include <fstream>
#include <iostream>
#include <limits>
#include <stdexcept>

#include "contexts.hpp"
#include "lines.hpp"
#include "population.hpp"

using nlohmann::json;
using nlohmann::ordered_json;

namespace {

std::size_t most = std::numeric_limits<std::size_t>::max();

std::string bytes_of_base64(const std::string &text) {
  static const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  std::uint32_t bits = 0;
  unsigned have = 0;
  for (const char digit : text) {
    if (digit == '=') break;
    const auto value = digits.find(digit);
    if (value == std::string::npos) throw std::runtime_error("not base64");
    bits = (bits << 6) | static_cast<std::uint32_t>(value);
    have += 6;
    if (have >= 8) {
      have -= 8;
      bytes += static_cast<char>((bits >> have) & 0xff);
    }
  }
  return bytes;
}

// The value as RFC 8785 text, made from the native one wherever that says it all; what the library calls its JSON must be the same.
Line value_of(const evenhand::Decision &decision) {
  const auto text = decision.value_json();
  const auto same = [&](bool same) {
    if (!same) throw std::runtime_error("the native value is not that of its JSON: " + std::string(text.value_or("none")));
  };
  switch (decision.value_type()) {
    case EVENHAND_VALUE_TYPE_NONE: same(!text); break;
    case EVENHAND_VALUE_TYPE_BOOL: same(*text == (decision.value_or(false) ? "true" : "false") && decision.value_or(true) == decision.value_or(false)); break;
    case EVENHAND_VALUE_TYPE_STRING: same(json::parse(*text) == json(std::string(decision.value_or("")))); break;
    case EVENHAND_VALUE_TYPE_INT: same(std::to_string(decision.value_or(0)) == *text); break;
    case EVENHAND_VALUE_TYPE_FLOAT: same(json::parse(*text).get<double>() == decision.value_or(0.5)); break;
    case EVENHAND_VALUE_TYPE_JSON: same(text.has_value()); break;
  }
  return text_or_null(text);
}

Line line_of(const evenhand::Decision &decision) {
  Line holdouts = Line::array();
  for (const auto &exposure : decision.holdout_exposures()) {
    holdouts.push_back({{"arm", exposure.held ? "held" : "open"}, {"holdout", std::string(exposure.holdout)}, {"unit", std::string(exposure.unit)}});
  }
  return {{"bucket", number_or_null(decision.bucket())},
          {"epoch", number_or_null(decision.epoch())},
          {"experiment", text_or_null(decision.experiment())},
          {"exposure", decision.has_exposure()},
          {"flag", std::string(decision.flag())},
          {"holdout_exposures", holdouts},
          {"manifest_version", number_or_null(decision.manifest_version())},
          {"packed", decision.packed()},
          {"phase", number_or_null(decision.phase())},
          {"reason", std::string(evenhand::name(decision.reason()))},
          {"rule", text_or_null(decision.rule())},
          {"value", value_of(decision)},
          {"variation", text_or_null(decision.variation())}};
}

EvenhandValueType type_of(const json &c) {
  static const std::vector<std::string> names{"", "bool", "string", "int", "float", "json"};
  const auto found = std::find(names.begin(), names.end(), c.value("type", ""));
  return static_cast<EvenhandValueType>(found - names.begin());
}

Line run_case(const evenhand::Snapshot &snapshot, const json &c) {
  auto context = context_of(c);
  const auto key = c.at("flag").get<std::string>();
  const auto now = c.at("now_ms").get<std::int64_t>();
  const auto decision = snapshot.evaluate(key, context, now, type_of(c));
  context.bind(snapshot);
  if (snapshot.evaluate(key, context, now, type_of(c)).packed() != decision.packed()) throw std::runtime_error("a bound context decides otherwise");
  Line line{{"case", c.at("name")}, {"decision", line_of(decision)}};
  // What a C++ program can't hold: texts are UTF-8, and the API's numbers are doubles.
  Line substituted = Line::array();
  if (c.contains("needs")) {
    for (const char *need : {"bigint", "int64", "lone_surrogate"}) {
      const auto &needs = c.at("needs");
      if (std::find(needs.begin(), needs.end(), need) != needs.end()) substituted.push_back(need);
    }
  }
  if (!substituted.empty()) line["substituted"] = substituted;
  return line;
}

std::vector<Line> run_group(const json &group, std::size_t &cases) {
  evenhand::Engine engine;
  if (group.contains("lists")) {
    // A list that is refused is missing: the decisions say so.
    for (const auto &list : group.at("lists").items()) static_cast<void>(engine.try_add_list(bytes_of_base64(list.value())));
  }
  const auto refusal = engine.try_update_manifest(group.at("manifest").get<std::string>());
  if (refusal && refusal->what()[0] == '\0') throw std::runtime_error("a refusal without a reason");
  Line head{{"manifest", refusal ? "refused" : "taken"}, {"unsupported", Line::array()}};
  if (!refusal) head["unsupported"] = engine.unsupported();
  std::vector<Line> lines{head};
  const auto snapshot = engine.snapshot();
  for (const json &c : group.at("cases")) {
    if (lines.size() > most) break;
    lines.push_back(run_case(snapshot, c));
    cases++;
  }
  for (Line &line : lines) line["group"] = group.at("name");
  return lines;
}

Line run_hash(const json &c) {
  const auto bucket = evenhand::bucket(c.at("salt").get<std::string>(), c.at("unit").get<std::string>());
  return {{"basis_point", bucket.basis_point}, {"h", bucket.h}, {"slot", bucket.slot}};
}

Line run_envelope(const json &c) {
  evenhand::Keys keys;
  for (const auto &[id, key] : c.at("keys").items()) keys.add(id, key.get<std::string>());
  evenhand::Engine engine(&keys);
  Line deliveries = Line::array();
  for (const json &delivery : c.at("deliveries")) {
    const bool accepted = !engine.try_update_manifest(delivery.at("text").get<std::string>());
    const auto info = engine.snapshot().info();
    deliveries.push_back({{"accepted", accepted}, {"generation", info ? Line(info->generation) : Line()}, {"version", info ? Line(info->version) : Line()}});
  }
  return {{"deliveries", deliveries}};
}

Line run_token(const json &c) {
  evenhand::Keys keys;
  std::size_t at = 0;
  for (const json &key : c.at("keys")) keys.add(std::to_string(at++), key.get<std::string>());
  std::optional<evenhand::Error> error;
  const auto granted = evenhand::verify_override(c.at("token").get<std::string>(), keys, c.at("environment").get<std::string>(),
                                                 c.at("now_ms").get<std::int64_t>(), &error);
  if (granted.has_value() == error.has_value()) throw std::runtime_error("a token is valid or there is an error");
  return {{"flag", granted ? Line(granted->flag) : Line()}, {"valid", granted.has_value()}, {"variation", granted ? Line(granted->variation) : Line()}};
}

std::vector<Line> run_file(const json &root, std::size_t &cases) {
  const auto format = root.at("format").get<std::string>();
  std::vector<Line> lines;
  if (format == "decisions") {
    for (const json &group : root.at("groups")) {
      for (Line &line : run_group(group, cases)) lines.push_back(std::move(line));
    }
    return lines;
  }
  for (const json &c : root.at("cases")) {
    if (format == "hash") lines.push_back(run_hash(c));
    else if (format == "envelope") lines.push_back(run_envelope(c));
    else if (format == "tokens") lines.push_back(run_token(c));
    else if (format == "population") lines.push_back(population(c));
    else throw std::runtime_error("a format this runner does not know: " + format);
    lines.back()["case"] = c.at("name");
    cases++;
  }
  return lines;
}

template <typename Json>
Json load(const std::string &path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error(path + " can't be opened");
  return Json::parse(in);
}

int run(int count, char **arguments) {
  if (count != 3 && count != 4) {
    std::cerr << "usage: runner VECTORS_DIR OUT.ndjson [MOST_CASES_A_GROUP]\n";
    return 2;
  }
  if (count == 4) most = std::stoul(arguments[3]);
  const std::string directory = arguments[1];
  std::ofstream out(arguments[2], std::ios::binary);
  // The order of the index counts.
  const auto index = load<ordered_json>(directory + "/index.json");
  std::size_t all = 0;
  for (const auto &[file, entry] : index.at("files").items()) {
    const auto format = entry.at("format").template get<std::string>();
    if (format == "session" || (count == 4 && format == "population")) continue;
    std::size_t cases = 0;
    auto lines = run_file(load<json>(directory + "/" + file), cases);
    out << written({{"cases", cases}, {"file", file}});
    for (Line &line : lines) {
      line["file"] = file;
      out << written(line);
    }
    all += cases;
  }
  out.close();
  if (!out) throw std::runtime_error(std::string(arguments[2]) + " can't be written");
  std::cout << "cpp: " << all << " cases carried out\n";
  return 0;
}

}  // namespace

int main(int count, char **arguments) {
  try {
    return run(count, arguments);
  } catch (const std::exception &error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
