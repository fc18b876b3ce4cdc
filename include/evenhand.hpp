// Evenhand for C++17: header-only, over the C ABI of evenhand.h. Link libevenhand.
//
//   evenhand::Engine engine;
//   engine.update_manifest(bytes);                                   // throws evenhand::Error when it is refused
//   evenhand::Context context;
//   context.set("user_id", "user-42").set("country", "NZ");
//   auto decision = engine.evaluate("greeting", context, evenhand::now_ms());
//   std::string_view text = decision.value_or("Hello");
//
// Handles are move-only and free themselves. Two ways to learn of a failure: calls throw evenhand::Error, or their try_… twin returns
// std::optional<Error> (none when all is well). Decisions never throw: whatever is wrong, they have a reason, and value_or gives your default.
#ifndef EVENHAND_HPP
#define EVENHAND_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "evenhand.h"

namespace evenhand {

using Reason = EvenhandReason;
using Status = EvenhandStatus;

// Milliseconds since 1970 by the system's clock.
inline std::int64_t now_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

namespace detail {

inline const std::uint8_t *data(std::string_view text) {
  // Not NULL, which would be no text at all.
  static const std::uint8_t empty = 0;
  return text.data() == nullptr ? &empty : reinterpret_cast<const std::uint8_t *>(text.data());
}
inline EvenhandText text(std::string_view text) { return EvenhandText{data(text), text.size()}; }
inline EvenhandText given_text(const std::optional<std::string_view> &given) {
  return given ? text(*given) : EvenhandText{nullptr, 0};
}
inline std::string_view view(EvenhandText text) {
  return text.data == nullptr ? std::string_view() : std::string_view(reinterpret_cast<const char *>(text.data), text.len);
}
inline std::optional<std::string_view> optional(EvenhandText text) {
  return text.data == nullptr ? std::nullopt : std::optional<std::string_view>(view(text));
}

template <typename Handle, void (*Free)(Handle *)>
struct Deleter {
  void operator()(Handle *handle) const noexcept { Free(handle); }
};
template <typename Handle, void (*Free)(Handle *)>
using Owned = std::unique_ptr<Handle, Deleter<Handle, Free>>;

using Bytes = Owned<EvenhandBytes, evenhand_bytes_free>;
inline std::string take(EvenhandBytes *handle) {
  Bytes bytes(handle);
  return std::string(view(evenhand_bytes_view(bytes.get())));
}

}  // namespace detail

// The stable name of a reason, as in "SPLIT".
inline std::string_view name(Reason reason) {
  return detail::view(evenhand_reason_name(static_cast<std::int32_t>(reason)));
}

// Why a call failed: a status, a stable code for programs, and a message that says what, where and how to mend it.
class Error : public std::runtime_error {
 public:
  Error(Status status, std::string code, const std::string &message)
      : std::runtime_error(message), status_(status), code_(std::move(code)) {}
  Status status() const noexcept { return status_; }
  const std::string &code() const noexcept { return code_; }

 private:
  Status status_;
  std::string code_;
};

namespace detail {

inline std::optional<Error> told(Status status, EvenhandError *handle) {
  Owned<EvenhandError, evenhand_error_free> error(handle);
  if (status == EVENHAND_STATUS_OK) return std::nullopt;
  return Error(status, std::string(view(evenhand_error_code(error.get()))), std::string(view(evenhand_error_message(error.get()))));
}
inline void raise(const std::optional<Error> &error) {
  if (error) throw *error;
}
inline void check(Status status, const char *what) {
  if (status == EVENHAND_STATUS_OK) return;
  const char *code = status == EVENHAND_STATUS_PANIC ? "panic" : status == EVENHAND_STATUS_NOT_UTF8 ? "not_utf8" : "invalid_argument";
  throw Error(status, code, std::string(what) + " failed: " + code);
}

}  // namespace detail

// Where a unit falls under a salt. Throws when a text is not UTF-8.
inline EvenhandBucket bucket(std::string_view salt, std::string_view unit) {
  EvenhandBucket out{};
  detail::check(evenhand_bucket(detail::data(salt), salt.size(), detail::data(unit), unit.size(), &out), "bucket");
  return out;
}

// A set of Ed25519 public keys.
class Keys {
 public:
  Keys() {
    EvenhandKeys *out = nullptr;
    detail::check(evenhand_keys_new(&out), "Keys");
    handle_.reset(out);
  }
  // The key's id, and its 32 bytes as base64url.
  Keys &add(std::string_view id, std::string_view key) {
    detail::raise(try_add(id, key));
    return *this;
  }
  std::optional<Error> try_add(std::string_view id, std::string_view key) {
    EvenhandError *error = nullptr;
    const Status status = evenhand_keys_add(handle_.get(), detail::data(id), id.size(), detail::data(key), key.size(), &error);
    return detail::told(status, error);
  }
  const EvenhandKeys *handle() const noexcept { return handle_.get(); }

