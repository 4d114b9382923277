/* h2_front_frames.c - payload of a response becomes frames: nghttp2 asks how much of it there is
 * when the client's windows and the connection have room, and then for the frame; the buffers go to
 * the connection's stream as they are. */
#include "lb/proxy/exchange_priv.h"
#include "lb/proxy/h2_priv.h"

#include <string.h>

#define TINY_BYTES 64 /* a frame that small for want of a window */

void h2_let_copy(nghttp2_nv *nv, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        nv[i].flags &= (uint8_t) ~(NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE);
}

/* Whole buffers where possible: one that is cut costs a copy. */
static size_t piece(const struct h2_front *st, size_t room)
{
    size_t n = 0;

    for (const struct io_buf *b = st->out; b != NULL; b = b->next) {
        if (n + b->len > room)
            return n > 0 ? n : room;
        n += b->len;
    }
    return n;
}

static bool submit_trailers(struct h2_front *st)
{
    struct http_head *h = (struct http_head *)(uintptr_t)st->trailers;
    nghttp2_nv *nv = arena_alloc(&st->x->arena, h2_nv_max(h) * sizeof(*nv));

    if (nv == NULL)
        return false;
    uint32_t n = h2_write_trailers(h, nv);
    h2_let_copy(nv, n);
    return nghttp2_submit_trailer(st->h2->ng, st->id, nv, n) == 0;
}

ssize_t h2_front_read(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t length,
                      uint32_t *data_flags, nghttp2_data_source *source, void *arg)
{
    struct h2_front *st = nghttp2_session_get_stream_user_data(ng, id);

    (void)buf;
    (void)source;
    (void)arg;
    if (st == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    size_t n = piece(st, length);
    bool last = st->out_ended && n == st->out_bytes;
    if (n == 0 && !last) {
        st->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (n < TINY_BYTES && n == length && !last)
        h2_guard_spend(&st->h2->guard, H2_TINY);
    *data_flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (last) {
        *data_flags |= NGHTTP2_DATA_FLAG_EOF;
        if (st->trailers != NULL) {
            *data_flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            if (!submit_trailers(st))
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        }
    }
    return (ssize_t)n;
}

/* Takes n bytes off the front; n is less than the first buffer has only where a window is small. */
static struct io_buf *take_out(struct h2_front *st, uint32_t n)
{
    struct io_buf *first = st->out, *b = first, *last = NULL;

    st->out_bytes -= n;
    if (b->len > n) {
        struct io_buf *part = io_buf_new(h2_front_io(st), n);
        if (part == NULL)
            return NULL;
        memcpy(part->data, b->data, n);
        part->len = n;
        part->next = NULL;
        b->data += n;
        b->len -= n;
        return part;
    }
    for (; n > 0; b = b->next) {
        sl_assert(b->len <= n);
        n -= b->len;
        last = b;
    }
    last->next = NULL;
    st->out = b;
    if (b == NULL)
        st->out_last = NULL;
    return first;
}

int h2_front_send(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *frame_head,
                  size_t length, nghttp2_data_source *source, void *arg)
{
    struct h2_session *h2 = arg;
    struct h2_front *st = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    struct stream *t = &h2->s->stream;

    (void)source;
    if (st == NULL) /* is being reset */
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    h2->stuck = NULL;
    if (!h2_has_room(h2)) { /* asked once more with the next h2_pump() */
        h2->stuck = st;
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    if (!stream_write(t, frame_head, H2_FRAME_HEAD))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (length > 0) {
        struct io_buf *chain = take_out(st, (uint32_t)length);
        if (chain == NULL)
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        stream_queue(t, chain);
    }
    st->moved += length;
    st->x->out_bytes += H2_FRAME_HEAD + length;
    h2_guard_sent_data(&h2->guard, length);
    if (st->waits && st->out_bytes < H2_STREAM_HIGH / 2) {
        st->waits = false;
        h2_ready(st);
    }
    return 0;
}
