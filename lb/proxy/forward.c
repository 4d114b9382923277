/* forward.c - who the client is, as far as proxies in front of us may be believed, and what the
 * backend is told of it: X-Forwarded-*, Forwarded (RFC 7239), request id, traceparent (W3C). */
#include "lb/proxy/exchange_priv.h"
#include "lb/proxy/request.h"

#include <stdio.h>
#include <string.h>

#define REQUEST_ID_MAX  128 /* bytes of one that is passed on */
#define TRACEPARENT_LEN 55
#define FORWARDED_MAX   2048 /* bytes of a list that is added to; longer ones are replaced */

static bool is_trusted(const struct http_listener_conf *c, const struct addr *a)
{
    for (uint32_t i = 0; i < c->n_trusted_proxies; i++)
        if (addr_net_contains(&c->trusted_proxies[i], a))
            return true;
    return false;
}

/* "1.2.3.4", "1.2.3.4:80", "2001:db8::1", "[2001:db8::1]:80". */
static bool parse_forwarded_address(struct str text, struct addr *out)
{
    struct addr_spec spec;
    const char *error;
    char buf[80];

    if (addr_parse(text, false, true, &spec, &error) == 0 && spec.addr.len > 0 &&
        addr_family(&spec.addr) != AF_UNIX) {
        *out = spec.addr;
        return true;
    }
    if (text.len == 0 || text.len > 48)
        return false;
    bool v6 = memchr(text.p, ':', text.len) != NULL && text.p[0] != '[';
    int n = snprintf(buf, sizeof(buf), v6 ? "[" STR_FMT "]:0" : STR_FMT ":0", STR_ARG(text));
    if (addr_parse((struct str){buf, (size_t)n}, false, true, &spec, &error) < 0 ||
        spec.addr.len == 0 || addr_family(&spec.addr) == AF_UNIX)
        return false;
    *out = spec.addr;
    return true;
}

/* The last element of a list; cuts it off. */
static bool last_element(struct str *list, struct str *out)
{
    if (list->len == 0)
        return false;
    size_t at = list->len;
    while (at > 0 && list->p[at - 1] != ',')
        at--;
    *out = str_trim((struct str){list->p + at, list->len - at});
    list->len = at > 0 ? at - 1 : 0;
    return true;
}

/* From the nearest proxy outwards: the first that is not trusted is the client. */
static void walk(const struct http_listener_conf *c, const struct http_head *h, struct addr *client)
{
    for (int i = h->n_fields - 1; i >= 0; i--) {
        const struct http_field *f = &h->fields[i];
        struct str list, element;
        if (f->id != HTTP_X_FORWARDED_FOR)
            continue;
        list = http_value(h, f);
        while (last_element(&list, &element)) {
            struct addr a;
            if (!parse_forwarded_address(element, &a))
                return;
            *client = a;
            if (!is_trusted(c, &a))
                return;
        }
    }
}

static size_t format_ip(const struct addr *a, char buf[static ADDR_TEXT_MAX])
{
    if (a->sa.sa_family == AF_INET) { /* inet_ntop takes ten times as long */
        const uint8_t *b = (const uint8_t *)&a->in.sin_addr;
        char *p = buf;
        for (int i = 0; i < 4; i++) {
            if (b[i] >= 100)
                *p++ = (char)('0' + b[i] / 100);
            if (b[i] >= 10)
                *p++ = (char)('0' + b[i] / 10 % 10);
            *p++ = (char)('0' + b[i] % 10);
            *p++ = '.';
        }
        *--p = '\0';
        return (size_t)(p - buf);
    }
    addr_format_host(a, buf);
    return strlen(buf);
}

void request_find_client(const struct http_listener_conf *c, const struct http_head *h, bool tls,
                         struct addr *client, bool *out_trusted, const char **out_scheme)
{
    const struct http_field *f;

