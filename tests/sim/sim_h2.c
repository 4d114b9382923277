/* sim_h2.c - see sim_h2.h */
#include "tests/sim/sim_h2.h"

#include "tests/sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int on_invalid(nghttp2_session *ng, const nghttp2_frame *frame, int error, void *arg)
{
    const struct sim_h2 *h = arg;

    (void)ng;
    if (!h->misbehaves && error != NGHTTP2_ERR_REFUSED_STREAM) /* more than it takes at a time */
        fail_msg("peer %u got an invalid frame of type %u on stream %d: %s", h->far.peer->id,
                 frame->hd.type, frame->hd.stream_id, nghttp2_strerror(error));
    return 0;
}

static int on_error(nghttp2_session *ng, int code, const char *text, size_t n, void *arg)
{
    const struct sim_h2 *h = arg;

    (void)ng;
    (void)n;
    if (getenv("SIM_TRACE") != NULL)
        print_error("peer %u: %s (%s)\n", h->far.peer->id, text, nghttp2_strerror(code));
    return 0;
}

nghttp2_session_callbacks *sim_h2_callbacks(void)
{
    nghttp2_session_callbacks *cb;

    assert_int_equal(nghttp2_session_callbacks_new(&cb), 0);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid);
    nghttp2_session_callbacks_set_error_callback2(cb, on_error);
    return cb;
}

void sim_h2_frame(struct sim_h2 *h, const nghttp2_frame *frame)
{
    if (frame->hd.type != NGHTTP2_GOAWAY)
        return;
    h->goaway_came = true;
    h->goaway_last = frame->goaway.last_stream_id;
    h->goaway_code = frame->goaway.error_code;
    if (getenv("SIM_TRACE") != NULL)
        print_error("peer %u: GOAWAY, last %d, %s\n", h->far.peer->id, h->goaway_last,
                    nghttp2_http2_strerror(h->goaway_code));
}

void sim_h2_pump(struct sim_h2 *h)
{
    const uint8_t *data;
    ssize_t n;

    if (h->ng == NULL || far_gone(&h->far))
        return;
    while ((n = nghttp2_session_mem_send(h->ng, &data)) > 0)
        far_send(&h->far, data, (size_t)n);
    assert_true(n == 0 || h->misbehaves);
}

int sim_h2_read(struct sim_h2 *h)
{
    uint8_t bytes[4096];
    ssize_t n = -ECONNRESET;

    while (!far_gone(&h->far) && (n = far_read(&h->far, bytes, sizeof(bytes))) > 0) {
        ssize_t used = nghttp2_session_mem_recv(h->ng, bytes, (size_t)n);
        if (used != n && !h->misbehaves)
            fail_msg("peer %u: %s", h->far.peer->id, nghttp2_strerror((int)used));
        if (used < 0)
            return -1;
    }
    if (n == 0)
        return 0;
    return n == -EAGAIN && !far_gone(&h->far) ? 1 : -1;
}

bool sim_h2_over(const struct sim_h2 *h)
{
    return !nghttp2_session_want_read(h->ng) && !nghttp2_session_want_write(h->ng);
}

void sim_h2_fini(struct sim_h2 *h)
{
    nghttp2_session_del(h->ng);
    h->ng = NULL;
    sim_tls_free(&h->far.tls);
}

nghttp2_nv sim_h2_nv(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .value = (uint8_t *)(uintptr_t)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value)};
}

bool sim_h2_is(const uint8_t *bytes, size_t n, const char *text)
{
    return n == strlen(text) && memcmp(bytes, text, n) == 0;
}
