// Decides for a few users and tracks a purchase: EVENHAND_URL=… EVENHAND_KEY=… shop [USER…]
#include <cstdlib>
#include <iostream>

#include "client.hpp"

int main(int count, char **arguments) {
  const char *url = std::getenv("EVENHAND_URL"), *key = std::getenv("EVENHAND_KEY");
  if (url == nullptr || key == nullptr) {
    std::cerr << "EVENHAND_URL and EVENHAND_KEY must be set: the server's address, and the environment's server key\n";
    return 2;
  }
  try {
    shop::ClientOptions options;
    options.url = url;
    options.key = key;
    options.logger = [](shop::Level level, std::string_view code, std::string_view message) {
      if (level != EVENHAND_DIAGNOSTIC_LEVEL_INFO) std::cerr << code << ": " << message << "\n";
    };
    shop::Client client(std::move(options));
    client.ready(std::chrono::seconds(5));
    for (int at = 1; at < count; at++) {
      evenhand::Context user;
      user.set("user_id", arguments[at]).set("country", "NZ");
      const auto decision = client.decide("checkout", user);
      std::cout << arguments[at] << ": " << decision.value_or("plain") << " (" << evenhand::name(decision.reason()) << ")\n";
      client.track("purchase", user, {"9.99"});
    }
    return client.close(std::chrono::seconds(5)) ? 0 : 1;
  } catch (const std::exception &error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
