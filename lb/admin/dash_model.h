/* dash_model.h - what the dashboard shows beside plain counters: rates, shares of errors and
 * latencies over the last minutes, and how the health of each backend went over the last hour.
 *
 * Kept always, so that who opens the page at three in the morning sees what led there; bounded by
 * the numbers below. Objects are known by the stats socket's ids, which are never reused, so no
 * pointer is kept from one tick to the next and a reload needs no word to it. Control thread. */
#ifndef SLUICE_ADMIN_DASH_MODEL_H
#define SLUICE_ADMIN_DASH_MODEL_H

#include "lb/base/limits.h"

#include <stdbool.h>
#include <stdint.h>

struct admin_ops;

#define DASH_STEP_MS      2000 /* between points */
#define DASH_POINTS       150  /* kept of each object: 5 minutes, 2.4 KB */
#define DASH_STRIP        60   /* pieces of a backend's health, each as bad as its worst moment */
#define DASH_STRIP_S      60
#define DASH_BACKENDS_MAX 2000 /* those behind them are not shown */
#define DASH_QUANTILES_MAX                                                                         \
    4096 /* rows of workers' histograms read in a step: 3.5 KB of base each */

struct dash_point {
    uint32_t rate;           /* tenths per second: requests, tcp: sessions, udp: flows */
    uint32_t errors;         /* of 10,000 that ended */
    uint32_t p50_us, p99_us; /* 0: none ended */
};

/* Sums, at one moment. */
struct dash_sums {
    uint64_t begun, ended, failed, bytes_in, bytes_out;
};

struct dash_track {
    uint64_t born; /* step */
    struct dash_sums last;
    uint32_t *base; /* buckets of the histogram at the last step; NULL: all zero */
    uint64_t base_n;
    uint32_t in_rate, out_rate; /* bytes per second */
    struct dash_point points[DASH_POINTS];
};

/* What a backend is, from best to worst. */
enum dash_class {
    DASH_NO_CHECK,
    DASH_UP,
    DASH_UNKNOWN, /* no verdict yet */
    DASH_FAILING, /* up, with failed checks */
    DASH_DRAIN,
    DASH_MAINT,
    DASH_RISING, /* down, with passed checks */
    DASH_EJECTED,
    DASH_UNRESOLVED,
    DASH_DOWN,
    DASH_CLASSES
};
const char *dash_class_name(enum dash_class c); /* "up" */

enum dash_kind { DASH_ALL, DASH_LISTENER, DASH_POOL, DASH_BACKEND };

struct dash_object {
    enum dash_kind kind;
    uint32_t iid, sid; /* sid: of a backend, else 0 */
    uint32_t at, sub;  /* index among ops' listeners or pools; among the pool's members */
    uint64_t sent;     /* hash of what was told last */
    struct dash_track track;
    /* Of a backend. */
    enum dash_class state;
    uint64_t since_us;         /* wall clock: in this state, as far as is known; 0: not looked at */
    uint8_t strip[DASH_STRIP]; /* 1 + the worst class, by minute modulo DASH_STRIP; 0: none */
};

struct dash_worker {
    uint64_t busy_us, idle_us; /* at the last step */
    uint32_t busy_percent;
};

struct dash_model {
    const struct admin_ops *ops;
    /* All of them together; the listeners; each pool with its backends behind it. */
    struct dash_object *objects;
    uint32_t n_objects;
    uint32_t left_out;           /* backends */
    struct dash_worker *workers; /* n_workers */
    uint64_t steps;              /* made so far; the last point is at (steps - 1) % DASH_POINTS */
    uint64_t changes;            /* of the set of objects */
    uint64_t stepped_us;         /* monotonic */
    uint64_t minute;             /* the latest piece of the strips, since 1970 */
};

void dash_model_init(struct dash_model *m, const struct admin_ops *ops, uint64_t now_us);
void dash_model_fini(struct dash_model *m);
/* States, and points when it is time. Times: monotonic; wall clock. */
void dash_model_tick(struct dash_model *m, uint64_t now_us, uint64_t wall_us);
/* Takes in what a reload, `add server`, `del server` has changed. True: something was; objects have
 * other places then. */
bool dash_model_follow(struct dash_model *m);
/* The latest point; all zero when there is none. */
struct dash_point dash_model_last(const struct dash_model *m, const struct dash_track *t);

#endif
