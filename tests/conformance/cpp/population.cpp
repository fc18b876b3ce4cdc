#include "population.hpp"

#include <openssl/evp.h>

#include <array>
#include <cstdio>
#include <evenhand.hpp>
#include <memory>
#include <stdexcept>

namespace {

struct Sha256 {
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX *)> running{EVP_MD_CTX_new(), EVP_MD_CTX_free};
  Sha256() { check(EVP_DigestInit_ex(running.get(), EVP_sha256(), nullptr)); }
  void add(std::string_view text) { check(EVP_DigestUpdate(running.get(), text.data(), text.size())); }
  std::string hex() const {
    std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX *)> copy{EVP_MD_CTX_new(), EVP_MD_CTX_free};
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int size = 0;
    check(EVP_MD_CTX_copy_ex(copy.get(), running.get()));
    check(EVP_DigestFinal_ex(copy.get(), digest.data(), &size));
    std::string text;
    for (unsigned int at = 0; at < size; at++) {
      char two[3];
      std::snprintf(two, sizeof two, "%02x", digest[at]);
      text += two;
    }
    return text;
  }
  static void check(int good) {
    if (good != 1) throw std::runtime_error("OpenSSL refused to hash");
  }
};

struct Unit {
  std::string text;
  evenhand::Value value;
};

std::string hex8(std::uint64_t number) {
  char text[17];
  std::snprintf(text, sizeof text, "%08llx", static_cast<unsigned long long>(number));
  return text;
}

}  // namespace

Line population(const nlohmann::json &c) {
  evenhand::Engine engine;
  engine.update_manifest(c.at("manifest").get<std::string>());
  const auto snapshot = engine.snapshot();
  const auto now = c.at("now_ms").get<std::int64_t>();
  const auto flags = c.at("flags").get<std::vector<std::string>>();
  Sha256 sha256;
  Line counts = Line::object(), checkpoints = Line::object();
  evenhand::Context context;
  for (std::uint64_t i = 0; i < c.at("units").get<std::uint64_t>(); i++) {
    const auto decimal = std::to_string(i);
    const std::array<std::string, 5> texts{"user-" + decimal, decimal, hex8(i) + "@example.com", "\xc3\xbc" + decimal, "-" + decimal};
    const std::string &unit = texts[i % 5];
    switch (i % 5) {
      case 1: context.set("user_id", i); break;
      case 4: context.set("user_id", -static_cast<std::int64_t>(i)); break;
      default: context.set("user_id", unit);
    }
    context.bind(snapshot);
    for (const auto &flag : flags) {
      const auto decision = snapshot.evaluate(flag, context, now);
      const std::string variation(decision.variation().value_or(""));
      const std::string reason(evenhand::name(decision.reason()));
      const auto bucket = decision.bucket();
      sha256.add(unit + "\t" + flag + "\t" + variation + "\t" + reason + "\t" + (bucket ? std::to_string(*bucket) : "") + "\n");
      auto &tally = counts[flag][variation + "/" + reason];
      tally = tally.is_null() ? 1 : tally.get<std::uint64_t>() + 1;
    }
    if (i + 1 == 1000 || i + 1 == 10000) checkpoints[std::to_string(i + 1)] = sha256.hex();
  }
  return {{"checkpoints", checkpoints}, {"counts", counts}, {"sha256", sha256.hex()}};
}
