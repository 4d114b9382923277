/* http_access.c - see http_access.h */
#include "lb/admin/http_access.h"

#include "lb/http/uri.h"
#include "lb/net/addr.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#define CREDENTIALS_MAX 1024

static bool is_address(struct str host)
{
    struct addr_net net;
    const char *why;

    if (host.len > 2 && host.p[0] == '[')
        host = (struct str){host.p + 1, host.len - 2};
    return !str_contains(host, STR("/")) && !str_eq(host, STR("unix")) &&
           addr_net_parse(host, &net, &why) == 0;
}

static bool is_localhost(struct str host)
{
    static const struct str name = STR("localhost"), below = STR(".localhost");

    return str_eq_nocase(host, name) ||
           (host.len > below.len &&
            str_eq_nocase((struct str){host.p + host.len - below.len, below.len}, below));
}

bool http_access_host(const struct http_server_conf *conf, const struct http_head *head)
{
    struct str host, port, authority = http_str(head, head->authority);

    if (authority.len == 0)
        return head->version == 10;
    if (!uri_authority(authority, &host, &port))
        return false;
    if (is_address(host) || is_localhost(host))
        return true;
    for (uint32_t i = 0; i < conf->n_hosts; i++)
        if (str_eq_nocase(host, str_of(conf->hosts[i])))
            return true;
    return false;
}

static bool same(struct str given, const char *token)
{
    return given.len == strlen(token) && CRYPTO_memcmp(given.p, token, given.len) == 0;
}

/* The password of "user:password" in base64. */
static bool basic(struct str value, const char *token)
{
    unsigned char text[CREDENTIALS_MAX];
    int n;

    if (value.len == 0 || value.len % 4 != 0 || value.len / 4 * 3 > sizeof(text))
        return false;
    n = EVP_DecodeBlock(text, (const unsigned char *)value.p, (int)value.len);
    for (size_t i = value.len; n > 0 && i > value.len - 2 && value.p[i - 1] == '='; i--)
        n--;
    const unsigned char *colon = n > 0 ? memchr(text, ':', (size_t)n) : NULL;
    if (colon == NULL)
        return false;
    return same((struct str){(const char *)colon + 1, (size_t)(text + n - colon - 1)}, token);
}

bool http_access_token(const struct http_server_conf *conf, const struct http_head *head)
{
    const struct http_field *f = http_find(head, HTTP_AUTHORIZATION, NULL);

    if (conf->token == NULL)
        return true;
    if (f == NULL)
        return false;
    struct str rest = http_value(head, f), scheme = str_word(&rest, " ");
    rest = str_trim(rest);
    if (str_eq_nocase(scheme, STR("Bearer")))
        return same(rest, conf->token);
    return str_eq_nocase(scheme, STR("Basic")) && basic(rest, conf->token);
}

/* Only a scheme and an authority are an origin; the scheme is what the address speaks. */
static bool is_origin(struct str origin, struct str authority)
{
    static const struct str schemes[] = {STR("http://"), STR("https://")};

    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (str_starts(origin, schemes[i]))
            return str_eq_nocase(
                (struct str){origin.p + schemes[i].len, origin.len - schemes[i].len}, authority);
    return false;
}

const char *http_access_foreign(const struct http_head *head)
{
    struct str authority = http_str(head, head->authority);

    for (struct http_field *f = NULL; (f = http_find_name(head, STR("sec-fetch-site"), f)) != NULL;)
        if (!str_eq(http_value(head, f), STR("same-origin")))
            return "another site's page sent it (Sec-Fetch-Site)";
    for (struct http_field *f = NULL; (f = http_find_name(head, STR("origin"), f)) != NULL;)
        if (!is_origin(http_value(head, f), authority))
            return "another site's page sent it (Origin)";
    return NULL;
}
