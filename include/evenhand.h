/* The C ABI of Evenhand. Generated from bindings/c by ci/c-header: change it there. */

#ifndef EVENHAND_H
#define EVENHAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What became of a call. The numbers never change.
typedef enum EvenhandStatus {
  // It did what it says.
  EVENHAND_STATUS_OK = 0,
  // A pointer that must not be NULL is.
  EVENHAND_STATUS_NULL_ARGUMENT = 1,
  // A text is not UTF-8.
  EVENHAND_STATUS_NOT_UTF8 = 2,
  // An argument is outside what the function takes; the error says which.
  EVENHAND_STATUS_INVALID_ARGUMENT = 3,
  // A manifest, list, key, token or event was read and refused; the error says why.
  EVENHAND_STATUS_REFUSED = 4,
  // There is nothing of this name or at this place.
  EVENHAND_STATUS_NOT_FOUND = 5,
  // An internal fault was caught. The process goes on; please report it with what stands on stderr.
  EVENHAND_STATUS_PANIC = 6,
} EvenhandStatus;

// The kinds of actions.
typedef enum EvenhandActionKind {
  // Nothing until `until_ms`, a report, or `evenhand_session_wakes`.
  EVENHAND_ACTION_KIND_WAIT = 0,
  // `GET /v1/manifest/KEY` with `text` as `If-None-Match`, where it is one. Report with `evenhand_session_manifest_response` or `…_fetch_failed`.
  EVENHAND_ACTION_KIND_FETCH_MANIFEST = 1,
  // `GET /v1/lists/SHA256`, which is `text`. Report with `evenhand_session_list_response` or `…_fetch_failed`.
  EVENHAND_ACTION_KIND_FETCH_LIST = 2,
  // `GET /v1/manifest/stream` with `text` as `Last-Event-ID`, where it is one. Report with `evenhand_session_stream_response` or
  // `…_fetch_failed`, hand on what comes with `…_stream_bytes`, and report the end with `…_stream_closed`. Silence of
  // `idle_timeout_ms` is an end.
  EVENHAND_ACTION_KIND_OPEN_STREAM = 3,
  // `POST /v1/events` with `body` and `text` as `Content-Type`. Report with `evenhand_session_batch_response` or `…_batch_failed`.
  EVENHAND_ACTION_KIND_SEND_EVENTS = 4,
  // Nothing any more: after a shutdown. Close the stream; save the spool where there is one.
  EVENHAND_ACTION_KIND_DONE = 5,
} EvenhandActionKind;

// The type of a flag's values.
typedef enum EvenhandValueType {
  // None: no value, or any type.
  EVENHAND_VALUE_TYPE_NONE = 0,
  // `true` or `false`.
  EVENHAND_VALUE_TYPE_BOOL = 1,
  // Text.
  EVENHAND_VALUE_TYPE_STRING = 2,
  // A whole number within ±(2^53 − 1).
  EVENHAND_VALUE_TYPE_INT = 3,
  // A double.
  EVENHAND_VALUE_TYPE_FLOAT = 4,
  // Any JSON, in RFC 8785 form.
  EVENHAND_VALUE_TYPE_JSON = 5,
} EvenhandValueType;

// Why a decision is what it is. The numbers are those of the packed form and never change.
typedef enum EvenhandReason {
  // There is no usable manifest.
  EVENHAND_REASON_NO_MANIFEST = 0,
  // An id list the flag needs has not been supplied, or the first manifest is still awaited.
  EVENHAND_REASON_NOT_READY = 1,
  // The manifest has no such flag.
  EVENHAND_REASON_FLAG_UNKNOWN = 2,
  // The flag is archived.
  EVENHAND_REASON_ARCHIVED = 3,
  // The flag, or the experiment that would have decided, is killed.
  EVENHAND_REASON_KILLED = 4,
  // The experiment that would have decided is paused.
  EVENHAND_REASON_PAUSED = 5,
  // A forced variation, or the flag's own override of this unit.
  EVENHAND_REASON_OVERRIDE = 6,
  // The unit is held back by a holdout.
  EVENHAND_REASON_HOLDOUT = 7,
  // A targeted rule.
  EVENHAND_REASON_TARGETED = 8,
  // A rollout rule.
  EVENHAND_REASON_ROLLOUT = 9,
  // An experiment's split.
  EVENHAND_REASON_SPLIT = 10,
  // The host's sticky assignment.
  EVENHAND_REASON_STICKY = 11,
  // No rule decided.
  EVENHAND_REASON_DEFAULT = 12,
  // No rule decided, and at least one was skipped for want of its unit.
  EVENHAND_REASON_NO_UNIT = 13,
  // The flag did not compile.
  EVENHAND_REASON_UNSUPPORTED = 14,
  // The caller asked for a type the flag does not have.
  EVENHAND_REASON_TYPE_MISMATCH = 15,
  // An internal fault.
  EVENHAND_REASON_ERROR = 16,
} EvenhandReason;

// How much a diagnostic matters.
typedef enum EvenhandDiagnosticLevel {
  // For whoever looks closely.
  EVENHAND_DIAGNOSTIC_LEVEL_INFO = 0,
  // Something was put off, or lost and counted.
  EVENHAND_DIAGNOSTIC_LEVEL_WARN = 1,
  // Somebody has to do something.
  EVENHAND_DIAGNOSTIC_LEVEL_ERROR = 2,
} EvenhandDiagnosticLevel;

// The kinds of `EvenhandValue`.
typedef enum EvenhandValueKind {
  // Nothing: as if the attribute were not there.
  EVENHAND_VALUE_KIND_MISSING = 0,
  // `text`.
  EVENHAND_VALUE_KIND_TEXT = 1,
  // `number`; NaN and the infinities are unusable.
  EVENHAND_VALUE_KIND_NUMBER = 2,
  // `boolean`.
  EVENHAND_VALUE_KIND_BOOL = 3,
  // `items`, `count` of them; at most 1,000, none of them a list.
  EVENHAND_VALUE_KIND_LIST = 4,
  // There, but nothing an operator can use: an object, malformed text, …
  EVENHAND_VALUE_KIND_UNUSABLE = 5,
} EvenhandValueKind;

