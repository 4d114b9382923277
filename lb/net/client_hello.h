/* client_hello.h - what a TLS ClientHello asks for, read from the first bytes of a connection
 * without taking part in it: the host name (SNI), the ALPN list, the version. A pure codec, fed
 * piece by piece; it allocates nothing and keeps no pointer into what it was fed.
 *
 * The message may be spread over many records, and records over many segments. It is read to its
 * end before a verdict, so that one whose end is malformed is not let through. */
#ifndef SLUICE_NET_CLIENT_HELLO_H
#define SLUICE_NET_CLIENT_HELLO_H

#include "lb/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of the message with its record headers. Those of browsers, with key shares of post-quantum key
 * exchanges, have about 2 KiB; this leaves room for what comes. */
#define CLIENT_HELLO_MAX (16u << 10)

#define CLIENT_HELLO_NAME_MAX 253 /* of a host name, RFC 1035 */
#define CLIENT_HELLO_ALPN_MAX 128 /* bytes that are kept; names beyond are left out */

enum hello_result {
    HELLO_MORE, /* incomplete so far */
    HELLO_DONE,
    HELLO_NOT_TLS,       /* the first bytes are no handshake record */
    HELLO_BAD_RECORD,    /* a record of another kind, version or size in between */
    HELLO_BAD_MESSAGE,   /* a handshake message, but no ClientHello */
    HELLO_BAD_LENGTH,    /* a length within it reaches too far, or not far enough */
    HELLO_BAD_EXTENSION, /* server_name or ALPN twice */
    HELLO_BAD_NAME,      /* not a host name, or two */
    HELLO_TOO_LONG,      /* longer than CLIENT_HELLO_MAX */
};

struct client_hello {
    /* Valid on HELLO_DONE. */
    uint16_t version; /* legacy_version: 0x0303 of all that speak TLS 1.2 or 1.3 */
    bool has_name, has_alpn;
    uint8_t name_len, alpn_len;
    char name[CLIENT_HELLO_NAME_MAX + 3]; /* lower-case, without a dot at its end, NUL behind it */
    uint8_t alpn[CLIENT_HELLO_ALPN_MAX];  /* names with a length byte before each */

    /* The parser's own. */
    uint8_t result; /* enum hello_result */
    uint8_t field;  /* the one that is being read */
    uint8_t record_at;
    uint8_t record[5];
    uint16_t record_left;  /* payload bytes of this record that are still to come */
    uint16_t left;         /* bytes of this field, */
    uint16_t message_left; /* of the message, */
    uint16_t inner_left;   /* of the extension that is being read */
    uint32_t value;        /* of a number, so far */
    uint32_t eaten;
    uint16_t extension; /* that is being read */
    uint8_t name_type;
    uint8_t alpn_name; /* length of the ALPN name that is being kept */
};

void client_hello_init(struct client_hello *h);
/* The next bytes of the connection. A verdict stands; what comes after it is not looked at. */
enum hello_result client_hello_feed(struct client_hello *h, const void *data, size_t len);
static inline struct str client_hello_name(const struct client_hello *h)
{
    return (struct str){h->name, h->name_len};
}
/* A few words, for logs. */
const char *client_hello_text(enum hello_result r);

/* An alert that a client understands before anything was agreed on; returns its length. */
#define TLS_ALERT_BYTES 7
enum tls_alert {
    TLS_ALERT_UNEXPECTED_MESSAGE = 10,
    TLS_ALERT_ILLEGAL_PARAMETER = 47,
    TLS_ALERT_DECODE_ERROR = 50,
    TLS_ALERT_INTERNAL_ERROR = 80,
    TLS_ALERT_UNRECOGNIZED_NAME = 112,
};
size_t tls_alert_write(enum tls_alert alert, uint8_t out[static TLS_ALERT_BYTES]);
/* The alert for a hello that was refused; 0: none, this is no TLS. */
enum tls_alert client_hello_alert(enum hello_result r);

#endif
