/* h1_body.c - see h1_body.h */
#include "lb/proxy/h1_body.h"

#include "lb/base/arena.h"
#include "lb/http/h1_write.h"
#include "lb/net/stream.h"

#include <string.h>

#define TRAILER_BYTES  8192
#define TRAILER_FIELDS 32
#define SMALL_CHUNK    1024 /* bytes of payload that are copied together */
#define SMALL_ROOM     4096

static const struct h1_limits trailer_limits = {
    .head_bytes = TRAILER_BYTES, .fields = TRAILER_FIELDS, .target_bytes = 0};

void h1_body_begin(struct h1_body *b, enum http_body kind, uint64_t length)
{
    *b = (struct h1_body){.kind = (uint8_t)kind, .left = length};
    b->ended = kind == HTTP_BODY_NONE || (kind == HTTP_BODY_LENGTH && length == 0);
}

uint64_t io_chain_bytes(const struct io_buf *chain)
{
    uint64_t n = 0;

    for (; chain != NULL; chain = chain->next)
        n += chain->len;
    return n;
}

static enum take end(struct h1_body *b)
{
    b->ended = true;
    return TAKE_END;
}

static enum take lost_or_more(const struct stream *s)
{
    return s->in == NULL && (s->eof || s->error != 0) ? TAKE_LOST : TAKE_MORE;
}

static enum take take_length(struct h1_body *b, struct stream *s, struct io_buf **out,
                             uint64_t *raw)
{
    uint32_t n = b->left < s->in_bytes ? (uint32_t)b->left : s->in_bytes;

    if (n > 0) {
        *out = stream_take(s, n);
        if (*out == NULL)
            return TAKE_LOST; /* no memory */
        b->left -= n;
        *raw += n;
    }
    return b->left == 0 ? end(b) : lost_or_more(s);
}

static enum take take_until_close(struct h1_body *b, struct stream *s, struct io_buf **out,
                                  uint64_t *raw)
{
    *raw += s->in_bytes;
    *out = stream_take(s, s->in_bytes);
    if (s->error != 0)
        return TAKE_LOST;
    return s->eof ? end(b) : TAKE_MORE;
}

static enum take take_trailers(struct h1_body *b, struct stream *s, struct arena *arena,
                               struct http_head **out_trailers, const char **out_reason,
                               uint64_t *raw)
{
    struct http_field fields[TRAILER_FIELDS];
    struct http_head head = {.fields = fields, .max_fields = TRAILER_FIELDS};
    uint32_t look = s->in_bytes < TRAILER_BYTES ? s->in_bytes : TRAILER_BYTES;

    if (look == 0)
        return lost_or_more(s);
    if (!stream_gather_front(s, look))
        return TAKE_LOST;
    enum h1_result r =
        h1_parse_trailers(&b->trailers, (char *)s->in->data, s->in->len, &trailer_limits, &head);
    if (r == H1_MORE)
        return s->eof || s->error != 0 ? TAKE_LOST : TAKE_MORE;
    if (r != H1_DONE) {
        *out_reason = h1_result_code(r);
        b->broken = true;
        return TAKE_BAD;
    }
    if (head.n_fields > 0) {
        *out_trailers = arena_zalloc(arena, sizeof(**out_trailers));
        if (*out_trailers == NULL || http_head_copy(&head, arena, *out_trailers) < 0)
            return TAKE_LOST;
    }
    *raw += b->trailers.at;
    stream_consume(s, b->trailers.at);
    return end(b);
}

/* Chunks of a few bytes must not hold a buffer each. */
static bool append_small(struct stream *s, const struct chunked_out *o, struct io_buf **last,
                         struct io_buf ***at)
{
    struct io *io = s->env->loop->io;
    struct io_buf *b = *last;

    if (b == NULL || io_buf_room(io, b) < o->payload_len) {
        b = io_buf_new(io, s->in->len < SMALL_ROOM ? s->in->len : SMALL_ROOM);
        if (b == NULL)
            return false;
        **at = *last = b;
        *at = &b->next;
    }
    memcpy(b->data + b->len, s->in->data + o->payload_at, o->payload_len);
    b->len += o->payload_len;
    stream_consume(s, o->used);
    return true;
}