// What a session asks of its host. Free it with `evenhand_action_free`.
typedef struct EvenhandAction EvenhandAction;

// Bytes that the caller owns. Free them with `evenhand_bytes_free`.
typedef struct EvenhandBytes EvenhandBytes;

// What is known about a unit: attributes, stored assignments, forced variations. Several threads may evaluate with it at a time, as
// long as none changes it. Free it with `evenhand_context_free`.
typedef struct EvenhandContext EvenhandContext;

// What the application's logger is to be told. Free it with `evenhand_diagnostics_free`.
typedef struct EvenhandDiagnostics EvenhandDiagnostics;

// Holds the newest accepted manifest. Any thread may use it at any time. Free it with `evenhand_engine_free`; snapshots taken from it live on.
typedef struct EvenhandEngine EvenhandEngine;

// Why a call failed: a stable code, and a message that says what, where and how to mend it. Free it with `evenhand_error_free`.
typedef struct EvenhandError EvenhandError;

// A set of Ed25519 public keys. Free it with `evenhand_keys_free`; whoever takes it copies it.
typedef struct EvenhandKeys EvenhandKeys;

// What an application may choose for a session (docs/contract/session.md, "Options"). Free it with `evenhand_options_free`; whoever takes it copies it.
typedef struct EvenhandOptions EvenhandOptions;

// What a verified token grants. Free it with `evenhand_override_free`.
typedef struct EvenhandOverride EvenhandOverride;

// What compiling a manifest has found. Free it with `evenhand_report_free`.
typedef struct EvenhandReport EvenhandReport;

// The SDK as a state machine (docs/contract/session.md): it says what to do, the host does it and reports. Any thread may use it at
// any time. A lock of its own is held while a call is at work on it: microseconds, and while an id list arrives as long as the manifest
// compiles; never by an evaluation, nor while a manifest is judged and compiled. Free it with `evenhand_session_free`.
typedef struct EvenhandSession EvenhandSession;

// One compiled manifest, with the texts of its decisions. Any thread may use it at any time. Free it with `evenhand_snapshot_free`.
typedef struct EvenhandSnapshot EvenhandSnapshot;

// An assignment to store. Free it with `evenhand_sticky_free`.
typedef struct EvenhandSticky EvenhandSticky;

// UTF-8 text, borrowed: `len` bytes at `data`, not NUL-terminated. `data` is NULL where there is none, which is not the empty text.
typedef struct EvenhandText {
  // The first byte, or NULL.
  const uint8_t *data;
  // How many bytes.
  size_t len;
} EvenhandText;

// An action, its texts borrowed from the handle.
typedef struct EvenhandActionFields {
  // What to do.
  enum EvenhandActionKind kind;
  // Names the action in the report.
  uint64_t ticket;
  // Of a wait: milliseconds since 1970.
  int64_t until_ms;
  // Of a stream: how long silence may last.
  int64_t idle_timeout_ms;
  // The ETag, address, event id or content type; none where there is none.
  struct EvenhandText text;
  // Of a batch: the body.
  struct EvenhandText body;
  // Of a batch: how many events are in it.
  size_t events;
} EvenhandActionFields;

// Where a unit falls under a salt.
typedef struct EvenhandBucket {
  // The whole hash.
  uint32_t h;
  // 0 to 9999: the hash in ten-thousandths.
  uint16_t basis_point;
  // 0 to 9999: the layer's slot.
  uint16_t slot;
} EvenhandBucket;

// An attribute's value. There is no coercion: the text `5` is no number.
typedef struct EvenhandValue {
  // One of `EvenhandValueKind`; any other number is unusable.
  int32_t kind;
  // Of a boolean.
  bool boolean;
  // Of a number.
  double number;
  // Of a text: UTF-8, at most 65,536 bytes; a longer one is unusable.
  struct EvenhandText text;
  // Of a list.
  const struct EvenhandValue *items;
  // Of a list.
  size_t count;
} EvenhandValue;

// A decision. Its texts are borrowed from the snapshot that made it; `flag` from the caller where it handed in a key.
//
// Where `variation` is no text, the caller's own default counts. Otherwise the value is there twice: native, by `value_type`, and as
// RFC 8785 JSON.
typedef struct EvenhandDecision {
  // The key that was asked for.
  struct EvenhandText flag;
  // The variation's key; none where the caller's default counts.
  struct EvenhandText variation;
  // The value as RFC 8785 JSON; none where the caller's default counts.
  struct EvenhandText value_json;
  // The value of a `string` flag.
  struct EvenhandText value_text;
  // The value of an `int` flag.
  int64_t value_int;
  // The value of a `float` or `int` flag.
  double value_float;
  // The value of a `bool` flag.
  bool value_bool;
  // Which of them is the value; none where the caller's default counts.
  enum EvenhandValueType value_type;
  // Why.
  enum EvenhandReason reason;
  // The rule that decided, or none.
  struct EvenhandText rule;
  // The experiment it belongs to, or none.
  struct EvenhandText experiment;
  // The experiment's phase, from 1; 0 when there is none.
  uint32_t phase;
  // The epoch inside the phase, from 1; 0 when there is none.
  uint32_t epoch;
  // The split's basis point, 0 to 9999; -1 when there is none.
  int32_t bucket;
  // The flag's index in the snapshot; `UINT32_MAX` when it has none.
  uint32_t flag_index;
  // Whether `manifest_version` counts: not without a manifest.
  bool has_manifest_version;
  // Whether an exposure of its own goes with the decision.
  bool has_exposure;
  // The version of the manifest.
  uint64_t manifest_version;
  // The same in one number below 2^53.
  uint64_t packed;
} EvenhandDecision;

// The exposure of a holdout that goes with a decision. Borrowed from the snapshot.
typedef struct EvenhandHoldoutExposure {
  // The holdout's id.
  struct EvenhandText holdout;
  // The attribute that gives the holdout's unit id.
  struct EvenhandText unit;
  // Whether the unit is held back; else it is in the open arm.
  bool held;
} EvenhandHoldoutExposure;

