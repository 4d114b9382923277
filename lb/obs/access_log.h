/* access_log.h - one line per session (tcp). Formats: "tcplog" (HAProxy's), "json", or a template.
 * A record is filled by proxy/ and formatted here into a stack buffer, then queued to a sink:
 * no allocation, never blocks. */
#ifndef SLUICE_OBS_ACCESS_LOG_H
#define SLUICE_OBS_ACCESS_LOG_H

#include "lb/base/str.h"

#include <stdint.h>

struct addr;
struct log_sink;

/* Why a session ended; the two letters are HAProxy's termination state. */
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
};
const char *session_end_code(enum session_end e); /* two letters */
const char *session_end_text(enum session_end e); /* "client reset the connection", ... */

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
};

struct access_format; /* compiled */
/* "tcplog", "json", or a template with $variables. NULL with *out_error in words (static or
 * thread-local text). Variables, $name or ${name}; $$ is a dollar:
 *   client client_ip client_port    who connected (as the PROXY header says, where one is accepted)
 *   listener listener_addr          where
 *   pool backend backend_addr       where it went; backend is <NOSRV> and the address - if nowhere
 *   id                              as in `show sess`
 *   time_haproxy time_local time_iso time_epoch   of the accept: 06/Feb/2009:12:14:14.655 and
 *                                   06/Feb/2009:12:14:14 +0100 (local), 2009-02-06T11:14:14.655Z,
 *                                   seconds.milliseconds since 1970
 *   queue_ms connect_ms total_ms    -1: not reached
 *   bytes_in bytes_out              client to backend, backend to client
 *   retries                         +N: another backend took over
 *   end end_code detail             why it ended: in words, as HAProxy's two letters, what was seen
 *   process_sessions listener_sessions pool_sessions backend_sessions
 *   backend_queue pool_queue        how many there were at its end
 * JSON has the same names as keys, with `time` in UTC with microseconds, milliseconds with three
 * decimals and null where there is nothing. */
struct access_format *access_format_compile(const char *text, const char **out_error);
void access_format_free(struct access_format **f);
#define ACCESS_LINE_MAX 2048
/* Writes the line with its newline; returns its length. Control bytes are escaped. */
size_t access_format_write(const struct access_format *f, const struct access_record *r,
                           char out[static ACCESS_LINE_MAX]);

#endif
