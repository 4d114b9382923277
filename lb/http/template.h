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
 *   header_NAME cookie_NAME query_NAME   - in names is written _ (or as it is in braces); "" where
 *                           there is none; lines of one header joined; query values not decoded
 *   response_header_NAME
 *   tls_version tls_cipher tls_sni tls_alpn   of the client's connection; "" in clear
 *   tls_resumed             1 or 0
 *   tls_client_verify       NONE, SUCCESS or FAILED:REASON, of the client's certificate
 *   tls_client_subject tls_client_issuer tls_client_serial   "" unless it is SUCCESS
 *   tls_client_fingerprint
 *   1 ... 9                 what the groups of the route's path regex matched
 * Values are the client's: no control byte of theirs ever comes out, and other bytes are escaped
 * for where the text goes. Pure: compiled at load, expanded into the caller's memory. */
#ifndef SLUICE_HTTP_TEMPLATE_H
#define SLUICE_HTTP_TEMPLATE_H

#include "lb/http/msg.h"

struct http_template;
struct tls_facts;

/* What variables stand for; a str with len 0: "". Filled by lb/proxy as far as is known. */
struct http_vars {
    const struct http_head *request, *response; /* NULL: not there (yet) */
    struct str client_ip, client_port, peer_ip, scheme, host, port;
    struct str path, query; /* as they go on */
    struct str request_id, traceparent, listener, route, pool, backend;
    struct str captures[10];
    /* Of the client's connection; called only where a template wants it. NULL, and its result NULL:
     * it is in clear. */
    const struct tls_facts *(*tls)(void *tls_arg);
    void *tls_arg;
    uint64_t wall_s;
};

/* Load time. NULL with *out_error in words (thread-local text). */
struct http_template *http_template_compile(struct str text, const char **out_error);
void http_template_free(struct http_template **t);
/* The text when it holds no variable at all (then expanding is not needed), else p == NULL. */
struct str http_template_fixed(const struct http_template *t);
/* Whether it holds a variable of this name ("query", "header_x_id"). */
bool http_template_uses(const struct http_template *t, const char *name);
/* The operator's part holds no control bytes, so it can be a header's value. */
bool http_template_is_line(const struct http_template *t);

/* Where a text goes. Escapes values only, never the text around them. */
enum http_template_for {
    HTTP_FOR_TEXT, /* header values, plain text: control bytes become ?, a tab a space */
    HTTP_FOR_PATH, /* what may not stand in a path is percent-encoded, ? too */
    HTTP_FOR_URL,  /* the same; ? of $uri and $query stays */
    HTTP_FOR_HTML,
    HTTP_FOR_JSON, /* inside of a string */
};
/* Length, or -EMSGSIZE when cap does not do. */
int http_template_expand(const struct http_template *t, const struct http_vars *vars, char *out,
                         size_t cap) WARN_UNUSED; /* HTTP_FOR_TEXT */
int http_template_expand_for(const struct http_template *t, const struct http_vars *vars,
                             enum http_template_for what, char *out, size_t cap) WARN_UNUSED;

#endif
