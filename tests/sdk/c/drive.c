/* A program that end_to_end.py talks to: one command a line on stdin, one answer a line on stdout. It is the single-threaded host.
 *   drive_c URL KEY [NAME=VALUE…]     spool=PATH stream=0 or a number of the session */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "host.h"

static EvenhandText text(const char *terminated) { return (EvenhandText){(const uint8_t *)terminated, strlen(terminated)}; }

static void log_to_stderr(EvenhandDiagnosticLevel level, EvenhandText code, EvenhandText message) {
  (void)level;
  fprintf(stderr, "%.*s: %.*s\n", (int)code.len, (const char *)code.data, (int)message.len, (const char *)message.data);
}

static void must(EvenhandStatus status, const char *what) {
  if (status == EVENHAND_STATUS_OK) return;
  fprintf(stderr, "%s: status %d\n", what, (int)status);
  exit(1);
}

static EvenhandContext *context_of(const char *user) {
  EvenhandContext *context = NULL;
  must(evenhand_context_new(&context), "evenhand_context_new");
  if (strcmp(user, "-") != 0) must(evenhand_context_set_text(context, (const uint8_t *)"user_id", 7, (const uint8_t *)user, strlen(user)), "evenhand_context_set_text");
  return context;
}

static void decide(Host *host, const char *user, bool expose) {
  EvenhandContext *context = context_of(user);
  EvenhandDecision decision;
  must(evenhand_evaluate_key(host_snapshot(host), (const uint8_t *)"checkout", 8, EVENHAND_VALUE_TYPE_NONE, context, host_now_ms(), &decision), "evenhand_evaluate_key");
  evenhand_session_count_evaluations(host_session(host), 1);
  if (expose && evenhand_has_exposures(decision.packed))
    must(evenhand_session_expose(host_session(host), host_snapshot(host), decision.flag_index, decision.packed, context, host_now_ms(), NULL), "evenhand_session_expose");
  EvenhandText value = decision.value_type == EVENHAND_VALUE_TYPE_STRING ? decision.value_text : text("mine");
  EvenhandText reason = evenhand_reason_name((int32_t)decision.reason);
  const char *quote = decision.variation.data == NULL ? "" : "\"";
  EvenhandText variation = decision.variation.data == NULL ? text("null") : decision.variation;
  printf("{\"variation\":%s%.*s%s,\"value\":\"%.*s\",\"reason\":\"%.*s\"}\n", quote, (int)variation.len, (const char *)variation.data, quote,
         (int)value.len, (const char *)value.data, (int)reason.len, (const char *)reason.data);
  evenhand_context_free(context);
}

static void track(Host *host, const char *user, const char *name, const char *value) {
  EvenhandContext *context = context_of(user);
  EvenhandTrack event = {.name = text(name)};
  if (value != NULL) event.value = text(value);
  EvenhandBytes *id = NULL;
  EvenhandError *error = NULL;
  if (evenhand_session_track(host_session(host), &event, context, host_now_ms(), &id, &error) == EVENHAND_STATUS_OK) {
    EvenhandText view = evenhand_bytes_view(id);
    printf("\"%.*s\"\n", (int)view.len, (const char *)view.data);
  } else {
    EvenhandText why = evenhand_error_message(error);
    fprintf(stderr, "%.*s\n", (int)why.len, (const char *)why.data);
    puts("null");
  }
  evenhand_bytes_free(id);
  evenhand_error_free(error);
  evenhand_context_free(context);
}

static void print_counts(const char *name, const EvenhandEventCounts *kind) {
  printf("\"%s\":{\"queued\":%llu,\"restored\":%llu,\"sent\":%llu},", name, (unsigned long long)kind->queued, (unsigned long long)kind->restored,
         (unsigned long long)kind->sent);
}

