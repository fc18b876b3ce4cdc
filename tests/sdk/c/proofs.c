/* What needs no server, through the C API: proofs_c MANIFEST_DIRECTORY DECISIONS UPDATES
 * A panic, memory, and event ids across forks and spools. */
#include <evenhand.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOW 1700000000000
#define EVENTS 200
#define ID_LEN 36

static const uint8_t *bytes(const char *terminated) { return (const uint8_t *)terminated; }
static EvenhandText text(const char *terminated) { return (EvenhandText){bytes(terminated), strlen(terminated)}; }

static void check(bool holds, const char *format, ...) {
  if (holds) return;
  va_list arguments;
  va_start(arguments, format);
  fputs("does not hold: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(1);
}
static void must(EvenhandStatus status, const char *what) { check(status == EVENHAND_STATUS_OK, "%s is done; status %d", what, (int)status); }

static void entropy(uint8_t into[16]) {
  FILE *random = fopen("/dev/urandom", "rb");
  check(random != NULL && fread(into, 1, 16, random) == 16, "/dev/urandom can be read");
  fclose(random);
}

static EvenhandSession *new_session(void) {
  uint8_t fresh[16];
  EvenhandOptions *options = NULL;
  EvenhandSession *session = NULL;
  entropy(fresh);
  must(evenhand_options_new(&options), "evenhand_options_new");
  must(evenhand_options_set_switch(options, bytes("fetch"), 5, false, NULL), "evenhand_options_set_switch");
  must(evenhand_options_set_number(options, bytes("queue_max_events"), 16, 1000, NULL), "evenhand_options_set_number");
  must(evenhand_options_set_number(options, bytes("dedupe_capacity"), 15, 1000, NULL), "evenhand_options_set_number");
  must(evenhand_session_new(options, fresh, NOW, &session), "evenhand_session_new");
  evenhand_options_free(options);
  return session;
}

static EvenhandContext *context_of(const char *user) {
  EvenhandContext *context = NULL;
  must(evenhand_context_new(&context), "evenhand_context_new");
  must(evenhand_context_set_text(context, bytes("user_id"), 7, bytes(user), strlen(user)), "evenhand_context_set_text");
  must(evenhand_context_set_text(context, bytes("country"), 7, bytes("NZ"), 2), "evenhand_context_set_text");
  must(evenhand_context_set_number(context, bytes("age"), 3, 30), "evenhand_context_set_number");
  return context;
}

/* ---- manifests ---- */

struct manifest {
  char *begin, *end; /* before and behind the version */
};

static struct manifest load(const char *directory, const char *name) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s.json", directory, name);
  FILE *in = fopen(path, "rb");
  check(in != NULL, "%s can be read", path);
  char *all = calloc(1, 1 << 20);
  check(all != NULL && fread(all, 1, (1 << 20) - 1, in) > 0, "%s is not empty", path);
  fclose(in);
  char *version = strstr(all, "\"version\":1,");
  check(version != NULL, "%s has a version", path);
  *version = '\0';
  return (struct manifest){all, version + strlen("\"version\":1,")};
}

static char *of_version(const struct manifest *manifest, unsigned version) {
  size_t room = strlen(manifest->begin) + strlen(manifest->end) + 32;
  char *out = malloc(room);
  check(out != NULL, "there is memory");
  snprintf(out, room, "%s\"version\":%u,%s", manifest->begin, version, manifest->end);
  return out;
}

/* ---- a panic ---- */

