/* ratelimit.c - so many requests in so long, for each value of a key.
 *
 * Keys: the source address (of IPv6 the /64: a subscriber owns at least that many), a header, a
 * cookie, the path as it goes on, or the whole route. A request without the header or cookie counts
 * for its source address, so leaving it out gains nothing. Refused requests take nothing from the
 * bucket. The table (rate_table.h) is shared by workers and starts anew with a configuration. */
#include "lb/base/alloc.h"
#include "lb/base/hash.h"
#include "lb/filter/filter_priv.h"
#include "lb/filter/rate_table.h"

#include <stdio.h>
#include <stdlib.h>

enum key_kind {
    BY_SOURCE,
    BY_HEADER,
    BY_COOKIE,
    BY_PATH,
    BY_ROUTE,
};

struct ratelimit {
    struct filter base;
    enum key_kind kind;
    char *name; /* of the header or cookie */
    char policy[64];
    uint32_t n, per_ms, burst;
    uint64_t seed;
    struct rate_table *table;
};

static bool parse_key(struct ratelimit *r, const char *key)
{
    static const struct {
        const char *text;
        enum key_kind kind;
    } words[] = {{"source", BY_SOURCE}, {"path", BY_PATH}, {"route", BY_ROUTE}};
    const char *colon = strchr(key, ':');

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        r->kind = words[i].kind;
        if (strcmp(key, words[i].text) == 0)
            return true;
    }
    if (colon == NULL || !http_is_token(str_of(colon + 1)))
        return false;
    r->kind = str_starts(str_of(key), STR("header:")) ? BY_HEADER : BY_COOKIE;
    r->name = xstrdup(colon + 1);
    return r->kind == BY_HEADER || str_starts(str_of(key), STR("cookie:"));
}

static void free_ratelimit(struct filter *f)
{
    struct ratelimit *r = container_of(f, struct ratelimit, base);

    if (r->table != NULL)
        rate_table_free(&r->table);
    free(r->name);
    free(r);
}

/* RateLimit-Policy: the window in whole seconds, left out when it is shorter. */
static void describe(struct ratelimit *r, const struct ratelimit_conf *conf)
{
    int n = snprintf(r->policy, sizeof(r->policy), "\"default\";q=%u", conf->n);

    if (conf->per_ms >= 1000)
        snprintf(r->policy + n, sizeof(r->policy) - (size_t)n, ";w=%u", conf->per_ms / 1000);
}

static struct filter *make(const struct filters_conf *conf, const char **out_error)
{
    const struct ratelimit_conf *rc = conf->ratelimit;

    if (rc == NULL)
        return NULL;
    struct ratelimit *r = xcalloc(1, sizeof(*r));
    r->base.type = &ratelimit_filter;
    r->n = rc->n;
    r->per_ms = rc->per_ms;
    r->burst = rc->burst > 0 ? rc->burst : 1;
    filter_secret(&r->seed, sizeof(r->seed));
    describe(r, rc);
    if (!parse_key(r, rc->key))
        *out_error = filter_error("ratelimit.key: \"%s\", expected source, header:NAME, "
                                  "cookie:NAME, path or route",
                                  rc->key);
    else if (rc->n == 0 || rc->per_ms == 0)
        *out_error = filter_error("ratelimit.rate: expected at least one request in a period");
    else
        r->table = rate_table_new(rc->n, rc->per_ms, r->burst, out_error);
    if (r->table != NULL)
        return &r->base;
    free_ratelimit(&r->base);
    return NULL;
}

/* ---- per exchange ---- */

static uint64_t hash_str(const struct ratelimit *r, struct str s)
{
    return hash_bytes(s.p, s.len, r->seed + (uint64_t)r->kind + 1);
}

static uint64_t hash_source(const struct ratelimit *r, const struct addr *a)
{
    if (addr_family(a) == AF_INET)
        return hash_bytes(&a->in.sin_addr, 4, r->seed);
    if (addr_family(a) != AF_INET6)
        return r->seed;
    const uint8_t *bytes = a->in6.sin6_addr.s6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
        return hash_bytes(bytes + 12, 4, r->seed);
    return hash_bytes(bytes, 8, r->seed);
}

