#include "contexts.hpp"

#include <deque>
#include <limits>
#include <stdexcept>

using nlohmann::json;

namespace {

// Texts live in `texts` until the value has been set.
evenhand::Value value_of(const json &value, std::deque<std::string> &texts) {
  const auto kept = [&](std::string text) { return evenhand::Value(texts.emplace_back(std::move(text))); };
  if (value.is_null()) return nullptr;
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number_unsigned()) return value.get<std::uint64_t>();
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (value.is_number()) return value.get<double>();
  if (value.is_string()) return kept(value.get<std::string>());
  if (value.is_array()) {
    std::vector<evenhand::Value> items;
    for (const json &item : value) items.push_back(value_of(item, texts));
    return items;
  }
  if (!value.contains("$special") || !value.at("$special").is_string()) return evenhand::Value::unusable();
  const auto special = value.at("$special").get<std::string>();
  if (special == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (special == "inf") return std::numeric_limits<double>::infinity();
  if (special == "-inf") return -std::numeric_limits<double>::infinity();
  // U+D800 in the encoding that UTF-8 does not allow.
  if (special == "lone_surrogate") return kept("\xed\xa0\x80");
  if (special == "repeat") {
    const auto once = value.at("text").get<std::string>();
    std::string text;
    for (auto times = value.at("times").get<std::size_t>(); times > 0; times--) text += once;
    return kept(std::move(text));
  }
  if (special == "repeat_list") {
    return std::vector<evenhand::Value>(value.at("times").get<std::size_t>(), value_of(value.at("item"), texts));
  }
  throw std::runtime_error("the mark $special:" + special + " is unknown to this runner");
}

}  // namespace

evenhand::Context context_of(const json &c) {
  evenhand::Context context;
  for (const auto &[name, value] : c.at("context").items()) {
    std::deque<std::string> texts;
    context.set(name, value_of(value, texts));
  }
  if (c.contains("sticky")) {
    for (const json &record : c.at("sticky")) {
      context.set_sticky({record.at("experiment"), record.at("phase"), record.at("unit"), record.at("variation")});
    }
  }
  if (c.contains("forced")) {
    for (const auto &[flag, variation] : c.at("forced").items()) context.force(flag, variation.get<std::string>());
  }
  return context;
}