static void panic(const char *directory) {
  for (int at = 0; at < 3; at++) check(evenhand_test_panic() == EVENHAND_STATUS_PANIC, "a panic becomes a status");
  struct manifest even = load(directory, "even");
  char *manifest = of_version(&even, 2);
  EvenhandEngine *engine = NULL;
  EvenhandSnapshot *snapshot = NULL;
  EvenhandDecision decision;
  EvenhandContext *context = context_of("u");
  must(evenhand_engine_new(NULL, NULL, 0, NULL, 0, &engine, NULL), "evenhand_engine_new");
  must(evenhand_engine_update_manifest(engine, bytes(manifest), strlen(manifest), NULL), "evenhand_engine_update_manifest");
  must(evenhand_engine_snapshot(engine, &snapshot), "evenhand_engine_snapshot");
  must(evenhand_evaluate_key(snapshot, bytes("flag-000"), 8, 0, context, NOW, &decision), "evenhand_evaluate_key");
  check(decision.reason == EVENHAND_REASON_SPLIT, "decisions go on");
  /* Wrong arguments are statuses too. */
  check(evenhand_evaluate_key(snapshot, NULL, 3, 0, context, NOW, &decision) == EVENHAND_STATUS_NULL_ARGUMENT, "no key is told");
  check(evenhand_evaluate_key(snapshot, bytes("\xff"), 1, 0, context, NOW, &decision) == EVENHAND_STATUS_NOT_UTF8, "a key that is no text is told");
  check(evenhand_evaluate_key(snapshot, bytes("k"), SIZE_MAX, 0, context, NOW, &decision) == EVENHAND_STATUS_INVALID_ARGUMENT, "an impossible length is told");
  check(evenhand_decision_read(snapshot, 5000, decision.packed, &decision) == EVENHAND_STATUS_NOT_FOUND, "an index behind the last is told");
  EvenhandError *error = NULL;
  check(evenhand_engine_update_manifest(engine, bytes("{"), 1, &error) == EVENHAND_STATUS_REFUSED, "a manifest that is none is refused");
  check(evenhand_error_message(error).len > 10, "and why is told");
  evenhand_error_free(error);
  evenhand_context_free(context);
  evenhand_snapshot_free(snapshot);
  evenhand_engine_free(engine);
  free(manifest);
  free(even.begin);
  puts("  c: a panic becomes a status, and the process lives");
}

/* ---- memory ---- */

static size_t in_use(void) {
  struct mallinfo2 now = mallinfo2();
  return now.uordblks + now.hblkhd;
}

static void work(EvenhandEngine *engine, EvenhandSession *session, EvenhandSnapshot **held, unsigned number) {
  char user[32], key[16];
  snprintf(user, sizeof user, "user-%08u", number);
  int key_len = snprintf(key, sizeof key, "flag-%03u", number % 200);
  EvenhandContext *context = context_of(user);
  EvenhandDecision decision;
  if (number % 3 == 0) must(evenhand_context_bind(context, *held), "evenhand_context_bind");
  must(evenhand_evaluate_key(*held, bytes(key), (size_t)key_len, EVENHAND_VALUE_TYPE_STRING, context, NOW, &decision), "evenhand_evaluate_key");
  check(decision.reason == EVENHAND_REASON_SPLIT, "%s is a split", key);
  if (number % 2 == 0) must(evenhand_session_expose(session, *held, decision.flag_index, decision.packed, context, NOW, NULL), "evenhand_session_expose");
  if (number % 64 == 0) {
    EvenhandTrack event = {.name = text("bought"), .value = text("1.5"), .properties = text("{\"a\":[1,2]}")};
    EvenhandBytes *id = NULL, *explained = NULL;
    EvenhandContext *copy = NULL;
    must(evenhand_session_track(session, &event, context, NOW, &id, NULL), "evenhand_session_track");
    evenhand_bytes_free(id);
    must(evenhand_context_clone(context, &copy), "evenhand_context_clone");
    must(evenhand_context_unit_id(copy, bytes("user_id"), 7, &id), "evenhand_context_unit_id");
    check(evenhand_bytes_view(id).len == strlen(user), "the unit id is the user's");
    evenhand_bytes_free(id);
    must(evenhand_context_force(copy, text(key), decision.variation), "evenhand_context_force");
    must(evenhand_explain(*held, bytes(key), (size_t)key_len, copy, NOW, &explained), "evenhand_explain");
    evenhand_bytes_free(explained);
    evenhand_context_free(copy);
    EvenhandSnapshot *again = NULL;
    must(evenhand_engine_snapshot(engine, &again), "evenhand_engine_snapshot");
    evenhand_snapshot_free(*held);
    *held = again;
  }
  evenhand_context_free(context);
}

