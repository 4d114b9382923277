/* test_route_random.c - random rules and requests: route_find equals looking at one rule after the
 * other by the words of the documentation, written down here once more. */
#include "lb/base/rand.h"
#include "tests/unit/lb/route/route_test.h"

#define SEEDS    400
#define REQUESTS 60

static struct rng rng;

static const char *one_of(const char *const *list, uint32_t n)
{
    return list[rng_below(&rng, n)];
}
#define ONE_OF(list) one_of(list, ARRAY_LEN(list))

/* ---- regexes, each with what it means ---- */

static bool starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}
static bool ends(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}
static bool a_then_b_or_c(const char *p)
{
    return starts(p, "/a/b") || starts(p, "/a/c");
}
static bool has_bb(const char *p)
{
    return strstr(p, "/b/b") != NULL;
}
static bool ends_in_c(const char *p)
{
    return ends(p, "c");
}
static bool a_maybe_b(const char *p)
{
    return starts(p, "/a/");
}
static bool a_b_or_any_c(const char *p)
{
    return starts(p, "/a/b") || strstr(p, "/c") != NULL;
}
static bool just_a_b(const char *p)
{
    return strcmp(p, "/a/b") == 0 || strcmp(p, "/a/b/") == 0;
}
static bool many_slashes(const char *p)
{
    return starts(p, "/a");
}
static bool class_with_bar(const char *p)
{
    return starts(p, "/b/") && (p[3] == '|' || p[3] == 'a');
}
static const struct {
    const char *text;
    bool (*means)(const char *path);
} regexes[] = {
    {"~^/a/(b|c)", a_then_b_or_c},
    {"~/b/b", has_bb},
    {"~c$", ends_in_c},
    {"~^/a/b?", a_maybe_b},
    {"~^/a/b|/c", a_b_or_any_c},
    {"~^/a/b/?$", just_a_b},
    {"~^/a/*", many_slashes},
    {"~^/b/[|a]", class_with_bar},
};

static const char *const labels[] = {"a", "b", "c", "ab"};
static const char *const segments[] = {"a", "b", "c", "ab", ""};
static const char *const methods[] = {"GET", "POST", "PURGE"};

/* ---- random texts ---- */

static void random_host(char *out)
{
    out[0] = '\0';
    for (uint32_t n = 1 + rng_below(&rng, 4); n > 0; n--) {
        strcat(out, ONE_OF(labels));
        if (n > 1)
            strcat(out, ".");
    }
}

static void random_path(char *out)
{
    out[0] = '\0';
    for (uint32_t n = 1 + rng_below(&rng, 4); n > 0; n--) {
        strcat(out, "/");
        strcat(out, ONE_OF(segments));
    }
}

static void add_random_host(struct route_conf *c)
{
    char text[72], host[64];

    random_host(host);
    snprintf(text, sizeof(text), "%s%s", rng_below(&rng, 2) == 0 ? "*." : "", host);
    add_setting(c, "host", rng_below(&rng, 12) == 0 ? "*" : text);
}

static void add_random_path(struct route_conf *c)
{
    char text[72], path[64];

    random_path(path);
    snprintf(text, sizeof(text), "%s%s", rng_below(&rng, 3) == 0 ? "=" : "", path);
    add_setting(c, "path",
                rng_below(&rng, 4) == 0 ? regexes[rng_below(&rng, ARRAY_LEN(regexes))].text : text);
}

static struct route_conf *random_rule(void)
{
    struct route_conf *c = rule_of("");

    for (uint32_t n = rng_below(&rng, 3); n > 0; n--)
        add_random_host(c);
    for (uint32_t n = rng_below(&rng, 3); n > 0; n--)
        add_random_path(c);
    if (rng_below(&rng, 5) == 0)
        add_setting(c, "method", ONE_OF(methods));
    if (rng_below(&rng, 5) == 0)
        add_setting(c, "header", rng_below(&rng, 2) == 0 ? "x-h" : "x-h:1");
    if (rng_below(&rng, 5) == 0)
        add_setting(c, "query", rng_below(&rng, 2) == 0 ? "q" : "q:1");
    return c;
}

/* ---- what a rule means ---- */

