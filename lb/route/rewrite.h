/* rewrite.h - what a rule makes of a request's path and host, and of its redirect and answer.
 *
 * Templates are compiled with the rule's table. Their texts are the operator's, the values of
 * variables are the client's: values are escaped for where they go (percent-encoding in paths and
 * URLs; by the answer's type in HTML and JSON), and no control byte ever comes out, so nobody can
 * add a header or a second message. Nothing is allocated; out is the caller's. */
#ifndef SLUICE_ROUTE_REWRITE_H
#define SLUICE_ROUTE_REWRITE_H

#include "lb/http/template.h"

struct route_rewrite; /* route_rewrite() in route.h */
struct route_scratch;

/* Functions that write return the length, or -EMSGSIZE (out is too small, or more than
 * ROUTE_TEXT_MAX came out), or -EBADMSG: what came out is not a path or host (the request is
 * answered 400). out is of any content then. */
#define ROUTE_TEXT_MAX 65535 /* bytes; a cap that is this large suffices always */

/* strip_prefix or replace_path. When false, the path goes on as it came. */
bool route_rewrites_path(const struct route_rewrite *w);
/* The path that goes on, from vars->path (normalised) and vars->captures; normalised too. Without
 * rewriting: vars->path. "*" stays as it is. */
int route_rewrite_path(const struct route_rewrite *w, struct route_scratch *s,
                       const struct http_vars *vars, char *out, size_t cap) WARN_UNUSED;

bool route_rewrites_host(const struct route_rewrite *w);
/* The host for the backend, with its port where set_host gives one; lower-case is not forced. Only
 * when route_rewrites_host(). */
int route_rewrite_host(const struct route_rewrite *w, const struct http_vars *vars, char *out,
                       size_t cap) WARN_UNUSED;

/* The Location of a redirect. The rest of the path behind a prefix is not appended: say $path or $1
 * for that. The query is appended, before a fragment, unless `to` holds a "?", $query or $uri. */
int route_redirect_to(const struct route_rewrite *w, const struct http_vars *vars, char *out,
                      size_t cap) WARN_UNUSED;

/* The body of an answer without variables: use it as it is. p NULL: it has variables, or there is
 * no body at all (route_conf.answer.body says). */
struct str route_answer_fixed(const struct route_rewrite *w);
int route_answer_body(const struct route_rewrite *w, const struct http_vars *vars, char *out,
                      size_t cap) WARN_UNUSED;

#endif
