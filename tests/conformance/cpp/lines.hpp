// A line of results: the format of tests/conformance/README.md.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

// Members in ascending order of their names, which for nlohmann::json is how objects are.
using Line = nlohmann::json;

template <typename Text>
Line text_or_null(const std::optional<Text> &text) {
  return text ? Line(std::string(*text)) : Line(nullptr);
}
template <typename Number>
Line number_or_null(const std::optional<Number> &number) {
  return number ? Line(*number) : Line(nullptr);
}

// ASCII, no white space, an end of line.
std::string written(const Line &line);
