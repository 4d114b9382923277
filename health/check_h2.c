/* check_h2.c - see check_h2.h */
#include "health/check_h2.h"

#include <stdlib.h>
#include <string.h>

#define MEMORY_MAX (256u << 10) /* of nghttp2, for a check */

/* ---- what nghttp2 tells ---- */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
    struct check *ck = arg;

    (void)session, (void)frame, (void)flags;
    ck->h2->calls->field(ck, (struct str){(const char *)name, name_len},
                         (struct str){(const char *)value, value_len});
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct check *ck = arg;

    (void)session;
    if (frame->hd.type == NGHTTP2_HEADERS)
        ck->h2->calls->head(ck);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data,
                   size_t len, void *arg)
{
    struct check *ck = arg;

    (void)session, (void)flags, (void)stream;
    if (!ck->decided)
        ck->h2->calls->data(ck, (struct str){(const char *)data, len});
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
    blocks_init(&ck->h2->blocks, 0);
    h2_mem_init(&ck->h2->mem, &ck->h2->blocks, MEMORY_MAX);
    int rc = nghttp2_session_client_new3(&ck->h2->session, calls, ck, NULL, &ck->h2->mem.ops);
    nghttp2_session_callbacks_del(calls);
    return rc == 0;
}

/* ---- the conversation ---- */

nghttp2_nv check_h2_field(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value),
                        NGHTTP2_NV_FLAG_NONE};
}

static ssize_t read_body(nghttp2_session *session, int32_t stream, uint8_t *buf, size_t len,
                         uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct check_h2 *h = source->ptr;
    size_t n = h->body.len < len ? h->body.len : len;

    (void)session, (void)stream, (void)arg;
    memcpy(buf, h->body.p, n);
    h->body = (struct str){h->body.p + n, h->body.len - n};
    if (h->body.len == 0)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

void check_h2_open(struct check *ck, const nghttp2_nv *head, size_t n, struct str body,
                   const struct check_h2_calls *calls, struct strbuf *out)
{
    static const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
    const uint8_t *data;
    ssize_t len;

    ck->h2 = calloc(1, sizeof(*ck->h2));
    if (ck->h2 == NULL)
        return;
    ck->h2->calls = calls;
    ck->h2->body = body;
    nghttp2_data_provider provider = {.source.ptr = ck->h2, .read_callback = read_body};
    if (!new_session(ck) ||
        nghttp2_submit_settings(ck->h2->session, NGHTTP2_FLAG_NONE, settings, 1) != 0 ||
        nghttp2_submit_request(ck->h2->session, NULL, head, n, body.len > 0 ? &provider : NULL,
                               NULL) < 0)
        return;
    while ((len = nghttp2_session_mem_send(ck->h2->session, &data)) > 0)
        strbuf_add(out, data, (size_t)len);
}

bool check_h2_ready(struct check *ck)
{
    if (ck->h2 != NULL && ck->h2->session != NULL)
        return true;
    check_say(ck, CHECK_UNABLE, CHECK_SOCKERR, 0, "out of memory");
    return false;
}

/* What nghttp2 has to say for itself: acknowledgements, windows. */
static void reply(struct check *ck)
{
    const uint8_t *data;
    ssize_t n;

    while ((n = nghttp2_session_mem_send(ck->h2->session, &data)) > 0)
        check_send(ck, data, (size_t)n);
}

bool check_h2_feed(struct check *ck, struct str data)
{
    struct check_h2 *h = ck->h2;

    if (nghttp2_session_mem_recv(h->session, (const uint8_t *)data.p, data.len) < 0) {
        h->closed = true;
        return true;
    }
    reply(ck);
    if (!nghttp2_session_want_read(h->session)) /* it has said GOAWAY to what it cannot follow */
        h->closed = true;
    return h->closed;
}

bool check_h2_failed(struct check *ck)
{
    const struct check_h2 *h = ck->h2;

    if (h->headed && h->error_code == NGHTTP2_NO_ERROR)
        return false;
    if (h->error_code != NGHTTP2_NO_ERROR)
        check_say(ck, CHECK_FAILED, CHECK_L7RSP, ck->http.status, "the stream was reset: %s",
                  nghttp2_http2_strerror(h->error_code));
    else
        check_say(ck, CHECK_FAILED, CHECK_L7RSP, 0, "the answer is not HTTP/2");
    return true;
}

void check_h2_fini(struct check *ck)
{
    if (ck->h2 != NULL)
        nghttp2_session_del(ck->h2->session);
    free(ck->h2);
    ck->h2 = NULL;
}
