#include "contexts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lines.h"

static void must(EvenhandStatus status, const char *what) {
  if (status != EVENHAND_STATUS_OK) {
    fprintf(stderr, "%s: status %d\n", what, (int)status);
    exit(1);
  }
}

static void *room(size_t bytes) {
  void *memory = malloc(bytes ? bytes : 1);
  if (memory == NULL) abort();
  return memory;
}

EvenhandText json_text(const json_t *string) {
  if (!json_is_string(string)) return (EvenhandText){NULL, 0};
  return (EvenhandText){(const uint8_t *)json_string_value(string), json_string_length(string)};
}

/* Memory that a value points to; freed when it has been set. */
struct keep {
  void *blocks[2048];
  size_t count;
};

static void *kept(struct keep *keep, void *block) {
  if (keep->count == sizeof keep->blocks / sizeof *keep->blocks) abort();
  return keep->blocks[keep->count++] = block;
}

static EvenhandValue value_of(const json_t *json, struct keep *keep) {
  EvenhandValue value = {0};
  const char *special = json_is_object(json) && json_object_size(json) > 0 ? json_string_value(json_object_get(json, "$special")) : NULL;
  if (json_is_null(json)) {
    value.kind = EVENHAND_VALUE_KIND_MISSING;
  } else if (json_is_boolean(json)) {
    value.kind = EVENHAND_VALUE_KIND_BOOL;
    value.boolean = json_is_true(json);
  } else if (json_is_number(json)) {
    value.kind = EVENHAND_VALUE_KIND_NUMBER;
    value.number = json_number_value(json);
  } else if (json_is_string(json)) {
    value.kind = EVENHAND_VALUE_KIND_TEXT;
    value.text = json_text(json);
  } else if (json_is_array(json)) {
    size_t count = json_array_size(json);
    EvenhandValue *items = kept(keep, room(count * sizeof *items));
    for (size_t at = 0; at < count; at++) items[at] = value_of(json_array_get(json, at), keep);
    value.kind = EVENHAND_VALUE_KIND_LIST;
    value.items = items;
    value.count = count;
  } else if (special == NULL) {
    value.kind = EVENHAND_VALUE_KIND_UNUSABLE; /* an ordinary object */
  } else if (strcmp(special, "nan") == 0 || strcmp(special, "inf") == 0 || strcmp(special, "-inf") == 0) {
    value.kind = EVENHAND_VALUE_KIND_NUMBER;
    value.number = special[0] == 'n' ? (double)NAN : special[0] == 'i' ? (double)INFINITY : -(double)INFINITY;
  } else if (strcmp(special, "lone_surrogate") == 0) {
    /* U+D800 in the encoding that UTF-8 does not allow: what a C program would have in its hands. */
    static const uint8_t surrogate[] = {0xed, 0xa0, 0x80};
    value.kind = EVENHAND_VALUE_KIND_TEXT;
    value.text = (EvenhandText){surrogate, sizeof surrogate};
  } else if (strcmp(special, "repeat") == 0) {
    EvenhandText once = json_text(json_object_get(json, "text"));
    size_t times = (size_t)json_number_value(json_object_get(json, "times"));
    uint8_t *text = kept(keep, room(once.len * times));
    for (size_t at = 0; at < times; at++) memcpy(text + at * once.len, once.data, once.len);
    value.kind = EVENHAND_VALUE_KIND_TEXT;
    value.text = (EvenhandText){text, once.len * times};
  } else if (strcmp(special, "repeat_list") == 0) {
    size_t times = (size_t)json_number_value(json_object_get(json, "times"));
    EvenhandValue *items = kept(keep, room(times * sizeof *items));
    for (size_t at = 0; at < times; at++) items[at] = value_of(json_object_get(json, "item"), keep);
    value.kind = EVENHAND_VALUE_KIND_LIST;
    value.items = items;
    value.count = times;
  } else {
    fprintf(stderr, "the mark $special:%s is unknown to this runner\n", special);
    exit(1);
  }
  return value;
}

EvenhandContext *context_of(const json_t *c) {
  EvenhandContext *context = NULL;
  must(evenhand_context_new(&context), "evenhand_context_new");
  const char *name;
  size_t name_len;
  json_t *value;
  json_object_keylen_foreach(json_object_get(c, "context"), name, name_len, value) {
    struct keep keep = {.count = 0};
    EvenhandValue native = value_of(value, &keep);
    must(evenhand_context_set(context, (const uint8_t *)name, name_len, &native), "evenhand_context_set");
    while (keep.count > 0) free(keep.blocks[--keep.count]);
  }
  size_t at;
  json_t *record;
  json_array_foreach(json_object_get(c, "sticky"), at, record) {
    must(evenhand_context_set_sticky(context, json_text(json_object_get(record, "experiment")),
                                     (uint32_t)json_number_value(json_object_get(record, "phase")),
                                     json_text(json_object_get(record, "unit")), json_text(json_object_get(record, "variation"))),
         "evenhand_context_set_sticky");
  }
  json_object_keylen_foreach(json_object_get(c, "forced"), name, name_len, value) {
    must(evenhand_context_force(context, (EvenhandText){(const uint8_t *)name, name_len}, json_text(value)), "evenhand_context_force");
  }
  return context;
}
