// What both programs here share: the data, clocks, and numbers that load on the machine distorts least.
#pragma once

#include <time.h>

#include <algorithm>
#include <chrono>
#include <evenhand_session.hpp>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace bench {

// A value the compiler must think somebody looks at.
template <typename T>
inline void keep(const T &value) {
  asm volatile("" : : "r,m"(value) : "memory");
}

inline double ns_between(std::chrono::steady_clock::time_point begin, std::chrono::steady_clock::time_point end) {
  return std::chrono::duration<double, std::nano>(end - begin).count();
}

inline double cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

inline double quantile(std::vector<double> numbers, double part) {
  std::sort(numbers.begin(), numbers.end());
  return numbers.at(std::min(numbers.size() - 1, static_cast<std::size_t>(static_cast<double>(numbers.size()) * part)));
}

inline std::string text(const std::string &path) {
  auto bytes = evenhand::read_file(path);
  if (!bytes) throw std::runtime_error("there is no " + path);
  return *bytes;
}
inline nlohmann::json json(const std::string &path) { return nlohmann::json::parse(text(path)); }

struct User {
  std::string id, country, device, os, app_version, plan;
  double age;
};

inline std::vector<User> users(const std::string &path) {
  std::vector<User> all;
  for (const auto &user : json(path)) {
    all.push_back({user.at("id"), user.at("country"), user.at("device"), user.at("os"), user.at("app_version"), user.at("plan"), user.at("age")});
  }
  return all;
}

// Bound to the snapshot: values at the places it names.
inline evenhand::Context context(const User &user, const evenhand::Snapshot &snapshot) {
  evenhand::Context context;
  context.set("id", user.id).set("country", user.country).set("device", user.device).set("os", user.os).set("app_version", user.app_version);
  context.set("plan", user.plan).set("age", user.age).bind(snapshot);
  return context;
}

}  // namespace bench