// What became of the exposures of one decision: its own, and those of holdouts.
typedef struct EvenhandExposed {
  // Queued.
  uint8_t queued;
  // The same was queued lately.
  uint8_t deduped;
  // The context has no id of the unit that was randomised.
  uint8_t without_unit;
} EvenhandExposed;

// What a snapshot says about itself.
typedef struct EvenhandSnapshotInfo {
  // The environment's id. Borrowed from the snapshot.
  struct EvenhandText environment;
  // The manifest's generation.
  uint64_t generation;
  // The manifest's version.
  uint64_t version;
  // When it was published, in milliseconds since 1970.
  int64_t issued_at_ms;
  // How many flags it has.
  uint32_t flags;
} EvenhandSnapshotInfo;

// A flag, as a snapshot lists it.
typedef struct EvenhandFlagInfo {
  // Its key in the manifest (hashed in an obfuscated one). Borrowed from the snapshot.
  struct EvenhandText key;
  // The type of its values; none when it did not compile and that could not be read.
  enum EvenhandValueType value_type;
} EvenhandFlagInfo;

// An assignment to store, its texts borrowed from the handle.
typedef struct EvenhandStickyFields {
  // The experiment's id.
  struct EvenhandText experiment;
  // The unit id, as text.
  struct EvenhandText unit;
  // The variation's key.
  struct EvenhandText variation;
  // The experiment's phase.
  uint32_t phase;
} EvenhandStickyFields;

// What became of events of one kind: `queued + restored = sent + rejected + refused + dropped + disowned +` those still held.
typedef struct EvenhandEventCounts {
  // Accepted into the queue.
  uint64_t queued;
  // Taken from a spool.
  uint64_t restored;
  // Taken by the server.
  uint64_t sent;
  // Rejected by the server, one by one.
  uint64_t rejected;
  // Dropped because the server could not read even a batch of this one event.
  uint64_t refused;
  // Dropped because the queue was full.
  uint64_t dropped;
  // Left to the parent process after a fork.
  uint64_t disowned;
} EvenhandEventCounts;

// The session in numbers. Counters begin at 0 with the session; -1 where a number is not known.
typedef struct EvenhandTelemetry {
  // Evaluations the host has reported.
  uint64_t evaluations;
  // Exposures, holdouts' included.
  struct EvenhandEventCounts exposures;
  // Exposures not queued because the same one was lately.
  uint64_t exposures_deduped;
  // Exposures not queued because the context has no unit id to expose.
  uint64_t exposures_without_unit;
  // Tracked events.
  struct EvenhandEventCounts events;
  // Calls of track that were refused.
  uint64_t track_errors;
  // Events waiting or under way.
  uint64_t held_events;
  // Their bytes of JSON.
  uint64_t held_bytes;
  // Exposures remembered.
  uint64_t dedupe_entries;
  // Batches the server took.
  uint64_t batches_sent;
  // Batches that were not delivered.
  uint64_t batches_failed;
  // Manifest fetches begun.
  uint64_t manifest_fetches;
  // Fetches that brought a manifest, the same or a new one, or a 304.
  uint64_t manifest_confirmations;
  // Fetches without a usable answer.
  uint64_t manifest_failures;
  // Manifests refused, from whatever source.
  uint64_t manifest_refusals;
  // Snapshots made.
  uint64_t snapshots;
  // Generation of the manifest in use.
  int64_t manifest_generation;
  // Version of the manifest in use.
  int64_t manifest_version;
  // When the manifest in use was published, in milliseconds since 1970.
  int64_t manifest_issued_at_ms;
  // Milliseconds since the server last confirmed the manifest.
  int64_t manifest_age_ms;
  // Id lists the manifest names and the session holds.
  uint64_t lists_held;
  // Id lists the manifest names and the session lacks.
  uint64_t lists_missing;
  // Diagnostics lost because nobody took them.
  uint64_t diagnostics_lost;
  // Whether the server has not confirmed the manifest for `stale_after_ms`.
  bool stale;
  // Whether the stream is open.
  bool streaming;
} EvenhandTelemetry;

// One thing to tell the logger, its texts borrowed from the handle.
typedef struct EvenhandDiagnosticFields {
  // A stable name (docs/contract/session.md, "Diagnostics").
  struct EvenhandText code;
  // What, where, and how to mend it.
  struct EvenhandText message;
  // When it happened last, in milliseconds since 1970.
  int64_t at_ms;
  // How often it happened in a row.
  uint32_t times;
  // How much it matters.
  enum EvenhandDiagnosticLevel level;
} EvenhandDiagnosticFields;

// What a verified token grants, its texts borrowed from the handle.
typedef struct EvenhandOverrideFields {
  // The flag.
  struct EvenhandText flag;
  // The variation that is forced.
  struct EvenhandText variation;
  // Until when, in milliseconds since 1970.
  int64_t expires_at_ms;
} EvenhandOverrideFields;

// What happened, beside the units it happened to. Zero it first: `EvenhandTrack event = {0};`
typedef struct EvenhandTrack {
  // The event's name.
  struct EvenhandText name;
  // The event's own number as decimal text, exact, with at most 6 digits behind the point; or no text.
  struct EvenhandText value;
  // A JSON object; or no text.
  struct EvenhandText properties;
  // When it happened, in milliseconds since 1970; counts with `has_timestamp` only.
  int64_t timestamp_ms;
  // Whether `timestamp_ms` counts; else it happened now.
  bool has_timestamp;
} EvenhandTrack;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Reads an action.
//
// # Safety
// `action` lives; `out` can be written through.
enum EvenhandStatus evenhand_action_read(const struct EvenhandAction *action, struct EvenhandActionFields *out);

// Frees an action.
//
// # Safety
// `action` is NULL, or comes from this library and is used no more.
void evenhand_action_free(struct EvenhandAction *action);

// Hashes a unit id, as text, under a salt.
//
// # Safety
// `salt_len` bytes can be read at `salt` and `unit_len` at `unit`; `out` can be written through.
enum EvenhandStatus evenhand_bucket(const uint8_t *salt,
                                    size_t salt_len,
                                    const uint8_t *unit,
                                    size_t unit_len,
                                    struct EvenhandBucket *out);

