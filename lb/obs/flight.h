/* flight.h - the flight recorder: of one worker the slowest requests and sessions of the last
 * minutes, and the last ones that failed, with their phases.
 *
 * Owned and written by the worker, at the end of an exchange or session: flight_wants() is two
 * comparisons, and only what qualifies is described and copied. Read by the worker itself, for
 * copies that travel; after a crash by whoever was there (flight_raw()). */
#ifndef SLUICE_OBS_FLIGHT_H
#define SLUICE_OBS_FLIGHT_H

#include "lb/base/limits.h"
#include "lb/obs/access_log.h"

#include <stdbool.h>
#include <stdint.h>

#define FLIGHT_SLOW      64 /* of one worker, within the window */
#define FLIGHT_FAILED    64 /* of one worker, the last ones */
#define FLIGHT_WINDOW_US (5 * 60 * (uint64_t)1000000)
#define FLIGHT_MAX       (FLIGHT_SLOW + FLIGHT_FAILED)

struct flight_record {
    uint64_t id;       /* of the session */
    uint32_t sequence; /* of the request in it, 0: mode tcp */
    uint32_t worker;
    bool failed;      /* in the list of those (in a copy), or worth to be in it */
    uint64_t wall_us; /* of its end */
    uint64_t end_us;  /* the same by the loop's clock */
    uint64_t slow_us; /* how slow it was: the total, of tunnels the time to a backend */
    enum session_end end;
    uint16_t status;                        /* 0: none was sent, or mode tcp */
    int64_t queue_us, connect_us, first_us; /* -1: not reached; first: the response's head */
    uint64_t total_us, bytes_in, bytes_out;
    uint32_t retries;
    char client[64], listener[LIMIT_NAME_LEN + 1], route[LIMIT_NAME_LEN + 1],
        pool[LIMIT_NAME_LEN + 1], backend[LIMIT_NAME_LEN + 1];
    char method[16], target[160]; /* as the client sent them, cut */
    char why[64];                 /* a reason's code, or what was seen; empty: nothing */
};

struct flight {
    uint64_t slow_us;  /* who is slower than this gets in */
    uint64_t stale_us; /* at this time the oldest of the slow ones leaves the window */
    uint32_t n_slow, n_failed, next_failed;
    struct flight_record slow[FLIGHT_SLOW], failed[FLIGHT_FAILED];
};

/* About 100 KiB. Lack of memory ends the process. */
struct flight *flight_new(void);
void flight_free(struct flight **f);

static inline bool flight_wants(const struct flight *f, bool failed, uint64_t slow_us,
                                uint64_t now_us)
{
    return failed || slow_us > f->slow_us || now_us >= f->stale_us;
}
/* Copies what qualifies: into the slow ones, where r->failed into the failed ones too. */
void flight_add(struct flight *f, const struct flight_record *r);
/* Copies both lists, at most FLIGHT_MAX records; of the slow ones those of the window. */
uint32_t flight_copy(const struct flight *f, uint64_t now_us, struct flight_record *out);
/* The i-th record of both, where it lies; NULL: there is none. For a crash: the worker may be
 * writing it, but its texts always end. */
const struct flight_record *flight_raw(const struct flight *f, uint32_t i);

/* Whether an end is a failure: not what sluice answered or refused by its rules, nor a client that
 * has sent nothing. */
bool flight_is_failure(enum session_end end, uint16_t status);
/* Copies a text of any length, cut, control bytes and what is no ASCII as '?'. */
void flight_set_text(char *out, size_t size, struct str text);

/* Appends one line without a newline, or an object. */
void flight_text(const struct flight_record *r, struct strbuf *out);
void flight_json(const struct flight_record *r, struct strbuf *out);

#endif