 private:
  detail::Owned<EvenhandKeys, evenhand_keys_free> handle_;
};

// An attribute's value. There is no coercion: the text "5" is no number. Texts are copied when the value is set.
class Value {
 public:
  Value() = default;                                        // missing
  Value(std::nullptr_t) {}                                  // missing
  Value(std::string_view text) : kind_(EVENHAND_VALUE_KIND_TEXT), text_(text) {}
  // NULL is missing.
  Value(const char *text) {
    if (text != nullptr) *this = Value(std::string_view(text));
  }
  Value(const std::string &text) : Value(std::string_view(text)) {}
  template <typename Number, std::enable_if_t<std::is_arithmetic_v<Number> && !std::is_same_v<Number, bool>, int> = 0>
  Value(Number number) : kind_(EVENHAND_VALUE_KIND_NUMBER), number_(static_cast<double>(number)) {}
  template <typename Bool, std::enable_if_t<std::is_same_v<Bool, bool>, int> = 0>
  Value(Bool boolean) : kind_(EVENHAND_VALUE_KIND_BOOL), boolean_(boolean) {}
  Value(std::vector<Value> items) : kind_(EVENHAND_VALUE_KIND_LIST), items_(std::move(items)) {}
  // There, but nothing an operator can use.
  static Value unusable() {
    Value value;
    value.kind_ = EVENHAND_VALUE_KIND_UNUSABLE;
    return value;
  }

 private:
  friend class Context;
  // `items` is room for a list's elements; it must live as long as what is returned.
  EvenhandValue lower(std::vector<EvenhandValue> &items) const {
    EvenhandValue value{};
    value.kind = static_cast<std::int32_t>(kind_);
    value.boolean = boolean_;
    value.number = number_;
    value.text = detail::text(text_);
    if (kind_ == EVENHAND_VALUE_KIND_LIST) {
      items.reserve(items_.size());
      std::vector<EvenhandValue> none;
      for (const Value &item : items_) {
        EvenhandValue element{};
        // A list inside a list is nothing an operator can use.
        if (item.kind_ == EVENHAND_VALUE_KIND_LIST) {
          element.kind = static_cast<std::int32_t>(EVENHAND_VALUE_KIND_UNUSABLE);
        } else {
          element = item.lower(none);
        }
        items.push_back(element);
      }
      value.items = items.data();
      value.count = items.size();
    }
    return value;
  }