// Where the bytes are; borrowed from the handle. Text where the function that gave them says so.
//
// # Safety
// `bytes` is NULL (none) or lives.
struct EvenhandText evenhand_bytes_view(const struct EvenhandBytes *bytes);

// Frees bytes.
//
// # Safety
// `bytes` is NULL, or comes from this library and is used no more.
void evenhand_bytes_free(struct EvenhandBytes *bytes);

// Makes a context without attributes.
//
// # Safety
// `out` can be written through.
enum EvenhandStatus evenhand_context_new(struct EvenhandContext **out);

// Sets an attribute, replacing one of that name. Text that is not UTF-8, and whatever else no operator can use, is set as unusable:
// a rule that asks for it does not match, and `evenhand_explain` shows why.
//
// # Safety
// `context` lives and no other thread uses it; `name_len` bytes can be read at `name`; `value` and what it points to can be read.
enum EvenhandStatus evenhand_context_set(struct EvenhandContext *context,
                                         const uint8_t *name,
                                         size_t name_len,
                                         const struct EvenhandValue *value);

// Sets an attribute to a text.
//
// # Safety
// As `evenhand_context_set`; `len` bytes can be read at `data`.
enum EvenhandStatus evenhand_context_set_text(struct EvenhandContext *context,
                                              const uint8_t *name,
                                              size_t name_len,
                                              const uint8_t *data,
                                              size_t len);

// Sets an attribute to a number.
//
// # Safety
// As `evenhand_context_set`.
enum EvenhandStatus evenhand_context_set_number(struct EvenhandContext *context,
                                                const uint8_t *name,
                                                size_t name_len,
                                                double number);

// Sets an attribute to a boolean.
//
// # Safety
// As `evenhand_context_set`.
enum EvenhandStatus evenhand_context_set_bool(struct EvenhandContext *context,
                                              const uint8_t *name,
                                              size_t name_len,
                                              bool boolean);

// Adds an assignment that the host has stored, replacing one of the same experiment.
//
// # Safety
// `context` lives and no other thread uses it; the texts can be read.
enum EvenhandStatus evenhand_context_set_sticky(struct EvenhandContext *context,
                                                struct EvenhandText experiment,
                                                uint32_t phase,
                                                struct EvenhandText unit,
                                                struct EvenhandText variation);

// Forces a variation of a flag, replacing one of the same flag: for tests, and for override tokens that
// `evenhand_override_verify` has accepted.
//
// # Safety
// `context` lives and no other thread uses it; the texts can be read.
enum EvenhandStatus evenhand_context_force(struct EvenhandContext *context,
                                           struct EvenhandText flag,
                                           struct EvenhandText variation);

// As `evenhand_context_set_sticky`, but a context that has an assignment of the experiment keeps its own.
//
// # Safety
// As `evenhand_context_set_sticky`.
enum EvenhandStatus evenhand_context_set_sticky_if_absent(struct EvenhandContext *context,
                                                          struct EvenhandText experiment,
                                                          uint32_t phase,
                                                          struct EvenhandText unit,
                                                          struct EvenhandText variation);

// As `evenhand_context_force`, but a context that forces a variation of the flag keeps its own.
//
// # Safety
// As `evenhand_context_force`.
enum EvenhandStatus evenhand_context_force_if_absent(struct EvenhandContext *context,
                                                     struct EvenhandText flag,
                                                     struct EvenhandText variation);

// Puts the values where a snapshot looks for them: its decisions are then made without looking up names. Worth it for more than a
// few decisions. Decisions of other snapshots are the same with or without; a change of the context undoes it.
//
// # Safety
// `context` lives and no other thread uses it; `snapshot` lives.
enum EvenhandStatus evenhand_context_bind(struct EvenhandContext *context,
                                          const struct EvenhandSnapshot *snapshot);

// A copy, to be changed and freed by itself: for a decision with stored assignments or forced variations that the original lacks.
//
// # Safety
// `context` lives and is not changed meanwhile; `out` can be written through.
enum EvenhandStatus evenhand_context_clone(const struct EvenhandContext *context,
                                           struct EvenhandContext **out);

// The unit id that an attribute gives, as text, as stored assignments have it; a handle to be freed. `EVENHAND_STATUS_NOT_FOUND` when
// it gives none.
//
// # Safety
// `context` lives and is not changed meanwhile; `name_len` bytes can be read at `name`; `out` can be written through.
enum EvenhandStatus evenhand_context_unit_id(const struct EvenhandContext *context,
                                             const uint8_t *name,
                                             size_t name_len,
                                             struct EvenhandBytes **out);

// Empties a context, for the next unit.
//
// # Safety
// `context` lives and no other thread uses it.
enum EvenhandStatus evenhand_context_clear(struct EvenhandContext *context);

// Frees a context.
//
// # Safety
// `context` is NULL, or comes from this library and is used no more.
void evenhand_context_free(struct EvenhandContext *context);

// Reads a packed decision with the snapshot that made it.
//
// # Safety
// `snapshot` lives; `out` can be written through.
enum EvenhandStatus evenhand_decision_read(const struct EvenhandSnapshot *snapshot,
                                           uint32_t flag,
                                           uint64_t packed,
                                           struct EvenhandDecision *out);

// The holdout exposures that go with a decision, from 0, in the order of the rule's holdouts; `EVENHAND_STATUS_NOT_FOUND` behind the last.
//
// # Safety
// `snapshot` lives; `out` can be written through.
enum EvenhandStatus evenhand_decision_holdout(const struct EvenhandSnapshot *snapshot,
                                              uint32_t flag,
                                              uint64_t packed,
                                              size_t index,
                                              struct EvenhandHoldoutExposure *out);

// The stable name of a reason, as in `SPLIT`; no text for a number that is none. Lives as long as the process.
struct EvenhandText evenhand_reason_name(int32_t reason);

