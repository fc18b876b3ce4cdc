// The atomic operations that the hot path needs. Swift's own (module Synchronization) would ask for macOS 15 and iOS 18.
#ifndef EVENHAND_ATOMICS_H
#define EVENHAND_ATOMICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline void *_Nullable evenhand_pointer_load(void *_Nullable *_Nonnull place) { return __atomic_load_n(place, __ATOMIC_SEQ_CST); }

static inline void *_Nullable evenhand_pointer_exchange(void *_Nullable *_Nonnull place, void *_Nullable value) {
  return __atomic_exchange_n(place, value, __ATOMIC_SEQ_CST);
}

// Puts `value` where nothing was; false when something is there already.
static inline bool evenhand_pointer_install(void *_Nullable *_Nonnull place, void *_Nonnull value) {
  void *nothing = NULL;
  return __atomic_compare_exchange_n(place, &nothing, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static inline int64_t evenhand_number_load(int64_t *_Nonnull place) { return __atomic_load_n(place, __ATOMIC_SEQ_CST); }

static inline int64_t evenhand_number_exchange(int64_t *_Nonnull place, int64_t value) { return __atomic_exchange_n(place, value, __ATOMIC_SEQ_CST); }

// The answer is what was there before.
static inline int64_t evenhand_number_add(int64_t *_Nonnull place, int64_t value) { return __atomic_fetch_add(place, value, __ATOMIC_SEQ_CST); }

#endif
