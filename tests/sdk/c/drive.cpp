// A program that end_to_end.py talks to: one command a line on stdin, one answer a line on stdout. It is a shop::Client.
//   drive_cpp URL KEY [NAME=VALUE…]     spool=PATH stream=0 bootstrap=PATH sticky=PATH override=FLAG:VARIATION or a number of the session
#include <iostream>
#include <sstream>
#include <string>

#include "client.hpp"

namespace {

std::string json_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return out + '"';
}

shop::ClientOptions options_of(int count, char **arguments) {
  shop::ClientOptions options;
  options.url = arguments[1];
  options.key = arguments[2];
  options.logger = [](shop::Level, std::string_view code, std::string_view message) { std::cerr << std::string(code) + ": " + std::string(message) + "\n"; };
  for (int at = 3; at < count; at++) {
    const std::string given = arguments[at];
    const std::size_t equals = given.find('=');
    const std::string name = given.substr(0, equals), value = given.substr(equals + 1);
    if (name == "spool") options.spool = value;
    else if (name == "stream") options.stream = value != "0";
    else if (name == "bootstrap") options.bootstrap_file = value;
    else if (name == "sticky") options.sticky_store = std::make_shared<evenhand::FileStickyStore>(value);
    else if (name == "override") options.overrides[value.substr(0, value.find(':'))] = value.substr(value.find(':') + 1);
    else options.numbers[name] = std::stoull(value);
  }
  return options;
}

std::string answer(shop::Client &client, std::istringstream &line) {
  std::string command, user;
  line >> command;
  if (command == "decide" || command == "evaluate") {
    line >> user;
    evenhand::Context context;
    context.set("user_id", user);
    const auto decision = command == "decide" ? client.decide("checkout", context) : client.evaluate("checkout", context);
    return "{\"variation\":" + (decision.variation() ? json_text(*decision.variation()) : "null") + ",\"value\":" + json_text(decision.value_or("mine")) +
           ",\"reason\":" + json_text(evenhand::name(decision.reason())) + "}";
  }
  if (command == "track") {
    std::string name, value;
    line >> user >> name >> value;
    evenhand::Context context;
    if (user != "-") context.set("user_id", user);
    const auto id = client.track(name, context, value.empty() ? evenhand::EventFields() : evenhand::EventFields{value});
    return id ? json_text(*id) : "null";
  }
  if (command == "telemetry") {
    const EvenhandTelemetry told = client.telemetry();
    const auto counts = [](const EvenhandEventCounts &kind) {
      return "{\"queued\":" + std::to_string(kind.queued) + ",\"restored\":" + std::to_string(kind.restored) + ",\"sent\":" + std::to_string(kind.sent) + "}";
    };
    return "{\"exposures\":" + counts(told.exposures) + ",\"events\":" + counts(told.events) + ",\"held\":" + std::to_string(told.held_events) +
           ",\"evaluations\":" + std::to_string(told.evaluations) + ",\"confirmations\":" + std::to_string(told.manifest_confirmations) +
           ",\"fetches\":" + std::to_string(told.manifest_fetches) + ",\"snapshots\":" + std::to_string(told.snapshots) +
           ",\"streaming\":" + (told.streaming ? "true" : "false") + "}";
  }
  std::int64_t wait = 0;
  line >> wait;
  const shop::milliseconds timeout(wait);
  if (command == "ready") return client.ready(timeout) ? "true" : "false";
  if (command == "flush") return client.flush(timeout) ? "true" : "false";
  if (command == "close") return client.close(timeout) ? "true" : "false";
  return "\"what?\"";
}

}  // namespace

int main(int count, char **arguments) {
  if (count < 3) return 2;
  try {
    const auto began = shop::Clock::now();
    shop::Client client(options_of(count, arguments));
    const auto took = std::chrono::duration_cast<std::chrono::microseconds>(shop::Clock::now() - began).count();
    std::cout << "{\"constructed_us\":" << took << "}" << std::endl;
    for (std::string line; std::getline(std::cin, line);) {
      std::istringstream words(line);
      std::cout << answer(client, words) << std::endl;
    }
    return 0;
  } catch (const std::exception &error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