// Makes an engine without a manifest.
//
// `keys`: with a set that is not empty only manifests signed by one of its keys are accepted; NULL or empty: bare ones too.
// `environment` and `audience` (`server` or `client`): what manifests must be for; NULL: as the first one is.
//
// # Safety
// `keys` is NULL or lives; `environment_len` bytes can be read at `environment`, `audience_len` at `audience`; `out` can be written through, `error` is NULL or can be.
enum EvenhandStatus evenhand_engine_new(const struct EvenhandKeys *keys,
                                        const uint8_t *environment,
                                        size_t environment_len,
                                        const uint8_t *audience_name,
                                        size_t audience_len,
                                        struct EvenhandEngine **out,
                                        struct EvenhandError **error);

// Takes the blob of an id list, for manifests handed in afterwards.
//
// # Safety
// `engine` lives; `len` bytes can be read at `data`; `error` is NULL or can be written through.
enum EvenhandStatus evenhand_engine_add_list(const struct EvenhandEngine *engine,
                                             const uint8_t *data,
                                             size_t len,
                                             struct EvenhandError **error);

// Puts a manifest, bare or signed, in the place of the one held, as a whole. Refused, the engine keeps what it holds.
//
// # Safety
// `engine` lives; `len` bytes can be read at `data`; `error` is NULL or can be written through.
enum EvenhandStatus evenhand_engine_update_manifest(const struct EvenhandEngine *engine,
                                                    const uint8_t *data,
                                                    size_t len,
                                                    struct EvenhandError **error);

// The manifest held, compiled: a handle of its own, to be freed. `EVENHAND_STATUS_NOT_FOUND` when there is none yet.
//
// # Safety
// `engine` lives; `out` can be written through.
enum EvenhandStatus evenhand_engine_snapshot(const struct EvenhandEngine *engine, struct EvenhandSnapshot **out);

// What compiling the manifest held has found: a handle of its own, to be freed.
//
// # Safety
// `engine` lives; `out` can be written through.
enum EvenhandStatus evenhand_engine_report(const struct EvenhandEngine *engine, struct EvenhandReport **out);

// Frees an engine.
//
// # Safety
// `engine` is NULL, or comes from this library and is used no more.
void evenhand_engine_free(struct EvenhandEngine *engine);

// The error's code: stable, for programs. Borrowed from the error.
//
// # Safety
// `error` is NULL (no text) or lives.
struct EvenhandText evenhand_error_code(const struct EvenhandError *error);

// The error's message, for people. Borrowed from the error.
//
// # Safety
// `error` is NULL (no text) or lives.
struct EvenhandText evenhand_error_message(const struct EvenhandError *error);

// Frees an error.
//
// # Safety
// `error` is NULL, or comes from this library and is used no more.
void evenhand_error_free(struct EvenhandError *error);

// Evaluates a flag by its index: the fastest way. Nothing is logged, locked or allocated. The answer is a packed decision, to be read
// with `evenhand_decision_read` and the same snapshot, or field by field (docs/contract/evaluation.md). It never fails: whatever is
// wrong, the answer has a reason.
//
// `context` may be NULL: nothing is known. `now_ms`: milliseconds since 1970.
//
// # Safety
// `snapshot` lives; `context` is NULL, or lives and is not changed meanwhile.
uint64_t evenhand_evaluate(const struct EvenhandSnapshot *snapshot,
                           uint32_t flag,
                           const struct EvenhandContext *context,
                           int64_t now_ms);

// Evaluates the flag of a key. It fails on wrong arguments only: NULL as `snapshot` gives the reason NO_MANIFEST, an unknown key
// FLAG_UNKNOWN, and so on.
//
// `expected`: an `EvenhandValueType`; with another than NONE, a flag of another type gives TYPE_MISMATCH and the caller's default (an
// int flag may be asked for as float).
//
// # Safety
// `snapshot` is NULL or lives; `key_len` bytes can be read at `key`, as long as `out->flag` is; `context` is NULL, or lives and is not
// changed meanwhile; `out` can be written through.
enum EvenhandStatus evenhand_evaluate_key(const struct EvenhandSnapshot *snapshot,
                                          const uint8_t *key,
                                          size_t key_len,
                                          int32_t expected,
                                          const struct EvenhandContext *context,
                                          int64_t now_ms,
                                          struct EvenhandDecision *out);

// Evaluates all flags, in the order of their indices, into `out`: `capacity` packed decisions at most. `written`: how many there are;
// when they are more than `capacity` nothing is written and the status is `EVENHAND_STATUS_INVALID_ARGUMENT`.
//
// # Safety
// `snapshot` lives; `context` is NULL, or lives and is not changed meanwhile; `capacity` numbers can be written at `out`; `written` can be written through.
enum EvenhandStatus evenhand_evaluate_all(const struct EvenhandSnapshot *snapshot,
                                          const struct EvenhandContext *context,
                                          int64_t now_ms,
                                          uint64_t *out,
                                          size_t capacity,
                                          size_t *written);

// Says how a decision comes about, every rule, step and leaf, as JSON (docs/contract/evaluation.md). For people, not for hot paths.
//
// # Safety
// `snapshot` lives; `key_len` bytes can be read at `key`; `context` is NULL, or lives and is not changed meanwhile; `out` can be written through.
enum EvenhandStatus evenhand_explain(const struct EvenhandSnapshot *snapshot,
                                     const uint8_t *key,
                                     size_t key_len,
                                     const struct EvenhandContext *context,
                                     int64_t now_ms,
                                     struct EvenhandBytes **out);

// Panics inside the boundary, on purpose: returns `EVENHAND_STATUS_PANIC`, and the process lives. For tests only.
enum EvenhandStatus evenhand_test_panic(void);

// Makes an empty set.
//
// # Safety
// `out` can be written through.
enum EvenhandStatus evenhand_keys_new(struct EvenhandKeys **out);

// Adds a key: its id, and its 32 bytes as base64url without padding.
//
// # Safety
// `keys` lives and no other thread uses it; `id_len` bytes can be read at `id`, `key_len` at `key`; `error` is NULL or can be written through.
enum EvenhandStatus evenhand_keys_add(struct EvenhandKeys *keys,
                                      const uint8_t *id,
                                      size_t id_len,
                                      const uint8_t *key,
                                      size_t key_len,
                                      struct EvenhandError **error);

// Frees a set of keys.
//
// # Safety
// `keys` is NULL, or comes from this library and is used no more.
void evenhand_keys_free(struct EvenhandKeys *keys);

