#include "population.h"

#include <evenhand.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "contexts.h"
#include "lines.h"

static void hex_of(EVP_MD_CTX *running, char hex[65]) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int len = 0;
  EVP_MD_CTX *copy = EVP_MD_CTX_new();
  if (copy == NULL || !EVP_MD_CTX_copy_ex(copy, running) || !EVP_DigestFinal_ex(copy, digest, &len)) abort();
  EVP_MD_CTX_free(copy);
  for (unsigned int at = 0; at < len; at++) sprintf(hex + 2 * at, "%02x", digest[at]);
}

static size_t unit_of(uint64_t i, char *unit, size_t room, bool *number) {
  *number = i % 5 == 1 || i % 5 == 4;
  const char *format[] = {"user-%" PRIu64, "%" PRIu64, "%08" PRIx64 "@example.com", "\xc3\xbc%" PRIu64, "-%" PRIu64};
  return (size_t)snprintf(unit, room, format[i % 5], i);
}

static void count(json_t *counts, EvenhandText flag, EvenhandText key) {
  json_t *of_flag = json_object_getn(counts, (const char *)flag.data, flag.len);
  if (of_flag == NULL) {
    of_flag = json_object();
    json_object_setn_new(counts, (const char *)flag.data, flag.len, of_flag);
  }
  const json_t *before = json_object_getn(of_flag, (const char *)key.data, key.len);
  json_object_setn_new(of_flag, (const char *)key.data, key.len, json_integer(1 + json_integer_value(before)));
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static void write_sorted(FILE *out, const json_t *object) {
  if (!json_is_object(object)) {
    if (json_is_integer(object)) fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(object));
    else write_text(out, json_text(object));
    return;
  }
  size_t size = json_object_size(object), at = 0;
  const char **names = malloc((size + 1) * sizeof *names);
  const char *name;
  json_t *value;
  if (names == NULL) abort();
  json_object_foreach((json_t *)object, name, value) names[at++] = name;
  qsort(names, size, sizeof *names, by_text);
  fputc('{', out);
  for (at = 0; at < size; at++) {
    if (at > 0) fputc(',', out);
    write_text(out, text_of(names[at]));
    fputc(':', out);
    write_sorted(out, json_object_get(object, names[at]));
  }
  fputc('}', out);
  free(names);
}

void run_population(FILE *out, const char *file, const json_t *c) {
  EvenhandEngine *engine = NULL;
  EvenhandSnapshot *snapshot = NULL;
  EvenhandContext *context = NULL;
  EvenhandText manifest = json_text(json_object_get(c, "manifest"));
  if (evenhand_engine_new(NULL, NULL, 0, NULL, 0, &engine, NULL) || evenhand_context_new(&context) ||
      evenhand_engine_update_manifest(engine, manifest.data, manifest.len, NULL) || evenhand_engine_snapshot(engine, &snapshot)) {
    fprintf(stderr, "population: the manifest is refused\n");
    exit(1);
  }
  int64_t now_ms = (int64_t)json_number_value(json_object_get(c, "now_ms"));
  uint64_t units = (uint64_t)json_number_value(json_object_get(c, "units"));
  const json_t *flags = json_object_get(c, "flags");
  json_t *counts = json_object(), *checkpoints = json_object();
  EVP_MD_CTX *sha256 = EVP_MD_CTX_new();
  char hex[65];
  if (sha256 == NULL || !EVP_DigestInit_ex(sha256, EVP_sha256(), NULL)) abort();
  EvenhandText user_id = text_of("user_id");
  for (uint64_t i = 0; i < units; i++) {
    char unit[64];
    bool is_number;
    size_t len = unit_of(i, unit, sizeof unit, &is_number);
    EvenhandStatus status = is_number ? evenhand_context_set_number(context, user_id.data, user_id.len, strtod(unit, NULL))
                                      : evenhand_context_set_text(context, user_id.data, user_id.len, (const uint8_t *)unit, len);
    if (status != EVENHAND_STATUS_OK || evenhand_context_bind(context, snapshot) != EVENHAND_STATUS_OK) abort();
    size_t at;
    json_t *flag;
    json_array_foreach(flags, at, flag) {
      EvenhandText key = json_text(flag);
      EvenhandDecision decision;
      if (evenhand_evaluate_key(snapshot, key.data, key.len, 0, context, now_ms, &decision) != EVENHAND_STATUS_OK) abort();
      EvenhandText reason = evenhand_reason_name((int32_t)decision.reason);
      char line[1024], bucket[16] = "", tally[512];
      if (decision.bucket >= 0) snprintf(bucket, sizeof bucket, "%d", (int)decision.bucket);
      int written = snprintf(line, sizeof line, "%s\t%.*s\t%.*s\t%.*s\t%s\n", unit, (int)key.len, (const char *)key.data,
                             (int)decision.variation.len, decision.variation.data ? (const char *)decision.variation.data : "",
                             (int)reason.len, (const char *)reason.data, bucket);
      if (written < 0 || (size_t)written >= sizeof line || !EVP_DigestUpdate(sha256, line, (size_t)written)) abort();
      written = snprintf(tally, sizeof tally, "%.*s/%.*s", (int)decision.variation.len,
                         decision.variation.data ? (const char *)decision.variation.data : "", (int)reason.len, (const char *)reason.data);
      count(counts, key, (EvenhandText){(const uint8_t *)tally, (size_t)written});
    }
    if (i + 1 == 1000 || i + 1 == 10000) {
      char name[32];
      hex_of(sha256, hex);
      snprintf(name, sizeof name, "%" PRIu64, i + 1);
      json_object_set_new(checkpoints, name, json_string(hex));
    }
  }
  hex_of(sha256, hex);
  fputs("{\"case\":", out);
  write_text(out, json_text(json_object_get(c, "name")));
  fputs(",\"checkpoints\":", out);
  write_sorted(out, checkpoints);
  fputs(",\"counts\":", out);
  write_sorted(out, counts);
  fputs(",\"file\":", out);
  write_text(out, text_of(file));
  fprintf(out, ",\"sha256\":\"%s\"}\n", hex);
  json_decref(counts);
  json_decref(checkpoints);
  EVP_MD_CTX_free(sha256);
  evenhand_context_free(context);
  evenhand_snapshot_free(snapshot);
  evenhand_engine_free(engine);
}
