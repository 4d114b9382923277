/* check_http.c - a request over HTTP/1.1; judged by its status and, where asked, its body. */
#include "lb/base/str.h"
#include "lb/net/addr.h"

#include "health/check.h"
#include "health/check_http_parse.h"

#include <stdio.h>
#include <string.h>

static void request(const struct check *c, struct strbuf *out)
{
    const struct health_conf *h = &c->conf->health;
    char host[ADDR_TEXT_MAX];

    strbuf_addf(out, "%s %s HTTP/1.1\r\nHost: %s\r\n", h->method, h->path,
                h->host != NULL                    ? h->host
                : addr_family(&c->addr) == AF_UNIX ? "localhost"
                                                   : addr_format(&c->addr, host));
    strbuf_add_cstr(out, "User-Agent: sluice-health/" SLUICE_VERSION "\r\n"
                         "Accept: */*\r\nConnection: close\r\n\r\n");
}

static bool status_fits(const struct health_conf *h, uint16_t status)
{
    for (uint32_t i = 0; i < h->n_status; i++)
        if (status >= h->status[i].from && status <= h->status[i].to)
            return true;
    return false;
}

static void format_ranges(const struct health_conf *h, char *out, size_t size)
{
    size_t n = 0;

    out[0] = '\0';
    for (uint32_t i = 0; i < h->n_status && n < size; i++) {
        const struct status_range *r = &h->status[i];
        n += (size_t)snprintf(out + n, size - n, r->from == r->to ? "%s%u" : "%s%u-%u",
                              i > 0 ? "," : "", r->from, r->to);
    }
}

static bool judge(struct check *c, bool eof)
{
    const struct health_conf *h = &c->conf->health;
    struct check_http_answer a;
    char ranges[64];
    enum check_http r =
        check_http_parse((struct str){c->in, c->in_len}, eof, strcmp(h->method, "HEAD") == 0, &a);

    if (r == CHECK_HTTP_BAD) {
        check_say(c, false, CHECK_L7RSP, 0, "%s", a.problem);
        return true;
    }
    if (a.head_complete && !status_fits(h, a.status)) {
        format_ranges(h, ranges, sizeof(ranges));
        check_say(c, false, CHECK_L7STS, a.status, "HTTP %u, expected %s", a.status, ranges);
        return true;
    }
    if (a.head_complete && h->body != NULL && str_contains(a.body, str_of(h->body))) {
        check_say(c, true, CHECK_L7OK, a.status, "HTTP %u, body contains \"%s\"", a.status,
                  h->body);
        return true;
    }
    if (a.head_complete && h->body == NULL) {
        check_say(c, true, CHECK_L7OK, a.status, "HTTP %u", a.status);
        return true;
    }
    if (r == CHECK_HTTP_MORE)
        return false;
    check_say(c, false, CHECK_L7RSP, a.status, "HTTP %u, body does not contain \"%s\"", a.status,
              h->body);
    return true;
}

const struct check_kind check_kind_http = {
    .name = "http",
    .request = request,
    .judge = judge,
    .timed_out = CHECK_L7TOUT,
    .broken = CHECK_L7RSP,
};
