// The SDK as a state machine, for C++17: evenhand::Session says what to do, your loop does it and reports. No thread, socket or clock
// in here. bindings/c/examples/client is a whole client over libcurl.
#ifndef EVENHAND_SESSION_HPP
#define EVENHAND_SESSION_HPP

#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "evenhand.hpp"
#include "evenhand_files.hpp"

namespace evenhand {

// 16 fresh bytes of randomness: for a new session, after a fork, and for a spool that is taken back.
using Entropy = std::array<std::uint8_t, 16>;
inline Entropy fresh_entropy() {
  std::random_device device;
  Entropy entropy{};
  for (std::size_t at = 0; at < entropy.size(); at += 4) {
    const std::uint32_t drawn = device();
    std::memcpy(&entropy[at], &drawn, sizeof drawn);
  }
  return entropy;
}

// What an application may choose (docs/contract/session.md, "Options"). Everything throws evenhand::Error where it names the limit that is not kept.
class Options {
 public:
  Options() {
    EvenhandOptions *out = nullptr;
    detail::check(evenhand_options_new(&out), "Options");
    handle_.reset(out);
  }
  // By its name, as in number("poll_interval_ms", 30'000).
  Options &number(std::string_view name, std::uint64_t value) {
    EvenhandError *error = nullptr;
    const Status status = evenhand_options_set_number(handle_.get(), detail::data(name), name.size(), value, &error);
    return told(status, error);
  }
  // `environment`, `audience` or `sdk`.
  Options &text(std::string_view name, std::string_view value) {
    EvenhandError *error = nullptr;
    const Status status = evenhand_options_set_text(handle_.get(), detail::data(name), name.size(), detail::data(value), value.size(), &error);
    return told(status, error);
  }
  // `fetch`, or `stream`.
  Options &turn(std::string_view name, bool on) {
    EvenhandError *error = nullptr;
    const Status status = evenhand_options_set_switch(handle_.get(), detail::data(name), name.size(), on, &error);
    return told(status, error);
  }
  // With keys, only manifests signed by one of them are accepted.
  Options &keys(const Keys &keys) {
    detail::check(evenhand_options_set_keys(handle_.get(), keys.handle()), "Options::keys");
    return *this;
  }
  const EvenhandOptions *handle() const noexcept { return handle_.get(); }

 private:
  Options &told(Status status, EvenhandError *error) {
    detail::raise(detail::told(status, error));
    return *this;
  }
  detail::Owned<EvenhandOptions, evenhand_options_free> handle_;
};

// What a session asks of its host.
class Action {
 public:
  explicit Action(EvenhandAction *handle) : handle_(handle) { detail::check(evenhand_action_read(handle, &fields_), "Action"); }
  EvenhandActionKind kind() const noexcept { return fields_.kind; }
  std::uint64_t ticket() const noexcept { return fields_.ticket; }
  std::int64_t until_ms() const noexcept { return fields_.until_ms; }
  std::int64_t idle_timeout_ms() const noexcept { return fields_.idle_timeout_ms; }
  // The ETag, address, event id or content type.
  std::optional<std::string_view> text() const noexcept { return detail::optional(fields_.text); }
  std::string_view body() const noexcept { return detail::view(fields_.body); }

 private:
  detail::Owned<EvenhandAction, evenhand_action_free> handle_;
  EvenhandActionFields fields_{};
};

// An answer of the server, as it came.
struct Answer {
  std::uint16_t status = 0;
  std::optional<std::string> etag;
  std::optional<std::string> retry_after;
  std::string body;
};

// One thing to tell a logger.
struct Diagnostic {
  EvenhandDiagnosticLevel level = EVENHAND_DIAGNOSTIC_LEVEL_INFO;
  std::string code;
  std::string message;
  std::int64_t at_ms = 0;
  std::uint32_t times = 1;
};

// What goes with a tracked event.
struct EventFields {
  // The event's own number as decimal text, exact, with at most 6 digits behind the point.
  std::optional<std::string_view> value = std::nullopt;
  // A JSON object.
  std::optional<std::string_view> properties = std::nullopt;
  // When it happened, in milliseconds since 1970; now where left out.
  std::optional<std::int64_t> timestamp_ms = std::nullopt;
};

// Any thread may use it at any time: a lock of its own is held for the length of a call, and never by an evaluation.
class Session {
 public:
  explicit Session(const Options &options = Options(), const Entropy &entropy = fresh_entropy(), std::int64_t now = now_ms()) {
    EvenhandSession *out = nullptr;
    detail::check(evenhand_session_new(options.handle(), entropy.data(), now, &out), "Session");
    handle_.reset(out);
  }