/* Appends what of the first buffer is payload; false: no memory. last: one that has room. */
static bool append_payload(struct stream *s, const struct chunked_out *o, struct io_buf **last,
                           struct io_buf ***at)
{
    if (o->payload_len == 0) {
        stream_consume(s, o->used);
        return true;
    }
    if (o->payload_len <= SMALL_CHUNK && o->used < s->in->len)
        return append_small(s, o, last, at);
    *last = NULL;
    struct io_buf *b = stream_take(s, o->used);
    if (b == NULL)
        return false;
    b->data += o->payload_at;
    b->len = o->payload_len;
    b->next = NULL;
    **at = b;
    *at = &b->next;
    return true;
}

static enum take take_chunked(struct h1_body *b, struct stream *s, struct arena *arena,
                              struct io_buf **out, struct http_head **out_trailers,
                              const char **out_reason, uint64_t *raw)
{
    struct io_buf **at = out, *last = NULL;

    while (!b->in_trailers && s->in != NULL) {
        struct chunked_out o;
        enum chunked_result r = chunked_decode(&b->chunked, s->in->data, s->in->len, &o);
        *raw += o.used;
        if (o.used > 0 && !append_payload(s, &o, &last, &at))
            return TAKE_LOST;
        if (r == CHUNKED_TRAILERS) {
            b->in_trailers = true;
        } else if (r != CHUNKED_MORE) {
            *out_reason = chunked_result_code(r);
            b->broken = true;
            return TAKE_BAD;
        }
    }
    if (b->in_trailers)
        return take_trailers(b, s, arena, out_trailers, out_reason, raw);
    return lost_or_more(s);
}

enum take h1_body_take(struct h1_body *b, struct stream *s, struct arena *arena,
                       struct io_buf **out, struct http_head **out_trailers,
                       const char **out_reason, uint64_t *raw)
{
    *out = NULL;
    if (b->broken)
        return TAKE_BAD;
    if (b->ended)
        return TAKE_END;
    switch ((enum http_body)b->kind) {
    case HTTP_BODY_LENGTH:
        return take_length(b, s, out, raw);
    case HTTP_BODY_CHUNKED:
        return take_chunked(b, s, arena, out, out_trailers, out_reason, raw);
    case HTTP_BODY_CLOSE:
        return take_until_close(b, s, out, raw);
    case HTTP_BODY_NONE:
        break;
    }
    return TAKE_END;
}

uint64_t h1_body_spliceable(const struct h1_body *b)
{
    if (b->ended)
        return 0;
    if (b->kind == HTTP_BODY_LENGTH)
        return b->left;
    return b->kind == HTTP_BODY_CLOSE ? UINT64_MAX : 0;
}

bool h1_body_spliced(struct h1_body *b, uint64_t n)
{
    if (b->kind != HTTP_BODY_LENGTH)
        return false;
    sl_assert(n <= b->left);
    b->left -= n;
    if (b->left == 0)
        b->ended = true;
    return b->ended;
}

bool h1_body_send(struct stream *s, enum http_body kind, struct io_buf *chain)
{
    char line[CHUNK_HEAD_MAX];
    uint64_t n = io_chain_bytes(chain);

    if (n == 0 || kind != HTTP_BODY_CHUNKED) {
        stream_queue(s, chain);
        return true;
    }
    if (!stream_write(s, line, (uint32_t)chunk_head(n, line))) {
        stream_queue(s, chain); /* so that it is not lost; the message is */
        return false;
    }
    stream_queue(s, chain);
    return stream_write(s, "\r\n", 2);
}

bool h1_body_send_end(struct stream *s, enum http_body kind, const struct http_head *trailers)
{
    if (kind != HTTP_BODY_CHUNKED)
        return true;
    if (trailers == NULL)
        return stream_write(s, CHUNK_LAST "\r\n", sizeof(CHUNK_LAST "\r\n") - 1);
    char text[TRAILER_BYTES * 2];
    size_t size = h1_trailers_size(trailers);
    if (size > sizeof(text) || !stream_write(s, CHUNK_LAST, sizeof(CHUNK_LAST) - 1))
        return false;
    return stream_write(s, text, (uint32_t)h1_write_trailers(trailers, text));
}
