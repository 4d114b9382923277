/* wire_h1.c - see wire_h1.h */
#include "lb/proxy/wire_h1.h"

#include "lb/proxy/exchange.h"
#include "lb/proxy/proxy_priv.h"

#include <errno.h>
#include <stdlib.h>

#define RESPONSE_HEAD_BYTES  (64u * 1024 - 1)
#define RESPONSE_HEAD_FIELDS 256

static struct stream *stream_of(const struct wire_h1 *w)
{
    return &w->conn->stream;
}

static void on_event(struct stream *s)
{
    struct backend_conn *conn = container_of(s, struct backend_conn, stream);

    exchange_wire_event(conn->owner);
}

void wire_h1_open(struct wire_h1 *w, struct exchange *x, struct backend_conn *conn)
{
    *w = (struct wire_h1){.conn = conn, .exchange = x, .keep = true};
    w->reused = conn->requests > 0;
    conn->requests++;
    conn->owner = w;
    conn->stream.event = on_event;
    w->sent_at = conn->stream.sent + conn->stream.out_bytes;
    w->some = conn->stream.want == STREAM_READ_SOME;
    if (!w->some)
        stream_read(&conn->stream, STREAM_READ);
}

/* ---- the request ---- */

bool wire_h1_send_head(struct wire_h1 *w, const struct http_head *h,
                       const struct h1_request_line *line, const struct h1_framing *framing,
                       struct str preface)
{
    size_t size = preface.len + h1_request_size(h, line);
    struct io_buf *b = io_buf_new(stream_of(w)->env->loop->io, (uint32_t)size);

    if (b == NULL)
        return false;
    if (preface.len > 0)
        memcpy(b->data, preface.p, preface.len);
    b->len = (uint32_t)preface.len;
    b->len += (uint32_t)h1_write_request(h, line, framing, (char *)b->data + b->len);
    w->request_body = (uint8_t)framing->body;
    stream_queue(stream_of(w), b);
    return true;
}

bool wire_h1_send_body(struct wire_h1 *w, struct io_buf *chain)
{
    return h1_body_send(stream_of(w), (enum http_body)w->request_body, chain);
}

bool wire_h1_send_end(struct wire_h1 *w, const struct http_head *trailers)
{
    w->request_ended = true;
    if (w->raw) {
        stream_shutdown(stream_of(w));
        return true;
    }
    return h1_body_send_end(stream_of(w), (enum http_body)w->request_body, trailers);
}

void wire_h1_flush(struct wire_h1 *w)
{
    if (w->conn != NULL)
        stream_flush(stream_of(w));
}

bool wire_h1_blocked(const struct wire_h1 *w)
{
    const struct stream *s = stream_of(w);

    return s->out_bytes >= STREAM_HIGH_WATER || (s->out_bytes > 0 && stream_blocked(s));
}

uint64_t wire_h1_progress(const struct wire_h1 *w)
{
    const struct stream *s = stream_of(w);

    return s->sent + (s->tx.armed ? s->tx.send.done : 0);
}

uint64_t wire_h1_out_bytes(const struct wire_h1 *w)
{
    uint64_t out = w->conn != NULL ? stream_of(w)->sent + stream_of(w)->out_bytes : 0;

    return out > w->sent_at ? out - w->sent_at : 0; /* what was queued before may be lost */
}

bool wire_h1_reached_kernel(const struct wire_h1 *w)
{
    /* A send under way may have been taken, although nobody has said so yet. */
    return stream_of(w)->tx.armed || wire_h1_progress(w) > w->sent_at;
}

/* ---- the response ---- */

static enum wire_read lost_or_more(struct wire_h1 *w)
{
    struct stream *s = stream_of(w);

    if (s->eof || s->error != 0)
        return WIRE_LOST;
    if (w->some)
        stream_read(s, STREAM_READ_SOME);
    return WIRE_MORE;
}

enum wire_read wire_h1_read_head(struct wire_h1 *w, enum http_method to, struct http_field *fields,
                                 uint16_t max_fields, struct http_head *out,
                                 const char **out_reason)
{
    struct stream *s = stream_of(w);
    const struct h1_limits limits = {
        .head_bytes = RESPONSE_HEAD_BYTES,
        .fields = max_fields < RESPONSE_HEAD_FIELDS ? max_fields : RESPONSE_HEAD_FIELDS,
        .bare_lf = w->conn->pool->conf->http.accept_bare_lf,
    };

    if (s->in == NULL)
        return lost_or_more(w);
    w->head_begun = true;
    for (;;) {
        *out = (struct http_head){.fields = fields, .max_fields = max_fields};
        enum h1_result r =
            h1_parse_response(&w->parser, (char *)s->in->data, s->in->len, &limits, to, out);
        if (r == H1_DONE)
            return WIRE_HEAD;
        if (r != H1_MORE) {
            *out_reason = h1_result_code(r);
            return WIRE_BAD;
        }
        if (s->in->next == NULL)
            return lost_or_more(w);
        uint32_t want = s->in->len + s->in->next->len;
        if (!stream_gather_front(s, want))
            return WIRE_LOST;
    }
}

static uint32_t keep_alive_seconds(const struct http_head *h)
{
    const struct http_field *f = http_find(h, HTTP_KEEP_ALIVE, NULL);
    struct str rest, e;
    uint64_t s;

    if (f == NULL)
        return 0;
    rest = http_value(h, f);
    while (http_list_next(&rest, &e)) {
        if (e.len < 8 || !str_eq_nocase((struct str){e.p, 8}, STR("timeout=")))
            continue;
        if (str_u64((struct str){e.p + 8, e.len - 8}, 86400, &s) == 0)
            return s > 0 ? (uint32_t)s : 1;
    }
    return 0;
}

void wire_h1_head_taken(struct wire_h1 *w, const struct http_head *h)
{
    struct stream *s = stream_of(w);

    w->in_bytes += w->parser.at;
    stream_consume(s, w->parser.at);
    w->parser = (struct h1_parser){0};
    if (h->status < 200 && h->status != 101)
        return;
    h1_body_begin(&w->body, (enum http_body)h->body, h->content_length);
    w->keep = h->keep_alive && h->body != HTTP_BODY_CLOSE && h->status != 101;
    w->bulk = h->body == HTTP_BODY_LENGTH && h->content_length >= SPLICE_MIN;
    w->keep_alive_s = w->keep ? keep_alive_seconds(h) : 0;
}

enum take wire_h1_take(struct wire_h1 *w, struct arena *arena, struct io_buf **out,
                       struct http_head **out_trailers, const char **out_reason)
{
    return h1_body_take(&w->body, stream_of(w), arena, out, out_trailers, out_reason, &w->in_bytes);
}

uint64_t wire_h1_spliceable(const struct wire_h1 *w)
{
    return h1_body_spliceable(&w->body);
}

void wire_h1_spliced(struct wire_h1 *w, uint64_t n)
{
    w->in_bytes += n;
    h1_body_spliced(&w->body, n);
}

void wire_h1_upgrade(struct wire_h1 *w)
{
    w->raw = true;
    w->keep = false;
    w->request_ended = false;
    w->request_body = HTTP_BODY_CLOSE;
    h1_body_begin(&w->body, HTTP_BODY_CLOSE, 0);
}

void wire_h1_close(struct wire_h1 *w, bool reset)
{
    if (w->conn == NULL)
        return;
    w->conn->last_client = w->exchange->session->id;
    if (w->keep && !reset && w->body.ended && w->request_ended && w->reusable)
        conn_cache_give(&w->conn, w->keep_alive_s, w->bulk);
    else
        backend_conn_close(&w->conn, reset);
}
