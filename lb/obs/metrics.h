/* metrics.h - what workers count. Per worker and object one row on its own cache lines, written by
 * that worker only, summed by readers; gauges that must be exact across workers are shared atomics
 * in the object itself. Rates and averages are computed by the reader (control thread) from
 * samples, never on the hot path. */
#ifndef SLUICE_OBS_METRICS_H
#define SLUICE_OBS_METRICS_H

#include "lb/base/counter.h"
#include "lb/base/limits.h"

#include <assert.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct histogram;       /* histogram.h */
struct phase_row;       /* phases.h */
struct reason_counters; /* reasons.h */

/* Responses by class of their status. */
enum response_class {
    RESPONSES_1XX,
    RESPONSES_2XX,
    RESPONSES_3XX,
    RESPONSES_4XX,
    RESPONSES_5XX,
    RESPONSES_OTHER,
    RESPONSE_CLASSES,
};
static inline enum response_class response_class_of(unsigned status)
{
    return status >= 100 && status < 600 ? (enum response_class)(status / 100 - 1)
                                         : RESPONSES_OTHER;
}

/* Why a datagram went no further. */
enum udp_drop {
    UDP_DROP_LEAVING,    /* of a client without a flow, while the listener is being closed */
    UDP_DROP_LIMIT,      /* limits.connections or limits.per_source */
    UDP_DROP_RESOURCE,   /* no memory, no descriptor */
    UDP_DROP_NO_BACKEND, /* none is usable */
    UDP_DROP_FULL,       /* all backends have max_connections flows */
    UDP_DROP_REFUSED,    /* the backend cannot be reached, nor another one */
    UDP_DROP_TOO_LONG,   /* for the way that it would have to take */
    UDP_DROP_BLOCKED,    /* the socket's buffer was full */
    UDP_DROP_FAILED,     /* sending failed in another way */
    UDP_DROPS,
};
const char *udp_drop_name(enum udp_drop d); /* "leaving", "limit", ... */

/* Of a listener (FRONTEND row). */
struct listener_counters {
    alignas(CACHE_LINE) counter sessions; /* accepted and admitted */
    counter bytes_in, bytes_out;          /* from and to clients */
    counter denied;                       /* refused by a limit or by address (dcon) */
    counter bad_requests;  /* malformed PROXY header or HTTP request, its head not in time (ereq) */
    counter accept_pauses; /* times accepting stopped for want of descriptors or memory */
    counter tls_handshakes, tls_resumed; /* that succeeded; of these by a session from before */
    counter tls_failures;                /* handshakes that did not, timeouts too */
    counter tls_kernel; /* connections whose records the kernel makes, from a file on */
    /* Mode http. */
    counter requests;                          /* heads that were there, refused ones too */
    counter responses[RESPONSE_CLASSES];       /* as sent to clients; 1xx: those passed on */
    counter denied_requests, denied_responses; /* by filters (dreq, dresp) */
    counter intercepted;                       /* answered by sluice itself on purpose */
    counter client_aborts, server_aborts;
    counter internal_errors;
    /* Mode udp; a session is a flow. */
    counter dgrams_in, dgrams_out; /* from and to clients */
    counter dgrams_dropped[UDP_DROPS];
    counter flows_evicted; /* quiet longest when udp.flows was reached */
};