// Makes options that are all as they are by default.
//
// # Safety
// `out` can be written through.
enum EvenhandStatus evenhand_options_new(struct EvenhandOptions **out);

// Sets a number by its name, as `poll_interval_ms`. Refused when there is none of this name, or the value lies outside its limits; the
// error names both.
//
// # Safety
// `options` lives and no other thread uses it; `name_len` bytes can be read at `name`; `error` is NULL or can be written through.
enum EvenhandStatus evenhand_options_set_number(struct EvenhandOptions *options,
                                                const uint8_t *name,
                                                size_t name_len,
                                                uint64_t value,
                                                struct EvenhandError **error);

// Sets a text: `environment` and `audience` (what manifests must be for), or `sdk` (name and version, written into each event). NULL: none.
//
// # Safety
// As `evenhand_options_set_number`; `value_len` bytes can be read at `value`.
enum EvenhandStatus evenhand_options_set_text(struct EvenhandOptions *options,
                                              const uint8_t *name,
                                              size_t name_len,
                                              const uint8_t *value,
                                              size_t value_len,
                                              struct EvenhandError **error);

// Sets a switch: `fetch` (whether the session asks for manifests; without it the host hands them to `evenhand_session_update_manifest`)
// or `stream` (whether the host can hold a stream of announcements open: server and sidecar keys).
//
// # Safety
// As `evenhand_options_set_number`.
enum EvenhandStatus evenhand_options_set_switch(struct EvenhandOptions *options,
                                                const uint8_t *name,
                                                size_t name_len,
                                                bool on,
                                                struct EvenhandError **error);

// Sets the public keys of the environment: with keys, only manifests signed by one of them are accepted. NULL or an empty set: none.
//
// # Safety
// `options` lives and no other thread uses it; `keys` is NULL or lives.
enum EvenhandStatus evenhand_options_set_keys(struct EvenhandOptions *options,
                                              const struct EvenhandKeys *keys);

// Frees options.
//
// # Safety
// `options` is NULL, or comes from this library and is used no more.
void evenhand_options_free(struct EvenhandOptions *options);

// How many flags did not compile: they answer `off` with the reason UNSUPPORTED, the others are as ever.
//
// # Safety
// `report` is NULL (0) or lives.
size_t evenhand_report_unsupported_count(const struct EvenhandReport *report);

// The key of a flag that did not compile, in ascending byte order, from 0. Borrowed from the report; no text behind the last.
//
// # Safety
// `report` is NULL (no text) or lives.
struct EvenhandText evenhand_report_unsupported(const struct EvenhandReport *report,
                                                size_t index);

// The whole report as JSON: `{"faults":[{"flag","path","line","column","message","remedy"}…],"missing_lists":[{"list","sha256","refused"}…]}`.
//
// # Safety
// `report` lives; `out` can be written through.
enum EvenhandStatus evenhand_report_json(const struct EvenhandReport *report,
                                         struct EvenhandBytes **out);

// Frees a report.
//
// # Safety
// `report` is NULL, or comes from this library and is used no more.
void evenhand_report_free(struct EvenhandReport *report);

// Makes a session without a manifest: the first fetch is due at once. It never blocks.
//
// `options`: NULL for the defaults. `entropy`: 16 fresh bytes of the system's randomness. `now_ms`, here and everywhere: milliseconds since 1970.
//
// # Safety
// `options` is NULL or lives; 16 bytes can be read at `entropy`; `out` can be written through.
enum EvenhandStatus evenhand_session_new(const struct EvenhandOptions *options,
                                         const uint8_t *entropy,
                                         int64_t now_ms,
                                         struct EvenhandSession **out);

// What the host is to do now: a handle to be freed. Call it again at once after anything but WAIT and DONE; actions may be carried out one by one or several at a time.
//
// # Safety
// `session` lives; `out` can be written through.
enum EvenhandStatus evenhand_session_next(const struct EvenhandSession *session,
                                          int64_t now_ms,
                                          struct EvenhandAction **out);

// Whether something has come up since the last WAIT that is due before its end: then the host's loop should be woken. Ask after
// `evenhand_session_expose`, `…_track`, `…_flush` and `…_shutdown`.
//
// # Safety
// `session` is NULL (false) or lives.
bool evenhand_session_wakes(const struct EvenhandSession *session);

// The manifest in use, compiled: a handle of its own, to be freed. `EVENHAND_STATUS_NOT_FOUND` when there is none yet. Keep it, and take the new one when `evenhand_session_snapshots` has changed.
//
// # Safety
// `session` lives; `out` can be written through.
enum EvenhandStatus evenhand_session_snapshot(const struct EvenhandSession *session,
                                              struct EvenhandSnapshot **out);

// How many snapshots there have been: a number to compare, for noticing a new one.
//
// # Safety
// `session` is NULL (0) or lives.
uint64_t evenhand_session_snapshots(const struct EvenhandSession *session);

// How many unit types there are: those that the manifest's experiments randomise, and `user_id`. They change with the manifest.
//
// # Safety
// `session` is NULL (0) or lives.
size_t evenhand_session_unit_type_count(const struct EvenhandSession *session);

// The name of a unit type, from 0: the attribute that `evenhand_context_unit_id` is to be asked for. A handle to be freed;
// `EVENHAND_STATUS_NOT_FOUND` behind the last.
//
// # Safety
// `session` lives; `out` can be written through.
enum EvenhandStatus evenhand_session_unit_type(const struct EvenhandSession *session,
                                               size_t index,
                                               struct EvenhandBytes **out);

// Whether a decision has exposures at all: where not, `evenhand_session_expose` need not be called, and no lock is taken.
bool evenhand_has_exposures(uint64_t packed);

// Queues the exposures of a decision that `snapshot` made of `flag` for `context`, unless they were queued lately.
//
// # Safety
// `session`, `snapshot` and `context` live, and nobody changes the context meanwhile; `out` is NULL or can be written through.
enum EvenhandStatus evenhand_session_expose(const struct EvenhandSession *session,
                                            const struct EvenhandSnapshot *snapshot,
                                            uint32_t flag,
                                            uint64_t packed,
                                            const struct EvenhandContext *context,
                                            int64_t now_ms,
                                            struct EvenhandExposed *out);