  // ---- for the loop ----
  Action next(std::int64_t now = now_ms()) {
    EvenhandAction *out = nullptr;
    detail::check(evenhand_session_next(handle_.get(), now, &out), "Session::next");
    return Action(out);
  }
  // To be asked after expose, track, flush and shutdown: whether the loop should be woken.
  bool wakes() const noexcept { return evenhand_session_wakes(handle_.get()); }
  void manifest_response(std::uint64_t ticket, const Answer &answer, std::int64_t now = now_ms()) {
    detail::check(evenhand_session_manifest_response(handle_.get(), ticket, answer.status, given(answer.etag), given(answer.retry_after),
                                                     detail::data(answer.body), answer.body.size(), now),
                  "Session::manifest_response");
  }
  void list_response(std::uint64_t ticket, const Answer &answer, std::int64_t now = now_ms()) {
    detail::check(evenhand_session_list_response(handle_.get(), ticket, answer.status, given(answer.retry_after), detail::data(answer.body),
                                                 answer.body.size(), now),
                  "Session::list_response");
  }
  void batch_response(std::uint64_t ticket, const Answer &answer, std::int64_t now = now_ms()) {
    detail::check(evenhand_session_batch_response(handle_.get(), ticket, answer.status, given(answer.retry_after), detail::data(answer.body),
                                                  answer.body.size(), now),
                  "Session::batch_response");
  }
  void stream_response(std::uint64_t ticket, std::uint16_t status, const std::optional<std::string> &retry_after, std::int64_t now = now_ms()) {
    detail::check(evenhand_session_stream_response(handle_.get(), ticket, status, given(retry_after), now), "Session::stream_response");
  }
  void stream_bytes(std::uint64_t ticket, std::string_view bytes, std::int64_t now = now_ms()) {
    detail::check(evenhand_session_stream_bytes(handle_.get(), ticket, detail::data(bytes), bytes.size(), now), "Session::stream_bytes");
  }
  void stream_closed(std::uint64_t ticket, std::int64_t now = now_ms()) {
    detail::check(evenhand_session_stream_closed(handle_.get(), ticket, now), "Session::stream_closed");
  }
  void fetch_failed(std::uint64_t ticket, std::string_view why, std::int64_t now = now_ms()) {
    detail::check(evenhand_session_fetch_failed(handle_.get(), ticket, detail::text(why), now), "Session::fetch_failed");
  }
  void batch_failed(std::uint64_t ticket, std::string_view why, std::int64_t now = now_ms()) {
    detail::check(evenhand_session_batch_failed(handle_.get(), ticket, detail::text(why), now), "Session::batch_failed");
  }

