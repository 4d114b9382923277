/* check_http2.c - the check http in HTTP/2, over nghttp2: one stream, judged as check_http.c
 * judges. Where backends speak it in clear it is known before; over TLS, it was agreed on. */
#include "health/check.h"
#include "lb/http/h2_mem.h"
#include "lb/net/stream_tls.h"

#include <stdlib.h>
#include <string.h>

#define MEMORY_MAX (256u << 10) /* of nghttp2, for a check */

struct check_h2 {
    struct h2_mem mem;
    nghttp2_session *session;
    uint32_t error_code; /* of the stream's end */
    bool headed;         /* the final head was there */
    bool closed;
};

/* ---- what nghttp2 tells ---- */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
    struct check *ck = arg;
    uint64_t status;

    (void)session, (void)frame, (void)flags;
    if (ck->h2->headed || !str_eq((struct str){(const char *)name, name_len}, STR(":status")))
        return 0;
    if (str_u64((struct str){(const char *)value, value_len}, 999, &status) == 0)
        ck->http.status = (uint16_t)status;
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct check *ck = arg;
    bool final = frame->hd.type == NGHTTP2_HEADERS && ck->http.status >= 200;

    (void)session;
    if (!final || ck->h2->headed)
        return 0;
    ck->h2->headed = true;
    if (!ck->decided)
        check_http_head(ck);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data,
                   size_t len, void *arg)
{
    struct check *ck = arg;

    (void)session, (void)flags, (void)stream;
    if (!ck->decided)
        check_http_body(ck, (struct str){(const char *)data, len});
    return 0;
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t error_code, void *arg)
{
    struct check *ck = arg;

    (void)session, (void)stream;
    ck->h2->closed = true;
    ck->h2->error_code = error_code;
    return 0;
}

static bool new_session(struct check *ck)
{
    nghttp2_session_callbacks *calls;

    if (nghttp2_session_callbacks_new(&calls) != 0)
        return false;
    nghttp2_session_callbacks_set_on_header_callback(calls, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(calls, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, on_close);
    h2_mem_init(&ck->h2->mem, MEMORY_MAX);
    int rc = nghttp2_session_client_new3(&ck->h2->session, calls, ck, NULL, &ck->h2->mem.ops);
    nghttp2_session_callbacks_del(calls);
    return rc == 0;
}

/* ---- the conversation ---- */

static nghttp2_nv nv(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value),
                        NGHTTP2_NV_FLAG_NONE};
}

static void request(struct check *ck, struct strbuf *out)
{
    static const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
    bool tls = stream_is_tls(&ck->stream);
    char host[ADDR_TEXT_MAX];
    const nghttp2_nv head[] = {
        nv(":method", check_http_method(ck)),
        nv(":scheme", tls ? "https" : "http"),
        nv(":authority", check_http_host(ck, host)),
        nv(":path", check_http_path(ck)),
        nv("user-agent", "sluice-health/" SLUICE_VERSION),
        nv("accept", "*/*"),
    };
    const uint8_t *data;
    ssize_t n;

    ck->h2 = calloc(1, sizeof(*ck->h2));
    if (ck->h2 == NULL || !new_session(ck) ||
        nghttp2_submit_settings(ck->h2->session, NGHTTP2_FLAG_NONE, settings, 1) != 0 ||
        nghttp2_submit_request(ck->h2->session, NULL, head, ARRAY_LEN(head), NULL, NULL) < 0)
        return;
    while ((n = nghttp2_session_mem_send(ck->h2->session, &data)) > 0)
        strbuf_add(out, data, (size_t)n);
}

static bool sent(struct check *ck)
{
    if (ck->h2 != NULL && ck->h2->session != NULL)
        return false;
    check_say(ck, CHECK_UNABLE, CHECK_SOCKERR, 0, "out of memory");
    return true;
}

/* What nghttp2 has to say for itself: acknowledgements, windows. */
static void reply(struct check *ck)
{
    const uint8_t *data;
    ssize_t n;

    while ((n = nghttp2_session_mem_send(ck->h2->session, &data)) > 0)
        check_send(ck, data, (size_t)n);
}

static void feed(struct check *ck, struct str data)
{
    struct check_h2 *h = ck->h2;

    if (nghttp2_session_mem_recv(h->session, (const uint8_t *)data.p, data.len) < 0) {
        h->closed = true;
        return;
    }
    reply(ck);
    if (!nghttp2_session_want_read(h->session)) /* it has said GOAWAY to what it cannot follow */
        h->closed = true;
}

static bool answer(struct check *ck, struct str data)
{
    const struct check_h2 *h = ck->h2;

    feed(ck, data);
    ck->complete = h->closed;
    if (ck->decided || !h->closed)
        return ck->decided;
    if (h->headed && h->error_code == NGHTTP2_NO_ERROR)
        check_http_over(ck);
    else if (h->error_code != NGHTTP2_NO_ERROR)
        check_say(ck, CHECK_FAILED, CHECK_L7RSP, ck->http.status, "the stream was reset: %s",
                  nghttp2_http2_strerror(h->error_code));
    else
        check_say(ck, CHECK_FAILED, CHECK_L7RSP, 0, "the answer is not HTTP/2");
    return true;
}

static void ended(struct check *ck)
{
    check_say(ck, CHECK_FAILED, CHECK_L7RSP, ck->http.status,
              ck->h2->headed ? "closed before the end of the answer" : "closed without an answer");
}

static bool rest(struct check *ck, struct str data)
{
    feed(ck, data);
    return ck->h2->closed;
}

static void fini(struct check *ck)
{
    if (ck->h2 != NULL)
        nghttp2_session_del(ck->h2->session);
    free(ck->h2);
    ck->h2 = NULL;
}

const struct check_kind check_kind_http2 = {
    .name = "http",
    .request = request,
    .sent = sent,
    .answer = answer,
    .ended = ended,
    .rest = rest,
    .fini = fini,
};
