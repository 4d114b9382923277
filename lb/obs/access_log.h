/* access_log.h - one line per session (mode tcp) or exchange (mode http). Formats: "tcplog" and
 * "httplog" (HAProxy's), "combined" (Apache's), "json", or a template.
 * A record is filled by proxy/ and formatted here into a stack buffer, then queued to a sink:
 * no allocation, never blocks. */
#ifndef SLUICE_OBS_ACCESS_LOG_H
#define SLUICE_OBS_ACCESS_LOG_H

#include "lb/base/str.h"

#include <stdint.h>

struct addr;
struct tls_facts;
struct http_head; /* lb/http/msg.h */
struct log_sink;

/* Why a session or exchange ended; the two letters are HAProxy's termination state. */
enum session_end {
    END_NORMAL,           /* "--" both sides finished */
    END_CLIENT_ABORT,     /* "CD" client reset or error during data */
    END_SERVER_ABORT,     /* "SD" */
    END_CLIENT_TIMEOUT,   /* "cD" idle: last quiet side was the client */
    END_SERVER_TIMEOUT,   /* "sD" */
    END_CONNECT_FAILED,   /* "SC" no backend could be reached */
    END_CONNECT_TIMEOUT,  /* "sC" */
    END_NO_BACKEND,       /* "SC" with <NOSRV>: none was usable */
    END_QUEUE_TIMEOUT,    /* "sQ" */
    END_QUEUE_FULL,       /* "SQ" */
    END_CLIENT_GONE,      /* "CC" client left while connecting or queued ("CQ" is told by timing) */
    END_BAD_PROXY_HEADER, /* "PR" */
    END_PROXY_TIMEOUT,    /* "cR" no PROXY header in time */
    END_LIMIT,            /* "PR" refused by a limit */
    END_KILLED,           /* "KD" by the operator */
    END_DOWN,             /* "DD" its backend went down and on_down is close */
    END_DRAIN,            /* "KD" cut at the drain deadline */
    END_RESOURCE,         /* "RC" out of descriptors or memory */
    /* Mode http. Data phases and what happens before a backend is reached: as above; SD also when
     * the backend closed before the response's end. */
    END_HEAD_TIMEOUT,      /* "cR" the request's head did not come in time */
    END_CLIENT_LEFT_HEAD,  /* "CR" the client left before its request's head was there */
    END_BAD_REQUEST,       /* "PR" malformed or ambiguous: `reason` says what */
    END_TOO_LARGE,         /* "PR" the request's body is larger than the listener takes: 413 */
    END_DENIED,            /* "PR" a filter refused it: access, auth, ratelimit */
    END_LOCAL,             /* "LR" sluice answered: redirect, fixed answer, no route */
    END_BODY_TIMEOUT,      /* "cH" the request's body stopped coming before any response */
    END_RESPONSE_TIMEOUT,  /* "sH" no response head in time */
    END_SERVER_CLOSED,     /* "SH" closed or reset before its response's head was complete */
    END_BAD_RESPONSE,      /* "PH" malformed response: `reason` */
    END_CLIENT_LEFT_WAIT,  /* "CH" the client left while its response was waited for */
    END_BAD_BODY,          /* "PD" malformed chunks, request or response: `reason` */
    END_CLIENT_LEFT_QUEUE, /* "CQ" the client left while it was queued */
    END_INTERNAL,          /* "IH" our own failure, a filter's: 500 */
    /* TLS with clients, and what is read of it in passing. */
    END_TLS_FAILED,  /* "PR" the handshake did not succeed */
    END_TLS_TIMEOUT, /* "cR" no handshake, or no ClientHello, in time */
    END_BAD_HELLO,   /* "PR" malformed, or no TLS at all */
    END_NO_NAME,     /* "PR" no rule has the name that it asks for */
    N_SESSION_ENDS,
};
const char *session_end_code(enum session_end e); /* two letters */
const char *session_end_text(enum session_end e); /* "client reset the connection", ... */

/* How the sticky cookie fared, the last two letters of HAProxy's httplog. cookie_in 0 is "--": the
 * pool has none; else cookie_out 0 is COOKIE_OUT_NONE. */
enum access_cookie_in { /* what the client sent */
                        COOKIE_IN_NONE = 'N',
                        COOKIE_IN_INVALID =
                            'I',              /* not ours, forged, of a backend that is no more */
                        COOKIE_IN_DOWN = 'D', /* its backend is down, in maintenance or was full */
                        COOKIE_IN_VALID = 'V',
                        COOKIE_IN_EXPIRED = 'E',
};
enum access_cookie_out { /* what the response did */
                         COOKIE_OUT_NONE = 'N',
                         COOKIE_OUT_INSERTED = 'I',
                         COOKIE_OUT_UPDATED = 'U', /* the client had another one */
};

/* What a line of mode http has beyond access_record. Zeroed: nothing is known.
 * A text with p NULL is looked up in `request` where that is given; so proxy/ sets only those that
 * it changed in the head (a rewritten host, a removed User-Agent that the log shall show). */
