/* route_rule.h - one rule, compiled: its hosts, paths and conditions. Immutable; owned by its
 * table.
 */
#ifndef SLUICE_ROUTE_ROUTE_RULE_H
#define SLUICE_ROUTE_ROUTE_RULE_H

#include "lb/route/route.h"
#include "lb/route/route_index.h"

struct route_regex;

struct route_host {
    enum route_host_kind kind;
    struct str text; /* lower-case; of *.x the x */
    char *own;
};

struct route_path {
    enum route_path_kind kind;
    struct str text; /* normalised; of a regex its literal prefix */
    char *own;
    struct route_regex *regex;
};

enum route_cond_kind {
    ROUTE_COND_HEADER,
    ROUTE_COND_COOKIE,
    ROUTE_COND_QUERY,
};

struct route_cond {
    enum route_cond_kind kind;
    struct str name;
    struct str value; /* p NULL: any value */
    struct route_regex *regex;
};

struct route_rule {
    const struct route_conf *conf;
    uint32_t methods; /* bit per enum http_method; 0: any */
    uint32_t n_conds;
    struct route_cond *conds;
    uint32_t n_hosts, n_paths; /* at least 1: "any" is one */
    struct route_host *hosts;
    struct route_path *paths;
    struct route_rewrite *rewrite;
};

/* Where mistakes of a rule go. */
struct route_problems {
    route_problem_fn *fn; /* NULL: only counted */
    void *arg;
    uint32_t index;
    uint32_t n;
};
void route_problem(struct route_problems *p, const char *setting, uint32_t at, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* Fills *out (zeroed), as far as the rule is sound. */
void route_rule_init(struct route_rule *out, const struct route_conf *conf, bool keep_encoded_slash,
                     struct route_problems *problems);
void route_rule_fini(struct route_rule *r);

/* The text of a path of the configuration as requests are compared with it. False with words
 * (static ones) when it is none. *own is to be freed. */
bool route_path_normalise(const char *path, bool keep_encoded_slash, char **own, struct str *out,
                          const char **out_error);

/* What people write as they say it (an é, a space) as requests carry it: percent-encoded. A
 * template keeps its braces. To be freed. */
char *route_percent_encode(const char *text, bool is_template);

/* What the index has not settled: a regex of path number `path`, and the conditions. why: NULL, or
 * gets words about the first that is not met. out gets captures. */
bool route_rule_path_holds(const struct route_rule *r, uint32_t path, struct route_scratch *s,
                           const struct route_request *q, struct route_match *out);
bool route_rule_conds_hold(const struct route_rule *r, struct route_scratch *s,
                           const struct route_request *q, struct strbuf *why);

/* The whole rule, without an index. */
bool route_rule_holds(const struct route_rule *r, struct route_scratch *s,
                      const struct route_request *q, struct route_match *out, struct strbuf *why);

/* rewrite.c */
struct route_rewrite *route_rewrite_new(const struct route_conf *conf, bool keep_encoded_slash,
                                        struct route_problems *problems);
void route_rewrite_free(struct route_rewrite **w);

#endif
