/* events.h - what has happened in this process: the last EVENTS_KEPT events, each numbered.
 *
 * One set for the process, as the log is. Written from any thread, at a low rate: what traffic
 * causes is coalesced by who notes it, so never one event per connection or request. Readers keep
 * the number of the last event that they have seen and ask for those behind it; one that is too
 * slow sees a gap in the numbers. Nothing here allocates or waits but for a short lock. */
#ifndef SLUICE_OBS_EVENTS_H
#define SLUICE_OBS_EVENTS_H

#include "lb/base/limits.h"
#include "lb/base/log.h"

#include <stdint.h>

struct strbuf;

#define EVENTS_KEPT      1000
#define EVENT_OBJECT_MAX (2 * LIMIT_NAME_LEN + 1) /* bytes: "pool/backend" */
#define EVENT_TEXT_MAX   320                      /* bytes; longer texts are cut */

enum event_kind {
    EVENT_HEALTH,      /* a backend went up or down; the text has reason and observed value */
    EVENT_EJECTION,    /* by its requests: ejected, returned, spared */
    EVENT_CHANGE,      /* somebody changed something at run time: who, what, from what to what */
    EVENT_RELOAD,      /* of the configuration: done, or refused and why */
    EVENT_CERTIFICATE, /* read again, refused, expiring */
    EVENT_ADDRESS,     /* a backend's name has another address, or none */
    EVENT_LIFE,        /* of the process: start, ready, phases of the drain, end */
    EVENT_REFUSED,     /* clients were refused: what, why, how many */
    EVENT_LIMIT,       /* a limit is reached: descriptors, memory, connections */
    EVENT_WORKER,      /* a thread does not answer, or does again */
    EVENT_KINDS
};

struct event {
    uint64_t serial;  /* from 1, without gaps */
    uint64_t wall_us; /* since 1970 */
    enum event_kind kind;
    enum log_level severity;
    char object[EVENT_OBJECT_MAX + 1]; /* "app/a", "web"; empty: the process */
    char text[EVENT_TEXT_MAX + 1];     /* one line, control bytes escaped; names its object */
};

/* Notes an event. object: NULL or "" for the process as a whole. */
void events_add(enum event_kind kind, enum log_level severity, const char *object, const char *fmt,
                ...) PRINTF_LIKE(4, 5);
/* The same, and a line of the process log with that text. */
void events_log(enum event_kind kind, enum log_level severity, const char *object, const char *fmt,
                ...) PRINTF_LIKE(4, 5);
/* events_log() for a backend: the object is "pool/backend". */
void events_log_backend(enum event_kind kind, enum log_level severity, const char *pool,
                        const char *backend, const char *fmt, ...) PRINTF_LIKE(5, 6);

/* The number of the newest event, 0: there is none. */
uint64_t events_last(void);
/* Copies the oldest kept events behind number `after`, at most max. out[0].serial > after + 1 tells
 * that some in between are gone. Returns how many. */
uint32_t events_read(uint64_t after, struct event *out, uint32_t max);
/* The event of this number without taking the lock, for who must not wait (a crash): false where it
 * is gone or being written. */
bool events_peek(uint64_t serial, struct event *out);

const char *event_kind_name(enum event_kind kind);        /* "health" */
const char *event_severity_name(enum log_level severity); /* "warn" */
/* Appends `SERIAL TIME SEVERITY KIND OBJECT TEXT` without a newline; no object is "-". */
void event_text(const struct event *e, struct strbuf *out);
/* Appends an object: serial, time_us, time (ISO 8601), severity, kind, object, text. */
void event_json(const struct event *e, struct strbuf *out);

#endif
