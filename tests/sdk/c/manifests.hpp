// The manifests that manifests.py has written, and checks that say what was expected.
#pragma once

#include <cstdio>
#include <evenhand_session.hpp>
#include <stdexcept>
#include <string>

namespace proofs {

inline void check(bool holds, const std::string &what) {
  if (!holds) throw std::runtime_error("does not hold: " + what);
}

class Manifest {
 public:
  Manifest(const std::string &directory, const std::string &name) {
    const auto whole = evenhand::read_file(directory + "/" + name + ".json");
    check(whole.has_value(), name + ".json is in " + directory);
    const std::string mark = "\"version\":1,";
    const std::size_t at = whole->find(mark);
    check(at != std::string::npos, name + " has a version");
    begin_ = whole->substr(0, at);
    end_ = whole->substr(at + mark.size());
  }
  std::string of_version(std::uint64_t version) const { return begin_ + "\"version\":" + std::to_string(version) + "," + end_; }

 private:
  std::string begin_, end_;
};

// A key of eight characters, as manifests.py makes them.
inline std::string flag_key(unsigned at) {
  char key[16];
  std::snprintf(key, sizeof key, "flag-%03u", at % 200);
  return key;
}

}  // namespace proofs