static void update(EvenhandEngine *engine, EvenhandSession *session, const struct manifest *manifest, unsigned version) {
  char *text = of_version(manifest, version);
  EvenhandError *error = NULL;
  must(evenhand_engine_update_manifest(engine, bytes(text), strlen(text), NULL), "evenhand_engine_update_manifest");
  must(evenhand_session_update_manifest(session, bytes(text), strlen(text), NOW, NULL), "evenhand_session_update_manifest");
  /* A version a second time with other content, and an older one, are refused. */
  check(evenhand_engine_update_manifest(engine, bytes(text), strlen(text) - 2, &error) == EVENHAND_STATUS_REFUSED, "half a manifest is refused");
  evenhand_error_free(error);
  free(text);
  EvenhandBytes *spool = NULL;
  EvenhandDiagnostics *diagnostics = NULL;
  must(evenhand_session_spool(session, &spool), "evenhand_session_spool");
  must(evenhand_session_take_diagnostics(session, &diagnostics), "evenhand_session_take_diagnostics");
  evenhand_bytes_free(spool);
  evenhand_diagnostics_free(diagnostics);
}

static void memory(const char *directory, unsigned decisions, unsigned updates) {
  struct manifest even = load(directory, "even");
  EvenhandEngine *engine = NULL;
  EvenhandSnapshot *held = NULL;
  EvenhandSession *session = new_session();
  must(evenhand_engine_new(NULL, NULL, 0, NULL, 0, &engine, NULL), "evenhand_engine_new");
  unsigned version = 100000, number = 0;
  size_t before = 0;
  /* In the first round queue and memories fill up to their limits, and the allocator finds its chunks. */
  for (int round = 0; round < 2; round++) {
    unsigned rounds = round == 0 ? 200 : updates, each = round == 0 ? 1000 : decisions / updates;
    for (unsigned at = 0; at < rounds; at++) {
      update(engine, session, &even, ++version);
      if (held == NULL) must(evenhand_engine_snapshot(engine, &held), "evenhand_engine_snapshot");
      for (unsigned one = 0; one < each; one++) work(engine, session, &held, number++);
    }
    if (round == 0) before = in_use();
  }
  size_t after = in_use();
  /* Users and versions have as many digits in both rounds, so that queues full of events are as large. A leak of a byte a decision is more. */
  check(after < before + 65536, "memory stays: %zu bytes in use before, %zu after %u decisions and %u updates", before, after, decisions, updates);
  evenhand_snapshot_free(held);
  evenhand_session_free(session);
  evenhand_engine_free(engine);
  free(even.begin);
  printf("  c: %u decisions and %u updates leave no memory behind (%lld bytes)\n", decisions, updates, (long long)after - (long long)before);
}

/* ---- event ids ---- */

struct ids {
  char all[16 * EVENTS][ID_LEN + 1];
  size_t count;
};
static int compare(const void *a, const void *b) { return strcmp(a, b); }

static size_t distinct(struct ids *ids) {
  qsort(ids->all, ids->count, sizeof ids->all[0], compare);
  size_t count = 0;
  for (size_t at = 0; at < ids->count; at++) count += at == 0 || strcmp(ids->all[at], ids->all[at - 1]) != 0;
  return count;
}

static void track(EvenhandSession *session, int out, size_t count) {
  EvenhandContext *context = context_of("u");
  EvenhandTrack event = {.name = text("note")};
  for (size_t at = 0; at < count; at++) {
    EvenhandBytes *id = NULL;
    must(evenhand_session_track(session, &event, context, NOW, &id, NULL), "evenhand_session_track");
    EvenhandText view = evenhand_bytes_view(id);
    check(view.len == ID_LEN && write(out, view.data, ID_LEN) == ID_LEN, "an event id is text of %d bytes", ID_LEN);
    evenhand_bytes_free(id);
  }
  evenhand_context_free(context);
}

/* The ids of the events in a session's spool, in a pipe. */
static void put_spooled(EvenhandSession *session, int out) {
  EvenhandBytes *spool = NULL;
  must(evenhand_session_spool(session, &spool), "evenhand_session_spool");
  EvenhandText view = evenhand_bytes_view(spool);
  static const char name[] = "\"event_id\":\"";
  for (size_t at = 0; at + sizeof name + ID_LEN < view.len; at++) {
    if (memcmp(view.data + at, name, sizeof name - 1) == 0) check(write(out, view.data + at + sizeof name - 1, ID_LEN) == ID_LEN, "a pipe takes an id");
  }
  evenhand_bytes_free(spool);
}

