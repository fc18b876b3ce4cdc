#include "lines.hpp"

std::string written(const Line &line) {
  // It writes \u with lower-case digits, but leaves U+007F as it is.
  std::string text = line.dump(-1, ' ', true);
  for (std::size_t at = text.find('\x7f'); at != std::string::npos; at = text.find('\x7f', at)) {
    text.replace(at, 1, "\\u007f");
  }
  return text + "\n";
}