struct question {
    char host[64], path[64];
    const char *method, *header, *query; /* header, query: NULL, or the value */
};

static bool host_means(const char *rule, const char *host)
{
    if (strcmp(rule, "*") == 0)
        return true;
    if (rule[0] == '*') /* "*.x": ends with ".x", and something stands before */
        return ends(host, rule + 1) && strlen(host) > strlen(rule + 1);
    return strcmp(rule, host) == 0;
}

static bool path_means(const char *rule, const char *path)
{
    if (rule[0] == '~') {
        for (size_t i = 0; i < ARRAY_LEN(regexes); i++) {
            if (strcmp(regexes[i].text, rule) == 0)
                return regexes[i].means(path);
        }
        fail();
    }
    if (rule[0] == '=')
        return strcmp(rule + 1, path) == 0;
    if (ends(rule, "/"))
        return starts(path, rule);
    return strcmp(rule, path) == 0 || (starts(path, rule) && path[strlen(rule)] == '/');
}

static bool cond_means(const struct route_cond_conf *c, const char *value)
{
    return value != NULL && (c->value == NULL || strcmp(c->value, value) == 0);
}

static bool rule_means(const struct route_conf *c, const struct question *q)
{
    bool host = c->n_hosts == 0, path = c->n_paths == 0, method = c->n_methods == 0;

    for (uint32_t i = 0; i < c->n_hosts; i++)
        host |= host_means(c->hosts[i], q->host);
    for (uint32_t i = 0; i < c->n_paths; i++)
        path |= path_means(c->paths[i], q->path);
    for (uint32_t i = 0; i < c->n_methods; i++)
        method |= strcmp(c->methods[i], q->method) == 0;
    return host && path && method && (c->n_headers == 0 || cond_means(&c->headers[0], q->header)) &&
           (c->n_queries == 0 || cond_means(&c->queries[0], q->query));
}

static uint32_t meant(struct rules *r, const struct question *q)
{
    for (uint32_t i = 0; i < r->n; i++) {
        if (rule_means(r->confs[i], q))
            return i;
    }
    return ROUTE_NONE;
}

static uint32_t found(struct rules *r, const struct question *q)
{
    struct http_request request;
    char query[16] = "";

    http_request_init(&request, q->method);
    if (q->header != NULL)
        http_request_field(&request, "X-H", q->header);
    if (q->query != NULL)
        snprintf(query, sizeof(query), "z&q=%s", q->query);
    struct route_request asked = {.head = &request.head,
                                  .host = str_of(q->host),
                                  .path = str_of(q->path),
                                  .query = str_of(query)};
    return find_request(r, &asked);
}

static void random_question(struct question *q)
{
    static const char *const values[] = {NULL, "1", "2"};

    random_host(q->host);
    random_path(q->path);
    if (rng_below(&rng, 20) == 0)
        strcpy(q->path, "*");
    q->method = ONE_OF(methods);
    q->header = ONE_OF(values);
    q->query = ONE_OF(values);
}

static void lookups_equal_looking_at_one_rule_after_the_other(void **state)
{
    uint32_t hits = 0, late = 0;
    (void)state;

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct rules r = {0};
        rng_seed(&rng, seed);
        r.n = 1 + rng_below(&rng, RULES_MAX);
        r.scratch = route_scratch_new();
        for (uint32_t i = 0; i < r.n; i++)
            r.confs[i] = random_rule();
        r.table =
            route_table_new((const struct route_conf *const *)r.confs, r.n, false, on_problem, &r);
        assert_non_null(r.table);
        for (int i = 0; i < REQUESTS; i++) {
            struct question q;
            random_question(&q);
            uint32_t want = meant(&r, &q), got = found(&r, &q);
            if (got != want)
                fail_msg("seed %d: %s %s%s: rule %d, expected %d", (int)seed, q.method, q.host,
                         q.path, (int)got, (int)want);
            hits += want != ROUTE_NONE;
            late += want != ROUTE_NONE && want > 10;
        }
        rules_fini(&r);
    }
    /* The random texts must meet often, or nothing was tried. */
    assert_true(hits > SEEDS * REQUESTS / 3);
    assert_true(late > SEEDS * REQUESTS / 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lookups_equal_looking_at_one_rule_after_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
