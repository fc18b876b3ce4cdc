#include "host.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* More than this is no answer of an Evenhand server. */
#define MAX_BODY ((size_t)256 * 1024 * 1024)
#define SPOOL_INTERVAL_MS 250
/* The session has one manifest, one list, one stream and one batch under way at most; a request that it has given up may still end. */
#define REQUESTS 8

struct bytes {
  uint8_t *data;
  size_t len;
};

struct request {
  CURL *easy; /* NULL: the place is free */
  struct curl_slist *headers;
  Host *owner;
  EvenhandActionKind kind;
  uint64_t ticket;
  struct bytes sent, body;
  char *etag, *retry_after;
  bool answered;
  int64_t idle_ms, heard_ms;
  char error[CURL_ERROR_SIZE];
};

struct Host {
  EvenhandSession *session;
  EvenhandSnapshot *snapshot;
  uint64_t snapshots;
  CURLM *multi;
  struct request requests[REQUESTS];
  char *url, *key, *spool;
  uint64_t spool_mark;
  int64_t spool_written_ms;
  long timeout_ms;
  bool done;
  void (*log)(EvenhandDiagnosticLevel, EvenhandText, EvenhandText);
};

int64_t host_now_ms(void) {
  struct timespec now;
  timespec_get(&now, TIME_UTC);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool host_entropy(uint8_t entropy[16]) {
  FILE *random = fopen("/dev/urandom", "rb");
  if (random == NULL) return false;
  size_t got = fread(entropy, 1, 16, random);
  fclose(random);
  return got == 16;
}

static EvenhandText text(const char *terminated) {
  EvenhandText none = {NULL, 0};
  if (terminated == NULL) return none;
  return (EvenhandText){(const uint8_t *)terminated, strlen(terminated)};
}

static void tell(Host *host, EvenhandDiagnosticLevel level, const char *code, const char *message) {
  if (host->log != NULL) host->log(level, text(code), text(message));
}

/* No memory is nothing a program of this size recovers from. */
static void *must(void *memory) {
  if (memory == NULL) abort();
  return memory;
}

static char *copy(const char *data, size_t len) {
  char *out = must(malloc(len + 1));
  memcpy(out, data, len);
  out[len] = '\0';
  return out;
}

static bool append(struct bytes *bytes, const void *data, size_t len) {
  if (bytes->len + len > MAX_BODY) return false;
  if (len == 0) return true;
  bytes->data = must(realloc(bytes->data, bytes->len + len));
  memcpy(bytes->data + bytes->len, data, len);
  bytes->len += len;
  return true;
}

/* ---- files ---- */

uint8_t *host_read_file(const char *path, size_t *len) {
  struct bytes bytes = {must(malloc(1)), 0};
  uint8_t piece[16384];
  size_t got;
  FILE *in = fopen(path, "rb");
  bool read = in != NULL;
  while (read && (got = fread(piece, 1, sizeof piece, in)) > 0) read = append(&bytes, piece, got);
  if (in != NULL) {
    read = read && !ferror(in);
    fclose(in);
  }
  if (!read) {
    free(bytes.data);
    return NULL;
  }
  *len = bytes.len;
  return bytes.data;
}

/* Replaces the file as a whole: a process killed meanwhile leaves the old one. */
static void write_spool(Host *host) {
  EvenhandBytes *spool = NULL;
  size_t path_len = strlen(host->spool);
  char *fresh = must(malloc(path_len + 5));
  memcpy(fresh, host->spool, path_len);
  memcpy(fresh + path_len, ".new", 5);
  bool written = false;
  if (evenhand_session_spool(host->session, &spool) == EVENHAND_STATUS_OK) {
    EvenhandText view = evenhand_bytes_view(spool);
    /* It holds unit ids: nobody else's to read. One left by a killed process may have another mode. */
    remove(fresh);
    int file = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *out = file < 0 ? NULL : fdopen(file, "wb");
    if (out != NULL) {
      written = fwrite(view.data, 1, view.len, out) == view.len;
      written = fclose(out) == 0 && written && rename(fresh, host->spool) == 0;
    }
  }
  if (!written) tell(host, EVENHAND_DIAGNOSTIC_LEVEL_ERROR, "spool_failed", strerror(errno));
  evenhand_bytes_free(spool);
  free(fresh);
}

/* Grows whenever the spool becomes another. */
static uint64_t mark_of(Host *host) {
  EvenhandTelemetry now;
  if (evenhand_session_telemetry(host->session, host_now_ms(), &now) != EVENHAND_STATUS_OK) return 0;
  const EvenhandEventCounts *kinds[2] = {&now.exposures, &now.events};
  uint64_t mark = now.snapshots;
  for (int at = 0; at < 2; at++)
    mark += kinds[at]->queued + kinds[at]->restored + kinds[at]->sent + kinds[at]->rejected + kinds[at]->refused + kinds[at]->dropped;
  return mark;
}

/* How long until the spool has to be written again, having done so if need be. */
static int64_t keep_spool(Host *host) {
  if (host->spool == NULL) return INT64_MAX;
  uint64_t mark = mark_of(host);
  if (mark == host->spool_mark) return INT64_MAX;
  int64_t due = host->spool_written_ms + SPOOL_INTERVAL_MS - host_now_ms();
  if (due > 0 && due <= SPOOL_INTERVAL_MS) return due;
  write_spool(host);
  host->spool_mark = mark;
  host->spool_written_ms = host_now_ms();
  return INT64_MAX;
}

/* ---- requests ---- */

static size_t on_body(char *data, size_t size, size_t count, void *user) {
  struct request *request = user;
  size_t len = size * count;
  request->heard_ms = host_now_ms();
  if (request->kind == EVENHAND_ACTION_KIND_OPEN_STREAM) {
    evenhand_session_stream_bytes(request->owner->session, request->ticket, (const uint8_t *)data, len, request->heard_ms);
    return len;
  }
  return append(&request->body, data, len) ? len : 0;
}

static void take_header(char **into, const char *name, const char *line, size_t len) {
  size_t name_len = strlen(name);
  if (len <= name_len || line[name_len] != ':' || strncasecmp(line, name, name_len) != 0) return;
  line += name_len + 1;
  len -= name_len + 1;
  for (; len > 0 && (*line == ' ' || *line == '\t'); len--) line++;
  free(*into);
  *into = copy(line, len);
}

static size_t on_header(char *line, size_t size, size_t count, void *user) {
  struct request *request = user;
  size_t all = size * count, len = all;
  while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == '\n')) len--;
  take_header(&request->etag, "etag", line, len);
  take_header(&request->retry_after, "retry-after", line, len);
  long status = 0;
  curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
  if (len == 0 && status >= 200 && request->kind == EVENHAND_ACTION_KIND_OPEN_STREAM && !request->answered) {
    request->answered = true;
    request->heard_ms = host_now_ms();
    evenhand_session_stream_response(request->owner->session, request->ticket, (uint16_t)status, text(request->retry_after), request->heard_ms);
  }
  return all;
}

