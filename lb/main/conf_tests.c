/* conf_tests.c - see conf_tests.h. What becomes of a request is lb/proxy/explain.h's to say. */
#include "lb/main/conf_tests.h"

#include "lb/base/alloc.h"
#include "lb/config/conf.h"
#include "lb/main/explain.h"

#include <stdio.h>
#include <stdlib.h>

static bool goes_to(const struct explanation *e, const char *pool)
{
    if (!e->taken || e->status != 0)
        return false;
    for (uint32_t i = 0; i < e->n_pools; i++)
        if (strcmp(e->pools[i].conf->name, pool) == 0)
            return true;
    return false;
}

/* Which rule it was, what it looks at, and what its filters said. */
static void trace(const struct explanation *e, struct strbuf *errors)
{
    if (e->route == NULL) {
        if (e->words[0] != '\0')
            strbuf_addf(errors, "  %s\n", e->words);
        return;
    }
    strbuf_addf(errors, "  route %s, the first that matches: ", e->route->name);
    route_describe(&e->route->conf->route, errors);
    strbuf_add_cstr(errors, " -> ");
    route_describe_action(&e->route->conf->route, errors);
    strbuf_add_char(errors, '\n');
    for (uint32_t i = 0; i < e->n_filters; i++) {
        const struct explain_filter *f = &e->filters[i];
        strbuf_addf(errors, "  filter %s %s%s%s\n", f->name,
                    f->verdict == FILTER_PASS ? "passes it" : "refuses it",
                    f->words[0] != '\0' ? ": " : "", f->words);
    }
}

static void fail(const struct explanation *e, const struct conf_test *test, uint32_t index,
                 const char *setting, const char *expected, struct strbuf *errors)
{
    strbuf_addf(errors, "%s:%d: error: tests[#%u].expect.%s: \"%s\" gets ", test->file, test->line,
                index + 1, setting, test->request);
    explain_outcome(e, errors);
    if (e->route != NULL)
        strbuf_addf(errors, ", by the route at %s:%d", e->route->conf->route.file,
                    e->route->conf->route.line);
    else
        strbuf_addf(errors, ", on listener %s", e->listener->conf->name);
    strbuf_addf(errors, ", expected %s\n", expected);
    trace(e, errors);
}

static bool is_right(const struct explanation *e, const struct conf_test *test, uint32_t index,
                     struct strbuf *errors)
{
    char status[16];

    snprintf(status, sizeof(status), "%u", test->status);
    if (test->pool_name != NULL && !goes_to(e, test->pool_name))
        fail(e, test, index, "pool", test->pool_name, errors);
    else if (test->status != 0 && e->status != test->status)
        fail(e, test, index, "status", status, errors);
    else if (test->location != NULL &&
             (e->location == NULL || strcmp(e->location, test->location) != 0))
        fail(e, test, index, "location", test->location, errors);
    else
        return true;
    return false;
}

static bool run_one(const struct explain_world *world, const struct conf_test *test, uint32_t index,
                    struct strbuf *errors)
{
    struct str *headers = xcalloc(test->n_headers + 1, sizeof(*headers));
    struct str rest = str_of(test->request);
    struct strbuf error = {0};
    struct explain_question q = {
        .headers = headers, .n_headers = test->n_headers, .from = test->from};

    for (uint32_t i = 0; i < test->n_headers; i++)
        headers[i] = str_of(test->headers[i]);
    q.method = str_word(&rest, " ");
    q.url = str_trim(rest);
    struct explanation *e = explain_new(world, &q, &error);
    bool good = e != NULL && is_right(e, test, index, errors);
    if (e == NULL)
        strbuf_addf(errors, "%s:%d: error: tests[#%u]: %s\n", test->file, test->line, index + 1,
                    error.p);
    explain_free(&e);
    strbuf_fini(&error);
    free(headers);
    return good;
}

uint32_t conf_tests_run(const struct conf *conf, struct strbuf *errors)
{
    struct explain_offline offline;
    uint32_t failed = 0;

    if (conf->n_tests == 0)
        return 0;
    if (!explain_offline_init(&offline, conf, errors))
        return conf->n_tests; /* a file has changed since it was checked */
    offline.world.without_backends = true;
    for (uint32_t i = 0; i < conf->n_tests; i++)
        failed += !run_one(&offline.world, &conf->tests[i], i, errors);
    explain_offline_fini(&offline);
    return failed;
}
