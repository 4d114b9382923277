/* bench_route.c - what a route lookup costs, per kind and number of rules.
 *
 * Prints nanoseconds of processor time per lookup for rules of distinct hosts, of wildcard hosts,
 * of distinct paths (all under one host), of hosts and paths mixed with a few regexes and
 * conditions, and of regexes with a literal prefix; requests hit every rule equally, and one in
 * eight hits none. The promise: 10,000 rules cost at most 2 µs more than 10. Not a test: figures
 * depend on the machine. */
#include "lb/base/alloc.h"
#include "lb/base/rand.h"
#include "lb/route/route.h"
#include "tests/support/http_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LOOKUPS 400000
#define ROUNDS  5    /* the best one is printed: what else runs here only adds */
#define ASKED   4096 /* requests made beforehand, power of 2 */

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

enum kind {
    HOSTS,
    WILDCARDS,
    PATHS,
    MIXED,
    REGEXES,
    KINDS,
};
static const char *const kind_names[] = {"hosts", "wildcard hosts", "paths", "mixed", "regexes"};

static char **list_of(char *text)
{
    char **list = xmalloc(sizeof(*list));
    list[0] = text;
    return list;
}

static void make_rule(struct route_conf *c, enum kind kind, uint32_t i)
{
    switch (kind) {
    case HOSTS:
        c->hosts = list_of(xasprintf("shop%u.example.com", i));
        break;
    case WILDCARDS:
        c->hosts = list_of(xasprintf("*.shop%u.example.com", i));
        break;
    case PATHS:
        c->paths = list_of(xasprintf("/api/v%u/service%u/", i % 7, i));
        break;
    case MIXED: /* a hundred hosts; of a hundred rules, one has a regex, four a condition */
        c->hosts = list_of(xasprintf("shop%u.example.com", i % 100));
        c->paths = list_of(i % 100 == 99 ? xasprintf("~^/item%u/[0-9]+$", i)
                                         : xasprintf("/api/service%u", i));
        if (i % 25 == 7) {
            c->headers = xcalloc(1, sizeof(*c->headers));
            c->headers[0] = (struct route_cond_conf){xstrdup("x-beta"), xstrdup("1")};
            c->n_headers = 1;
        }
        break;
    case REGEXES:
        c->paths = list_of(xasprintf("~^/tenant%u/([a-z]+)/([0-9]+)", i));
        break;
    case KINDS:
        abort();
    }
    c->n_hosts = c->hosts != NULL;
    c->n_paths = c->paths != NULL;
}

static void rule_fini(struct route_conf *c)
{
    if (c->n_hosts > 0)
        free(c->hosts[0]);
    if (c->n_paths > 0)
        free(c->paths[0]);
    if (c->n_headers > 0) {
        free(c->headers[0].name);
        free(c->headers[0].value);
    }
    free(c->hosts);
    free(c->paths);
    free(c->headers);
}

struct asked {
    char host[48], path[64];
};

static void make_request(struct asked *a, enum kind kind, uint32_t i, bool hit)
{
    const char *miss = hit ? "" : "none";
    const char *sub = kind == WILDCARDS ? "www." : "";

    snprintf(a->host, sizeof(a->host), "%s%sshop%u.example.com", sub, kind >= PATHS ? "" : miss,
             kind == MIXED ? i % 100 : i);
    if (kind == REGEXES)
        snprintf(a->path, sizeof(a->path), "/%stenant%u/books/4711", miss, i);
    else if (kind == MIXED)
        snprintf(a->path, sizeof(a->path), "/%s%s%u/4711", miss,
                 i % 100 == 99 ? "item" : "api/service", i);
    else
        snprintf(a->path, sizeof(a->path), "/%sapi/v%u/service%u/orders/4711", miss, i % 7, i);
}

static void measure(enum kind kind, uint32_t n)
{
    struct route_conf *confs = xcalloc(n, sizeof(*confs));
    const struct route_conf **list = xcalloc(n, sizeof(*list));
    struct asked *asked = xcalloc(ASKED, sizeof(*asked));
    struct route_request *requests = xcalloc(ASKED, sizeof(*requests));
    struct route_scratch *scratch = route_scratch_new();
    struct http_request head;
    struct route_match match;
    struct rng rng;
    uint64_t hits = 0;

    rng_seed(&rng, n);
    http_request_init(&head, "GET");
    http_request_field(&head, "User-Agent", "bench");
    http_request_field(&head, "Accept", "*/*");
    http_request_field(&head, "X-Beta", "1");
    for (uint32_t i = 0; i < n; i++) {
        make_rule(&confs[i], kind, i);
        list[i] = &confs[i];
    }
    for (uint32_t i = 0; i < ASKED; i++) {
        make_request(&asked[i], kind, rng_below(&rng, n), i % 8 != 0);
        requests[i] = (struct route_request){
            .head = &head.head, .host = str_of(asked[i].host), .path = str_of(asked[i].path)};
    }
    double start = now_ns();
    struct route_table *t = route_table_new(list, n, false, NULL, NULL);
    double built = now_ns();
    if (t == NULL)
        abort();
    for (uint32_t i = 0; i < ASKED; i++)
        hits += route_find(t, scratch, &requests[i], &match) != ROUTE_NONE;
    if (hits != ASKED - ASKED / 8)
        abort();
    double best = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        double from = now_ns();
        for (uint32_t i = 0; i < LOOKUPS; i++)
            hits += route_find(t, scratch, &requests[i % ASKED], &match) != ROUTE_NONE;
        double ns = (now_ns() - from) / LOOKUPS;
        best = ns < best ? ns : best;
    }
    printf("%-14s %6u rules %8.0f ns a lookup, built in %.1f ms\n", kind_names[kind], (unsigned)n,
           best, (built - start) / 1e6);

    route_table_free(&t);
    route_scratch_free(&scratch);
    for (uint32_t i = 0; i < n; i++)
        rule_fini(&confs[i]);
    free(confs);
    free(list);
    free(asked);
    free(requests);
}

int main(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        measure((enum kind)kind, 10);
        measure((enum kind)kind, 10000);
    }
    return 0;
}
