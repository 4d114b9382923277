/* wire_h1.h - the wire (wire.h) in HTTP/1.1: one request at a time on a connection. */
#ifndef SLUICE_PROXY_WIRE_H1_H
#define SLUICE_PROXY_WIRE_H1_H

#include "lb/proxy/h1_body.h"
#include "lb/proxy/wire.h"
#include "lb/upstream/conn_cache.h"

struct wire_h1 {
    struct wire wire;
    struct backend_conn *conn;
    struct h1_parser parser;
    struct h1_body body;  /* of the response */
    uint64_t sent_at;     /* stream.sent when this request began */
    uint8_t request_body; /* enum http_body, as it is sent */
    bool keep;            /* it may carry another, as the response says */
    bool raw;             /* upgraded */
    bool some;            /* the response is read in small pieces, until it is known to be small */
    bool bulk;            /* it is large */
    bool request_ended;
    uint32_t keep_alive_s; /* of its Keep-Alive field */
};

/* Takes the connection over. */
void wire_h1_open(struct wire_h1 *w, struct exchange *x, struct backend_conn *conn);

#endif