static void add_header(struct request *request, const char *name, EvenhandText value) {
  size_t name_len = strlen(name);
  char *line = must(malloc(name_len + value.len + 3));
  memcpy(line, name, name_len);
  memcpy(line + name_len, ": ", 2);
  memcpy(line + name_len + 2, value.data, value.len);
  line[name_len + 2 + value.len] = '\0';
  request->headers = must(curl_slist_append(request->headers, line));
  free(line);
}

static void release(struct request *request) {
  if (request->easy != NULL) {
    curl_multi_remove_handle(request->owner->multi, request->easy);
    curl_easy_cleanup(request->easy);
  }
  curl_slist_free_all(request->headers);
  free(request->sent.data);
  free(request->body.data);
  free(request->etag);
  free(request->retry_after);
  memset(request, 0, sizeof *request);
}

static void failed(Host *host, EvenhandActionKind kind, uint64_t ticket, bool answered, const char *why) {
  int64_t now = host_now_ms();
  if (kind == EVENHAND_ACTION_KIND_SEND_EVENTS) evenhand_session_batch_failed(host->session, ticket, text(why), now);
  else if (kind == EVENHAND_ACTION_KIND_OPEN_STREAM && answered) evenhand_session_stream_closed(host->session, ticket, now);
  else evenhand_session_fetch_failed(host->session, ticket, text(why), now);
}

