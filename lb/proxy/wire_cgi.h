/* wire_cgi.h - the wire (wire.h) in FastCGI, uwsgi and SCGI: a request of variables and payload, a
 * response that begins with fields. FastCGI packs all of it in records, says where the response
 * ends, and may carry one request after the other; the others are streams of bytes for one. */
#ifndef SLUICE_PROXY_WIRE_CGI_H
#define SLUICE_PROXY_WIRE_CGI_H

#include "lb/http/cgi.h"
#include "lb/http/fcgi.h"
#include "lb/proxy/h1_body.h"
#include "lb/proxy/wire.h"
#include "lb/upstream/conn_cache.h"

struct cgi_stderr; /* cgi_stderr.h */

struct wire_cgi {
    struct wire wire;
    struct backend_conn *conn;
    const char *unable;  /* code: why the request cannot be sent; NULL: it can */
    struct io_buf *held; /* payload of unknown length, until its end is known */
    struct io_buf *held_last;
    struct io_buf *head;    /* of the response, with CGI_STATUS_LINE before it; NULL: none yet */
    struct body_chain in;   /* FastCGI: payload of the response that nobody has taken */
    struct cgi_stderr *err; /* FastCGI: what the application complains of; NULL: nothing */
    uint64_t sent_at;       /* stream.sent when this request began */
    uint32_t held_bytes, in_bytes;
    struct h1_parser parser;
    struct h1_body body; /* of the response */
    struct fcgi_reader records;
    uint8_t kind;    /* enum cgi_wire */
    bool keep;       /* the connection may carry another request */
    bool holds;      /* the head is not sent yet: the payload's length is awaited */
    bool continued;  /* the client was told to send its payload */
    bool head_begun; /* it is known whether the response has a status line */
    bool own_status; /* ... it has */
    bool stdin_over; /* FastCGI: its end was sent */
    bool ended;      /* FastCGI: END_REQUEST has come */
    bool request_ended;
    bool raw; /* upgraded */
};

/* Takes the connection over. */
void wire_cgi_open(struct wire_cgi *w, struct exchange *x, struct backend_conn *conn);

#endif
