/* check_http2.c - the check http in HTTP/2: one stream, judged as check_http.c judges. Where
 * backends speak it in clear it is known before; over TLS, it was agreed on. */
#include "health/check_h2.h"
#include "lb/net/stream_tls.h"

static void on_field(struct check *ck, struct str name, struct str value)
{
    uint64_t status;

    if (!ck->h2->headed && str_eq(name, STR(":status")) && str_u64(value, 999, &status) == 0)
        ck->http.status = (uint16_t)status;
}

static void on_head(struct check *ck)
{
    if (ck->http.status < 200 || ck->h2->headed)
        return;
    ck->h2->headed = true;
    if (!ck->decided)
        check_http_head(ck);
}

static const struct check_h2_calls calls = {on_field, on_head, check_http_body};

static void request(struct check *ck, struct strbuf *out)
{
    char host[ADDR_TEXT_MAX];
    const nghttp2_nv head[] = {
        check_h2_field(":method", check_http_method(ck)),
        check_h2_field(":scheme", stream_is_tls(&ck->stream) ? "https" : "http"),
        check_h2_field(":authority", check_http_host(ck, host)),
        check_h2_field(":path", check_http_path(ck)),
        check_h2_field("user-agent", "sluice-health/" SLUICE_VERSION),
        check_h2_field("accept", "*/*"),
    };

    check_h2_open(ck, head, ARRAY_LEN(head), (struct str){0}, &calls, out);
}

static bool sent(struct check *ck)
{
    return !check_h2_ready(ck);
}

static bool answer(struct check *ck, struct str data)
{
    ck->complete = check_h2_feed(ck, data);
    if (ck->decided || !ck->complete)
        return ck->decided;
    if (!check_h2_failed(ck))
        check_http_over(ck);
    return true;
}

static void ended(struct check *ck)
{
    check_say(ck, CHECK_FAILED, CHECK_L7RSP, ck->http.status,
              ck->h2->headed ? "closed before the end of the answer" : "closed without an answer");
}

const struct check_kind check_kind_http2 = {
    .name = "http",
    .request = request,
    .sent = sent,
    .answer = answer,
    .ended = ended,
    .rest = check_h2_feed,
    .fini = check_h2_fini,
};
