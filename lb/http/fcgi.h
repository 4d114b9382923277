/* fcgi.h - records of FastCGI 1.0 (fastcgi-archives.github.io), the responder's role, one request
 * at a time on a connection. Pure; no allocation. */
#ifndef SLUICE_HTTP_FCGI_H
#define SLUICE_HTTP_FCGI_H

#include <stdbool.h>
#include <stdint.h>

#define FCGI_HEAD_BYTES  8
#define FCGI_BEGIN_BYTES 16 /* the whole record */
#define FCGI_CONTENT_MAX 65535u
#define FCGI_REQUEST_ID  1

enum fcgi_type {
    FCGI_BEGIN_REQUEST = 1,
    FCGI_ABORT_REQUEST,
    FCGI_END_REQUEST,
    FCGI_PARAMS,
    FCGI_STDIN,
    FCGI_STDOUT,
    FCGI_STDERR,
    FCGI_DATA,
    FCGI_GET_VALUES,
    FCGI_GET_VALUES_RESULT,
    FCGI_UNKNOWN_TYPE,
};

enum fcgi_status {
    FCGI_REQUEST_COMPLETE,
    FCGI_CANT_MPX_CONN,
    FCGI_OVERLOADED,
    FCGI_UNKNOWN_ROLE,
};

/* A record's head: len bytes of content follow, at most FCGI_CONTENT_MAX; no padding. Returns
 * FCGI_HEAD_BYTES. len 0 ends a stream (FCGI_PARAMS, FCGI_STDIN). */
uint32_t fcgi_head(enum fcgi_type type, uint32_t len, char out[static FCGI_HEAD_BYTES]);
/* Returns FCGI_BEGIN_BYTES. keep: the application leaves the connection open behind the request. */
uint32_t fcgi_begin(bool keep, char out[static FCGI_BEGIN_BYTES]);

enum fcgi_event {
    FCGI_EVENT_MORE,   /* all was read: more bytes are needed */
    FCGI_EVENT_STDOUT, /* a piece of it */
    FCGI_EVENT_STDERR,
    FCGI_EVENT_END, /* END_REQUEST, with its padding: protocol and app are set */
    FCGI_EVENT_BAD, /* not FastCGI, or not an answer to what was asked: `bad` says why */
};

/* Zero it to begin a request's answer. */
struct fcgi_reader {
    uint8_t head[FCGI_HEAD_BYTES]; /* of a record, or END_REQUEST's content */
    uint8_t have;                  /* of those */
    uint8_t type;                  /* of the record that is read; 0: its head is */
    uint8_t padding;               /* behind its content */
    uint16_t left;                 /* of its content */
    uint8_t protocol;              /* enum fcgi_status */
    uint32_t app;                  /* the program's exit status */
    const char *bad;               /* a code, for logs */
};

/* Reads until there is something to tell. *used: bytes read; a piece (STDOUT, STDERR) is data[*at]
 * to data[*used]. Not to be called again behind END or BAD. */
enum fcgi_event fcgi_read(struct fcgi_reader *r, const uint8_t *data, uint32_t len, uint32_t *at,
                          uint32_t *used);

#endif
