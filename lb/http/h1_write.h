/* h1_write.h - HTTP/1 heads to bytes. Field lines are framed anew, `Name: value CRLF`; framing
 * fields come from the arguments alone, so drop those that were received
 * (http_strip_hop_by_hop). Pure. */
#ifndef SLUICE_HTTP_H1_WRITE_H
#define SLUICE_HTTP_H1_WRITE_H

#include "lb/http/msg.h"

enum h1_connection {
    H1_CONN_DEFAULT, /* none: an HTTP/1.1 peer keeps it open */
    H1_CONN_CLOSE,
    H1_CONN_KEEP_ALIVE, /* for an HTTP/1.0 client */
    H1_CONN_UPGRADE,    /* with the Upgrade field of the head */
};

struct h1_framing {
    enum h1_connection connection;
    enum http_body body;
    uint64_t content_length; /* HTTP_BODY_LENGTH */
    bool has_content_length; /* write it although there is no body (response to HEAD, 304) */
    bool te_trailers;        /* requests: `TE: trailers` */
};

/* What a request is sent with: origin form, or * as given. host "" with an HTTP/1.0 client that
 * sent none: an empty Host field. */
struct h1_request_line {
    struct str method, target, host;
};

/* An upper bound of the bytes that the write below needs. */
size_t h1_request_size(const struct http_head *h, const struct h1_request_line *line);
size_t h1_response_size(const struct http_head *h);
/* Write into out (of at least that size), return the length. Host comes first; Host fields of h are
 * passed over. */
size_t h1_write_request(const struct http_head *h, const struct h1_request_line *line,
                        const struct h1_framing *framing, char *out);
/* version in the status line is always HTTP/1.1. A response without reason gets none. */
size_t h1_write_response(const struct http_head *h, const struct h1_framing *framing, char *out);
/* Fields and the empty line: what ends a chunked body behind CHUNK_LAST. */
size_t h1_trailers_size(const struct http_head *h);
size_t h1_write_trailers(const struct http_head *h, char *out);

#endif
