/* template.h - texts with request variables, for redirects, answers, header values, rewrites.
 *
 * "$name" or "${name}"; "$$" is a dollar. Variables:
 *   client_ip client_port   who asks (as a trusted proxy or the PROXY header says)
 *   peer_ip                 who is connected
 *   scheme host port        http or https; as the client named it; port of the listener
 *   method path query uri   path as it goes on (normalised where it was changed), uri: path?query
 *   version                 "1.1", "2"
 *   request_id traceparent
 *   listener route pool backend
 *   status                  of the response
 *   time_epoch              seconds since 1970
 *   header_NAME cookie_NAME query_NAME   - in names is written _; "" where there is none
 *   response_header_NAME
 *   1 ... 9                 what the groups of the route's path regex matched
 * Pure: compiled at load, expanded into the caller's memory. */
#ifndef SLUICE_HTTP_TEMPLATE_H
#define SLUICE_HTTP_TEMPLATE_H

#include "lb/http/msg.h"

struct http_template;

/* What variables stand for; a str with len 0: "". Filled by lb/proxy as far as is known. */
struct http_vars {
    const struct http_head *request, *response; /* NULL: not there (yet) */
    struct str client_ip, client_port, peer_ip, scheme, host, port;
    struct str path, query; /* as they go on */
    struct str request_id, traceparent, listener, route, pool, backend;
    struct str captures[10];
    uint64_t wall_s;
};

/* Load time. NULL with *out_error in words (thread-local text). */
struct http_template *http_template_compile(struct str text, const char **out_error);
void http_template_free(struct http_template **t);
/* The text when it holds no variable at all (then expanding is not needed), else p == NULL. */
struct str http_template_fixed(const struct http_template *t);
/* Length, or -EMSGSIZE when cap does not do. */
int http_template_expand(const struct http_template *t, const struct http_vars *vars, char *out,
                         size_t cap) WARN_UNUSED;

#endif