  EvenhandValueKind kind_ = EVENHAND_VALUE_KIND_MISSING;
  bool boolean_ = false;
  double number_ = 0;
  std::string_view text_;
  std::vector<Value> items_;
};

// An assignment of a sticky experiment, for the host's store.
struct StickyRecord {
  std::string experiment;
  std::uint32_t phase = 0;
  std::string unit;
  std::string variation;
};

class Snapshot;

// What is known about a unit. Threads may share it as long as none changes it.
class Context {
 public:
  Context() {
    EvenhandContext *out = nullptr;
    detail::check(evenhand_context_new(&out), "Context");
    handle_.reset(out);
  }
  // Replaces an attribute of that name. Text that is not UTF-8 is set as unusable. Throws when the name is not UTF-8.
  Context &set(std::string_view name, const Value &value) {
    std::vector<EvenhandValue> items;
    const EvenhandValue lowered = value.lower(items);
    detail::check(evenhand_context_set(handle_.get(), detail::data(name), name.size(), &lowered), "Context::set");
    return *this;
  }
  Context &set_sticky(const StickyRecord &record) {
    detail::check(evenhand_context_set_sticky(handle_.get(), detail::text(record.experiment), record.phase,
                                              detail::text(record.unit), detail::text(record.variation)),
                  "Context::set_sticky");
    return *this;
  }
  // Forces a variation: for tests, and for override tokens that verify_override has accepted.
  Context &force(std::string_view flag, std::string_view variation) {
    detail::check(evenhand_context_force(handle_.get(), detail::text(flag), detail::text(variation)), "Context::force");
    return *this;
  }
  // The same for a context that lacks them: what it has itself counts.
  Context &set_sticky_if_absent(const StickyRecord &record) {
    detail::check(evenhand_context_set_sticky_if_absent(handle_.get(), detail::text(record.experiment), record.phase,
                                                        detail::text(record.unit), detail::text(record.variation)),
                  "Context::set_sticky_if_absent");
    return *this;
  }
  Context &force_if_absent(std::string_view flag, std::string_view variation) {
    detail::check(evenhand_context_force_if_absent(handle_.get(), detail::text(flag), detail::text(variation)), "Context::force_if_absent");
    return *this;
  }
  // Puts the values where the snapshot looks for them: worth it for more than a few decisions.
  inline Context &bind(const Snapshot &snapshot);
  Context &clear() {
    detail::check(evenhand_context_clear(handle_.get()), "Context::clear");
    return *this;
  }
  // A copy, to be changed by itself.
  Context clone() const {
    EvenhandContext *out = nullptr;
    detail::check(evenhand_context_clone(handle_.get(), &out), "Context::clone");
    return Context(out);
  }
  // The unit id an attribute gives, as text, as stored assignments have it; none where it gives none.
  std::optional<std::string> unit_id(std::string_view name) const {
    EvenhandBytes *out = nullptr;
    const Status status = evenhand_context_unit_id(handle_.get(), detail::data(name), name.size(), &out);
    if (status == EVENHAND_STATUS_NOT_FOUND) return std::nullopt;
    detail::check(status, "Context::unit_id");
    return detail::take(out);
  }
  const EvenhandContext *handle() const noexcept { return handle_.get(); }