  // ---- for the application ----
  // Keep it; take the new one when `snapshots` has changed.
  Snapshot snapshot() const {
    EvenhandSnapshot *out = nullptr;
    const Status status = evenhand_session_snapshot(handle_.get(), &out);
    if (status == EVENHAND_STATUS_NOT_FOUND) return Snapshot();
    detail::check(status, "Session::snapshot");
    return Snapshot(out);
  }
  std::uint64_t snapshots() const noexcept { return evenhand_session_snapshots(handle_.get()); }
  // Queues the exposures of a decision, unless they were queued lately. Cheap where it has none.
  EvenhandExposed expose(const Decision &decision, const Context &context, std::int64_t now = now_ms()) {
    EvenhandExposed exposed{};
    if (decision.snapshot() == nullptr || !evenhand_has_exposures(decision.packed())) return exposed;
    detail::check(evenhand_session_expose(handle_.get(), decision.snapshot(), decision.fields().flag_index, decision.packed(), context.handle(),
                                          now, &exposed),
                  "Session::expose");
    return exposed;
  }
  // Queues an event that happened to the units of a context; its id. What the server would refuse throws evenhand::Error.
  std::string track(std::string_view name, const Context &context, const EventFields &fields = {}, std::int64_t now = now_ms()) {
    EvenhandTrack event{};
    event.name = detail::text(name);
    event.value = detail::given_text(fields.value);
    event.properties = detail::given_text(fields.properties);
    event.has_timestamp = fields.timestamp_ms.has_value();
    event.timestamp_ms = fields.timestamp_ms.value_or(0);
    EvenhandBytes *id = nullptr;
    EvenhandError *error = nullptr;
    const Status status = evenhand_session_track(handle_.get(), &event, context.handle(), now, &id, &error);
    detail::raise(detail::told(status, error));
    return detail::take(id);
  }
  // Puts a manifest from elsewhere in use. Refused, it throws evenhand::Error, and the one in use stays.
  void update_manifest(std::string_view bytes, std::int64_t now = now_ms()) {
    EvenhandError *error = nullptr;
    const Status status = evenhand_session_update_manifest(handle_.get(), detail::data(bytes), bytes.size(), now, &error);
    detail::raise(detail::told(status, error));
  }
  // Hands in an id list from elsewhere: whether the manifest names it.
  bool provide_list(std::string_view bytes, std::int64_t now = now_ms()) {
    return evenhand_session_provide_list(handle_.get(), detail::data(bytes), bytes.size(), now);
  }
  void count_evaluations(std::uint64_t evaluations) {
    detail::check(evenhand_session_count_evaluations(handle_.get(), evaluations), "Session::count_evaluations");
  }
  // Sends what is queued now as soon as it may be; the mark is for is_flushed.
  std::uint64_t flush(std::int64_t now = now_ms()) {
    std::uint64_t mark = 0;
    detail::check(evenhand_session_flush(handle_.get(), now, &mark), "Session::flush");
    return mark;
  }
  bool is_flushed(std::uint64_t mark) const noexcept { return evenhand_session_is_flushed(handle_.get(), mark); }
  // What is queued is sent until the deadline; then the next action is DONE.
  void shutdown(std::int64_t deadline_ms, std::int64_t now = now_ms()) {
    detail::check(evenhand_session_shutdown(handle_.get(), now, deadline_ms), "Session::shutdown");
  }
  // In a child process after a fork, before anything else; no other thread may have been inside the library while it forked.
  void reseed(const Entropy &entropy = fresh_entropy(), std::int64_t now = now_ms()) {
    detail::check(evenhand_session_reseed(handle_.get(), entropy.data(), now), "Session::reseed");
  }
  // The manifest in use and the events that are not delivered, for the next start.
  std::string spool() const {
    EvenhandBytes *out = nullptr;
    detail::check(evenhand_session_spool(handle_.get(), &out), "Session::spool");
    return detail::take(out);
  }
  // A number that grows whenever the spool becomes another: write it again then.
  std::uint64_t spool_mark(std::int64_t now = now_ms()) const {
    const EvenhandTelemetry told = telemetry(now);
    std::uint64_t mark = told.snapshots;
    for (const EvenhandEventCounts &kind : {told.exposures, told.events}) {
      mark += kind.queued + kind.restored + kind.sent + kind.rejected + kind.refused + kind.dropped + kind.disowned;
    }
    return mark;
  }
  // Takes back the spool of an earlier session, at the start; how many events came with it. One that can't be read is ignored, with a diagnostic.
  std::size_t restore(std::string_view spool, const Entropy &entropy = fresh_entropy(), std::int64_t now = now_ms()) {
    std::size_t events = 0;
    detail::check(evenhand_session_restore(handle_.get(), detail::data(spool), spool.size(), entropy.data(), now, &events), "Session::restore");
    return events;
  }
  EvenhandTelemetry telemetry(std::int64_t now = now_ms()) const {
    EvenhandTelemetry out{};
    detail::check(evenhand_session_telemetry(handle_.get(), now, &out), "Session::telemetry");
    return out;
  }
  // Takes what the logger is to be told, oldest first.
  std::vector<Diagnostic> take_diagnostics() {
    EvenhandDiagnostics *out = nullptr;
    detail::check(evenhand_session_take_diagnostics(handle_.get(), &out), "Session::take_diagnostics");
    detail::Owned<EvenhandDiagnostics, evenhand_diagnostics_free> diagnostics(out);
    std::vector<Diagnostic> all;
    EvenhandDiagnosticFields one{};
    for (std::size_t at = 0; evenhand_diagnostics_read(diagnostics.get(), at, &one) == EVENHAND_STATUS_OK; at++) {
      all.push_back({one.level, std::string(detail::view(one.code)), std::string(detail::view(one.message)), one.at_ms, one.times});
    }
    return all;
  }
  // The attributes that are unit ids: what a sticky store is asked for.
  std::vector<std::string> unit_types() const {
    std::vector<std::string> all;
    EvenhandBytes *out = nullptr;
    for (std::size_t at = 0; evenhand_session_unit_type(handle_.get(), at, &out) == EVENHAND_STATUS_OK; at++) all.push_back(detail::take(out));
    return all;
  }

 private:
  static EvenhandText given(const std::optional<std::string> &text) { return text ? detail::text(*text) : EvenhandText{nullptr, 0}; }
  detail::Owned<EvenhandSession, evenhand_session_free> handle_;
};

}  // namespace evenhand

#endif