    *out_scheme = tls ? "https" : "http";
    *out_trusted = c->n_trusted_proxies > 0 && is_trusted(c, client);
    if (!*out_trusted)
        return;
    walk(c, h, client);
    f = http_find(h, HTTP_X_FORWARDED_PROTO, NULL);
    if (f != NULL && str_eq_nocase(http_value(h, f), STR("https")))
        *out_scheme = "https";
    else if (f != NULL && str_eq_nocase(http_value(h, f), STR("http")))
        *out_scheme = "http";
}

bool exchange_find_client(struct exchange *x)
{
    char text[ADDR_TEXT_MAX];

    bool tls = exchange_is_tls(x);

    x->scheme = tls ? "https" : "http";
    x->client = arena_alloc(&x->arena, sizeof(*x->client));
    if (x->client == NULL)
        return false;
    session_client_address(x->session, -1, x->client);
    request_find_client(exchange_conf(x), &x->request, tls, x->client, &x->trusted, &x->scheme);
    size_t n = format_ip(x->client, text);
    x->client_ip = (struct str){arena_copy(&x->arena, text, n), n};
    return x->client_ip.p != NULL;
}

/* The list with one element more; one that is not believed is replaced. */
static bool extend(struct forward *f, enum http_field_id id, struct str name, struct str element)
{
    char list[FORWARDED_MAX];
    size_t n = 0;

    if (!f->trusted)
        return http_head_set_id(f->head, f->arena, id, name, element) == 0;
    for (const struct http_field *o = http_find(f->head, id, NULL); o != NULL;
         o = http_find(f->head, id, o)) {
        struct str value = http_value(f->head, o);
        if (n + value.len + 2 + element.len > sizeof(list))
            n = 0; /* the nearest are those that are believed */
        if (value.len + 2 + element.len > sizeof(list))
            continue;
        memcpy(list + n, value.p, value.len);
        memcpy(list + n + value.len, ", ", 2);
        n += value.len + 2;
    }
    memcpy(list + n, element.p, element.len);
    return http_head_set_id(f->head, f->arena, id, name, (struct str){list, n + element.len}) == 0;
}

/* One that is believed stays. */
static bool set_unless_trusted(struct forward *f, enum http_field_id id, struct str name,
                               struct str value)
{
    if (f->trusted && http_find(f->head, id, NULL) != NULL)
        return true;
    if (value.len == 0) {
        http_drop_id(f->head, id);
        return true;
    }
    return http_head_set_id(f->head, f->arena, id, name, value) == 0;
}

static bool add_forwarded(struct forward *f)
{
    struct str host = http_str(f->head, f->head->authority);
    struct str peer = f->peer;
    bool v6 = memchr(peer.p, ':', peer.len) != NULL;
    char element[512];

    if (!f->conf->forwarded) {
        if (!f->trusted)
            http_drop_id(f->head, HTTP_FORWARDED);
        return true;
    }
    int n =
        snprintf(element, sizeof(element), v6 ? "for=\"[" STR_FMT "]\"" : "for=" STR_FMT,
                 STR_ARG(peer.len == 4 && memcmp(peer.p, "unix", 4) == 0 ? STR("unknown") : peer));
    if (host.len > 0 && host.len < 256)
        n += snprintf(element + n, sizeof(element) - (size_t)n, ";host=\"" STR_FMT "\"",
                      STR_ARG(host));
    n += snprintf(element + n, sizeof(element) - (size_t)n, ";proto=%s", f->scheme);
    return extend(f, HTTP_FORWARDED, STR("Forwarded"), (struct str){element, (size_t)n});
}

static void hex(uint64_t v, char out[static 16])
{
    for (int i = 15; i >= 0; i--, v >>= 4)
        out[i] = "0123456789abcdef"[v & 15];
}

