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

static void append(struct body_chain *c, struct io_buf *b, bool room)
{
    b->next = NULL;
    if (c->last != NULL)
        c->last->next = b;
    else
        c->first = b;
    c->last = b;
    c->room = room;
}

static bool append_copy(struct body_chain *c, struct stream *s, uint32_t at, uint32_t len)
{
    struct io *io = s->env->loop->io;

    if (!c->room || io_buf_room(io, c->last) < len) {
        struct io_buf *b = io_buf_new(io, s->in->len < SMALL_ROOM ? s->in->len : SMALL_ROOM);
        if (b == NULL)
            return false;
        append(c, b, true);
    }
    memcpy(c->last->data + c->last->len, s->in->data + at, len);
    c->last->len += len;
    return true;
}

bool body_chain_take(struct body_chain *c, struct stream *s, uint32_t at, uint32_t len,
                     uint32_t used)
{
    if (len == 0 || (len <= SMALL_CHUNK && used < s->in->len)) {
        bool good = len == 0 || append_copy(c, s, at, len);
        if (good)
            stream_consume(s, used);
        return good;
    }
    struct io_buf *b = stream_take(s, used);
    if (b == NULL)
        return false;
    b->data += at;
    b->len = len;
    append(c, b, false);
    return true;
}

static enum take take_chunked(struct h1_body *b, struct stream *s, struct arena *arena,
                              struct io_buf **out, struct http_head **out_trailers,
                              const char **out_reason, uint64_t *raw)
{
    struct body_chain chain = {0};

    while (!b->in_trailers && s->in != NULL) {
        struct chunked_out o;
        enum chunked_result r = chunked_decode(&b->chunked, s->in->data, s->in->len, &o);
        *raw += o.used;
        if (o.used > 0 && !body_chain_take(&chain, s, o.payload_at, o.payload_len, o.used))
            return TAKE_LOST;
        *out = chain.first;
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
