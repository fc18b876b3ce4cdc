// 200,000 units through several experiments, as one checksum.
#pragma once

#include "lines.hpp"

Line population(const nlohmann::json &c);