// Adds evaluations that the host has counted, for the telemetry.
//
// # Safety
// `session` lives.
enum EvenhandStatus evenhand_session_count_evaluations(const struct EvenhandSession *session, uint64_t evaluations);

// Puts a manifest from elsewhere (a bootstrap file) in use. Refused, the one in use stays.
//
// # Safety
// `session` lives; `len` bytes can be read at `data`; `error` is NULL or can be written through.
enum EvenhandStatus evenhand_session_update_manifest(const struct EvenhandSession *session,
                                                     const uint8_t *data,
                                                     size_t len,
                                                     int64_t now_ms,
                                                     struct EvenhandError **error);

// Sends what is queued now as soon as it may be. `mark` can be asked for with `evenhand_session_is_flushed`.
//
// # Safety
// `session` lives; `mark` is NULL or can be written through.
enum EvenhandStatus evenhand_session_flush(const struct EvenhandSession *session, int64_t now_ms, uint64_t *mark);

// Whether no event queued before a flush is still held.
//
// # Safety
// `session` is NULL (true) or lives.
bool evenhand_session_is_flushed(const struct EvenhandSession *session, uint64_t mark);

// Ends the session: fetches end, what is queued is sent until `deadline_ms` at the latest; then the next action is DONE, and what is still held stands in the spool.
//
// # Safety
// `session` lives.
enum EvenhandStatus evenhand_session_shutdown(const struct EvenhandSession *session,
                                              int64_t now_ms,
                                              int64_t deadline_ms);

// To be called in a child process after a fork, before anything else, when no other thread was inside the library while it forked.
// Events that the parent queued are the parent's to send.
//
// # Safety
// `session` lives; 16 bytes can be read at `entropy`.
enum EvenhandStatus evenhand_session_reseed(const struct EvenhandSession *session,
                                            const uint8_t *entropy,
                                            int64_t now_ms);

// Everything the next start needs, as bytes to be freed: the manifest in use and the events that are not delivered. Write them to a new file and rename it.
//
// # Safety
// `session` lives; `out` can be written through.
enum EvenhandStatus evenhand_session_spool(const struct EvenhandSession *session,
                                           struct EvenhandBytes **out);

// Takes back the spool of an earlier session, at the start. A spool that can't be read is ignored, with a diagnostic. `events`: how many of its events wait to be sent.
//
// # Safety
// `session` lives; `len` bytes can be read at `spool`, 16 at `entropy`; `events` is NULL or can be written through.
enum EvenhandStatus evenhand_session_restore(const struct EvenhandSession *session,
                                             const uint8_t *spool,
                                             size_t len,
                                             const uint8_t *entropy,
                                             int64_t now_ms,
                                             size_t *events);

// Frees a session. Events that it holds are gone: shut it down, or save its spool, before.
//
// # Safety
// `session` is NULL, or comes from this library and is used no more.
void evenhand_session_free(struct EvenhandSession *session);

// Reports the answer to FETCH_MANIFEST. `etag` and `retry_after`: the headers as they are, or no text.
//
// # Safety
// `session` lives; the texts can be read, and `len` bytes at `body`.
enum EvenhandStatus evenhand_session_manifest_response(const struct EvenhandSession *session,
                                                       uint64_t ticket,
                                                       uint16_t status,
                                                       struct EvenhandText etag,
                                                       struct EvenhandText retry_after,
                                                       const uint8_t *body,
                                                       size_t len,
                                                       int64_t now_ms);

// Reports the answer to FETCH_LIST.
//
// # Safety
// As `evenhand_session_manifest_response`.
enum EvenhandStatus evenhand_session_list_response(const struct EvenhandSession *session,
                                                   uint64_t ticket,
                                                   uint16_t status,
                                                   struct EvenhandText retry_after,
                                                   const uint8_t *body,
                                                   size_t len,
                                                   int64_t now_ms);

// Hands in an id list from elsewhere. Whether the manifest names it; false also when it is none.
//
// # Safety
// `session` lives; `len` bytes can be read at `data`.
bool evenhand_session_provide_list(const struct EvenhandSession *session,
                                   const uint8_t *data,
                                   size_t len,
                                   int64_t now_ms);

// Reports the head of the answer to OPEN_STREAM.
//
// # Safety
// `session` lives; the text can be read.
enum EvenhandStatus evenhand_session_stream_response(const struct EvenhandSession *session,
                                                     uint64_t ticket,
                                                     uint16_t status,
                                                     struct EvenhandText retry_after,
                                                     int64_t now_ms);

// Hands on bytes of the stream, cut anywhere.
//
// # Safety
// `session` lives; `len` bytes can be read at `data`.
enum EvenhandStatus evenhand_session_stream_bytes(const struct EvenhandSession *session,
                                                  uint64_t ticket,
                                                  const uint8_t *data,
                                                  size_t len,
                                                  int64_t now_ms);

// Reports the end of an open stream.
//
// # Safety
// `session` lives.
enum EvenhandStatus evenhand_session_stream_closed(const struct EvenhandSession *session,
                                                   uint64_t ticket,
                                                   int64_t now_ms);

// Reports that there was no answer to FETCH_MANIFEST, FETCH_LIST or OPEN_STREAM: what went wrong, for the logs.
//
// # Safety
// `session` lives; the text can be read.
enum EvenhandStatus evenhand_session_fetch_failed(const struct EvenhandSession *session,
                                                  uint64_t ticket,
                                                  struct EvenhandText message,
                                                  int64_t now_ms);

// Reports the answer to SEND_EVENTS.
//
// # Safety
// As `evenhand_session_manifest_response`.
enum EvenhandStatus evenhand_session_batch_response(const struct EvenhandSession *session,
                                                    uint64_t ticket,
                                                    uint16_t status,
                                                    struct EvenhandText retry_after,
                                                    const uint8_t *body,
                                                    size_t len,
                                                    int64_t now_ms);