static void start(Host *host, const EvenhandActionFields *asked) {
  struct request *request = NULL;
  for (int at = 0; at < REQUESTS && request == NULL; at++)
    if (host->requests[at].easy == NULL) request = &host->requests[at];
  if (request == NULL) {
    failed(host, asked->kind, asked->ticket, false, "too many requests are under way");
    return;
  }
  *request = (struct request){.easy = must(curl_easy_init()), .owner = host, .kind = asked->kind, .ticket = asked->ticket};
  request->heard_ms = host_now_ms();
  bool stream = asked->kind == EVENHAND_ACTION_KIND_OPEN_STREAM;
  const char *path = "/v1/events", *last = "";
  char *owned = NULL;
  if (asked->kind == EVENHAND_ACTION_KIND_FETCH_MANIFEST) {
    path = "/v1/manifest/";
    last = owned = must(curl_easy_escape(request->easy, host->key, 0));
    if (asked->text.data != NULL) add_header(request, "If-None-Match", asked->text);
  } else if (asked->kind == EVENHAND_ACTION_KIND_FETCH_LIST) {
    path = "/v1/lists/";
    last = owned = copy((const char *)asked->text.data, asked->text.len);
  } else if (stream) {
    path = "/v1/manifest/stream";
    request->idle_ms = asked->idle_timeout_ms;
    add_header(request, "Accept", text("text/event-stream"));
    if (asked->text.data != NULL) add_header(request, "Last-Event-ID", asked->text);
  } else {
    append(&request->sent, asked->body.data, asked->body.len);
    add_header(request, "Content-Type", asked->text);
    curl_easy_setopt(request->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->sent.len);
    curl_easy_setopt(request->easy, CURLOPT_POSTFIELDS, request->sent.data);
  }
  size_t room = strlen(host->url) + strlen(path) + strlen(last) + 1;
  char *url = must(malloc(room));
  snprintf(url, room, "%s%s%s", host->url, path, last);
  room = strlen(host->key) + 8;
  char *bearer = must(malloc(room));
  snprintf(bearer, room, "Bearer %s", host->key);
  add_header(request, "Authorization", text(bearer));
  request->headers = must(curl_slist_append(request->headers, "Expect:"));
  curl_easy_setopt(request->easy, CURLOPT_URL, url);
  curl_easy_setopt(request->easy, CURLOPT_HTTPHEADER, request->headers);
  curl_easy_setopt(request->easy, CURLOPT_USERAGENT, "evenhand-c/0.1.0");
  curl_easy_setopt(request->easy, CURLOPT_ACCEPT_ENCODING, "");
  curl_easy_setopt(request->easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(request->easy, CURLOPT_CONNECTTIMEOUT_MS, host->timeout_ms);
  /* A stream ends when it is silent, not after a time. */
  curl_easy_setopt(request->easy, CURLOPT_TIMEOUT_MS, stream ? 0L : host->timeout_ms);
  curl_easy_setopt(request->easy, CURLOPT_ERRORBUFFER, request->error);
  curl_easy_setopt(request->easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(request->easy, CURLOPT_WRITEDATA, request);
  curl_easy_setopt(request->easy, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(request->easy, CURLOPT_HEADERDATA, request);
  CURLMcode added = curl_multi_add_handle(host->multi, request->easy);
  curl_free(asked->kind == EVENHAND_ACTION_KIND_FETCH_MANIFEST ? owned : NULL);
  free(asked->kind == EVENHAND_ACTION_KIND_FETCH_MANIFEST ? NULL : owned);
  free(url);
  free(bearer);
  if (added != CURLM_OK) {
    failed(host, asked->kind, asked->ticket, false, curl_multi_strerror(added));
    release(request);
  }
}

static void finish(struct request *request, CURLcode result, const char *why) {
  Host *host = request->owner;
  long status = 0;
  curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
  int64_t now = host_now_ms();
  if (why == NULL && result != CURLE_OK) why = request->error[0] != '\0' ? request->error : curl_easy_strerror(result);
  if (why != NULL || request->kind == EVENHAND_ACTION_KIND_OPEN_STREAM) {
    failed(host, request->kind, request->ticket, request->answered, why != NULL ? why : "the connection was closed");
  } else if (request->kind == EVENHAND_ACTION_KIND_FETCH_MANIFEST) {
    evenhand_session_manifest_response(host->session, request->ticket, (uint16_t)status, text(request->etag), text(request->retry_after),
                                       request->body.data, request->body.len, now);
  } else if (request->kind == EVENHAND_ACTION_KIND_FETCH_LIST) {
    evenhand_session_list_response(host->session, request->ticket, (uint16_t)status, text(request->retry_after), request->body.data,
                                   request->body.len, now);
  } else {
    evenhand_session_batch_response(host->session, request->ticket, (uint16_t)status, text(request->retry_after), request->body.data,
                                    request->body.len, now);
  }
  release(request);
}

/* ---- the loop ---- */

static void look(Host *host) {
  uint64_t snapshots = evenhand_session_snapshots(host->session);
  if (snapshots != host->snapshots) {
    EvenhandSnapshot *fresh = NULL;
    if (evenhand_session_snapshot(host->session, &fresh) == EVENHAND_STATUS_OK) {
      evenhand_snapshot_free(host->snapshot);
      host->snapshot = fresh;
    }
    host->snapshots = snapshots;
  }
  EvenhandDiagnostics *diagnostics = NULL;
  EvenhandDiagnosticFields one;
  if (evenhand_session_take_diagnostics(host->session, &diagnostics) != EVENHAND_STATUS_OK) return;
  for (size_t at = 0; host->log != NULL && evenhand_diagnostics_read(diagnostics, at, &one) == EVENHAND_STATUS_OK; at++)
    host->log(one.level, one.code, one.message);
  evenhand_diagnostics_free(diagnostics);
}

/* Begins all that is due; how long until more is. */
static int64_t begin(Host *host) {
  for (;;) {
    EvenhandAction *action = NULL;
    EvenhandActionFields asked;
    if (evenhand_session_next(host->session, host_now_ms(), &action) != EVENHAND_STATUS_OK) return 1000;
    if (evenhand_action_read(action, &asked) != EVENHAND_STATUS_OK) asked.kind = EVENHAND_ACTION_KIND_DONE;
    bool waits = asked.kind == EVENHAND_ACTION_KIND_WAIT || asked.kind == EVENHAND_ACTION_KIND_DONE;
    host->done = asked.kind == EVENHAND_ACTION_KIND_DONE;
    if (!waits) start(host, &asked);
    evenhand_action_free(action);
    if (waits) return host->done ? 0 : asked.until_ms - host_now_ms();
  }
}

bool host_turn(Host *host, int wait_ms, int fd) {
  int64_t wait = begin(host), spool = keep_spool(host);
  if (wait > wait_ms) wait = wait_ms;
  if (wait > spool) wait = spool;
  for (int at = 0; at < REQUESTS; at++) {
    struct request *request = &host->requests[at];
    if (request->easy == NULL || request->idle_ms == 0) continue;
    int64_t left = request->heard_ms + request->idle_ms - host_now_ms();
    if (left <= 0) finish(request, CURLE_OK, "nothing came for too long");
    else if (left < wait) wait = left;
  }
  struct curl_waitfd also = {.fd = fd, .events = CURL_WAIT_POLLIN};
  int running = 0, left = 0;
  curl_multi_poll(host->multi, &also, fd >= 0 ? 1 : 0, wait > 0 ? (int)wait : 0, NULL);
  curl_multi_perform(host->multi, &running);
  CURLMsg *message;
  while ((message = curl_multi_info_read(host->multi, &left)) != NULL) {
    for (int at = 0; at < REQUESTS; at++) {
      if (message->msg != CURLMSG_DONE || host->requests[at].easy != message->easy_handle) continue;
      finish(&host->requests[at], message->data.result, NULL);
      break;
    }
  }
  begin(host);
  keep_spool(host);
  look(host);
  return !host->done;
}

Host *host_new(const HostSettings *settings) {
  uint8_t entropy[16];
  if (settings->url == NULL || settings->key == NULL || settings->key[0] == '\0') {
    fputs("host_new: `url` and `key` are needed: the server's address, and the environment's server key\n", stderr);
    return NULL;
  }
  if (!host_entropy(entropy) || curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
    fputs("host_new: /dev/urandom can't be read, or libcurl not be initialised\n", stderr);
    return NULL;
  }
  Host *made = must(calloc(1, sizeof *made));
  made->multi = must(curl_multi_init());
  made->log = settings->log;
  made->timeout_ms = settings->timeout_ms > 0 ? settings->timeout_ms : 10000;
  size_t url_len = strlen(settings->url);
  while (url_len > 0 && settings->url[url_len - 1] == '/') url_len--;
  made->url = copy(settings->url, url_len);
  made->key = copy(settings->key, strlen(settings->key));
  if (evenhand_session_new(settings->options, entropy, host_now_ms(), &made->session) != EVENHAND_STATUS_OK) {
    fputs("host_new: evenhand_session_new failed\n", stderr);
    host_close(made, 0);
    return NULL;
  }
  if (settings->spool != NULL) {
    made->spool = copy(settings->spool, strlen(settings->spool));
    size_t len = 0;
    uint8_t *found = host_read_file(settings->spool, &len);
    if (found != NULL && host_entropy(entropy)) evenhand_session_restore(made->session, found, len, entropy, host_now_ms(), NULL);
    free(found);
  }
  look(made);
  return made;
}

EvenhandSession *host_session(Host *host) { return host->session; }
const EvenhandSnapshot *host_snapshot(Host *host) { return host->snapshot; }

bool host_ready(Host *host, int timeout_ms) {
  int64_t end = host_now_ms() + timeout_ms;
  while (host->snapshot == NULL && host_now_ms() < end && host_turn(host, (int)(end - host_now_ms()), -1)) {
  }
  return host->snapshot != NULL;
}

bool host_flush(Host *host, int timeout_ms) {
  uint64_t mark = 0;
  int64_t end = host_now_ms() + timeout_ms;
  if (evenhand_session_flush(host->session, host_now_ms(), &mark) != EVENHAND_STATUS_OK) return false;
  while (!evenhand_session_is_flushed(host->session, mark) && host_now_ms() < end && host_turn(host, (int)(end - host_now_ms()), -1)) {
  }
  return evenhand_session_is_flushed(host->session, mark);
}

bool host_close(Host *host, int timeout_ms) {
  EvenhandTelemetry last = {0};
  if (host->session != NULL) {
    int64_t now = host_now_ms(), end = now + timeout_ms;
    evenhand_session_shutdown(host->session, now, end);
    while (host_turn(host, timeout_ms, -1) && host_now_ms() <= end + 500) {
    }
    if (host->spool != NULL) write_spool(host);
    evenhand_session_telemetry(host->session, host_now_ms(), &last);
  }
  for (int at = 0; at < REQUESTS; at++) release(&host->requests[at]);
  curl_multi_cleanup(host->multi);
  evenhand_snapshot_free(host->snapshot);
  evenhand_session_free(host->session);
  free(host->url);
  free(host->key);
  free(host->spool);
  free(host);
  return last.held_events == 0;
}
