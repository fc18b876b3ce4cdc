// libcurl, found when it is first needed (Linux): no header, no link time, and no process that ends for want of it. Its ABI has been the same since
// 2006; the numbers are those of curl/curl.h.
#ifndef EVENHAND_CURL_H
#define EVENHAND_CURL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __linux__

#define EVENHAND_CURLOPT_NOSIGNAL 99
#define EVENHAND_CURLOPT_PROTOCOLS 181
#define EVENHAND_CURLOPT_ERRORBUFFER 10010
#define EVENHAND_CURLOPT_WRITEDATA 10001
#define EVENHAND_CURLOPT_URL 10002
#define EVENHAND_CURLOPT_HTTPHEADER 10023
#define EVENHAND_CURLOPT_HEADERDATA 10029
#define EVENHAND_CURLOPT_CUSTOMREQUEST 10036
#define EVENHAND_CURLOPT_ACCEPT_ENCODING 10102
#define EVENHAND_CURLOPT_COPYPOSTFIELDS 10165
#define EVENHAND_CURLOPT_WRITEFUNCTION 20011
#define EVENHAND_CURLOPT_HEADERFUNCTION 20079
#define EVENHAND_CURLOPT_POSTFIELDSIZE_LARGE 30120
#define EVENHAND_CURLINFO_RESPONSE_CODE 0x200002
#define EVENHAND_CURL_GLOBAL_DEFAULT 3

// CURLMsg.
typedef struct evenhand_curl_message {
  int message; // 1: a transfer is over
  void *_Nullable easy;
  union {
    void *_Nullable whatever;
    int result;
  } data;
} evenhand_curl_message;

// What `setopt` takes for its functions. They answer how many bytes they have taken; another number ends the transfer.
typedef size_t (*evenhand_curl_taker)(char *_Nullable bytes, size_t size, size_t count, void *_Nullable of);

// `setopt` and `getinfo` take any number of arguments, which Swift can't call.
static inline int evenhand_curl_set_number(void *_Nonnull setopt, void *_Nonnull easy, int option, long value) {
  return ((int (*)(void *, int, ...))setopt)(easy, option, value);
}
static inline int evenhand_curl_set_size(void *_Nonnull setopt, void *_Nonnull easy, int option, int64_t value) {
  return ((int (*)(void *, int, ...))setopt)(easy, option, value);
}
static inline int evenhand_curl_set_pointer(void *_Nonnull setopt, void *_Nonnull easy, int option, const void *_Nullable value) {
  return ((int (*)(void *, int, ...))setopt)(easy, option, value);
}
static inline int evenhand_curl_set_taker(void *_Nonnull setopt, void *_Nonnull easy, int option, evenhand_curl_taker _Nonnull value) {
  return ((int (*)(void *, int, ...))setopt)(easy, option, value);
}
static inline long evenhand_curl_number(void *_Nonnull getinfo, void *_Nonnull easy, int info) {
  long value = 0;
  ((int (*)(void *, int, ...))getinfo)(easy, info, &value);
  return value;
}

#endif
#endif