 private:
  explicit Context(EvenhandContext *handle) : handle_(handle) {}
  detail::Owned<EvenhandContext, evenhand_context_free> handle_;
};

struct HoldoutExposure {
  std::string_view holdout;
  bool held = false;
  std::string_view unit;
};

// A decision. It keeps its snapshot, and so its texts, alive.
class Decision {
 public:
  // Your default counts, for this reason.
  static Decision of_caller(std::string_view flag, Reason reason) {
    Decision decision(nullptr, flag);
    decision.refuse(reason);
    return decision;
  }
  // The key that was asked for.
  std::string_view flag() const noexcept { return flag_; }
  // None where your default counts.
  std::optional<std::string_view> variation() const noexcept { return detail::optional(fields_.variation); }
  bool is(std::string_view variation) const noexcept { return this->variation() == variation; }
  Reason reason() const noexcept { return fields_.reason; }
  std::optional<std::string_view> rule() const noexcept { return detail::optional(fields_.rule); }
  std::optional<std::string_view> experiment() const noexcept { return detail::optional(fields_.experiment); }
  std::optional<std::uint32_t> phase() const noexcept { return number(fields_.phase); }
  std::optional<std::uint32_t> epoch() const noexcept { return number(fields_.epoch); }
  std::optional<std::uint16_t> bucket() const noexcept {
    return fields_.bucket < 0 ? std::nullopt : std::optional<std::uint16_t>(static_cast<std::uint16_t>(fields_.bucket));
  }
  std::optional<std::uint64_t> manifest_version() const noexcept {
    return fields_.has_manifest_version ? std::optional<std::uint64_t>(fields_.manifest_version) : std::nullopt;
  }
  bool has_exposure() const noexcept { return fields_.has_exposure; }
  std::uint64_t packed() const noexcept { return fields_.packed; }
  EvenhandValueType value_type() const noexcept { return fields_.value_type; }
  // The value as RFC 8785 JSON; none where your default counts.
  std::optional<std::string_view> value_json() const noexcept { return detail::optional(fields_.value_json); }
  // The value, or your default where there is none or the flag has another type.
  template <typename Bool, std::enable_if_t<std::is_same_v<Bool, bool>, int> = 0>
  bool value_or(Bool otherwise) const noexcept {
    return fields_.value_type == EVENHAND_VALUE_TYPE_BOOL ? fields_.value_bool : otherwise;
  }
  std::string_view value_or(std::string_view otherwise) const noexcept {
    return fields_.value_type == EVENHAND_VALUE_TYPE_STRING ? detail::view(fields_.value_text) : otherwise;
  }
  // NULL is an empty text.
  std::string_view value_or(const char *otherwise) const noexcept {
    return value_or(otherwise == nullptr ? std::string_view() : std::string_view(otherwise));
  }
  double value_or(double otherwise) const noexcept {
    const bool is_number = fields_.value_type == EVENHAND_VALUE_TYPE_FLOAT || fields_.value_type == EVENHAND_VALUE_TYPE_INT;
    return is_number ? fields_.value_float : otherwise;
  }
  template <typename Int, std::enable_if_t<std::is_integral_v<Int> && !std::is_same_v<Int, bool>, int> = 0>
  std::int64_t value_or(Int otherwise) const noexcept {
    return fields_.value_type == EVENHAND_VALUE_TYPE_INT ? fields_.value_int : static_cast<std::int64_t>(otherwise);
  }
  std::vector<HoldoutExposure> holdout_exposures() const {
    std::vector<HoldoutExposure> all;
    EvenhandHoldoutExposure one{};
    for (std::size_t at = 0; snapshot_ && evenhand_decision_holdout(snapshot_.get(), fields_.flag_index, fields_.packed, at, &one) == EVENHAND_STATUS_OK; at++) {
      all.push_back({detail::view(one.holdout), one.held, detail::view(one.unit)});
    }
    return all;
  }
  // What a host with a sticky store is to keep; none when there is nothing.
  std::optional<StickyRecord> sticky_record(const Context &context) const {
    EvenhandSticky *out = nullptr;
    if (!snapshot_ || evenhand_sticky_record(snapshot_.get(), fields_.flag_index, fields_.packed, context.handle(), &out) != EVENHAND_STATUS_OK) {
      return std::nullopt;
    }
    detail::Owned<EvenhandSticky, evenhand_sticky_free> sticky(out);
    EvenhandStickyFields fields{};
    detail::check(evenhand_sticky_read(sticky.get(), &fields), "sticky_record");
    return StickyRecord{std::string(detail::view(fields.experiment)), fields.phase, std::string(detail::view(fields.unit)),
                        std::string(detail::view(fields.variation))};
  }
  // For the calls of the C ABI.
  const EvenhandDecision &fields() const noexcept { return fields_; }
  const EvenhandSnapshot *snapshot() const noexcept { return snapshot_.get(); }

 private:
  friend class Snapshot;
  friend class Session;
  Decision(std::shared_ptr<const EvenhandSnapshot> snapshot, std::string_view flag) : snapshot_(std::move(snapshot)), flag_(flag) {}
  void refuse(Reason reason) noexcept {
    fields_ = EvenhandDecision{};
    fields_.reason = reason;
    fields_.bucket = -1;
    fields_.flag_index = UINT32_MAX;
    // No variation (255) and no bucket (16383): docs/contract/evaluation.md, "The packed form".
    fields_.packed = 255u | static_cast<std::uint64_t>(reason) << 8 | std::uint64_t{16383} << 13;
  }
  static std::optional<std::uint32_t> number(std::uint32_t number) noexcept {
    return number == 0 ? std::nullopt : std::optional<std::uint32_t>(number);
  }