static bool find_cookie(const struct http_head *h, struct str name, struct str *out)
{
    struct http_field *f = NULL;

    while ((f = http_find(h, HTTP_COOKIE, f)) != NULL)
        if (http_cookie_find(http_value(h, f), name, out))
            return true;
    return false;
}

static uint64_t key_of(const struct ratelimit *r, const struct filter_exchange *x)
{
    const struct http_field *f;
    struct str value;

    switch (r->kind) {
    case BY_HEADER:
        f = http_find_name(x->request, str_of(r->name), NULL);
        if (f != NULL)
            return hash_str(r, http_value(x->request, f));
        break;
    case BY_COOKIE:
        if (find_cookie(x->request, str_of(r->name), &value))
            return hash_str(r, value);
        break;
    case BY_PATH:
        return hash_str(r, x->vars.path);
    case BY_ROUTE:
        return hash_str(r, STR(""));
    case BY_SOURCE:
        break;
    }
    return hash_source(r, x->client);
}

static enum filter_verdict request_head(struct filter *f, struct filter_exchange *x, void *state)
{
    struct ratelimit *r = container_of(f, struct ratelimit, base);
    struct rate_verdict v = rate_table_take(r->table, key_of(r, x), io_now_us(x->io));
    char text[64];

    (void)state;
    if (v.ok)
        return FILTER_PASS;
    unsigned long long seconds = (v.retry_us + 999999) / 1000000;
    int n = snprintf(text, sizeof(text), "%llu", seconds);
    char *retry = arena_copy(x->arena, text, (size_t)n);
    n = snprintf(text, sizeof(text), "\"default\";r=%u;t=%llu", v.remaining, seconds);
    char *limit = arena_copy(x->arena, text, (size_t)n);
    if (retry == NULL || limit == NULL)
        return FILTER_ABORT;
    x->answer = (struct filter_answer){.status = 429, .reason = "ratelimited"};
    filter_answer_header(&x->answer, "Retry-After", retry);
    filter_answer_header(&x->answer, "RateLimit-Policy", r->policy);
    filter_answer_header(&x->answer, "RateLimit", limit);
    return FILTER_ANSWER;
}

static enum filter_verdict explain(struct filter *f, struct filter_exchange *x,
                                   struct strbuf *words)
{
    const struct ratelimit *r = container_of(f, struct ratelimit, base);
    const struct http_field *field;
    char client[ADDR_TEXT_MAX];
    struct str value;

    strbuf_addf(words, "if not more than %u", r->n);
    if (r->per_ms % 1000 == 0)
        strbuf_addf(words, " in %us", r->per_ms / 1000);
    else
        strbuf_addf(words, " in %ums", r->per_ms);
    strbuf_addf(words, ", %u at once, for ", r->burst);
    if (r->kind == BY_PATH)
        strbuf_addf(words, "path " STR_FMT, STR_ARG(x->vars.path));
    else if (r->kind == BY_ROUTE)
        strbuf_add_cstr(words, "the route");
    else if (r->kind == BY_HEADER &&
             (field = http_find_name(x->request, str_of(r->name), NULL)) != NULL)
        strbuf_addf(words, "header %s: " STR_FMT, r->name, STR_ARG(http_value(x->request, field)));
    else if (r->kind == BY_COOKIE && find_cookie(x->request, str_of(r->name), &value))
        strbuf_addf(words, "cookie %s=" STR_FMT, r->name, STR_ARG(value));
    else
        strbuf_addf(words, "source %s%s%s", addr_format_host(x->client, client),
                    r->name != NULL ? ", as there is no " : "", r->name != NULL ? r->name : "");
    return FILTER_PASS;
}

const struct filter_type ratelimit_filter = {
    .name = "ratelimit",
    .make = make,
    .free = free_ratelimit,
    .request_head = request_head,
    .explain = explain,
};