// Reports that there was no answer to SEND_EVENTS: what went wrong, for the logs. The events stay queued.
//
// # Safety
// `session` lives; the text can be read.
enum EvenhandStatus evenhand_session_batch_failed(const struct EvenhandSession *session,
                                                  uint64_t ticket,
                                                  struct EvenhandText message,
                                                  int64_t now_ms);

// What a snapshot says about itself.
//
// # Safety
// `snapshot` lives; `out` can be written through.
enum EvenhandStatus evenhand_snapshot_info(const struct EvenhandSnapshot *snapshot, struct EvenhandSnapshotInfo *out);

// The flag at an index, in ascending byte order of the keys.
//
// # Safety
// `snapshot` lives; `out` can be written through.
enum EvenhandStatus evenhand_snapshot_flag_info(const struct EvenhandSnapshot *snapshot,
                                                uint32_t flag,
                                                struct EvenhandFlagInfo *out);

// The index of a flag, for `evenhand_evaluate`: it means nothing to another snapshot.
//
// # Safety
// `snapshot` lives; `key_len` bytes can be read at `key`; `out` can be written through.
enum EvenhandStatus evenhand_snapshot_flag(const struct EvenhandSnapshot *snapshot,
                                           const uint8_t *key,
                                           size_t key_len,
                                           uint32_t *out);

// How many attributes the snapshot's rules ask for: a host need not set any other.
//
// # Safety
// `snapshot` is NULL (0) or lives.
size_t evenhand_snapshot_attribute_count(const struct EvenhandSnapshot *snapshot);

// The name of an attribute the snapshot's rules ask for, from 0. Borrowed from the snapshot; no text behind the last.
//
// # Safety
// `snapshot` is NULL (no text) or lives.
struct EvenhandText evenhand_snapshot_attribute(const struct EvenhandSnapshot *snapshot, size_t index);

// Another handle of the same snapshot, to be freed by itself.
//
// # Safety
// `snapshot` lives; `out` can be written through.
enum EvenhandStatus evenhand_snapshot_clone(const struct EvenhandSnapshot *snapshot, struct EvenhandSnapshot **out);

// Frees a handle of a snapshot. Texts borrowed from it are gone with the last one.
//
// # Safety
// `snapshot` is NULL, or comes from this library and is used no more.
void evenhand_snapshot_free(struct EvenhandSnapshot *snapshot);

// What to keep after a decision: the split of a sticky experiment. `EVENHAND_STATUS_NOT_FOUND` when there is nothing to keep, or the
// record that was given had decided.
//
// # Safety
// `snapshot` and `context` live; `out` can be written through.
enum EvenhandStatus evenhand_sticky_record(const struct EvenhandSnapshot *snapshot,
                                           uint32_t flag,
                                           uint64_t packed,
                                           const struct EvenhandContext *context,
                                           struct EvenhandSticky **out);

// Reads an assignment to store.
//
// # Safety
// `sticky` lives; `out` can be written through.
enum EvenhandStatus evenhand_sticky_read(const struct EvenhandSticky *sticky, struct EvenhandStickyFields *out);

// Frees an assignment to store.
//
// # Safety
// `sticky` is NULL, or comes from this library and is used no more.
void evenhand_sticky_free(struct EvenhandSticky *sticky);

// The session in numbers.
//
// # Safety
// `session` lives; `out` can be written through.
enum EvenhandStatus evenhand_session_telemetry(const struct EvenhandSession *session,
                                               int64_t now_ms,
                                               struct EvenhandTelemetry *out);

// Takes what the logger is to be told, oldest first: a handle to be freed.
//
// # Safety
// `session` lives; `out` can be written through.
enum EvenhandStatus evenhand_session_take_diagnostics(const struct EvenhandSession *session,
                                                      struct EvenhandDiagnostics **out);

// How many there are.
//
// # Safety
// `diagnostics` is NULL (0) or lives.
size_t evenhand_diagnostics_count(const struct EvenhandDiagnostics *diagnostics);

// Reads one, from 0; `EVENHAND_STATUS_NOT_FOUND` behind the last.
//
// # Safety
// `diagnostics` lives; `out` can be written through.
enum EvenhandStatus evenhand_diagnostics_read(const struct EvenhandDiagnostics *diagnostics,
                                              size_t index,
                                              struct EvenhandDiagnosticFields *out);

// Frees diagnostics.
//
// # Safety
// `diagnostics` is NULL, or comes from this library and is used no more.
void evenhand_diagnostics_free(struct EvenhandDiagnostics *diagnostics);

// Verifies an override token for an environment at `now_ms`; any of the keys may have signed it. `EVENHAND_STATUS_REFUSED` when it is not valid.
//
// # Safety
// `keys` lives; `token_len` bytes can be read at `token`, `environment_len` at `environment`; `out` can be written through, `error` is NULL or can be.
enum EvenhandStatus evenhand_override_verify(const uint8_t *token,
                                             size_t token_len,
                                             const struct EvenhandKeys *keys,
                                             const uint8_t *environment,
                                             size_t environment_len,
                                             int64_t now_ms,
                                             struct EvenhandOverride **out,
                                             struct EvenhandError **error);

// Reads what a token grants.
//
// # Safety
// `granted` lives; `out` can be written through.
enum EvenhandStatus evenhand_override_read(const struct EvenhandOverride *granted, struct EvenhandOverrideFields *out);

// Frees what a token grants.
//
// # Safety
// `granted` is NULL, or comes from this library and is used no more.
void evenhand_override_free(struct EvenhandOverride *granted);

// Queues an event that happened to the units of a context: the ids of the unit types that the manifest's experiments randomise, and
// `user_id`. Refused when the server would refuse it; then nothing is queued.
//
// `event_id`: NULL, or where a handle of the id's text is written, to be freed.
//
// # Safety
// `session` and `context` live, and nobody changes the context meanwhile; the texts of `event` can be read; `event_id` and `error` are NULL or can be written through.
enum EvenhandStatus evenhand_session_track(const struct EvenhandSession *session,
                                           const struct EvenhandTrack *event,
                                           const struct EvenhandContext *context,
                                           int64_t now_ms,
                                           struct EvenhandBytes **event_id,
                                           struct EvenhandError **error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* EVENHAND_H */