  std::shared_ptr<const EvenhandSnapshot> snapshot_;
  std::string flag_;
  EvenhandDecision fields_{};
};

// One compiled manifest; or none, and then decisions have the reason NO_MANIFEST. Copies share it; any thread may use it at any time.
class Snapshot {
 public:
  Snapshot() = default;
  // Takes the handle over.
  explicit Snapshot(EvenhandSnapshot *handle) : handle_(handle, [](const EvenhandSnapshot *gone) { evenhand_snapshot_free(const_cast<EvenhandSnapshot *>(gone)); }) {}
  explicit operator bool() const noexcept { return handle_ != nullptr; }
  // None when there is no manifest.
  std::optional<EvenhandSnapshotInfo> info() const {
    EvenhandSnapshotInfo out{};
    if (!handle_ || evenhand_snapshot_info(handle_.get(), &out) != EVENHAND_STATUS_OK) return std::nullopt;
    return out;
  }
  // The index of a flag, for evaluate_packed.
  std::optional<std::uint32_t> flag(std::string_view key) const noexcept {
    std::uint32_t out = 0;
    if (!handle_ || evenhand_snapshot_flag(handle_.get(), detail::data(key), key.size(), &out) != EVENHAND_STATUS_OK) return std::nullopt;
    return out;
  }
  // `expected`: with another than NONE, a flag of another type gives TYPE_MISMATCH. A key that is not UTF-8 gives ERROR.
  Decision evaluate(std::string_view key, const Context &context, std::int64_t now_ms,
                    EvenhandValueType expected = EVENHAND_VALUE_TYPE_NONE) const {
    Decision decision(handle_, key);
    const Status status = evenhand_evaluate_key(handle_.get(), detail::data(key), key.size(), static_cast<std::int32_t>(expected),
                                                context.handle(), now_ms, &decision.fields_);
    if (status != EVENHAND_STATUS_OK) {
      decision.refuse(EVENHAND_REASON_ERROR);
    }
    return decision;
  }
  // The fastest way: nothing is copied, locked or allocated. Read it with `read`, and this snapshot.
  std::uint64_t evaluate_packed(std::uint32_t flag, const Context &context, std::int64_t now_ms) const noexcept {
    return evenhand_evaluate(handle_.get(), flag, context.handle(), now_ms);
  }
  // Packed decisions of all flags, in the order of their indices.
  std::vector<std::uint64_t> evaluate_all(const Context &context, std::int64_t now_ms) const {
    const auto known = info();
    std::vector<std::uint64_t> all(known ? known->flags : 0);
    std::size_t written = 0;
    if (known) detail::check(evenhand_evaluate_all(handle_.get(), context.handle(), now_ms, all.data(), all.size(), &written), "evaluate_all");
    return all;
  }
  // Throws when this snapshot can't have made it.
  Decision read(std::uint32_t flag, std::uint64_t packed) const {
    Decision decision(handle_, std::string_view());
    detail::check(evenhand_decision_read(handle_.get(), flag, packed, &decision.fields_), "Snapshot::read");
    decision.flag_ = std::string(detail::view(decision.fields_.flag));
    return decision;
  }
  // How a decision comes about, as JSON.
  std::string explain(std::string_view key, const Context &context, std::int64_t now_ms) const {
    EvenhandBytes *out = nullptr;
    detail::check(evenhand_explain(handle_.get(), detail::data(key), key.size(), context.handle(), now_ms, &out), "explain");
    return detail::take(out);
  }
  const EvenhandSnapshot *handle() const noexcept { return handle_.get(); }