static void telemetry(Host *host) {
  EvenhandTelemetry told;
  must(evenhand_session_telemetry(host_session(host), host_now_ms(), &told), "evenhand_session_telemetry");
  putchar('{');
  print_counts("exposures", &told.exposures);
  print_counts("events", &told.events);
  printf("\"held\":%llu,\"evaluations\":%llu,\"confirmations\":%llu,\"fetches\":%llu,\"snapshots\":%llu,\"streaming\":%s}\n",
         (unsigned long long)told.held_events, (unsigned long long)told.evaluations, (unsigned long long)told.manifest_confirmations,
         (unsigned long long)told.manifest_fetches, (unsigned long long)told.snapshots, told.streaming ? "true" : "false");
}

/* False when the host was closed. */
static bool answer(Host *host, char *line) {
  const char *words[4] = {NULL};
  size_t count = 0;
  for (char *word = strtok(line, " \n"); word != NULL && count < 4; word = strtok(NULL, " \n")) words[count++] = word;
  int wait = words[1] != NULL ? atoi(words[1]) : 0;
  if (count == 0) puts("\"what?\"");
  else if (strcmp(words[0], "decide") == 0) decide(host, words[1], true);
  else if (strcmp(words[0], "evaluate") == 0) decide(host, words[1], false);
  else if (strcmp(words[0], "track") == 0) track(host, words[1], words[2], words[3]);
  else if (strcmp(words[0], "telemetry") == 0) telemetry(host);
  else if (strcmp(words[0], "ready") == 0) puts(host_ready(host, wait) ? "true" : "false");
  else if (strcmp(words[0], "flush") == 0) puts(host_flush(host, wait) ? "true" : "false");
  else if (strcmp(words[0], "close") == 0) {
    puts(host_close(host, wait) ? "true" : "false");
    return false;
  } else puts("\"what?\"");
  return true;
}

int main(int count, char **arguments) {
  if (count < 3) return 2;
  EvenhandOptions *options = NULL;
  must(evenhand_options_new(&options), "evenhand_options_new");
  HostSettings settings = {.url = arguments[1], .key = arguments[2], .options = options, .log = log_to_stderr};
  bool stream = true;
  for (int at = 3; at < count; at++) {
    char *value = strchr(arguments[at], '=');
    if (value == NULL) return 2;
    size_t name_len = (size_t)(value++ - arguments[at]);
    if (strncmp(arguments[at], "spool=", 6) == 0) settings.spool = value;
    else if (strncmp(arguments[at], "stream=", 7) == 0) stream = strcmp(value, "0") != 0;
    else must(evenhand_options_set_number(options, (const uint8_t *)arguments[at], name_len, strtoull(value, NULL, 10), NULL), arguments[at]);
  }
  must(evenhand_options_set_switch(options, (const uint8_t *)"stream", 6, stream, NULL), "stream");
  must(evenhand_options_set_text(options, (const uint8_t *)"sdk", 3, (const uint8_t *)"evenhand-c/0.1.0", 16, NULL), "sdk");
  struct timespec began, ended;
  timespec_get(&began, TIME_UTC);
  Host *host = host_new(&settings);
  timespec_get(&ended, TIME_UTC);
  evenhand_options_free(options);
  if (host == NULL) return 1;
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("{\"constructed_us\":%lld}\n", (long long)((ended.tv_sec - began.tv_sec) * 1000000 + (ended.tv_nsec - began.tv_nsec) / 1000));
  /* Lines by hand: a buffered reader would hide one from poll. */
  char line[512];
  size_t len = 0;
  for (bool open = true; open;) {
    host_turn(host, 1000, STDIN_FILENO);
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    while (open && poll(&in, 1, 0) > 0) {
      if (read(STDIN_FILENO, &line[len], 1) != 1 || len + 2 > sizeof line) {
        host_close(host, 2000);
        return 0;
      }
      if (line[len++] != '\n') continue;
      line[len] = '\0';
      len = 0;
      open = answer(host, line);
    }
  }
  return 0;
}