/* Of a backend, and (same shape, what belongs to no single backend) of a pool. */
struct backend_counters {
    alignas(CACHE_LINE) counter sessions; /* sessions, http: exchanges, given to it (stot, lbtot) */
    counter bytes_in, bytes_out;          /* towards and from the backend */
    counter connects, connect_errors, response_errors, retries, redispatches;
    counter tls_handshakes, tls_resumed; /* that succeeded; of these by a session from before */
    counter tls_failures;                /* handshakes that did not, timeouts too */
    counter client_aborts, server_aborts;
    counter queued, queue_timeouts; /* that left without a place, refused by a full one too */
    counter queue_full;             /* of those: refused. Of a pool only */
    counter queue_us, connect_us, total_us; /* sums over `timed` sessions */
    counter timed; /* tcp: that were connected; http: whose response's head came */
    counter queue_us_max, connect_us_max, total_us_max;
    counter last_session_s; /* wall clock seconds of the last session, 0: none */
    /* Mode http. */
    counter response_us, response_us_max; /* like queue_us: request sent to response head */
    counter requests;                     /* heads sent to it, repeated ones too */
    counter responses[RESPONSE_CLASSES];  /* as it sent them; pool row: sluice's own 502, 503... */
    counter reuses;                       /* requests on a connection that had carried others */
    counter idle;                         /* gauge: idle connections of this worker */
    counter idle_closed;                  /* idle connections that the backend closed */
    counter budget_refused;               /* retries that the budget did not allow */
    counter sticky_kept;                  /* the cookie's backend was used */
    counter sticky_moved;                 /* it could not be, another one was */
    counter sticky_set;                   /* responses that set the cookie */
    counter denied_responses, internal_errors;
};

/* Of a route. */
struct route_counters {
    alignas(CACHE_LINE) counter requests;
    counter responses[RESPONSE_CLASSES];   /* as sent to clients */
    counter bytes_in, bytes_out;           /* as the listener's */
    counter denied;                        /* by its filters */
    counter timed, total_us, total_us_max; /* of those that a response was sent to */
};
static_assert(sizeof(struct route_counters) == 2 * CACHE_LINE, "10,000 routes are 1.3 MB a worker");

struct route_stats {
    char name[LIMIT_NAME_LEN + 12]; /* as in the access log: its own, or LISTENER#N */
    char target[128];               /* what it does: "pool app", "redirect 308 /new" */
    const char *file;               /* where it stands; the configuration's */
    int line;
    struct route_counters *rows; /* one per worker, n_rows of its listener_stats */
    struct phase_row *phases;    /* likewise; NULL behind the first ROUTES_TIMED_MAX */
};

/* A listener's routes with histograms: of 10,000 nobody would read them. */
#define ROUTES_TIMED_MAX 500

/* Everything `show stat` says of a listener. */
struct listener_stats {
    char name[LIMIT_NAME_LEN + 1];
    uint32_t iid;                                 /* 1.. unique among listeners and pools */
    const char *mode;                             /* "tcp", "http" */
    uint32_t max_connections;                     /* 0: none */
    bool tls;                                     /* all its sessions are */
    alignas(CACHE_LINE) _Atomic uint32_t current; /* open sessions, exact */
    counter current_max;
    struct listener_counters *rows; /* one per worker */
    uint32_t n_rows;
    struct phase_row *phases; /* one per worker; NULL in mode udp */
    /* Mode http, else NULL; each has n_rows rows. Owned by whoever made the listener_stats. */
    struct histogram *latency;       /* request's first byte to response's last, us */
    struct reason_counters *reasons; /* of refused requests */
    struct route_stats *routes;      /* in the configuration's order */
    uint32_t n_routes;
};

/* Of one worker, beside its engine's io_stats. */
struct worker_counters {
    alignas(CACHE_LINE) counter sessions, sessions_open;
    counter memory_refused; /* sessions refused because a slab was empty */
    counter turns, busy_us, idle_us;
};

/* Makes latency, reasons and n_routes routes with their rows, all zeroed; n_rows is set already.
 * The routes' texts are the caller's to set. At load time. */
void listener_stats_http_init(struct listener_stats *l, uint32_t n_routes);
void listener_stats_http_fini(struct listener_stats *l); /* no effect in mode tcp */

void listener_counters_sum(const struct listener_stats *l, struct listener_counters *out);
void backend_counters_sum(const struct backend_counters *rows, uint32_t n,
                          struct backend_counters *out);
/* Adds one row to a sum (maxima and the last session's time: the greater one). */
void backend_counters_add(const struct backend_counters *row, struct backend_counters *sum);
void route_counters_sum(const struct route_counters *rows, uint32_t n, struct route_counters *out);

#endif
