// A whole client: evenhand::Session, a thread that does what the session asks for over libcurl, a spool file, a sticky store.
//
//   shop::Client client({"https://flags.example.com", "your server key"});
//   client.ready(std::chrono::seconds(5));
//
// Copy it, or take it as it is. After a fork, make one in the child: the parent's thread is not there.
#pragma once

#include <atomic>
#include <condition_variable>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <evenhand_session.hpp>
#include <evenhand_sticky.hpp>

#include "http.hpp"
#include "spool_file.hpp"

namespace shop {

using Level = EvenhandDiagnosticLevel;
// Called by any thread, the client's included: lock what needs it, and don't wait for the client.
using Logger = std::function<void(Level level, std::string_view code, std::string_view message)>;

struct ClientOptions {
  // The server's address, such as https://flags.example.com, and the environment's server key (or client key; then without stream).
  std::string url, key;
  // The publisher's public keys by id: only manifests signed by one of them are taken.
  std::map<std::string, std::string> keys = {};
  // Refuse manifests of others.
  std::optional<std::string> environment = {}, audience = {};
  // Hear of changes by push.
  bool stream = true;
  // A manifest to begin with: its bytes, or the path of a file.
  std::optional<std::string> bootstrap = {};
  std::optional<std::filesystem::path> bootstrap_file = {};
  // The path of a file that keeps manifest and undelivered events for the next start.
  std::optional<std::filesystem::path> spool = {};
  // Where sticky assignments are kept. Without one there are none.
  std::shared_ptr<evenhand::StickyStore> sticky_store = {};
  // Variations by flag, for tests.
  std::map<std::string, std::string> overrides = {};
  Logger logger = {};
  // What a request may take.
  milliseconds timeout{10'000};
  // The numbers of docs/contract/session.md, "Options", such as {"poll_interval_ms", 30'000}.
  std::map<std::string, std::uint64_t> numbers = {};
};

// Made at once: wait for `ready`, or decide right away and get your defaults with reason NOT_READY. Any thread may use it.
// Decisions never throw and never wait for the network.
class Client {
 public:
  // Throws for an address, a key or a number that can't be right. All else is told to the logger.
  explicit Client(ClientOptions options)
      : logger_(std::move(options.logger)),
        store_(std::move(options.sticky_store)),
        overrides_(std::move(options.overrides)),
        http_(options.url, options.key, std::string(kSdk), options.timeout),
        session_(chosen(options)) {
    bootstrap(options);
    if (options.spool) take_spools(*options.spool);
    changed();
    thread_ = std::thread([this] { run(); });
  }
  Client(const Client &) = delete;
  Client &operator=(const Client &) = delete;
  ~Client() { close(milliseconds(2'000)); }

  // Evaluates a flag and queues its exposure. Whatever breaks, there is a decision and its reason.
  evenhand::Decision decide(std::string_view flag, const evenhand::Context &context, EvenhandValueType expected = EVENHAND_VALUE_TYPE_NONE) noexcept {
    evenhand::Decision decision = evaluate(flag, context, expected);
    queue(decision, context);
    if (store_ && decision.reason() == EVENHAND_REASON_SPLIT) keep(decision, context);
    return decision;
  }
  // Evaluates a flag. No exposure is queued.
  evenhand::Decision evaluate(std::string_view flag, const evenhand::Context &context, EvenhandValueType expected = EVENHAND_VALUE_TYPE_NONE) noexcept {
    try {
      const evenhand::Snapshot snapshot = this->snapshot();
      if (!snapshot) return evenhand::Decision::of_caller(flag, EVENHAND_REASON_NOT_READY);
      evaluations_.fetch_add(1, std::memory_order_relaxed);
      if (const auto enriched = this->enriched(context)) return snapshot.evaluate(flag, *enriched, evenhand::now_ms(), expected);
      return snapshot.evaluate(flag, context, evenhand::now_ms(), expected);
    } catch (const std::exception &error) {
      tell(EVENHAND_DIAGNOSTIC_LEVEL_ERROR, "fault", error.what());
      return evenhand::Decision::of_caller({}, EVENHAND_REASON_ERROR);
    }
  }
  // Evaluates all flags of the manifest. No exposure is queued.
  std::vector<evenhand::Decision> evaluate_all(const evenhand::Context &context) {
    std::vector<evenhand::Decision> all;
    const evenhand::Snapshot snapshot = this->snapshot();
    if (!snapshot) return all;
    const auto enriched = this->enriched(context);
    const auto packed = snapshot.evaluate_all(enriched ? *enriched : context, evenhand::now_ms());
    evaluations_.fetch_add(packed.size(), std::memory_order_relaxed);
    all.reserve(packed.size());
    for (std::uint32_t flag = 0; flag < packed.size(); flag++) all.push_back(snapshot.read(flag, packed[flag]));
    return all;
  }
  // Queues the exposure of a decision that `evaluate` or `evaluate_all` made, unless the same was queued lately.
  void expose(const evenhand::Decision &decision, const evenhand::Context &context) noexcept {
    if (!queue(decision, context)) tell(EVENHAND_DIAGNOSTIC_LEVEL_ERROR, "exposure_lost", "the client is closed; expose before you close it");
  }
  // Queues an event; its id. What the server would refuse is told to the logger, counted, and gives none; so is, uncounted, an event that
  // comes when `close` has sent what was queued or its time is over.
  std::optional<std::string> track(std::string_view name, const evenhand::Context &context, const evenhand::EventFields &fields = {}) noexcept {
    try {
      std::string id;
      {
        const std::lock_guard<std::mutex> lock(queueing_);
        if (over_) throw std::runtime_error("the client is closed; track before you close it");
        id = session_.track(name, context, fields);
      }
      notice();
      return id;
    } catch (const std::exception &error) {
      tell(EVENHAND_DIAGNOSTIC_LEVEL_ERROR, "track_refused", "the event " + std::string(name) + " is not queued: " + error.what());
      return std::nullopt;
    }
  }
  // How a decision comes about, as JSON; none without a manifest.
  std::optional<std::string> explain(std::string_view flag, const evenhand::Context &context) {
    const evenhand::Snapshot snapshot = this->snapshot();
    if (!snapshot) return std::nullopt;
    const auto enriched = this->enriched(context);
    return snapshot.explain(flag, enriched ? *enriched : context, evenhand::now_ms());
  }
  // Forces a variation from now on, for tests; none ends it.
  void override_with(const std::string &flag, std::optional<std::string> variation) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (variation) overrides_[flag] = std::move(*variation);
    else overrides_.erase(flag);
  }
  // Puts a manifest from elsewhere in use, until the server has a newer one. Throws evenhand::Error when it is refused.
  void update_manifest(std::string_view bytes) {
    session_.update_manifest(bytes);
    changed();
    http_.wake();
  }
  // The manifest in use: for many decisions of one user, with a bound context.
  evenhand::Snapshot snapshot() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return snapshot_;
  }
  EvenhandTelemetry telemetry() {
    session_.count_evaluations(evaluations_.exchange(0));
    return session_.telemetry();
  }

  // Waits for the first manifest; false when it did not come in time.
  bool ready(milliseconds timeout) {
    return until(timeout, [this] { return static_cast<bool>(snapshot()); });
  }
  // Sends what is queued now; false when the server did not take it in time.
  bool flush(milliseconds timeout) {
    const std::uint64_t mark = session_.flush();
    http_.wake();
    return until(timeout, [this, mark] { return session_.is_flushed(mark); });
  }
  // Sends what is queued, also what comes meanwhile, ends all requests, and writes the spool. Decisions go on afterwards with the manifest
  // held, but nothing is queued any more. Whether nothing is left over.
  bool close(milliseconds timeout) {
    const std::lock_guard<std::mutex> one_at_a_time(closing_);
    if (thread_.joinable()) {
      const std::int64_t now = evenhand::now_ms();
      session_.shutdown(now + timeout.count(), now);
      http_.wake();
      thread_.join();
    }
    return session_.telemetry().held_events == 0;
  }

 private:
  static constexpr std::string_view kSdk = "evenhand-cpp/0.1.0";
  // How often a spool that has changed is written.
  static constexpr milliseconds kSpoolInterval{250};
  // After a fault of the loop itself.
  static constexpr milliseconds kRecovery{1'000};

  static evenhand::Options chosen(const ClientOptions &options) {
    evenhand::Options chosen;
    chosen.text("sdk", kSdk).turn("stream", options.stream);
    if (options.environment) chosen.text("environment", *options.environment);
    if (options.audience) chosen.text("audience", *options.audience);
    evenhand::Keys keys;
    for (const auto &[id, key] : options.keys) keys.add(id, key);
    chosen.keys(keys);
    for (const auto &[name, value] : options.numbers) chosen.number(name, value);
    return chosen;
  }
  void bootstrap(const ClientOptions &options) {
    try {
      std::optional<std::string> bytes = options.bootstrap;
      if (options.bootstrap_file) {
        bytes = evenhand::read_file(*options.bootstrap_file);
        if (!bytes) throw std::runtime_error("there is no file " + options.bootstrap_file->string());
      }
      if (bytes) session_.update_manifest(*bytes);
    } catch (const std::exception &error) {
      // A client always begins: the server will have a manifest.
      tell(EVENHAND_DIAGNOSTIC_LEVEL_ERROR, "bootstrap_ignored", error.what());
    }
  }
  void take_spools(const std::filesystem::path &path) {
    try {
      spool_.emplace(path);
      spool_->take_over([this](const std::string &found) {
        session_.restore(found);
        spool_->write(session_.spool());
      });
    } catch (const std::exception &error) {
      tell(EVENHAND_DIAGNOSTIC_LEVEL_ERROR, "spool_failed", error.what());
    }
  }

  // ---- decisions ----

  // A copy with stored assignments and forced variations, where there may be any.
  std::optional<evenhand::Context> enriched(const evenhand::Context &context) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!store_ && overrides_.empty()) return std::nullopt;
    const auto overrides = overrides_;
    const auto unit_types = unit_types_;
    lock.unlock();
    evenhand::Context copy = context.clone();
    // What the context itself says counts.
    for (const auto &[flag, variation] : overrides) copy.force_if_absent(flag, variation);
    if (!store_) return copy;
    const auto records = stored(context, unit_types);
    // Of the store's own records of one experiment the last counts.
    for (auto record = records.rbegin(); record != records.rend(); ++record) copy.set_sticky_if_absent(*record);
    return copy;
  }
  std::vector<evenhand::StickyRecord> stored(const evenhand::Context &context, const std::vector<std::string> &unit_types) {
    std::vector<evenhand::StickyRecord> all;
    try {
      for (const std::string &type : unit_types) {
        const auto unit = context.unit_id(type);
        if (!unit) continue;
        for (auto &record : store_->load(*unit)) all.push_back(std::move(record));
      }
      return all;
    } catch (const std::exception &error) {
      tell(EVENHAND_DIAGNOSTIC_LEVEL_ERROR, "sticky_store", error.what());
      return {};
    }
  }
  void keep(const evenhand::Decision &decision, const evenhand::Context &context) noexcept {
    try {
      if (const auto record = decision.sticky_record(context)) store_->save(*record);
    } catch (const std::exception &error) {
      tell(EVENHAND_DIAGNOSTIC_LEVEL_ERROR, "sticky_store", error.what());
    }
  }
  // Queues the exposures of a decision; false when there are some and nobody sends them any more.
  bool queue(const evenhand::Decision &decision, const evenhand::Context &context) noexcept {
    if (!evenhand_has_exposures(decision.packed())) return true;
    try {
      std::uint8_t queued = 0;
      {
        const std::lock_guard<std::mutex> lock(queueing_);
        if (over_) return false;
        queued = session_.expose(decision, context).queued;
      }
      if (queued > 0) notice();
    } catch (const std::exception &error) {
      tell(EVENHAND_DIAGNOSTIC_LEVEL_ERROR, "exposure_lost", error.what());
    }
    return true;
  }
  // Something was queued.
  void notice() {
    const bool first = spool_ && !spool_due_.exchange(true);
    if (first || session_.wakes()) http_.wake();
  }
  void tell(Level level, std::string_view code, std::string_view message) noexcept {
    if (!logger_) return;
    try {
      logger_(level, code, message);
    } catch (...) {
      // There is nobody left to tell.
    }
  }

