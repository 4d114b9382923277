/* route.c - see route.h: the table, lookups, traces.
 *
 * The index gives lists of candidates, each in the order of rules. They are merged, so that rules
 * are looked at in order across lists and the first whose conditions hold is the answer. Room for
 * lists is fixed: when it is used up, those found so far are merged and only rules before the best
 * one count from then on. */
#include "lb/route/route.h"

#include "lb/base/alloc.h"
#include "lb/route/route_index.h"
#include "lb/route/route_rule.h"

#include <stdlib.h>

#define LISTS_MAX 32 /* merged at a time; a request usually has fewer than five */

struct route_table {
    struct route_rule *rules;
    uint32_t n;
    struct route_index *index;
};

static void add_to_index(struct route_table *t, uint32_t i)
{
    const struct route_rule *r = &t->rules[i];
    bool plain = r->methods == 0 && r->n_conds == 0 && r->conf->n_from == 0;

    for (uint32_t h = 0; h < r->n_hosts; h++) {
        for (uint32_t p = 0; p < r->n_paths; p++)
            route_index_add(t->index, r->hosts[h].kind, r->hosts[h].text, r->paths[p].kind,
                            r->paths[p].text,
                            (struct route_entry){
                                .rule = i,
                                .path = p,
                                .settled = plain && r->paths[p].kind != ROUTE_PATH_REGEX,
                            });
    }
}

struct route_table *route_table_new(const struct route_conf *const *routes, uint32_t n,
                                    bool keep_encoded_slash, route_problem_fn *problem, void *arg)
{
    struct route_table *t = xcalloc(1, sizeof(*t));
    struct route_problems problems = {.fn = problem, .arg = arg};

    t->n = n;
    t->rules = xcalloc(n > 0 ? n : 1, sizeof(*t->rules));
    t->index = route_index_new();
    for (uint32_t i = 0; i < n; i++) {
        problems.index = i;
        route_rule_init(&t->rules[i], routes[i], keep_encoded_slash, &problems);
    }
    if (problems.n > 0) {
        route_table_free(&t);
        return NULL;
    }
    for (uint32_t i = 0; i < n; i++)
        add_to_index(t, i);
    return t;
}

void route_table_free(struct route_table **t)
{
    if (*t == NULL)
        return;
    for (uint32_t i = 0; i < (*t)->n; i++)
        route_rule_fini(&(*t)->rules[i]);
    route_index_free(&(*t)->index);
    free((*t)->rules);
    free(*t);
    *t = NULL;
}

const struct route_rewrite *route_rewrite(const struct route_table *t, uint32_t index)
{
    sl_assert(index < t->n);
    return t->rules[index].rewrite;
}

/* ---- lookup ---- */

struct search {
    const struct route_table *table;
    struct route_scratch *scratch;
    const struct route_request *request;
    struct route_match *out;
    uint32_t best; /* rules from here on need not be looked at */
    uint32_t n;
    struct route_entries lists[LISTS_MAX];
};

static bool is_before(const struct route_entry *a, const struct route_entry *b)
{
    return a->rule != b->rule ? a->rule < b->rule : a->path < b->path;
}

/* The list whose next entry comes first, or NULL when none is before the best. */
static struct route_entries *next_list(struct search *x)
{
    struct route_entries *next = NULL;

    for (uint32_t i = 0; i < x->n;) {
        struct route_entries *l = &x->lists[i];
        if (l->n == 0 || l->first->rule >= x->best) {
            *l = x->lists[--x->n];
            continue;
        }
        if (next == NULL || is_before(l->first, next->first))
            next = l;
        i++;
    }
    return next;
}

static bool holds(struct search *x, struct route_entry e, struct route_match *match)
{
    const struct route_rule *r = &x->table->rules[e.rule];

    return route_rule_path_holds(r, e.path, x->scratch, x->request, match) &&
           route_rule_conds_hold(r, x->scratch, x->request, NULL);
}

static void merge(struct search *x)
{
    struct route_entries *l;
    struct route_match match;

    while ((l = next_list(x)) != NULL) {
        struct route_entry e = *l->first++;
        l->n--;
        if (e.settled)
            match = (struct route_match){.n_captures = 0};
        else if (!holds(x, e, &match))
            continue;
        x->best = e.rule;
        if (x->out != NULL)
            *x->out = match;
    }
}

static void on_list(void *arg, struct route_entries found)
{
    struct search *x = arg;

    if (found.first->rule >= x->best)
        return;
    if (x->n == LISTS_MAX)
        merge(x);
    x->lists[x->n++] = found;
}

uint32_t route_find(const struct route_table *t, struct route_scratch *s,
                    const struct route_request *r, struct route_match *out)
{
    struct search x;

    x.table = t;
    x.scratch = s;
    x.request = r;
    x.out = out;
    x.best = ROUTE_NONE;
    x.n = 0;
    route_index_find(t->index, r->host, r->path, on_list, &x);
    merge(&x);
    return x.best;
}

uint32_t route_trace(const struct route_table *t, struct route_scratch *s,
                     const struct route_request *r, route_trace_fn *fn, void *arg,
                     struct route_match *out)
{
    struct strbuf why = {0};
    struct route_match match;
    uint32_t found = ROUTE_NONE;

    for (uint32_t i = 0; i < t->n && found == ROUTE_NONE; i++) {
        strbuf_clear(&why);
        strbuf_add_cstr(&why, "");
        bool hit = route_rule_holds(&t->rules[i], s, r, &match, &why);
        if (hit)
            found = i;
        fn(arg, i, hit, why.p);
    }
    if (found != ROUTE_NONE && out != NULL)
        *out = match;
    strbuf_fini(&why);
    return found;
}

uint32_t route_split_pick(const struct route_conf *conf, uint64_t random)
{
    uint64_t total = 0, at;

    for (uint32_t i = 0; i < conf->n_split; i++)
        total += conf->split[i].weight;
    at = (uint64_t)((unsigned __int128)random * total >> 64); /* uniform in [0, total) */
    for (uint32_t i = 0; i < conf->n_split; i++) {
        if (at < conf->split[i].weight)
            return i;
        at -= conf->split[i].weight;
    }
    return 0; /* every weight is 0 */
}
