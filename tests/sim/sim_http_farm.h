/* sim_http_farm.h - a farm of mode http: what its requests are and what backends do with them is
 * drawn beforehand, from the seed, into http_farm.requests; a request's path names its place there.
 * For test_http_sessions.c and test_h2_sessions.c, which have the clients. */
#ifndef SLUICE_TESTS_SIM_SIM_HTTP_FARM_H
#define SLUICE_TESTS_SIM_SIM_HTTP_FARM_H

#include "tests/sim/sim_farm.h"
#include "tests/sim/sim_http.h"
#include "tests/sim/sim_tls.h"

#define CLIENTS      6
#define REQUESTS     8 /* of a client, at most */
#define REQUESTS_ALL (CLIENTS * REQUESTS)
#define PATIENT_MS   72000000     /* the simulated network may be very slow */
#define LARGE        (400u << 10) /* is spliced */

enum method { GET, HEAD, PUT, POST };
extern const char *const method_names[];

enum framing { F_NONE, F_LENGTH, F_CHUNKED, F_CLOSE, F_UPGRADE };

/* What goes wrong at the backend. */
enum trouble {
    T_NONE,
    T_EARLY, /* answers before it has read the payload */
    T_RESET, /* after `at` bytes of the response */
    T_CLOSE, /* likewise */
    T_HANG,  /* likewise */
    T_GARBAGE,
    T_TROUBLES,
};

struct request {
    enum method method;
    enum framing up, down;
    uint32_t up_bytes, down_bytes;
    uint16_t status; /* of the response */
    bool expect, close, http10, interim, trailers, dribble;
    bool server_close; /* the backend ends the connection with the response */
    enum trouble trouble;
    uint32_t at;
    uint32_t refusals; /* REFUSED_STREAM, so often, by backends of HTTP/2 */
    /* what was seen */
    uint32_t seen; /* by backends: complete heads */
    bool sent;
};

struct http_farm {
    struct farm farm; /* first */
    struct request requests[REQUESTS_ALL];
    struct server_conn *conns; /* all that there were */
    uint32_t seen;             /* requests that backends have seen */
    bool lenient;              /* requests may fail, but not go wrong */
    bool safe_only;            /* not lenient towards what may be sent again: GET and HEAD */
    bool draining;
    uint32_t idle_close;   /* backends close idle connections: chance in 100 after a response */
    uint32_t server_mess;  /* backends do anything at any time: chance in 1000 */
    bool tls;              /* between clients and us */
    bool tls_back;         /* between us and backends */
    bool h2;               /* clients speak HTTP/2 */
    bool h2_back;          /* backends do */
    uint32_t server_whims; /* ... and leave, or change their settings: chance in 1000 */
    uint32_t leaves;       /* such that there were */
    struct h2_server *h2_servers;
    SSL_CTX *server_ctx, *client_ctx;
    SSL_SESSION *session; /* of the last client, to be resumed by some */
};

extern struct http_farm *the_farm; /* of the present seed */

void http_farm_init(struct http_farm *f, const struct sim_conf *conf);
void http_farm_start(struct http_farm *f);
void http_farm_end(struct http_farm *f);
int http_farm_teardown(void **state); /* of a group of tests */

/* What hangs is ended, after times that the network does not need. */
void impatient(struct http_farm *f);

void draw_request(struct sim *s, struct request *r);
void draw_trouble(struct sim *s, struct request *r);
/* Times that backends may have seen a request. */
uint32_t seen_max(const struct http_farm *f, const struct request *r);
bool may_fail(const struct http_farm *f, const struct request *r);
/* A message's payload with its framing in HTTP/1. */
void put_payload(struct sim *s, struct sim_text *t, enum framing f, uint64_t tag, uint32_t bytes,
                 bool trailers);

/* What connections are upgraded to: only one thing can be, in HTTP/2. */
const char *upgrade_word(const struct http_farm *f);

/* sim_http_server.c */
sim_peer_fn http_server;
void http_servers_free(struct http_farm *f);

/* sim_h2_server.c */
sim_peer_fn h2_server;
void h2_servers_free(struct http_farm *f);

#endif
