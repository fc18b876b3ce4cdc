/* Decides for a few users and tracks a purchase: EVENHAND_URL=… EVENHAND_KEY=… shop [USER…] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"

#define TEXT(literal) ((EvenhandText){(const uint8_t *)(literal), sizeof(literal) - 1})

static void log_to_stderr(EvenhandDiagnosticLevel level, EvenhandText code, EvenhandText message) {
  if (level == EVENHAND_DIAGNOSTIC_LEVEL_INFO) return;
  fprintf(stderr, "%.*s: %.*s\n", (int)code.len, (const char *)code.data, (int)message.len, (const char *)message.data);
}

static void serve(Host *host, const char *user_id) {
  EvenhandContext *user = NULL;
  EvenhandDecision decision;
  if (evenhand_context_new(&user) != EVENHAND_STATUS_OK) return;
  evenhand_context_set_text(user, (const uint8_t *)"user_id", 7, (const uint8_t *)user_id, strlen(user_id));
  evenhand_context_set_text(user, (const uint8_t *)"country", 7, (const uint8_t *)"NZ", 2);
  if (evenhand_evaluate_key(host_snapshot(host), (const uint8_t *)"checkout", 8, EVENHAND_VALUE_TYPE_STRING, user, host_now_ms(), &decision) ==
      EVENHAND_STATUS_OK) {
    /* No value: the program's own default. */
    EvenhandText layout = decision.value_type == EVENHAND_VALUE_TYPE_STRING ? decision.value_text : TEXT("plain");
    EvenhandText reason = evenhand_reason_name((int32_t)decision.reason);
    printf("%s: %.*s (%.*s)\n", user_id, (int)layout.len, (const char *)layout.data, (int)reason.len, (const char *)reason.data);
    if (evenhand_has_exposures(decision.packed))
      evenhand_session_expose(host_session(host), host_snapshot(host), decision.flag_index, decision.packed, user, host_now_ms(), NULL);
  }
  EvenhandTrack purchase = {.name = TEXT("purchase"), .value = TEXT("9.99")};
  EvenhandError *error = NULL;
  if (evenhand_session_track(host_session(host), &purchase, user, host_now_ms(), NULL, &error) != EVENHAND_STATUS_OK) {
    EvenhandText why = evenhand_error_message(error);
    fprintf(stderr, "the purchase is not counted: %.*s\n", (int)why.len, (const char *)why.data);
    evenhand_error_free(error);
  }
  evenhand_context_free(user);
}

int main(int count, char **arguments) {
  HostSettings settings = {.url = getenv("EVENHAND_URL"), .key = getenv("EVENHAND_KEY"), .log = log_to_stderr};
  Host *host = host_new(&settings);
  if (host == NULL) return 2;
  host_ready(host, 5000);
  for (int at = 1; at < count; at++) {
    serve(host, arguments[at]);
    host_turn(host, 0, -1);
  }
  return host_close(host, 5000) ? 0 : 1;
}
