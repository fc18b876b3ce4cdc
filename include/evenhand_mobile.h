/* The hot path of the Swift package, beside the C ABI in the same library (libevenhand_mobile, built from bindings/mobile).
 *
 * `session`, `snapshot` and `context` are what `address()` of the generated objects gives, valid as long as the object lives; a session's and a
 * snapshot's are at the same time handles of evenhand.h. `records` is the flat buffer of core/eval/src/flat.rs. Nothing here fails:
 * whatever is wrong (NULL, an index that is none, a context bound to another snapshot), the answer is a packed decision with the reason ERROR. */

#ifndef EVENHAND_MOBILE_H
#define EVENHAND_MOBILE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Evaluates a flag for a context bound to the snapshot. A packed decision.
int64_t evenhand_mobile_evaluate_bound(const void *snapshot, const void *context, uint32_t flag, int64_t now_ms);

// The same, and queues the exposures: below zero where one was queued, and the packed decision is then `-1 - answer`.
int64_t evenhand_mobile_decide_bound(const void *session, const void *snapshot, const void *context, uint32_t flag, int64_t now_ms);

// Evaluates a flag for the attributes in records. A packed decision.
int64_t evenhand_mobile_evaluate_records(const void *snapshot, const uint8_t *records, size_t len, uint32_t flag, int64_t now_ms);

// The same, and queues the exposures, as above.
int64_t evenhand_mobile_decide_records(const void *session, const void *snapshot, const uint8_t *records, size_t len, uint32_t flag, int64_t now_ms);

// Evaluates all flags, in the order of their indices, into `out`, which holds `capacity` numbers. How many flags there are; 0 where nothing was written.
size_t evenhand_mobile_evaluate_all_bound(const void *snapshot, const void *context, int64_t now_ms, int64_t *out, size_t capacity);

// Gives its argument back: what a call costs.
int64_t evenhand_mobile_nothing(int64_t number);

#ifdef __cplusplus
}
#endif

#endif