 private:
  std::shared_ptr<const EvenhandSnapshot> handle_;
};

inline Context &Context::bind(const Snapshot &snapshot) {
  if (snapshot) detail::check(evenhand_context_bind(handle_.get(), snapshot.handle()), "Context::bind");
  return *this;
}

// Holds the newest accepted manifest. Any thread may use it at any time.
class Engine {
 public:
  // `keys`: with a set that is not empty only manifests signed by one of its keys are accepted. `environment` and `audience`
  // ("server" or "client"): what manifests must be for.
  explicit Engine(const Keys *keys = nullptr, std::optional<std::string_view> environment = std::nullopt,
                  std::optional<std::string_view> audience = std::nullopt) {
    const EvenhandText env = detail::given_text(environment);
    const EvenhandText aud = detail::given_text(audience);
    EvenhandEngine *out = nullptr;
    EvenhandError *error = nullptr;
    const Status status = evenhand_engine_new(keys == nullptr ? nullptr : keys->handle(), env.data, env.len, aud.data, aud.len, &out, &error);
    detail::raise(detail::told(status, error));
    handle_.reset(out);
  }
  void add_list(std::string_view blob) { detail::raise(try_add_list(blob)); }
  std::optional<Error> try_add_list(std::string_view blob) {
    EvenhandError *error = nullptr;
    const Status status = evenhand_engine_add_list(handle_.get(), detail::data(blob), blob.size(), &error);
    return detail::told(status, error);
  }
  // Refused, the engine keeps what it holds.
  void update_manifest(std::string_view bytes) { detail::raise(try_update_manifest(bytes)); }
  std::optional<Error> try_update_manifest(std::string_view bytes) {
    EvenhandError *error = nullptr;
    const Status status = evenhand_engine_update_manifest(handle_.get(), detail::data(bytes), bytes.size(), &error);
    return detail::told(status, error);
  }
  // The manifest held; keep it for many decisions.
  Snapshot snapshot() const {
    EvenhandSnapshot *out = nullptr;
    return evenhand_engine_snapshot(handle_.get(), &out) == EVENHAND_STATUS_OK ? Snapshot(out) : Snapshot();
  }
  Decision evaluate(std::string_view key, const Context &context, std::int64_t now_ms,
                    EvenhandValueType expected = EVENHAND_VALUE_TYPE_NONE) const {
    return snapshot().evaluate(key, context, now_ms, expected);
  }
  // The keys of the flags that did not compile, in byte order: they answer UNSUPPORTED.
  std::vector<std::string> unsupported() const {
    EvenhandReport *out = nullptr;
    detail::check(evenhand_engine_report(handle_.get(), &out), "unsupported");
    detail::Owned<EvenhandReport, evenhand_report_free> report(out);
    std::vector<std::string> keys;
    for (std::size_t at = 0; at < evenhand_report_unsupported_count(report.get()); at++) {
      keys.emplace_back(detail::view(evenhand_report_unsupported(report.get(), at)));
    }
    return keys;
  }
  // What compiling the manifest held has found, as JSON.
  std::string report() const {
    EvenhandReport *out = nullptr;
    detail::check(evenhand_engine_report(handle_.get(), &out), "report");
    detail::Owned<EvenhandReport, evenhand_report_free> report(out);
    EvenhandBytes *json = nullptr;
    detail::check(evenhand_report_json(report.get(), &json), "report");
    return detail::take(json);
  }

 private:
  detail::Owned<EvenhandEngine, evenhand_engine_free> handle_;
};

// What a verified override token grants.
struct Override {
  std::string flag;
  std::string variation;
  std::int64_t expires_at_ms = 0;
};

// Verifies an override token; none, and why in `error` where given, when it is not valid.
inline std::optional<Override> verify_override(std::string_view token, const Keys &keys, std::string_view environment,
                                               std::int64_t now_ms, std::optional<Error> *error = nullptr) {
  EvenhandOverride *out = nullptr;
  EvenhandError *why = nullptr;
  const Status status = evenhand_override_verify(detail::data(token), token.size(), keys.handle(), detail::data(environment),
                                                 environment.size(), now_ms, &out, &why);
  auto told = detail::told(status, why);
  if (told) {
    if (error != nullptr) error->emplace(std::move(*told));
    return std::nullopt;
  }
  detail::Owned<EvenhandOverride, evenhand_override_free> granted(out);
  EvenhandOverrideFields fields{};
  detail::check(evenhand_override_read(granted.get(), &fields), "verify_override");
  return Override{std::string(detail::view(fields.flag)), std::string(detail::view(fields.variation)), fields.expires_at_ms};
}

}  // namespace evenhand

#endif
