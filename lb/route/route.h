/* route.h - which rule of a listener takes a request, and why.
 *
 * The first rule that matches wins. A table is built at load from the rules of one listener and is
 * immutable: workers share it. A lookup goes through an index of hosts and path prefixes, so that
 * it costs the same with ten rules and with ten thousand; it allocates nothing and takes its
 * working memory from the worker's route_scratch. What a rule then does to the request is
 * rewrite.h's. */
#ifndef SLUICE_ROUTE_ROUTE_H
#define SLUICE_ROUTE_ROUTE_H

#include "lb/route/route_conf.h"

struct http_head;     /* lb/http/msg.h */
struct route_rewrite; /* lb/route/rewrite.h */
struct route_table;   /* opaque */
struct route_scratch; /* opaque; one thread's */

#define ROUTE_NONE     UINT32_MAX
#define ROUTE_CAPTURES 10 /* the whole match of a path regex, and its groups 1 to 9 */

/* Tells of a mistake in a rule: setting as in the configuration ("path", "headers"), at: which of
 * its list, text: what is wrong with it, for people. All live during the call only. */
typedef void route_problem_fn(void *arg, uint32_t index, const char *setting, uint32_t at,
                              const char *text);

/* Load time. The rules and what they point at must outlive the table. keep_encoded_slash: as in
 * lb/http/uri.h, for the paths of rules and for paths that are rewritten. problem may be NULL. NULL
 * when there was a problem (all are told); n == 0 gives a table that matches nothing. */
struct route_table *route_table_new(const struct route_conf *const *routes, uint32_t n,
                                    bool keep_encoded_slash, route_problem_fn *problem, void *arg);
void route_table_free(struct route_table **t);

/* Any number of tables may be asked with one scratch; about 70 KiB, touched as needed. */
struct route_scratch *route_scratch_new(void);
void route_scratch_free(struct route_scratch **s);

struct route_request {
    const struct http_head *head; /* method, fields */
    struct str host;              /* lower-case, no port, no trailing dot; "" when there is none */
    struct str path;              /* normalised (lb/http/uri.h); "*" for the asterisk form */
    struct str query;             /* as sent, without the question mark */
    const struct addr *client;
};

/* Of the rule that matched. */
struct route_match {
    struct str captures[ROUTE_CAPTURES]; /* slices of the request's path; 0 is the whole match */
    uint32_t n_captures;                 /* 0: it was no regex */
};

/* The index of the first rule that matches, or ROUTE_NONE (out untouched). */
uint32_t route_find(const struct route_table *t, struct route_scratch *s,
                    const struct route_request *r, struct route_match *out);

/* Tells of every rule up to the one that matches, in order, hit or not and why not ("" for a hit).
 * Returns what route_find returns. Slow: for explain. out may be NULL. */
typedef void route_trace_fn(void *arg, uint32_t index, bool hit, const char *why);
uint32_t route_trace(const struct route_table *t, struct route_scratch *s,
                     const struct route_request *r, route_trace_fn *fn, void *arg,
                     struct route_match *out);

/* What rule `index` does to path and host. Never NULL; the table's. */
const struct route_rewrite *route_rewrite(const struct route_table *t, uint32_t index);

/* Which of conf->split takes a request, by weight; random: 64 random bits. With all weights 0 the
 * first. conf->action is ROUTE_SPLIT. */
uint32_t route_split_pick(const struct route_conf *conf, uint64_t random);

/* A rule for people: `host=api.example.com path=/v1/ method=GET,HEAD`, or `any request`. */
void route_describe(const struct route_conf *conf, struct strbuf *out);
/* What it does: `pool app`, `split app 90, new 10`, `redirect 308 /new`, `answer 404`. */
void route_describe_action(const struct route_conf *conf, struct strbuf *out);

#endif
