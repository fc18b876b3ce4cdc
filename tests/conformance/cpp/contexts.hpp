// Builds a context from what a case says of it (tests/vectors/README.md, "How a context value is written").
#pragma once

#include <evenhand.hpp>
#include <nlohmann/json.hpp>

evenhand::Context context_of(const nlohmann::json &c);
