// What needs no server, through the C++ headers: proofs_cpp MANIFEST_DIRECTORY DECISIONS UPDATES
// A panic, NULL as a text, memory, event ids across forks and spools, sticky stores.
#include <malloc.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <evenhand_session.hpp>
#include <evenhand_sticky.hpp>
#include <functional>
#include <iostream>
#include <set>

#include "manifests.hpp"

using proofs::check;
using proofs::flag_key;
using proofs::Manifest;

namespace {

constexpr std::int64_t kNow = 1'700'000'000'000;
constexpr int kEvents = 200;

evenhand::Context context_of(const std::string &user) {
  evenhand::Context context;
  context.set("user_id", user).set("country", "NZ").set("age", 30).set("tags", std::vector<evenhand::Value>{"a", 1, true});
  return context;
}

evenhand::Session session_without_fetching() {
  evenhand::Options options;
  options.turn("fetch", false).number("queue_max_events", 1'000).number("dedupe_capacity", 1'000).text("sdk", "proofs/1");
  return evenhand::Session(options, evenhand::fresh_entropy(), kNow);
}

std::string refusal_of(const std::function<void()> &work) {
  try {
    work();
  } catch (const evenhand::Error &error) {
    return error.code() + ": " + error.what();
  }
  return "none";
}

void panic(const std::string &directory) {
  for (int at = 0; at < 3; at++) {
    try {
      evenhand::detail::check(evenhand_test_panic(), "a test");
      check(false, "a panic is thrown");
    } catch (const evenhand::Error &error) {
      check(error.status() == EVENHAND_STATUS_PANIC && error.code() == "panic", "a panic is an evenhand::Error");
    }
  }
  evenhand::Engine engine;
  const auto context = context_of("u");
  const auto early = engine.evaluate("flag-000", context, kNow);
  check(early.reason() == EVENHAND_REASON_NO_MANIFEST && early.value_or("mine") == "mine" && !early.variation(), "without a manifest your default counts");
  check(early.packed() == evenhand::Decision::of_caller("flag-000", EVENHAND_REASON_NO_MANIFEST).packed(), "of_caller packs as the library does");
  engine.update_manifest(Manifest(directory, "even").of_version(2));
  check(engine.evaluate("flag-000", context, kNow).reason() == EVENHAND_REASON_SPLIT, "decisions go on");
  const auto wrong = engine.evaluate("\xff", context, kNow);
  check(wrong.reason() == EVENHAND_REASON_ERROR && wrong.value_or(7) == 7, "a key that is no text gives ERROR");
  check(engine.evaluate("flag-000", context, kNow, EVENHAND_VALUE_TYPE_BOOL).reason() == EVENHAND_REASON_TYPE_MISMATCH, "another type is a mismatch");
  const auto refused = engine.try_update_manifest("{");
  check(refused && refused->status() == EVENHAND_STATUS_REFUSED && refused->what()[0] != '\0', "a manifest that is none is refused, and why is told");
  check(engine.evaluate("flag-000", context, kNow).reason() == EVENHAND_REASON_SPLIT, "and the one held stays");
  const auto snapshot = engine.snapshot();
  const std::string why = refusal_of([&] { (void)snapshot.read(5'000, 0); });
  check(why != "none", "an index behind the last is refused");
  const std::string limit = refusal_of([] { evenhand::Options().number("poll_interval_ms", 1); });
  check(limit.find("poll_interval_ms") != std::string::npos, "an option outside its limits is refused by name: " + limit);
  auto session = session_without_fetching();
  const std::string unit = refusal_of([&] { session.track("note", evenhand::Context(), {}, kNow); });
  check(unit != "none", "an event without a unit is refused");
  std::cout << "  cpp: a panic becomes an evenhand::Error, refusals name what is wrong, and the process lives\n";
}

// NULL, as getenv gives it.
void null_texts(const std::string &directory) {
  const char *const none = nullptr;
  evenhand::Engine engine;
  engine.update_manifest(Manifest(directory, "even").of_version(2));
  evenhand::Context without;
  without.set("user_id", "u").set("user_id", none);
  const auto undecided = engine.evaluate("flag-000", without, kNow);
  check(undecided.reason() == EVENHAND_REASON_NO_UNIT && !without.unit_id("user_id"), "NULL as an attribute is a missing one");
  const auto mine = engine.evaluate("nowhere", without, kNow).value_or(none);
  check(mine.empty(), "NULL as your default is an empty text");
  check(engine.evaluate("flag-000", context_of("u"), kNow).value_or(none).substr(0, 5) == "even-", "and a value is a value");
  std::cout << "  cpp: NULL is a missing attribute, and an empty text as a default\n";
}

std::size_t in_use() {
  const struct mallinfo2 now = mallinfo2();
  return now.uordblks + now.hblkhd;
}

void memory(const std::string &directory, unsigned decisions, unsigned updates) {
  const Manifest even(directory, "even");
  evenhand::Engine engine;
  auto session = session_without_fetching();
  evenhand::MemoryStickyStore store(1'000);
  std::uint64_t version = 100'000;
  unsigned number = 0;
  std::size_t before = 0;
  // In the first round queue and memories fill up to their limits, and the allocator finds its chunks.
  for (int round = 0; round < 2; round++) {
    const unsigned rounds = round == 0 ? 200 : updates, each = round == 0 ? 1'000 : decisions / updates;
    for (unsigned at = 0; at < rounds; at++) {
      const std::string bytes = even.of_version(++version);
      engine.update_manifest(bytes);
      session.update_manifest(bytes, kNow);
      check(engine.try_update_manifest("{").has_value(), "half a manifest is refused");
      (void)session.spool();
      (void)session.take_diagnostics();
      auto snapshot = session.snapshot();
      for (unsigned one = 0; one < each; one++, number++) {
        char user[32];
        std::snprintf(user, sizeof user, "user-%08u", number);
        auto context = context_of(user);
        if (number % 3 == 0) context.bind(snapshot);
        const auto decision = number % 2 == 0 ? snapshot.evaluate(flag_key(number), context, kNow) : engine.evaluate(flag_key(number), context, kNow);
        check(decision.reason() == EVENHAND_REASON_SPLIT, "each is a split");
        session.expose(decision, context, kNow);
        if (number % 64 != 0) continue;
        session.track("bought", context, {"1.5", "{\"a\":[1,2]}"}, kNow);
        auto copy = context.clone();
        copy.force(flag_key(number), decision.variation().value_or("")).set_sticky({"e", 1, *context.unit_id("user_id"), "v"});
        (void)snapshot.explain(flag_key(number), copy, kNow);
        (void)snapshot.evaluate_all(copy, kNow);
        store.save({"e", 1, user, "v"});
        check(store.load(user).size() == 1, "a store has what was saved");
      }
    }
    if (round == 0) before = in_use();
  }
  const std::size_t after = in_use();
  // Users and versions have as many digits in both rounds. A leak of a byte a decision is more.
  check(after < before + 65'536, "memory stays: " + std::to_string(before) + " bytes in use before, " + std::to_string(after) + " after");
  std::cout << "  cpp: " << decisions << " decisions and " << updates << " updates leave no memory behind ("
            << static_cast<long long>(after) - static_cast<long long>(before) << " bytes)\n";
}

// ---- event ids ----

void put(int out, std::string_view text) { check(write(out, text.data(), text.size()) == static_cast<ssize_t>(text.size()), "a pipe takes what is written"); }

void track(evenhand::Session &session, int out) {
  for (int at = 0; at < kEvents; at++) put(out, session.track("note", context_of("u"), {}, kNow) + "\n");
}

std::vector<std::string> ids_of(const std::string &spool) {
  static const std::string name = "\"event_id\":\"";
  std::vector<std::string> ids;
  for (std::size_t at = spool.find(name); at != std::string::npos; at = spool.find(name, at + 1)) ids.push_back(spool.substr(at + name.size(), 36));
  return ids;
}

std::vector<std::string> lines_of(int in) {
  std::string all;
  char piece[4096];
  for (ssize_t got; (got = read(in, piece, sizeof piece)) > 0;) all.append(piece, static_cast<std::size_t>(got));
  close(in);
  std::vector<std::string> lines;
  for (std::size_t begin = 0, end; (end = all.find('\n', begin)) != std::string::npos; begin = end + 1) lines.push_back(all.substr(begin, end - begin));
  return lines;
}

// Generations of processes, each forked with the parent's events still queued.
void generation(evenhand::Session &session, int depth, int tracked, int held) {
  track(session, tracked);
  if (depth > 0) {
    std::cout.flush();
    const pid_t child = fork();
    check(child >= 0, "a process can be made");
    if (child == 0) {
      int code = 0;
      try {
        session.reseed(evenhand::fresh_entropy(), kNow);
        generation(session, depth - 1, tracked, held);
      } catch (const std::exception &error) {
        std::cerr << error.what() << "\n";
        code = 1;
      }
      _exit(code);
    }
    int status = 0;
    check(waitpid(child, &status, 0) == child && status == 0, "the child ends well");
  }
  track(session, tracked);
  for (const auto &id : ids_of(session.spool())) put(held, id + "\n");
}

void forks() {
  int tracked[2], held[2];
  check(pipe(tracked) == 0 && pipe(held) == 0, "there are pipes");
  auto session = session_without_fetching();
  generation(session, 2, tracked[1], held[1]);
  close(tracked[1]);
  close(held[1]);
  const auto all = lines_of(tracked[0]), spooled = lines_of(held[0]);
  const std::set<std::string> distinct(all.begin(), all.end()), owned(spooled.begin(), spooled.end());
  check(all.size() == 6 * kEvents && distinct.size() == all.size(), "all event ids of three processes differ");
  check(spooled.size() == all.size() && owned == distinct, "each event is held by one process, and none is lost");

  auto second = session_without_fetching();
  const std::string spool = session.spool();
  check(second.restore(spool, evenhand::fresh_entropy(), kNow) == 2 * kEvents, "the events of a spool come back");
  const auto restored = ids_of(second.spool());
  check(restored == ids_of(spool), "with their ids");
  std::set<std::string> ids(restored.begin(), restored.end());
  for (int at = 0; at < kEvents; at++) {
    ids.insert(session.track("note", context_of("u"), {}, kNow));
    ids.insert(second.track("note", context_of("u"), {}, kNow));
  }
  check(ids.size() == 4 * kEvents, "and no id is drawn twice afterwards");
  std::cout << "  cpp: event ids differ across nested forks and after a spool was taken back; each event has one owner\n";
}

// ---- files ----

unsigned mode_of(const std::string &path) {
  struct stat found {};
  check(stat(path.c_str(), &found) == 0, path + " is there");
  return found.st_mode & 0777u;
}

// A record is written while the line before it is cut anywhere: the cut one is none, or whole, and takes no other along.
void cuts(const std::string &directory) {
  const std::string path = directory + "/sticky-cut";
  std::remove(path.c_str());
  {
    evenhand::FileStickyStore store(path);
    store.save({"e\t", 12, "unit-id\n", "v\\"});
  }
  const std::string whole = evenhand::read_file(path).value();
  for (std::size_t at = 0; at <= whole.size(); at++) {
    std::ofstream(path, std::ios::trunc) << whole.substr(0, at);
    {
      evenhand::FileStickyStore other(path);
      other.save({"after", 1, "next", "v"});
    }
    evenhand::FileStickyStore store(path);
    check(store.load("next").size() == 1, "a line cut at " + std::to_string(at) + " takes no other along");
    const bool complete = at + 1 >= whole.size();
    const auto found = store.load("unit-id\n");
    check(found.size() == (complete ? 1 : 0) && (!complete || (found[0].phase == 12 && found[0].variation == "v\\" && found[0].experiment == "e\t")),
          "what is left of a line cut at " + std::to_string(at) + " is no record");
    for (const char *part : {"u", "un", "unit", "unit-id", "unit-id\\"}) check(store.load(part).empty(), "half a unit id is none");
  }
  std::remove(path.c_str());
}

void stores(const std::string &directory) {
  const std::string path = directory + "/sticky-proof";
  std::remove(path.c_str());
  const mode_t usual = umask(0);
  const std::vector<evenhand::StickyRecord> odd = {{"tab\tend\nreturn\rback\\slash", 4'294'967'295u, "日本 ", ""}, {"e", 1, "u", "a"}, {"e", 2, "u", "b"}};
  {
    evenhand::FileStickyStore store(path);
    for (const auto &record : odd) store.save(record);
    // A line that was cut when a process was killed, and one that is none.
    std::ofstream(path, std::ios::app) << "e\t1\tx\t\n\nbad\\q\t1\tv\tu\t\ne\t99999999999\tv\tu\t\ne\t3\tv\tu\ne\t3\tv\tu\tw\t\ncut\t1\tv";
  }
  check(mode_of(path) == 0600, "a sticky store is its owner's alone");
  cuts(directory);
  evenhand::FileStickyStore again(path);
  const auto loaded = again.load("日本 ");
  check(loaded.size() == 1 && loaded[0].experiment == odd[0].experiment && loaded[0].phase == odd[0].phase && loaded[0].variation.empty(), "any text is kept as it is");
  const auto replaced = again.load("u");
  check(replaced.size() == 1 && replaced[0].phase == 2 && replaced[0].variation == "b", "the last record of an experiment counts");
  check(again.load("x").empty() && again.load("nobody").empty(), "what is no record is none");
  std::ofstream(path, std::ios::app) << "\te9\t\n";
  {
    evenhand::FileStickyStore other(path);
    other.save({"f", 1, "late", "c"});
  }
  usleep(1'100'000);
  check(again.load("late").size() == 1, "records of other processes are seen within a second or so");
  std::remove(path.c_str());

  evenhand::MemoryStickyStore memory(2);
  memory.save({"e", 1, "a", "v"});
  memory.save({"e", 1, "b", "v"});
  (void)memory.load("a");
  memory.save({"e", 1, "c", "v"});
  check(memory.load("a").size() == 1 && memory.load("b").empty() && memory.load("c").size() == 1, "the unit not seen for longest goes");
  try {
    evenhand::FileStickyStore nowhere(directory + "/no/such/folder");
    check(false, "a store without a folder is refused");
  } catch (const std::system_error &) {
  }
  check(!evenhand::read_file(directory + "/nowhere"), "a file that is not there is none");
  evenhand::replace_file(path, "one");
  evenhand::replace_file(path, "two");
  check(evenhand::read_file(path) == "two", "a file is replaced");
  check(mode_of(path) == 0600, "and its owner's alone");
  std::ofstream(path + ".new") << "left by a killed process";
  check(mode_of(path + ".new") == 0666, "this proof can fail");
  evenhand::replace_file(path, "three");
  check(mode_of(path) == 0600, "whatever was left");
  umask(usual);
  std::remove(path.c_str());
  std::cout << "  cpp: sticky stores keep any text, over processes and cut lines, for their owner alone\n";
}

// Context values in any order, bound or not: an exposure carries texts and booleans, in the order of RFC 8785.
void carried() {
  const std::string whole = R"({"hash":"murmur3_32","ranges":[[0,4294967296]],"salt":"t"})";
  const std::string manifest =
      R"({"environment":"e","audience":"server","schema":1,"generation":1,"version":1,"issued_at_ms":0,"flags":{"f":{"type":"bool","off":"n","default":"n",)"
      R"("variations":[{"key":"n","value":false},{"key":"y","value":true}],"rules":[{"id":"r","kind":"experiment","experiment":"e","phase":1,"unit":"user_id","traffic":)" +
      whole + R"(,"split":{"hash":"murmur3_32","salt":"s","ranges":[[0,5,"n"],[5,4294967296,"y"]]},"meta":{"exposure_attributes":["premium","age","tags","country","long"]}}]}}})";
  auto session = session_without_fetching();
  session.update_manifest(manifest, kNow);
  const auto snapshot = session.snapshot();
  for (const bool bound : {false, true}) {
    auto context = context_of(bound ? "bound" : "named");
    context.set("premium", true).set("long", std::string(65, 'x'));
    if (bound) context.bind(snapshot);
    session.expose(snapshot.evaluate("f", context, kNow), context, kNow);
  }
  const std::string spool = session.spool();
  const std::string expected = R"("properties":{"country":"NZ","premium":true})";
  const auto first = spool.find(expected);
  check(first != std::string::npos && spool.find(expected, first + 1) != std::string::npos, "both carry country and premium: " + spool);
  std::cout << "  cpp: exposures carry attributes of the context\n";
}

}  // namespace

int main(int count, char **arguments) {
  try {
    check(count == 4, "the arguments are MANIFEST_DIRECTORY DECISIONS UPDATES");
    panic(arguments[1]);
    null_texts(arguments[1]);
    forks();
    carried();
    stores(arguments[1]);
    memory(arguments[1], static_cast<unsigned>(std::stoul(arguments[2])), static_cast<unsigned>(std::stoul(arguments[3])));
    return 0;
  } catch (const std::exception &error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
