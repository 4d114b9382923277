/* route_test.h - what the tests of lb/route share: rules from short texts, requests, lookups. */
#ifndef SLUICE_TESTS_ROUTE_TEST_H
#define SLUICE_TESTS_ROUTE_TEST_H

#include "lb/base/alloc.h"
#include "lb/route/rewrite.h"
#include "lb/route/route.h"
#include "tests/support/http_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define RULES_MAX 64

struct rules {
    struct route_conf *confs[RULES_MAX];
    uint32_t n;
    struct route_table *table;
    struct route_scratch *scratch;
    struct strbuf problems; /* lines INDEX SETTING AT: TEXT */
    struct strbuf trace;    /* lines INDEX: hit, or the reason */
    struct route_match match;
};

static inline void add_text(char ***list, uint32_t *n, const char *text)
{
    *list = xrealloc(*list, (*n + 1) * sizeof(**list));
    (*list)[(*n)++] = xstrdup(text);
}

static inline void add_cond(struct route_cond_conf **list, uint32_t *n, const char *text)
{
    const char *colon = strchr(text, ':');

    *list = xrealloc(*list, (*n + 1) * sizeof(**list));
    (*list)[(*n)++] = (struct route_cond_conf){
        colon != NULL ? xstrndup(text, (size_t)(colon - text)) : xstrdup(text),
        colon != NULL ? xstrdup(colon + 1) : NULL};
}

/* One "what=text" of a rule, as route_describe() writes it. */
static inline void add_setting(struct route_conf *c, const char *what, const char *text)
{
    const char *error;

    if (strcmp(what, "host") == 0) {
        add_text(&c->hosts, &c->n_hosts, text);
    } else if (strcmp(what, "path") == 0) {
        add_text(&c->paths, &c->n_paths, text);
    } else if (strcmp(what, "method") == 0) {
        add_text(&c->methods, &c->n_methods, text);
    } else if (strcmp(what, "header") == 0) {
        add_cond(&c->headers, &c->n_headers, text);
    } else if (strcmp(what, "cookie") == 0) {
        add_cond(&c->cookies, &c->n_cookies, text);
    } else if (strcmp(what, "query") == 0) {
        add_cond(&c->queries, &c->n_queries, text);
    } else if (strcmp(what, "from") == 0) {
        c->from = xrealloc(c->from, (c->n_from + 1) * sizeof(*c->from));
        assert_int_equal(addr_net_parse(str_of(text), &c->from[c->n_from], &error), 0);
        c->n_from++;
    } else {
        fail_msg("a rule with \"%s\"", what);
    }
}

/* "host=a.example path=/x path=/y header=x-a:1": settings apart by spaces; "" matches all. */
static inline struct route_conf *rule_of(const char *text)
{
    struct route_conf *c = xcalloc(1, sizeof(*c));
    struct str rest = str_of(text);

    for (;;) {
        struct str word = str_word(&rest, " ");
        if (word.len == 0)
            break;
        char *copy = xstrndup(word.p, word.len);
        char *equals = strchr(copy, '=');
        assert_non_null(equals);
        *equals = '\0';
        add_setting(c, copy, equals + 1);
        free(copy);
    }
    c->pool_name = xstrdup("app");
    return c;
}

static inline void rule_free(struct route_conf *c)
{
    for (uint32_t i = 0; i < c->n_hosts; i++)
        free(c->hosts[i]);
    for (uint32_t i = 0; i < c->n_paths; i++)
        free(c->paths[i]);
    for (uint32_t i = 0; i < c->n_methods; i++)
        free(c->methods[i]);
    struct route_cond_conf *lists[] = {c->headers, c->cookies, c->queries};
    uint32_t sizes[] = {c->n_headers, c->n_cookies, c->n_queries};
    for (int k = 0; k < 3; k++) {
        for (uint32_t i = 0; i < sizes[k]; i++) {
            free(lists[k][i].name);
            free(lists[k][i].value);
        }
        free(lists[k]);
    }
    free(c->hosts);
    free(c->paths);
    free(c->methods);
    free(c->from);
    free(c->pool_name);
    free(c);
}

static inline void on_problem(void *arg, uint32_t index, const char *setting, uint32_t at,
                              const char *text)
{
    struct rules *r = arg;
    strbuf_addf(&r->problems, "%u %s %u: %s\n", index, setting, at, text);
}

/* Ends with NULL. Where there are problems the table is NULL. */
static inline void rules_init(struct rules *r, const char *const *texts)
{
    memset(r, 0, sizeof(*r));
    for (; *texts != NULL; texts++)
        r->confs[r->n++] = rule_of(*texts);
    r->scratch = route_scratch_new();
    strbuf_add_cstr(&r->problems, "");
    r->table =
        route_table_new((const struct route_conf *const *)r->confs, r->n, false, on_problem, r);
}

static inline void rules_fini(struct rules *r)
{
    for (uint32_t i = 0; i < r->n; i++)
        rule_free(r->confs[i]);
    route_table_free(&r->table);
    route_scratch_free(&r->scratch);
    strbuf_fini(&r->problems);
    strbuf_fini(&r->trace);
}

static inline void on_trace(void *arg, uint32_t index, bool hit, const char *why)
{
    struct rules *r = arg;
    strbuf_addf(&r->trace, "%u: %s\n", index, hit ? "hit" : why);
}

/* By route_find and by route_trace, which must agree. */
static inline uint32_t find_request(struct rules *r, const struct route_request *q)
{
    struct route_match traced = {0};

    strbuf_clear(&r->trace);
    uint32_t index = route_trace(r->table, r->scratch, q, on_trace, r, &traced);
    assert_int_equal(route_find(r->table, r->scratch, q, &r->match), index);
    if (index != ROUTE_NONE) {
        assert_int_equal(traced.n_captures, r->match.n_captures);
        for (uint32_t i = 0; i < traced.n_captures; i++)
            assert_true(str_eq(traced.captures[i], r->match.captures[i]));
    }
    return index;
}

/* A GET for host and path?query without fields, from 192.0.2.7. */
static inline uint32_t find(struct rules *r, const char *host, const char *target)
{
    struct http_request request;
    struct addr client = {.len = sizeof(client.in)};
    size_t path = strcspn(target, "?");

    http_request_init(&request, "GET");
    client.in.sin_family = AF_INET;
    client.in.sin_addr.s_addr = htonl(0xc0000207);
    struct route_request q = {
        .head = &request.head,
        .host = str_of(host),
        .path = {target, path},
        .query = str_of(target[path] == '?' ? target + path + 1 : ""),
        .client = &client,
    };
    return find_request(r, &q);
}

#endif