static void read_ids(int in, struct ids *ids) {
  char id[ID_LEN];
  size_t have = 0;
  ssize_t got;
  while ((got = read(in, id + have, ID_LEN - have)) > 0) {
    have += (size_t)got;
    if (have < ID_LEN) continue;
    have = 0;
    check(ids->count < sizeof ids->all / sizeof ids->all[0], "not more ids than expected");
    memcpy(ids->all[ids->count], id, ID_LEN);
    ids->all[ids->count++][ID_LEN] = '\0';
  }
  close(in);
}

/* Generations of processes, each forked with the parent's events still queued: `tracked` and `held` are where ids go. */
static void generation(EvenhandSession *session, int depth, bool reseeds, int tracked, int held) {
  track(session, tracked, EVENTS);
  if (depth > 0) {
    fflush(stdout);
    pid_t child = fork();
    check(child >= 0, "a process can be made");
    if (child == 0) {
      uint8_t fresh[16];
      entropy(fresh);
      if (reseeds) must(evenhand_session_reseed(session, fresh, NOW), "evenhand_session_reseed");
      generation(session, depth - 1, reseeds, tracked, held);
      evenhand_session_free(session);
      _exit(0);
    }
    int status = 0;
    check(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ends well");
  }
  track(session, tracked, EVENTS);
  put_spooled(session, held);
}

static void forks(bool reseeds) {
  int tracked[2], held[2];
  struct ids *all = calloc(1, sizeof *all), *spooled = calloc(1, sizeof *spooled);
  check(all != NULL && spooled != NULL && pipe(tracked) == 0 && pipe(held) == 0, "there is memory, and there are pipes");
  EvenhandSession *session = new_session();
  generation(session, 2, reseeds, tracked[1], held[1]);
  close(tracked[1]);
  close(held[1]);
  read_ids(tracked[0], all);
  read_ids(held[0], spooled);
  check(all->count == 6 * EVENTS, "three processes track %d events each; found %zu in all", 2 * EVENTS, all->count);
  if (reseeds) {
    check(distinct(all) == all->count, "all event ids differ; %zu of %zu do", distinct(all), all->count);
    check(spooled->count == all->count && distinct(spooled) == all->count, "each event is held by one process; %zu of %zu are, %zu differ", spooled->count,
          all->count, distinct(spooled));
    check(memcmp(all->all, spooled->all, sizeof all->all) == 0, "none is lost");
  } else {
    check(distinct(all) < all->count, "without reseed ids meet: this proof can fail");
  }
  evenhand_session_free(session);
  free(all);
  free(spooled);
}

static void spools(void) {
  int out[2];
  struct ids *ids = calloc(1, sizeof *ids);
  check(ids != NULL && pipe(out) == 0, "there is memory, and a pipe");
  EvenhandSession *first = new_session(), *second = new_session();
  EvenhandBytes *spool = NULL;
  uint8_t fresh[16];
  size_t restored = 0;
  track(first, out[1], EVENTS);
  must(evenhand_session_spool(first, &spool), "evenhand_session_spool");
  EvenhandText view = evenhand_bytes_view(spool);
  entropy(fresh);
  must(evenhand_session_restore(second, view.data, view.len, fresh, NOW, &restored), "evenhand_session_restore");
  check(restored == EVENTS, "%d events come back; found %zu", EVENTS, restored);
  track(first, out[1], EVENTS);
  track(second, out[1], EVENTS);
  close(out[1]);
  read_ids(out[0], ids);
  check(ids->count == 3 * EVENTS && distinct(ids) == ids->count, "all ids differ after a restore; %zu of %zu do", distinct(ids), ids->count);
  evenhand_bytes_free(spool);
  evenhand_session_free(first);
  evenhand_session_free(second);
  free(ids);
}

int main(int count, char **arguments) {
  check(count == 4, "the arguments are MANIFEST_DIRECTORY DECISIONS UPDATES");
  panic(arguments[1]);
  forks(true);
  forks(false);
  puts("  c: event ids differ across nested forks, and each event has one owner");
  spools();
  puts("  c: event ids differ after a spool was taken back");
  memory(arguments[1], (unsigned)atoi(arguments[2]), (unsigned)atoi(arguments[3]));
  return 0;
}
