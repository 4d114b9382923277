/* exchange_priv.h - shared by the files that make up the exchange: exchange.c (the state machine),
 * exchange_route.c (where it goes), exchange_dial.c (a new connection), exchange_response.c (what
 * comes back), exchange_log.c (what is said of it), forward.c (who the client is), error_page.c
 * (our own answers). */
#ifndef SLUICE_PROXY_EXCHANGE_PRIV_H
#define SLUICE_PROXY_EXCHANGE_PRIV_H

#include "lb/net/proxy_proto.h"
#include "lb/net/stream_tls.h"
#include "lb/proxy/exchange.h"
#include "lb/proxy/http_listener.h"
#include "lb/proxy/http_session.h"
#include "lb/proxy/proxy_priv.h"

static inline struct io *exchange_io(const struct exchange *x)
{
    return x->proxy->loop->io;
}
static inline uint64_t exchange_now_us(const struct exchange *x)
{
    return loop_now_us(x->proxy->loop);
}
static inline uint64_t exchange_now_ms(const struct exchange *x)
{
    return loop_now_ms(x->proxy->loop);
}
static inline const struct http_listener_conf *exchange_conf(const struct exchange *x)
{
    return &x->listener->conf->http;
}
static inline struct listener_counters *exchange_listener_row(const struct exchange *x)
{
    return &x->session->listener->stats->rows[x->proxy->worker];
}
/* Of the backend that is or was last used, else of the pool; NULL: no pool was chosen. */
struct backend_counters *exchange_backend_row(const struct exchange *x);

static inline struct http_session *exchange_http_session(const struct exchange *x)
{
    return http_session_of(x->session);
}
static inline bool exchange_is_tls(const struct exchange *x)
{
    return stream_is_tls(&exchange_http_session(x)->stream);
}
/* What is known of its client's TLS, found out when first asked for; NULL: none, or no memory. */
const struct tls_facts *exchange_tls(struct exchange *x);

/* exchange.c */
void exchange_enter(struct exchange *x, enum exchange_state state);
/* Runs exchange_step() now, or once more where it is running already. */
void exchange_kick(struct exchange *x);
void exchange_deadline(struct exchange *x, uint64_t timeout_ms); /* 0: none */
uint64_t exchange_body_timeout_ms(const struct exchange *x);
/* How the backend did, for ejection and, where response times count, for the next picks. */
void exchange_report(struct exchange *x, bool ok);
/* Before the response has begun: answers with what fits the reason; after: cuts it. */
void exchange_fail(struct exchange *x, enum session_end why, const char *reason, int error);

/* Answers a request that nothing was begun for. status 0: none is sent. */
void exchange_refuse(struct exchange *x, uint16_t status, const char *reason, enum session_end why);
/* As exchange_refuse(), but a wire may be open, and a response begun: then it is cut. */
void exchange_refuse_late(struct exchange *x, uint16_t status, const char *reason,
                          enum session_end why);
void exchange_finish(struct exchange *x, enum session_end why);
void exchange_close_wire(struct exchange *x, bool reset);
void exchange_leave_backend(struct exchange *x, bool reset);
/* Starts the wire's part: the request is sent on this connection, in HTTP/1. */
void exchange_open_wire(struct exchange *x, struct backend_conn *conn);
void exchange_wire_opened(struct exchange *x); /* ... of whichever protocol */

/* exchange_route.c */
void exchange_route(struct exchange *x);     /* chooses a route, runs its filters, goes on */
void exchange_resume(struct exchange *x);    /* a filter that had paused is done */
bool exchange_send_head(struct exchange *x); /* on the wire; false: no memory */
void exchange_vars(const struct exchange *x, struct http_vars *out);
/* ... and those that only some templates want. False: no memory. */
bool exchange_complete_vars(struct exchange *x, struct http_vars *vars) WARN_UNUSED;
extern const struct seek_ops exchange_seek_ops;

