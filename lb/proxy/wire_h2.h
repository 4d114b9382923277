/* wire_h2.h - the wire (wire.h) in HTTP/2: a stream of a connection that carries others too. */
#ifndef SLUICE_PROXY_WIRE_H2_H
#define SLUICE_PROXY_WIRE_H2_H

#include "lb/base/arena.h"
#include "lb/http/h2_head.h"
#include "lb/proxy/wire.h"
#include "lb/upstream/h2_conn.h"

struct h2_block; /* a head that has come and was not read */

struct wire_h2 {
    struct wire wire;
    struct h2_conn *conn; /* of the stream, before it is opened too */
    struct h2_stream stream;
    struct arena heads; /* of those that were not read */
    struct h2_block *first, *last;
    struct h2_block *begun;     /* its fields come */
    struct http_head *trailers; /* of the response; the exchange's arena's */
    struct h2_head builder;
    struct h2_digits digits;
    uint32_t n_blocks;
    const char *bad; /* code of what is wrong with the response */
    bool connecting; /* a request for a tunnel (RFC 8441), until the response */
    bool unsent;     /* it waits for the backend's settings */
    bool final;      /* the final head has come */
};

struct exchange;

/* The stream is begun by send_head(). */
void wire_h2_open(struct wire_h2 *w, struct exchange *x, struct h2_conn *conn);

#endif