static bool is_request_id(struct str s)
{
    if (s.len == 0 || s.len > REQUEST_ID_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~')
            return false;
    return true;
}

static bool add_request_id(struct forward *f)
{
    struct http_field *old = http_find(f->head, HTTP_X_REQUEST_ID, NULL);
    char id[32];

    if (old != NULL && is_request_id(http_value(f->head, old))) {
        f->request_id = http_value(f->head, old);
        return true;
    }
    hex(rng_next(f->rng), id);
    hex(rng_next(f->rng), id + 16);
    f->request_id = (struct str){arena_copy(f->arena, id, sizeof(id)), sizeof(id)};
    return f->request_id.p != NULL && http_head_set_id(f->head, f->arena, HTTP_X_REQUEST_ID,
                                                       STR("X-Request-ID"), f->request_id) == 0;
}

/* version-traceid-parentid-flags, lower-case hexadecimal, ids not all zero. */
static bool is_traceparent(struct str s)
{
    static const uint8_t parts[] = {2, 32, 16, 2};
    size_t at = 0;

    if (s.len != TRACEPARENT_LEN || memcmp(s.p, "ff", 2) == 0)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        bool zero = true;
        for (size_t j = 0; j < parts[i]; j++, at++) {
            char c = s.p[at];
            if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
                return false;
            zero = zero && c == '0';
        }
        if (zero && (i == 1 || i == 2))
            return false;
        if (i < 3 && s.p[at++] != '-')
            return false;
    }
    return true;
}

static bool add_traceparent(struct forward *f)
{
    struct http_field *old = http_find(f->head, HTTP_TRACEPARENT, NULL);
    char t[TRACEPARENT_LEN];

    if (old != NULL && is_traceparent(http_value(f->head, old))) {
        f->traceparent = http_value(f->head, old);
        return true;
    }
    memcpy(t, "00-", 3);
    hex(rng_next(f->rng) | 1, t + 3);
    hex(rng_next(f->rng), t + 19);
    t[35] = '-';
    hex(rng_next(f->rng) | 1, t + 36);
    memcpy(t + 52, "-00", 3); /* nobody has said that it is to be recorded */
    f->traceparent = (struct str){arena_copy(f->arena, t, sizeof(t)), sizeof(t)};
    return f->traceparent.p != NULL && http_head_set_id(f->head, f->arena, HTTP_TRACEPARENT,
                                                        STR("traceparent"), f->traceparent) == 0;
}

/* RFC 8470 section 5.1: a request that comes early is marked, and a mark is never taken off. */
static bool add_early_data(struct forward *f)
{
    return !f->early || http_head_set(f->head, f->arena, STR("Early-Data"), STR("1")) == 0;
}

bool forward_fields(struct forward *f)
{
    char port[STR_U64_MAX];
    size_t n = f->local_port != 0 ? str_put_u64(f->local_port, port) : 0;

    return extend(f, HTTP_X_FORWARDED_FOR, STR("X-Forwarded-For"), f->peer) &&
           set_unless_trusted(f, HTTP_X_FORWARDED_PROTO, STR("X-Forwarded-Proto"),
                              str_of(f->scheme)) &&
           set_unless_trusted(f, HTTP_X_FORWARDED_HOST, STR("X-Forwarded-Host"),
                              http_str(f->head, f->head->authority)) &&
           set_unless_trusted(f, HTTP_X_FORWARDED_PORT, STR("X-Forwarded-Port"),
                              (struct str){port, n}) &&
           add_forwarded(f) && add_request_id(f) && add_traceparent(f) && add_early_data(f);
}

bool exchange_forward(struct exchange *x)
{
    struct addr peer;
    char text[ADDR_TEXT_MAX];

    session_client_address(x->session, -1, &peer);
    struct forward f = {
        .conf = exchange_conf(x),
        .head = &x->request,
        .arena = &x->arena,
        .peer = {text, format_ip(&peer, text)},
        .local_port = x->session->local_port,
        .trusted = x->trusted,
        .scheme = x->scheme,
        .early = stream_tls_early(&exchange_http_session(x)->stream),
        .rng = &x->proxy->rng,
    };
    bool done = forward_fields(&f);
    x->request_id = f.request_id;
    x->traceparent = f.traceparent;
    return done;
}