/* Files have sent it to this path: false when no other route takes it, then nothing has changed. */
bool exchange_reroute(struct exchange *x, struct str path);
void exchange_to_pool(struct exchange *x, struct pool *pool); /* its target is known */

/* exchange_files.c */
/* Answers with files, as the route has it. path: as it goes on, stays. */
void exchange_files(struct exchange *x, struct str path);
void exchange_files_leave(struct exchange *x); /* no effect where there are none */

/* exchange_dial.c */
void exchange_dialled(struct seek *k,
                      int fd); /* makes of it a connection that the wire is opened on */
void exchange_dial_late(struct seek *k);
/* What goes before the first request on a connection that carries one client only; 0: nothing. */
size_t exchange_proxy_header(struct exchange *x, char out[static PROXY_WRITE_MAX]);

/* exchange_h2.c: where the backend may speak HTTP/2; the place at it is held. */
/* On a connection that is there. False: there is none. */
bool exchange_h2_open(struct exchange *x);
/* Waits for a connection that somebody dials, or dials. */
void exchange_h2_dial(struct exchange *x);
/* What was dialled here did not come to be (error), or those who wait for it shall look again. */
void exchange_h2_dial_over(struct exchange *x, int error);
void exchange_h2_stop(struct exchange *x);
/* The same request once more, at the same backend, on a connection that is newer. */
void exchange_h2_again(struct exchange *x);
bool exchange_speaks_h2(const struct exchange *x, const struct backend_conn *conn);
void exchange_h2_begin(struct exchange *x, struct backend_conn *conn); /* taken over */
void exchange_h2_not(struct exchange *x);                              /* it is HTTP/1 */

/* exchange_response.c */
void exchange_read_head(struct exchange *x);
/* The response's head is there and ours, its payload comes from the wire, which is open. */
void exchange_own_head(struct exchange *x);
void exchange_pump_response(struct exchange *x);
void exchange_response_resume(struct exchange *x);
void exchange_wire_lost(struct exchange *x); /* no complete head had come */

/* Answers with what a filter has said. */
void exchange_answer_filter(struct exchange *x);

/* exchange_filters.c */
enum filtered { FILTERED, FILTERED_LATER, FILTERED_FAILED /* and dealt with */ };
bool exchange_sees_body(const struct exchange *x, bool request);
/* *chain is what goes on; taken over where it does not. last: the end of the payload, trailers are
 * in x->trailers. */
enum filtered exchange_filter_body(struct exchange *x, bool request, struct io_buf **chain,
                                   bool last);
bool exchange_body_waits(const struct exchange *x, bool request); /* for a filter */
/* True when a filter that had paused a piece goes on: the piece is to be filtered again. */
bool exchange_body_resumed(struct exchange *x, bool request, struct io_buf **out, bool *out_last);
void exchange_filters_go_on(struct exchange *x);

/* forward.c: who asks, and what the backend is told of it. False: no memory. */
bool exchange_find_client(struct exchange *x);
bool exchange_forward(struct exchange *x);
/* What browsers are told of https. False: no memory. */
bool exchange_add_hsts(struct exchange *x);

/* error_page.c */
struct answer {
    uint16_t status;
    struct str body, type; /* type empty: the error page of the status */
    const struct header_set_conf *headers;
    uint32_t n_headers;
    bool no_body;
    struct str location;    /* of a redirect */
    uint32_t retry_after_s; /* 0: none */
    struct str allow;       /* of a 405; empty: the methods that we know */
};
/* With all of the request's payload here and dropped the client's connection can go on. */
void exchange_drop_payload(struct exchange *x);
/* Sends a response of our own; nothing of another may have begun. False: no memory. */
bool exchange_answer(struct exchange *x, const struct answer *a);

/* exchange_log.c */
void exchange_count(struct exchange *x);
void exchange_log(struct exchange *x);
void exchange_flight(struct exchange *x); /* for the flight recorder, where it qualifies */

#endif
