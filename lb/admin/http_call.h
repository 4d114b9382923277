/* http_call.h - one request to the admin address, and what is answered: what handlers work with.
 *
 * A handler looks at the request, then does one of three things before it returns: it answers
 * (status, type, body), it lets the workers answer later (http_call_later), or it makes the
 * connection a stream that it writes to from then on (http_call_stream). It knows nothing of
 * sockets. Control thread only. */
#ifndef SLUICE_ADMIN_HTTP_CALL_H
#define SLUICE_ADMIN_HTTP_CALL_H

#include "lb/admin/command.h"
#include "lb/base/list.h"
#include "lb/http/msg.h"

struct http_server;

/* A connection that is written to as things happen (text/event-stream). Embedded in what its maker
 * knows of it; zeroed, `ended` set. */
struct http_stream {
    struct list node; /* the maker's, while it is open */
    struct http_client *client;
    /* It is over: the peer went away or was too slow, or the process ends. Not called from inside
     * http_stream_*(). The maker may free it. */
    void (*ended)(struct http_stream *s);
};

struct http_call {
    const struct command_env *env;
    struct http_server *server;
    const struct http_head *head;
    enum http_method method; /* HEAD comes as GET: the server leaves the body out */
    struct str path, query;  /* path normalised, query as sent */
    struct str rest;         /* of the path, behind the route's where that ends in a slash */
    struct str body;
    enum control_level level; /* what this client may do */
    const char *peer;         /* its address, in text */

    /* The answer. */
    unsigned status;      /* 200 */
    const char *type;     /* of the body: "text/plain; charset=utf-8" */
    struct strbuf fields; /* further header lines, each with its \r\n */
    struct strbuf out;    /* body */
    struct late_answer *late;
    struct http_stream *stream;
};

typedef void http_handler(struct http_call *call);

struct http_route {
    const char *path; /* one that ends in a slash takes all below it, "/" itself only the root */
    bool post;        /* else GET and HEAD */
    bool open;        /* asks for no token and any Host: probes */
    enum control_level level;
    http_handler *run;
    const char *help; /* for the list of what there is */
};
/* All there are (http_routes.c); NULL behind the last one. */
const struct http_route *http_routes_row(uint32_t i);

/* The answer is this status with a line of text; a newline is added. */
void http_call_fail(struct http_call *call, unsigned status, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* A parameter of the query or of a form's body, decoded into buf. False: not there, malformed, or
 * longer than buf (a NUL included). */
bool http_call_param(struct str from, const char *name, char *buf, size_t size);
/* The answer's body is what a command says (command_run). */
void http_call_command(struct http_call *call, const char *command);

/* The connection is a stream from here on: status, type and out (the first of it) are sent. */
void http_call_stream(struct http_call *call, struct http_stream *s);
/* More of it. False: the peer reads too slowly, the stream is over (ended() comes in a later
 * turn). */
bool http_stream_push(struct http_stream *s, struct str data);
/* Ends it after what was pushed; ended() comes in a later turn. */
void http_stream_end(struct http_stream *s);

/* Handlers, by file. */
http_handler http_probe_live, http_probe_ready;                  /* http_probe.c */
http_handler http_metrics_show;                                  /* http_metrics.c */
http_handler http_api_show;                                      /* http_api.c */
http_handler http_dash_page, http_dash_stream, http_dash_change; /* http_dash.c */

#endif
