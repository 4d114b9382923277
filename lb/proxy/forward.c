/* forward.c - who the client is, as far as proxies in front of us may be believed, and what the
 * backend is told of it: X-Forwarded-*, Forwarded (RFC 7239), request id, traceparent (W3C). */
#include "lb/proxy/exchange_priv.h"

#include <stdio.h>
#include <string.h>

#define REQUEST_ID_MAX  128 /* bytes of one that is passed on */
#define TRACEPARENT_LEN 55
#define FORWARDED_MAX   2048 /* bytes of a list that is added to; longer ones are replaced */

static bool is_trusted(const struct exchange *x, const struct addr *a)
{
    const struct http_listener_conf *c = exchange_conf(x);

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
static void walk(struct exchange *x, struct addr *client)
{
    const struct http_head *h = &x->request;

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
            if (!is_trusted(x, &a))
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

bool exchange_find_client(struct exchange *x)
{
    const struct http_field *f;
    char text[ADDR_TEXT_MAX];

    x->scheme = "http";
    x->client = arena_alloc(&x->arena, sizeof(*x->client));
    if (x->client == NULL)
        return false;
    session_client_address(x->session, -1, x->client);
    x->trusted = exchange_conf(x)->n_trusted_proxies > 0 && is_trusted(x, x->client);
    if (x->trusted) {
        walk(x, x->client);
        f = http_find(&x->request, HTTP_X_FORWARDED_PROTO, NULL);
        if (f != NULL && str_eq_nocase(http_value(&x->request, f), STR("https")))
            x->scheme = "https";
    }
    size_t n = format_ip(x->client, text);
    x->client_ip = (struct str){arena_copy(&x->arena, text, n), n};
    return x->client_ip.p != NULL;
}

/* The list with one element more; one that is not believed is replaced. */
static bool extend(struct exchange *x, enum http_field_id id, struct str name, struct str element)
{
    char list[FORWARDED_MAX];
    size_t n = 0;

    if (!x->trusted)
        return http_head_set(&x->request, &x->arena, name, element) == 0;
    for (const struct http_field *f = http_find(&x->request, id, NULL); f != NULL;
         f = http_find(&x->request, id, f)) {
        struct str value = http_value(&x->request, f);
        if (n + value.len + 2 + element.len > sizeof(list))
            break;
        memcpy(list + n, value.p, value.len);
        memcpy(list + n + value.len, ", ", 2);
        n += value.len + 2;
    }
    memcpy(list + n, element.p, element.len);
    return http_head_set(&x->request, &x->arena, name, (struct str){list, n + element.len}) == 0;
}

/* One that is believed stays. */
static bool set_unless_trusted(struct exchange *x, enum http_field_id id, struct str name,
                               struct str value)
{
    if (x->trusted && http_find(&x->request, id, NULL) != NULL)
        return true;
    if (value.len == 0) {
        http_drop_id(&x->request, id);
        return true;
    }
    return http_head_set(&x->request, &x->arena, name, value) == 0;
}

static bool add_forwarded(struct exchange *x, struct str peer)
{
    struct str host = http_str(&x->request, x->request.authority);
    bool v6 = memchr(peer.p, ':', peer.len) != NULL;
    char element[512];

    if (!exchange_conf(x)->forwarded) {
        if (!x->trusted)
            http_drop_id(&x->request, HTTP_FORWARDED);
        return true;
    }
    int n =
        snprintf(element, sizeof(element), v6 ? "for=\"[" STR_FMT "]\"" : "for=" STR_FMT,
                 STR_ARG(peer.len == 4 && memcmp(peer.p, "unix", 4) == 0 ? STR("unknown") : peer));
    if (host.len > 0 && host.len < 256)
        n += snprintf(element + n, sizeof(element) - (size_t)n, ";host=\"" STR_FMT "\"",
                      STR_ARG(host));
    n += snprintf(element + n, sizeof(element) - (size_t)n, ";proto=%s", x->scheme);
    return extend(x, HTTP_FORWARDED, STR("Forwarded"), (struct str){element, (size_t)n});
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

static bool add_request_id(struct exchange *x)
{
    struct http_field *f = http_find(&x->request, HTTP_X_REQUEST_ID, NULL);
    char id[32];

    if (f != NULL && is_request_id(http_value(&x->request, f))) {
        x->request_id = http_value(&x->request, f);
        return true;
    }
    hex(rng_next(&x->proxy->rng), id);
    hex(rng_next(&x->proxy->rng), id + 16);
    x->request_id = (struct str){arena_copy(&x->arena, id, sizeof(id)), sizeof(id)};
    return x->request_id.p != NULL &&
           http_head_set(&x->request, &x->arena, STR("X-Request-ID"), x->request_id) == 0;
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

static bool add_traceparent(struct exchange *x)
{
    struct http_field *f = http_find(&x->request, HTTP_TRACEPARENT, NULL);
    char t[TRACEPARENT_LEN];

    if (f != NULL && is_traceparent(http_value(&x->request, f))) {
        x->traceparent = http_value(&x->request, f);
        return true;
    }
    memcpy(t, "00-", 3);
    hex(rng_next(&x->proxy->rng) | 1, t + 3);
    hex(rng_next(&x->proxy->rng), t + 19);
    t[35] = '-';
    hex(rng_next(&x->proxy->rng) | 1, t + 36);
    memcpy(t + 52, "-00", 3); /* nobody has said that it is to be recorded */
    x->traceparent = (struct str){arena_copy(&x->arena, t, sizeof(t)), sizeof(t)};
    return x->traceparent.p != NULL &&
           http_head_set(&x->request, &x->arena, STR("traceparent"), x->traceparent) == 0;
}

bool exchange_forward(struct exchange *x)
{
    struct addr peer;
    char text[ADDR_TEXT_MAX], port[8];

    session_client_address(x->session, -1, &peer);
    struct str ip = {text, format_ip(&peer, text)};
    uint16_t local = session_local_port(x->session, x->ops->raw(x));
    struct str port_text = {port, local ? (size_t)snprintf(port, sizeof(port), "%u", local) : 0};
    struct str host = http_str(&x->request, x->request.authority);

    return extend(x, HTTP_X_FORWARDED_FOR, STR("X-Forwarded-For"), ip) &&
           set_unless_trusted(x, HTTP_X_FORWARDED_PROTO, STR("X-Forwarded-Proto"),
                              str_of(x->scheme)) &&
           set_unless_trusted(x, HTTP_X_FORWARDED_HOST, STR("X-Forwarded-Host"), host) &&
           set_unless_trusted(x, HTTP_X_FORWARDED_PORT, STR("X-Forwarded-Port"), port_text) &&
           add_forwarded(x, ip) && add_request_id(x) && add_traceparent(x);
}
