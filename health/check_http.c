/* check_http.c - a request over HTTP/1.1 (check_http2.c: HTTP/2), judged by the status and, where
 * asked, by what the body contains. Without a `body` to look for, the header decides; the rest is
 * read and dropped. */
#include "health/check.h"
#include "lb/net/addr.h"

#include <stdio.h>
#include <string.h>

const char *check_http_method(const struct check *ck)
{
    return ck->conf->health.method != NULL ? ck->conf->health.method : "GET";
}

const char *check_http_path(const struct check *ck)
{
    return ck->conf->health.path != NULL ? ck->conf->health.path : "/";
}

const char *check_http_host(const struct check *ck, char buf[static ADDR_TEXT_MAX])
{
    if (ck->conf->health.host != NULL)
        return ck->conf->health.host;
    return addr_family(&ck->addr) == AF_UNIX ? "localhost" : addr_format(&ck->addr, buf);
}

static void request(struct check *ck, struct strbuf *out)
{
    char host[ADDR_TEXT_MAX];

    check_http_init(&ck->http, strcmp(check_http_method(ck), "HEAD") == 0);
    strbuf_addf(out, "%s %s HTTP/1.1\r\nHost: %s\r\n", check_http_method(ck), check_http_path(ck),
                check_http_host(ck, host));
    strbuf_add_cstr(out, "User-Agent: sluice-health/" SLUICE_VERSION "\r\n"
                         "Accept: */*\r\nConnection: close\r\n\r\n");
}

static bool sent(struct check *ck)
{
    (void)ck;
    return false;
}

/* ---- what is expected ---- */

static bool status_fits(const struct health_conf *h, uint16_t status)
{
    for (uint32_t i = 0; i < h->n_status; i++)
        if (status >= h->status[i].from && status <= h->status[i].to)
            return true;
    return false;
}

static const char *format_ranges(const struct health_conf *h, char *out, size_t size)
{
    size_t n = 0;

    out[0] = '\0';
    for (uint32_t i = 0; i < h->n_status && n < size; i++) {
        const struct status_range *r = &h->status[i];
        n += (size_t)snprintf(out + n, size - n, r->from == r->to ? "%s%u" : "%s%u-%u",
                              i > 0 ? "," : "", r->from, r->to);
    }
    return out;
}

void check_http_head(struct check *ck)
{
    const struct health_conf *h = &ck->conf->health;
    uint16_t status = ck->http.status;
    char ranges[64];

    if (!status_fits(h, status))
        check_say(ck, CHECK_FAILED, CHECK_L7STS, status, "HTTP %u, expected %s", status,
                  format_ranges(h, ranges, sizeof(ranges)));
    else if (h->body == NULL)
        check_say(ck, CHECK_PASSED, CHECK_L7OK, status, "HTTP %u", status);
}

void check_http_over(struct check *ck)
{
    char wanted[CHECK_QUOTE_MAX];

    check_say(ck, CHECK_FAILED, CHECK_L7RSP, ck->http.status,
              check_seen_all(ck) ? "HTTP %u, the first 64k of the body do not contain \"%s\""
                                 : "HTTP %u, body does not contain \"%s\"",
              ck->http.status, check_quote(str_of(ck->conf->health.body), wanted));
}

void check_http_body(struct check *ck, struct str data)
{
    const struct str wanted = str_of(ck->conf->health.body);
    char quoted[CHECK_QUOTE_MAX];

    if (check_find(ck, data, wanted))
        check_say(ck, CHECK_PASSED, CHECK_L7OK, ck->http.status, "HTTP %u, body contains \"%s\"",
                  ck->http.status, check_quote(wanted, quoted));
    else if (check_seen_all(ck))
        check_http_over(ck);
}

static void judge_broken(struct check *ck)
{
    char got[CHECK_QUOTE_MAX];

    if (ck->http.status == 0 && ck->http.line_len > 0)
        check_say(ck, CHECK_FAILED, CHECK_L7RSP, 0, "%s: \"%s\"", ck->http.problem,
                  check_quote((struct str){ck->http.line, ck->http.line_len}, got));
    else
        check_say(ck, CHECK_FAILED, CHECK_L7RSP, ck->http.status, "%s", ck->http.problem);
}

/* True when the parser has no more to say about the present bytes. */
static bool judge(struct check *ck, enum check_http_event event, struct str body)
{
    switch (event) {
    case CHECK_HTTP_HEAD:
        check_http_head(ck);
        return false;
    case CHECK_HTTP_BODY:
        check_http_body(ck, body);
        return false;
    case CHECK_HTTP_DONE:
        check_http_over(ck);
        return true;
    case CHECK_HTTP_BAD:
        judge_broken(ck);
        return true;
    case CHECK_HTTP_MORE:
        break;
    }
    return true;
}

static bool rest(struct check *ck, struct str data)
{
    enum check_http_event e;
    struct str body;

    do
        e = check_http_next(&ck->http, &data, &body);
    while (e == CHECK_HTTP_HEAD || e == CHECK_HTTP_BODY);
    return e != CHECK_HTTP_MORE;
}

static bool answer(struct check *ck, struct str data)
{
    struct str body;
    bool over = false;

    while (!over && !ck->decided)
        over = judge(ck, check_http_next(&ck->http, &data, &body), body);
    if (ck->decided)
        ck->complete = rest(ck, data);
    return ck->decided;
}

static void ended(struct check *ck)
{
    judge(ck, check_http_eof(&ck->http), (struct str){0});
}

const struct check_kind check_kind_http = {
    .name = "http",
    .request = request,
    .sent = sent,
    .answer = answer,
    .ended = ended,
    .rest = rest,
};