  // ---- the loop, in its own thread ----

  void run() {
    for (bool over = false; !over;) {
      try {
        over = step();
      } catch (const std::exception &error) {
        // The loop outlives whatever went wrong in one step; an action without report lapses in the session.
        tell(EVENHAND_DIAGNOSTIC_LEVEL_ERROR, "fault", error.what());
        std::this_thread::sleep_for(kRecovery);
      }
    }
    http_.cancel();
    if (spool_) {
      write_spool();
      spool_->close(session_.telemetry().held_events == 0);
    }
    announce(true);
  }
  // Does what is to be done, and waits. True when the session is done.
  bool step() {
    for (;;) {
      const evenhand::Action action = next();
      if (action.kind() == EVENHAND_ACTION_KIND_DONE) {
        changed();
        return true;
      }
      if (action.kind() == EVENHAND_ACTION_KIND_WAIT) {
        changed();
        milliseconds wait(action.until_ms() - evenhand::now_ms());
        if (spool_) wait = std::min(wait, spool_wait());
        http_.poll(wait);
        return false;
      }
      perform(action);
    }
  }
  evenhand::Action next() {
    const std::lock_guard<std::mutex> lock(queueing_);
    evenhand::Action action = session_.next();
    // What came now would be held for ever: nobody sends it, and the spool is written.
    if (action.kind() == EVENHAND_ACTION_KIND_DONE) over_ = true;
    return action;
  }
  void perform(const evenhand::Action &action) {
    const std::uint64_t ticket = action.ticket();
    const std::string text(action.text().value_or(""));
    const auto failed = [this, ticket](const std::string &why) { session_.fetch_failed(ticket, why); };
    switch (action.kind()) {
      case EVENHAND_ACTION_KIND_FETCH_MANIFEST: {
        std::vector<std::string> headers;
        if (action.text()) headers.push_back("If-None-Match: " + text);
        http_.get("/v1/manifest/" + http_.key_in_path(), headers, [this, ticket, failed](const evenhand::Answer *answer, const std::string &why) {
          if (answer) session_.manifest_response(ticket, *answer);
          else failed(why);
        });
        break;
      }
      case EVENHAND_ACTION_KIND_FETCH_LIST:
        http_.get("/v1/lists/" + text, {}, [this, ticket, failed](const evenhand::Answer *answer, const std::string &why) {
          if (answer) session_.list_response(ticket, *answer);
          else failed(why);
        });
        break;
      case EVENHAND_ACTION_KIND_SEND_EVENTS:
        http_.post("/v1/events", {"Content-Type: " + text}, action.body(), [this, ticket](const evenhand::Answer *answer, const std::string &why) {
          if (answer) session_.batch_response(ticket, *answer);
          else session_.batch_failed(ticket, why);
        });
        break;
      case EVENHAND_ACTION_KIND_OPEN_STREAM: {
        std::vector<std::string> headers = {"Accept: text/event-stream"};
        if (action.text()) headers.push_back("Last-Event-ID: " + text);
        const auto answered = std::make_shared<bool>(false);
        http_.stream("/v1/manifest/stream", headers, milliseconds(action.idle_timeout_ms()),
                     {[this, ticket, answered](std::uint16_t status, const std::optional<std::string> &retry_after) {
                        *answered = true;
                        session_.stream_response(ticket, status, retry_after);
                      },
                      [this, ticket](std::string_view bytes) { session_.stream_bytes(ticket, bytes); },
                      [this, ticket, answered, failed](const std::string &why) {
                        if (*answered) session_.stream_closed(ticket);
                        else failed(why.empty() ? "the connection was closed" : why);
                      }});
        break;
      }
      case EVENHAND_ACTION_KIND_WAIT:
      case EVENHAND_ACTION_KIND_DONE:
        break;
    }
  }
  // After every step: what may have become different.
  void changed() {
    const std::uint64_t snapshots = session_.snapshots();
    if (snapshots != snapshots_.load()) {
      evenhand::Snapshot fresh = session_.snapshot();
      auto unit_types = session_.unit_types();
      const std::lock_guard<std::mutex> lock(mutex_);
      // The loop and update_manifest may both be here: the older does not replace the newer.
      if (snapshots > snapshots_.load()) {
        std::swap(snapshot_, fresh);
        unit_types_ = std::move(unit_types);
        snapshots_ = snapshots;
      }
    }
    for (const auto &told : session_.take_diagnostics()) {
      tell(told.level, told.code, told.times > 1 ? told.message + " (" + std::to_string(told.times) + " times)" : told.message);
    }
    announce(false);
  }
  // To whoever waits: look again.
  void announce(bool ended) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      changes_++;
      ended_ = ended_ || ended;
    }
    happened_.notify_all();
  }
  // Writes the spool when that is due; how long until it may be.
  milliseconds spool_wait() {
    const auto now = Clock::now();
    const std::uint64_t mark = session_.spool_mark();
    if (mark == spool_mark_ && !spool_due_) return kSpoolInterval * 240;
    if (now - spool_written_ < kSpoolInterval) return std::chrono::ceil<milliseconds>(spool_written_ + kSpoolInterval - now);
    spool_due_ = false;
    if (session_.spool_mark() != spool_mark_) write_spool();
    return kSpoolInterval * 240;
  }
  void write_spool() {
    spool_written_ = Clock::now();
    spool_mark_ = session_.spool_mark();
    try {
      spool_->write(session_.spool());
    } catch (const std::exception &error) {
      tell(EVENHAND_DIAGNOSTIC_LEVEL_ERROR, "spool_failed", error.what());
    }
  }
  // `holds` is asked without the mutex: it may wait for the session, and decisions must not wait with it.
  template <typename Holds>
  bool until(milliseconds timeout, Holds holds) {
    const auto end = Clock::now() + timeout;
    for (bool last = false;;) {
      std::unique_lock<std::mutex> lock(mutex_);
      const std::uint64_t seen = changes_;
      last = last || ended_;
      lock.unlock();
      if (holds()) return true;
      if (last) return false;
      lock.lock();
      last = !happened_.wait_until(lock, end, [this, seen] { return changes_ != seen; }) || Clock::now() >= end;
    }
  }

  Logger logger_;
  std::shared_ptr<evenhand::StickyStore> store_;
  std::atomic<std::uint64_t> evaluations_{0};
  // Held while something is queued: `over_` comes before or after it, so that nothing is queued that nobody sends.
  std::mutex queueing_;
  bool over_ = false;
  // Guards what follows up to `ended_`.
  mutable std::mutex mutex_;
  std::map<std::string, std::string> overrides_;
  std::vector<std::string> unit_types_;
  evenhand::Snapshot snapshot_;
  std::atomic<std::uint64_t> snapshots_{0};
  // How often there was something new to look at; whether the loop has ended.
  std::uint64_t changes_ = 0;
  bool ended_ = false;
  std::condition_variable happened_;
  std::mutex closing_;
  Http http_;
  evenhand::Session session_;
  // Of the loop's thread, once it runs.
  std::optional<SpoolFile> spool_;
  std::uint64_t spool_mark_ = 0;
  Clock::time_point spool_written_{};
  std::atomic<bool> spool_due_{false};
  std::thread thread_;
};

}  // namespace shop
