/* Carries out every vector through the public C API: runner VECTORS_DIR OUT.ndjson [MOST]. With MOST, at most so many cases of a group (for
 * valgrind, which is slow), and no population. */
#include <errno.h>
#include <evenhand.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contexts.h"
#include "lines.h"
#include "population.h"

static size_t most = SIZE_MAX;

static void fail(const char *what, const char *where) {
  fprintf(stderr, "%s: %s\n", where, what);
  exit(1);
}

static const json_t *field(const json_t *object, const char *name) { return json_object_get(object, name); }
static int64_t number(const json_t *object, const char *name) { return (int64_t)json_number_value(field(object, name)); }
static EvenhandText text(const json_t *object, const char *name) { return json_text(field(object, name)); }

static json_t *load(const char *directory, const char *name) {
  char path[4096];
  json_error_t error;
  snprintf(path, sizeof path, "%s/%s", directory, name);
  /* Every number as a double: the API knows no other, and reads of integers below 2^53 lose nothing. */
  json_t *root = json_load_file(path, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
  if (root == NULL) fail(error.text, path);
  return root;
}

static void run_hash(FILE *out, const char *file, const json_t *c) {
  EvenhandText salt = text(c, "salt"), unit = text(c, "unit");
  EvenhandBucket bucket;
  if (evenhand_bucket(salt.data, salt.len, unit.data, unit.len, &bucket) != EVENHAND_STATUS_OK) fail("evenhand_bucket", file);
  fprintf(out, "{\"basis_point\":%u,\"case\":", bucket.basis_point);
  write_text(out, text(c, "name"));
  fputs(",\"file\":", out);
  write_text(out, text_of(file));
  fprintf(out, ",\"h\":%" PRIu32 ",\"slot\":%u}\n", bucket.h, bucket.slot);
}

/* The native value and its JSON must say the same. */
static void check_value(const EvenhandDecision *decision, const char *file) {
  if (decision->value_type == EVENHAND_VALUE_TYPE_NONE) {
    if (decision->value_json.data != NULL) fail("a value without a type", file);
    return;
  }
  json_t *parsed = json_loadb((const char *)decision->value_json.data, decision->value_json.len, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
  bool same = false;
  switch (decision->value_type) {
    case EVENHAND_VALUE_TYPE_BOOL: same = json_is_boolean(parsed) && json_is_true(parsed) == decision->value_bool; break;
    case EVENHAND_VALUE_TYPE_STRING: {
      EvenhandText native = decision->value_text, other = json_text(parsed);
      same = other.data != NULL && native.len == other.len && memcmp(native.data, other.data, native.len) == 0;
      break;
    }
    case EVENHAND_VALUE_TYPE_INT: same = json_is_number(parsed) && json_number_value(parsed) == (double)decision->value_int; break;
    case EVENHAND_VALUE_TYPE_FLOAT: same = json_is_number(parsed) && json_number_value(parsed) == decision->value_float; break;
    default: same = true; /* JSON of any depth: jansson has its own limit */
  }
  json_decref(parsed);
  if (!same) fail("the native value is not that of its JSON", file);
}

static void write_positive(FILE *out, const char *name, uint64_t value) {
  write_name(out, false, name);
  if (value == 0) fputs("null", out);
  else fprintf(out, "%" PRIu64, value);
}

static void write_decision(FILE *out, const EvenhandSnapshot *snapshot, const EvenhandDecision *decision) {
  fputs("{\"bucket\":", out);
  if (decision->bucket < 0) fputs("null", out);
  else fprintf(out, "%d", (int)decision->bucket);
  write_positive(out, "epoch", decision->epoch);
  write_name(out, false, "experiment");
  write_text(out, decision->experiment);
  fprintf(out, ",\"exposure\":%s,\"flag\":", decision->has_exposure ? "true" : "false");
  write_text(out, decision->flag);
  fputs(",\"holdout_exposures\":[", out);
  EvenhandHoldoutExposure exposure;
  for (size_t at = 0; snapshot != NULL && evenhand_decision_holdout(snapshot, decision->flag_index, decision->packed, at, &exposure) == EVENHAND_STATUS_OK; at++) {
    fprintf(out, "%s{\"arm\":\"%s\",\"holdout\":", at > 0 ? "," : "", exposure.held ? "held" : "open");
    write_text(out, exposure.holdout);
    fputs(",\"unit\":", out);
    write_text(out, exposure.unit);
    fputc('}', out);
  }
  fputs("],\"manifest_version\":", out);
  if (decision->has_manifest_version) fprintf(out, "%" PRIu64, decision->manifest_version);
  else fputs("null", out);
  fprintf(out, ",\"packed\":%" PRIu64, decision->packed);
  write_positive(out, "phase", decision->phase);
  write_name(out, false, "reason");
  write_text(out, evenhand_reason_name((int32_t)decision->reason));
  write_name(out, false, "rule");
  write_text(out, decision->rule);
  write_name(out, false, "value");
  write_text(out, decision->value_json);
  write_name(out, false, "variation");
  write_text(out, decision->variation);
  fputc('}', out);
}

static int32_t type_of(const json_t *c) {
  const char *name = json_string_value(field(c, "type"));
  static const char *const names[] = {"", "bool", "string", "int", "float", "json"};
  for (int32_t at = 1; name != NULL && at < 6; at++) {
    if (strcmp(name, names[at]) == 0) return at;
  }
  return EVENHAND_VALUE_TYPE_NONE;
}

/* What a C program can't hold, in ascending order: texts are UTF-8, and the API's numbers are doubles. */
static void write_substituted(FILE *out, const json_t *c) {
  static const char *const unlike[] = {"bigint", "int64", "lone_surrogate"};
  bool first = true;
  for (size_t which = 0; which < 3; which++) {
    size_t at;
    json_t *need;
    json_array_foreach(field(c, "needs"), at, need) {
      if (strcmp(json_string_value(need), unlike[which]) != 0) continue;
      fprintf(out, "%s\"%s\"", first ? ",\"substituted\":[" : ",", unlike[which]);
      first = false;
    }
  }
  if (!first) fputc(']', out);
}

static void run_case(FILE *out, const char *file, EvenhandText group, const EvenhandSnapshot *snapshot, const json_t *c) {
  EvenhandContext *context = context_of(c);
  EvenhandText key = text(c, "flag");
  EvenhandDecision decision, bound;
  int64_t now_ms = number(c, "now_ms");
  if (evenhand_evaluate_key(snapshot, key.data, key.len, type_of(c), context, now_ms, &decision) != EVENHAND_STATUS_OK) fail("evenhand_evaluate_key", file);
  check_value(&decision, file);
  if (snapshot != NULL) {
    /* Bound to the snapshot, and by index, it is the same. */
    if (evenhand_context_bind(context, snapshot) != EVENHAND_STATUS_OK) fail("evenhand_context_bind", file);
    if (evenhand_evaluate_key(snapshot, key.data, key.len, type_of(c), context, now_ms, &bound) != EVENHAND_STATUS_OK || bound.packed != decision.packed)
      fail("a bound context decides otherwise", file);
    uint32_t flag;
    if (type_of(c) == EVENHAND_VALUE_TYPE_NONE && evenhand_snapshot_flag(snapshot, key.data, key.len, &flag) == EVENHAND_STATUS_OK &&
        evenhand_evaluate(snapshot, flag, context, now_ms) != decision.packed)
      fail("the packed decision is another", file);
  }
  fputs("{\"case\":", out);
  write_text(out, text(c, "name"));
  fputs(",\"decision\":", out);
  write_decision(out, snapshot, &decision);
  fputs(",\"file\":", out);
  write_text(out, text_of(file));
  fputs(",\"group\":", out);
  write_text(out, group);
  write_substituted(out, c);
  fputs("}\n", out);
  evenhand_context_free(context);
}

static size_t decode_base64(const char *text, uint8_t *out) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  uint32_t bits = 0;
  size_t len = 0, have = 0;
  for (; *text != '\0' && *text != '='; text++) {
    const char *digit = strchr(digits, *text);
    if (digit == NULL) fail("not base64", "lists");
    bits = (bits << 6) | (uint32_t)(digit - digits);
    have += 6;
    if (have >= 8) {
      have -= 8;
      out[len++] = (uint8_t)(bits >> have);
    }
  }
  return len;
}

static EvenhandEngine *engine_of(const EvenhandKeys *keys) {
  EvenhandEngine *engine = NULL;
  if (evenhand_engine_new(keys, NULL, 0, NULL, 0, &engine, NULL) != EVENHAND_STATUS_OK) fail("evenhand_engine_new", "");
  return engine;
}

static size_t run_group(FILE *out, const char *file, const json_t *g) {
  EvenhandEngine *engine = engine_of(NULL);
  EvenhandSnapshot *snapshot = NULL;
  EvenhandReport *report = NULL;
  const char *name;
  json_t *blob;
  json_object_foreach((json_t *)field(g, "lists"), name, blob) {
    uint8_t *bytes = malloc(json_string_length(blob) + 1);
    if (bytes == NULL) abort();
    size_t len = decode_base64(json_string_value(blob), bytes);
    /* A list that is refused is missing: the decisions say so. */
    EvenhandError *error = NULL;
    evenhand_engine_add_list(engine, bytes, len, &error);
    evenhand_error_free(error);
    free(bytes);
  }
  EvenhandText manifest = text(g, "manifest"), group = text(g, "name");
  EvenhandError *error = NULL;
  bool taken = evenhand_engine_update_manifest(engine, manifest.data, manifest.len, &error) == EVENHAND_STATUS_OK;
  if (!taken && evenhand_error_message(error).len == 0) fail("a refusal without a reason", file);
  evenhand_error_free(error);
  fputs("{\"file\":", out);
  write_text(out, text_of(file));
  fputs(",\"group\":", out);
  write_text(out, group);
  fprintf(out, ",\"manifest\":\"%s\",\"unsupported\":[", taken ? "taken" : "refused");
  if (taken) {
    if (evenhand_engine_snapshot(engine, &snapshot) != EVENHAND_STATUS_OK || evenhand_engine_report(engine, &report) != EVENHAND_STATUS_OK) fail("no snapshot", file);
    for (size_t at = 0; at < evenhand_report_unsupported_count(report); at++) {
      if (at > 0) fputc(',', out);
      write_text(out, evenhand_report_unsupported(report, at));
    }
  }
  fputs("]}\n", out);
  size_t at, done = 0;
  json_t *c;
  json_array_foreach(field(g, "cases"), at, c) {
    if (done == most) break;
    run_case(out, file, group, snapshot, c);
    done++;
  }
  evenhand_report_free(report);
  evenhand_snapshot_free(snapshot);
  evenhand_engine_free(engine);
  return done;
}

static void add_key(EvenhandKeys *keys, EvenhandText id, EvenhandText key) {
  if (evenhand_keys_add(keys, id.data, id.len, key.data, key.len, NULL) != EVENHAND_STATUS_OK) fail("evenhand_keys_add", "keys");
}

static void run_envelope(FILE *out, const char *file, const json_t *c) {
  EvenhandKeys *keys = NULL;
  if (evenhand_keys_new(&keys) != EVENHAND_STATUS_OK) fail("evenhand_keys_new", file);
  const char *id;
  json_t *value;
  json_object_foreach((json_t *)field(c, "keys"), id, value) add_key(keys, text_of(id), json_text(value));
  EvenhandEngine *engine = engine_of(keys);
  evenhand_keys_free(keys);
  fputs("{\"case\":", out);
  write_text(out, text(c, "name"));
  fputs(",\"deliveries\":[", out);
  size_t at;
  json_array_foreach(field(c, "deliveries"), at, value) {
    EvenhandText bytes = text(value, "text");
    bool accepted = evenhand_engine_update_manifest(engine, bytes.data, bytes.len, NULL) == EVENHAND_STATUS_OK;
    EvenhandSnapshot *snapshot = NULL;
    EvenhandSnapshotInfo info;
    fprintf(out, "%s{\"accepted\":%s", at > 0 ? "," : "", accepted ? "true" : "false");
    if (evenhand_engine_snapshot(engine, &snapshot) == EVENHAND_STATUS_OK && evenhand_snapshot_info(snapshot, &info) == EVENHAND_STATUS_OK) {
      fprintf(out, ",\"generation\":%" PRIu64 ",\"version\":%" PRIu64 "}", info.generation, info.version);
    } else {
      fputs(",\"generation\":null,\"version\":null}", out);
    }
    evenhand_snapshot_free(snapshot);
  }
  fputs("],\"file\":", out);
  write_text(out, text_of(file));
  fputs("}\n", out);
  evenhand_engine_free(engine);
}

static void run_token(FILE *out, const char *file, const json_t *c) {
  EvenhandKeys *keys = NULL;
  if (evenhand_keys_new(&keys) != EVENHAND_STATUS_OK) fail("evenhand_keys_new", file);
  size_t at;
  json_t *key;
  json_array_foreach(field(c, "keys"), at, key) {
    char id[32];
    snprintf(id, sizeof id, "%zu", at);
    add_key(keys, text_of(id), json_text(key));
  }
  EvenhandText token = text(c, "token"), environment = text(c, "environment");
  EvenhandOverride *granted = NULL;
  EvenhandOverrideFields fields = {0};
  bool valid = evenhand_override_verify(token.data, token.len, keys, environment.data, environment.len, number(c, "now_ms"), &granted, NULL) == EVENHAND_STATUS_OK;
  if (valid && evenhand_override_read(granted, &fields) != EVENHAND_STATUS_OK) fail("evenhand_override_read", file);
  fputs("{\"case\":", out);
  write_text(out, text(c, "name"));
  fputs(",\"file\":", out);
  write_text(out, text_of(file));
  fputs(",\"flag\":", out);
  write_text(out, fields.flag);
  fprintf(out, ",\"valid\":%s,\"variation\":", valid ? "true" : "false");
  write_text(out, fields.variation);
  fputs("}\n", out);
  evenhand_override_free(granted);
  evenhand_keys_free(keys);
}

/* The lines of a file go to `out`; how many cases were carried out is the answer. */
static size_t run_file(FILE *out, const char *file, const json_t *root) {
  const char *format = json_string_value(field(root, "format"));
  size_t at, cases = 0;
  json_t *one;
  if (strcmp(format, "decisions") == 0) {
    json_array_foreach(field(root, "groups"), at, one) cases += run_group(out, file, one);
    return cases;
  }
  json_array_foreach(field(root, "cases"), at, one) {
    if (strcmp(format, "hash") == 0) run_hash(out, file, one);
    else if (strcmp(format, "envelope") == 0) run_envelope(out, file, one);
    else if (strcmp(format, "tokens") == 0) run_token(out, file, one);
    else if (strcmp(format, "population") == 0) run_population(out, file, one);
    else fail("a format this runner does not know", file);
    cases++;
  }
  return cases;
}

int main(int count, char **arguments) {
  if (count != 3 && count != 4) {
    fprintf(stderr, "usage: runner VECTORS_DIR OUT.ndjson [MOST_CASES_A_GROUP]\n");
    return 2;
  }
  if (count == 4) most = (size_t)strtoull(arguments[3], NULL, 10);
  FILE *out = fopen(arguments[2], "wb");
  if (out == NULL) fail(strerror(errno), arguments[2]);
  json_t *index = load(arguments[1], "index.json");
  const char *file;
  json_t *entry;
  size_t all = 0;
  /* jansson keeps the order of the file. */
  json_object_foreach((json_t *)field(index, "files"), file, entry) {
    const char *format = json_string_value(field(entry, "format"));
    if (strcmp(format, "session") == 0 || (most != SIZE_MAX && strcmp(format, "population") == 0)) continue;
    json_t *root = load(arguments[1], file);
    char *lines = NULL;
    size_t len = 0;
    FILE *memory = open_memstream(&lines, &len);
    if (memory == NULL) abort();
    size_t cases = run_file(memory, file, root);
    fclose(memory);
    fprintf(out, "{\"cases\":%zu,\"file\":", cases);
    write_text(out, text_of(file));
    fputs("}\n", out);
    fwrite(lines, 1, len, out);
    free(lines);
    json_decref(root);
    all += cases;
  }
  json_decref(index);
  if (fclose(out) != 0) fail(strerror(errno), arguments[2]);
  printf("c: %zu cases carried out\n", all);
  return 0;
}