struct access_http {
    const struct http_head *request, *response;        /* NULL: none, or not complete */
    struct str method, uri, host, user_agent, referer; /* uri: the target as the client sent it */
    struct str request_id, traceparent;
    struct str user;      /* who authenticated */
    const char *scheme;   /* NULL: "http" */
    const char *protocol; /* "HTTP/1.1"; NULL: by request->version */
    const char *route;    /* its name; NULL: none was chosen */
    const char *reason;   /* "bad-content-length", "no-route", "ratelimited"...; NULL: none */
    uint16_t status;      /* as the client was told; 0: nothing was sent */
    char cookie_in, cookie_out;
    /* Microseconds, -1: not reached. access_record has queue_us (Tw), connect_us (Tc) and total_us
     * (Ta: from the request's first byte to the response's last). */
    int64_t idle_us;        /* Ti: on this connection before the first byte; of the first: accept */
    int64_t head_us;        /* TR: from the first byte to the complete head */
    int64_t response_us;    /* Tr: from the request being sent to the response's head */
    uint64_t body_bytes_in; /* payload of the request, without framing */
    uint64_t body_bytes_out; /* of the response as sent */
    uint32_t sequence;       /* of this request on its connection, from 1 */
    bool reused;             /* it went out on a connection that had carried others */
};

/* start_wall_us and total_us are of the request in mode http, as are bytes: in: head and body as
 * received, out: head and body as sent. */
struct access_record {
    uint64_t id;
    const struct addr *client, *listener_addr, *backend_addr; /* backend_addr may be NULL */
    const char *listener, *pool, *backend;                    /* backend NULL: none reached */
    uint64_t start_wall_us;                                   /* accept */
    int64_t queue_us, connect_us;                             /* -1: phase not reached */
    uint64_t total_us;
    uint64_t bytes_in, bytes_out; /* client to backend, backend to client */
    uint32_t retries;
    bool redispatched;
    enum session_end end;
    char detail[64]; /* what was seen: "connection refused", "" */
    uint32_t actconn, feconn, beconn, srv_conn, srv_queue, backend_queue;
    const struct access_http *http; /* NULL in mode tcp */
    const struct tls_facts *tls;    /* of the client's connection; NULL: in clear, or not wanted */
};

struct access_format; /* compiled */
/* "combined", "httplog", "tcplog", "json", or a template with $variables. NULL with *out_error in
 * words (static or thread-local text). Variables, $name or ${name}; $$ is a dollar:
 *   client client_ip client_port    who connected (as the PROXY header or, http, a trusted proxy
 *                                   says)
 *   listener listener_addr          where
 *   pool backend backend_addr       where it went; backend is <NOSRV> and the address - if nowhere
 *   id                              as in `show sess`
 *   time_haproxy time_local time_iso time_epoch   of the accept (http: of the request's first
 * byte): 06/Feb/2009:12:14:14.655 and 06/Feb/2009:12:14:14 +0100 (local), 2009-02-06T11:14:14.655Z,
 * seconds.milliseconds since 1970 queue_ms connect_ms total_ms    -1: not reached bytes_in
 * bytes_out              client to backend, backend to client retries                         +N:
 * another backend took over end end_code detail             why it ended: in words, as HAProxy's
 * two letters, what was seen process_sessions listener_sessions pool_sessions backend_sessions
 *   backend_queue pool_queue        how many there were at its end
 *   tls_version tls_cipher tls_sni tls_alpn tls_resumed   of the client's connection: "-" in clear;
 *                                   resumed: 1 or 0
 *   tls_client_verify               of its certificate: NONE, SUCCESS, FAILED:REASON
 *   tls_client_subject tls_client_issuer tls_client_serial tls_client_fingerprint
 * Mode http only; what is not there is "-":
 *   request                         the request line: method, target, protocol; httplog has
 *                                   <BADREQ> where it was not understood
 *   method uri path query protocol version scheme host     as the client sent them; version: 1.1
 *   user_agent referer user request_id traceparent
 *   header_NAME cookie_NAME query_NAME response_header_NAME   - in names is written _
 *   status reason route             of the response (-1: none sent); why it was refused
 *   status_combined                 the same, but 499 where the client left before anything was
 *                                   sent and 000 where nothing was sent for another reason
 *   idle_ms head_ms response_ms     Ti, TR, Tr; -1: not reached
 *   body_bytes_in body_bytes_out
 *   end_state                       four letters: end_code and the sticky cookie's two
 *   sequence reused                 number of the request on its connection; 1 or 0
 * JSON has the same names as keys (tls_...: only where the connection has TLS), with `time` in UTC
 * with microseconds, milliseconds with three decimals and null where there is nothing. */
struct access_format *access_format_compile(const char *text, const char **out_error);
void access_format_free(struct access_format **f);
/* Can it be used in this mode? False with *out_error in words when it asks for what only mode http
 * has and http is false. */
bool access_format_fits(const struct access_format *f, bool http, const char **out_error);
/* What it needs of what is not at hand anyway: heads kept until the line is written; listener_addr,
 * which costs a system call. */
enum {
    ACCESS_NEEDS_REQUEST = 1,
    ACCESS_NEEDS_RESPONSE = 2,
    ACCESS_NEEDS_LOCAL = 4,
    ACCESS_NEEDS_TLS = 8,
};
uint32_t access_format_needs(const struct access_format *f);

#define ACCESS_LINE_MAX (9u << 10)
/* Writes the line with its newline; returns its length. Bytes that could end the line, a quoted
 * field or a terminal's good mood are escaped: \xHH as Apache and nginx do, in httplog #HH as
 * HAProxy does. Long texts are cut (target 3 KiB, Referer and User-Agent 1 KiB, others 256 bytes of
 * output; JSON: somewhat less), so that the fixed formats are always whole. */
size_t access_format_write(const struct access_format *f, const struct access_record *r,
                           char out[static ACCESS_LINE_MAX]);

#endif
