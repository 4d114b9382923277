/* h2_guard.h - what a client of HTTP/2 may do for nothing: frames that cost us work and it none are
 * counted per connection, before nghttp2 sees them, so that the library's version does not matter.
 *
 * Each kind has a budget that fills up with time, and by useful work of the same connection where
 * honest clients send more of it then. All limits stand at the top of h2_guard.c. Pure: the caller
 * says what time it is. */
#ifndef SLUICE_HTTP_H2_GUARD_H
#define SLUICE_HTTP_H2_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum h2_abuse {
    H2_RESETS,     /* streams that were reset: by the client, or by what it made us do */
    H2_SETTINGS,   /* ... and GOAWAY */
    H2_PINGS,      /* ... and their answers */
    H2_PRIORITY,   /* in frames of either kind */
    H2_WINDOWS,    /* WINDOW_UPDATE */
    H2_EMPTY,      /* DATA without payload, frames of unknown kinds */
    H2_TINY,       /* windows that let out a few bytes at a time */
    H2_BAD_HEADS,  /* requests that were refused before they went anywhere */
    H2_LATE_HEADS, /* on streams that were opened before: trailers, or on closed ones */
    H2_BUDGETS,
    /* These have no budget: at once. */
    H2_CONTINUATIONS = H2_BUDGETS, /* a head in too many or too large pieces */
    H2_HEAD_BOMB,                  /* a head that unpacks to many times its limit */
    H2_BROKEN_RULE,                /* of RFC 9113, that nghttp2 does not look at */
    H2_ABUSES,
    H2_FINE = H2_ABUSES,
};
const char *h2_abuse_code(enum h2_abuse a); /* "h2-rapid-reset": for logs and counters */

struct h2_guard {
    uint64_t now_ms, filled_ms;
    int32_t left[H2_BUDGETS];
    uint32_t skip; /* payload of the present frame that is still to come */
    uint32_t block_bytes;
    uint32_t last_stream;  /* the highest that had a head */
    uint32_t left_out;     /* the streams from here to last_stream never had one */
    uint16_t block_frames; /* of the present head; 0: none is under way */
    uint8_t have;          /* bytes of a frame's head in `head` */
    uint8_t abuse;         /* enum h2_abuse: the first that went over */
    bool of_backend;       /* heads come on streams that we have opened, some more than once */
    uint8_t head[9];
};

/* What comes next is HTTP/2's preface, then frames. */
void h2_guard_init(struct h2_guard *g, uint64_t now_ms);
/* The next bytes of the connection. H2_FINE, or what it has overdone (from then on always). */
enum h2_abuse h2_guard_scan(struct h2_guard *g, const uint8_t *data, size_t len, uint64_t now_ms);
/* Something that only the caller sees. */
enum h2_abuse h2_guard_spend(struct h2_guard *g, enum h2_abuse kind);
/* It goes over the budget at once. */
void h2_guard_trip(struct h2_guard *g, enum h2_abuse kind);
void h2_guard_sent_data(struct h2_guard *g, size_t n); /* a frame with so much payload went out */
void h2_guard_reset_was_due(struct h2_guard *g);       /* of a request whose answer had begun */
void h2_guard_request_done(struct h2_guard *g);        /* one was answered to its end */
/* Decoded bytes of one head that are looked at, for a limit of that many. */
uint32_t h2_guard_head_max(uint32_t limit);

#endif
