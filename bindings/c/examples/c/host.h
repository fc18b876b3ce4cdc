/* The host of an evenhand session in one thread: whatever the session asks for, done over libcurl whenever the program calls `host_turn`.
 * Copy it, or take it as it is. One process uses a spool path at a time. */
#ifndef HOST_H
#define HOST_H

#include <evenhand.h>
#include <stdbool.h>

typedef struct Host Host;

typedef struct HostSettings {
  const char *url;                /* the server's address, such as https://flags.example.com */
  const char *key;                /* the environment's server key, or client key */
  const char *spool;              /* the path of a file that keeps manifest and undelivered events for the next start, or NULL */
  const EvenhandOptions *options; /* or NULL. Switch `stream` on to hear of changes by push (server keys) */
  /* Where the session tells what happens to it, or NULL. */
  void (*log)(EvenhandDiagnosticLevel level, EvenhandText code, EvenhandText message);
  long timeout_ms; /* what a request may take; 0 for 10,000 */
} HostSettings;

/* Never waits for the network. NULL when it can't begin; why stands on stderr. */
Host *host_new(const HostSettings *settings);
/* For evenhand_session_expose, …_track and the like. */
EvenhandSession *host_session(Host *host);
/* The manifest in use, until the next call of any of these functions; NULL when there is none yet: decisions are NO_MANIFEST then. */
const EvenhandSnapshot *host_snapshot(Host *host);
/* Does what is due, and waits at most `wait_ms` for more, or until `fd` can be read, where it is not -1. False when the session is done. */
bool host_turn(Host *host, int wait_ms, int fd);
/* Turns until there is a manifest; false when it did not come in time. */
bool host_ready(Host *host, int timeout_ms);
/* Sends what is queued; false when the server did not take it in time. */
bool host_flush(Host *host, int timeout_ms);
/* Sends what is queued, writes the spool, and frees the host. Whether nothing was left over. */
bool host_close(Host *host, int timeout_ms);

/* Milliseconds since 1970, as all calls of the library want them. */
int64_t host_now_ms(void);
/* The system's randomness. False when there is none. */
bool host_entropy(uint8_t entropy[16]);
/* A file's bytes, to be freed with `free`; NULL when there is no such file, or it can't be read. */
uint8_t *host_read_file(const char *path, size_t *len);

#endif
