/* coding.c - see coding.h */
#include "lb/http/coding.h"

#include "lb/base/assert.h"
#include "lb/http/msg.h"

static const struct {
    enum http_coding coding;
    const char *name;
} codings[] = {{HTTP_CODING_BR, "br"}, {HTTP_CODING_GZIP, "gzip"}, {HTTP_CODING_ZSTD, "zstd"}};

#define ANY 0x80 /* the asterisk */

const char *http_coding_name(enum http_coding c)
{
    for (size_t i = 0; i < ARRAY_LEN(codings); i++)
        if (codings[i].coding == c)
            return codings[i].name;
    return "identity";
}

static uint8_t coding_of(struct str name)
{
    if (str_eq_cstr(name, "*"))
        return ANY;
    if (str_eq_nocase(name, STR("x-gzip")))
        return HTTP_CODING_GZIP;
    for (size_t i = 0; i < ARRAY_LEN(codings); i++)
        if (str_eq_nocase(name, str_of(codings[i].name)))
            return codings[i].coding;
    return 0;
}

/* In thousandths; what is malformed is "not at all". */
static uint32_t weight_of(struct str parameters)
{
    struct str p = str_trim(parameters);
    uint32_t weight, scale = 100;

    if (p.len == 0)
        return 1000;
    if (p.len < 3 || (p.p[0] | 0x20) != 'q' || p.p[1] != '=' || (p.p[2] != '0' && p.p[2] != '1'))
        return 0;
    weight = (uint32_t)(p.p[2] - '0') * 1000;
    for (size_t i = 3; i < p.len; i++) {
        if (i == 3 && p.p[i] == '.')
            continue;
        if (i == 3 || i > 6 || p.p[i] < '0' || p.p[i] > '9')
            return 0;
        weight += (uint32_t)(p.p[i] - '0') * scale;
        scale /= 10;
    }
    return weight > 1000 ? 0 : weight;
}

static void look_at(struct str element, uint8_t *named, uint32_t weights[static 3],
                    uint32_t *any_weight)
{
    const char *semicolon = memchr(element.p, ';', element.len);
    size_t len = semicolon != NULL ? (size_t)(semicolon - element.p) : element.len;
    uint8_t coding = coding_of(str_trim((struct str){element.p, len}));
    struct str parameters = {element.p + element.len, 0};

    if (semicolon != NULL)
        parameters = (struct str){semicolon + 1, element.len - len - 1};
    if (coding == ANY)
        *any_weight = weight_of(parameters);
    for (size_t i = 0; i < ARRAY_LEN(codings); i++)
        if (codings[i].coding == coding)
            weights[i] = weight_of(parameters);
    *named |= coding;
}

struct http_codings http_codings_of(const struct http_head *request)
{
    uint32_t weights[3] = {0}, any_weight = 0, best = 0;
    struct http_codings out = {0};
    uint8_t named = 0;

    static_assert(ARRAY_LEN(codings) == 3, "weights");
    for (const struct http_field *f = http_find(request, HTTP_ACCEPT_ENCODING, NULL); f != NULL;
         f = http_find(request, HTTP_ACCEPT_ENCODING, f)) {
        struct str rest = http_value(request, f), element;
        while (http_list_next(&rest, &element))
            look_at(element, &named, weights, &any_weight);
    }
    for (size_t i = 0; i < ARRAY_LEN(codings); i++) {
        uint32_t w = named & codings[i].coding ? weights[i] : any_weight;
        if (w == 0)
            continue;
        out.accepted |= (uint8_t)codings[i].coding;
        if (w == best)
            out.preferred = 0;
        else if (w > best)
            out.preferred = (uint8_t)codings[i].coding;
        if (w > best)
            best = w;
    }
    return out;
}
