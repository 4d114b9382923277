/* check_h2.h - one request over HTTP/2 for a check, over nghttp2: check_http2.c and check_grpc.c
 * say what is asked and judge the answer. Health thread. */
#ifndef SLUICE_HEALTH_CHECK_H2_H
#define SLUICE_HEALTH_CHECK_H2_H

#include "health/check.h"
#include "lb/http/h2_mem.h"

/* What the answer is told to; none may end the check's memory. */
struct check_h2_calls {
    void (*field)(struct check *ck, struct str name, struct str value); /* heads and trailers */
    void (*head)(struct check *ck); /* a block of fields is over; may come several times */
    void (*data)(struct check *ck, struct str data);
};

struct check_h2 {
    struct h2_mem mem;
    struct blocks blocks; /* of mem; keeps none */
    nghttp2_session *session;
    const struct check_h2_calls *calls;
    struct str body;     /* of the request, what is unsent */
    uint32_t error_code; /* of the stream's end */
    bool headed;         /* the final head was there */
    bool closed;
};

/* Makes ck->h2 and appends what begins the conversation; body lives until then. Where memory is
 * missing, check_h2_ready() says so. */
void check_h2_open(struct check *ck, const nghttp2_nv *head, size_t n, struct str body,
                   const struct check_h2_calls *calls, struct strbuf *out);
bool check_h2_ready(struct check *ck); /* false: the outcome is set */
/* Bytes of the backend. True: nothing more is to come of the answer. */
bool check_h2_feed(struct check *ck, struct str data);
/* The stream's end, where it alone is an outcome: reset, or no HTTP/2 at all. False: it was in
 * order. */
bool check_h2_failed(struct check *ck);
void check_h2_fini(struct check *ck);
nghttp2_nv check_h2_field(const char *name, const char *value); /* the texts stay the caller's */

#endif
