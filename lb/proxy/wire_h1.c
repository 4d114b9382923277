/* wire_h1.c - see wire_h1.h */
#include "lb/proxy/wire_h1.h"

#include "lb/http/h1_write.h"
#include "lb/net/stream_tls.h"
#include "lb/proxy/exchange.h"
#include "lb/proxy/proxy_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RESPONSE_HEAD_BYTES  (64u * 1024 - 1)
#define RESPONSE_HEAD_FIELDS 256

static const struct wire_ops wire_h1_ops;

static struct wire_h1 *of(struct wire *w)
{
    return container_of(w, struct wire_h1, wire);
}

static const struct wire_h1 *of_const(const struct wire *w)
{
    return container_of(w, const struct wire_h1, wire);
}

static struct stream *stream_of(const struct wire_h1 *w)
{
    return &w->conn->stream;
}

static void on_event(struct stream *s)
{
    struct backend_conn *conn = container_of(s, struct backend_conn, stream);
    struct wire_h1 *w = conn->owner;

    exchange_wire_event(&w->wire);
}

void wire_h1_open(struct wire_h1 *w, struct exchange *x, struct backend_conn *conn)
{
    *w = (struct wire_h1){
        .wire = {.ops = &wire_h1_ops, .exchange = x, .reused = conn->requests > 0},
        .conn = conn,
        .keep = true,
    };
    conn->requests++;
    conn->owner = w;
    conn->stream.event = on_event;
    w->sent_at = conn->stream.sent + conn->stream.out_bytes;
    w->some = conn->stream.want == STREAM_READ_SOME;
    if (!w->some)
        stream_read(&conn->stream, STREAM_READ);
}

/* ---- the request ---- */

static bool send_head(struct wire *wire, const struct wire_request *r)
{
    struct wire_h1 *w = of(wire);
    const struct h1_request_line line = {r->method, r->target, r->host};
    const struct h1_framing framing = {
        .connection = r->upgrade ? H1_CONN_UPGRADE
                      : r->last  ? H1_CONN_CLOSE
                                 : H1_CONN_DEFAULT,
        .body = r->body,
        .content_length = r->content_length,
        .has_content_length = r->has_content_length,
        .te_trailers = r->te_trailers,
    };
    size_t size = r->preface.len + h1_request_size(r->head, &line);
    struct io_buf *b = io_buf_new(stream_of(w)->env->loop->io, (uint32_t)size);

    if (b == NULL)
        return false;
    if (r->preface.len > 0)
        memcpy(b->data, r->preface.p, r->preface.len);
    b->len = (uint32_t)r->preface.len;
    b->len += (uint32_t)h1_write_request(r->head, &line, &framing, (char *)b->data + b->len);
    w->request_body = (uint8_t)r->body;
    stream_queue(stream_of(w), b);
    return true;
}

static bool send_body(struct wire *wire, struct io_buf *chain)
{
    struct wire_h1 *w = of(wire);

    return h1_body_send(stream_of(w), (enum http_body)w->request_body, chain);
}

static bool send_end(struct wire *wire, const struct http_head *trailers)
{
    struct wire_h1 *w = of(wire);

    w->request_ended = true;
    if (w->raw) {
        stream_shutdown(stream_of(w));
        return true;
    }
    return h1_body_send_end(stream_of(w), (enum http_body)w->request_body, trailers);
}

static void flush(struct wire *wire)
{
    stream_flush(stream_of(of(wire)));
}

static bool blocked(struct wire *wire)
{
    struct stream *s = stream_of(of(wire));

    s->tell_sent = s->out_bytes >= STREAM_HIGH_WATER || (s->out_bytes > 0 && stream_blocked(s));
    return s->tell_sent;
}

static bool takes(const struct wire *wire)
{
    return !stream_of(of_const(wire))->tx_dead;
}

static uint64_t progress(const struct wire *wire)
{
    const struct stream *s = stream_of(of_const(wire));

    return s->sent + (s->tx.armed ? s->tx.send.done : 0);
}

static uint64_t out_bytes(const struct wire *wire)
{
    const struct wire_h1 *w = of_const(wire);
    uint64_t out = stream_of(w)->sent + stream_of(w)->out_bytes;

    return out > w->sent_at ? out - w->sent_at : 0; /* what was queued before may be lost */
}

static bool maybe_seen(const struct wire *wire)
{
    const struct wire_h1 *w = of_const(wire);

    /* A send under way may have been taken, although nobody has said so yet. */
    return stream_of(w)->tx.armed || progress(wire) > w->sent_at;
}

/* ---- the response ---- */

static enum wire_read lost_or_more(struct wire_h1 *w)
{
    struct stream *s = stream_of(w);

    if (s->eof || s->error != 0)
        return WIRE_LOST;
    stream_read(s, w->some ? STREAM_READ_SOME : STREAM_READ);
    return WIRE_MORE;
}

static enum wire_read read_head(struct wire *wire, enum http_method to, struct http_field *fields,
                                uint16_t max_fields, struct http_head *out, const char **out_reason)
{
    struct wire_h1 *w = of(wire);
    struct stream *s = stream_of(w);
    const struct h1_limits limits = {
        .head_bytes = RESPONSE_HEAD_BYTES,
        .fields = max_fields < RESPONSE_HEAD_FIELDS ? max_fields : RESPONSE_HEAD_FIELDS,
        .bare_lf = w->wire.exchange->pool->conf->http.accept_bare_lf,
    };

    if (s->in == NULL)
        return lost_or_more(w);
    wire->head_begun = true;
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

static void head_taken(struct wire *wire, const struct http_head *h)
{
    struct wire_h1 *w = of(wire);

    wire->in_bytes += w->parser.at;
    stream_consume(stream_of(w), w->parser.at);
    w->parser = (struct h1_parser){0};
    if (h->status < 200 && h->status != 101)
        return;
    h1_body_begin(&w->body, (enum http_body)h->body, h->content_length);
    w->keep = h->keep_alive && h->body != HTTP_BODY_CLOSE && h->status != 101;
    w->bulk = h->body == HTTP_BODY_LENGTH && h->content_length >= SPLICE_MIN;
    w->keep_alive_s = w->keep ? keep_alive_seconds(h) : 0;
}

static enum take take(struct wire *wire, struct arena *arena, struct io_buf **out,
                      struct http_head **out_trailers, const char **out_reason)
{
    struct wire_h1 *w = of(wire);

    enum take t =
        h1_body_take(&w->body, stream_of(w), arena, out, out_trailers, out_reason, &wire->in_bytes);
    /* Where only the end delimits it and TLS did not say goodbye, anybody may have cut it. */
    bool cut = w->body.kind == HTTP_BODY_CLOSE && !w->raw && stream_tls_truncated(stream_of(w));
    return t == TAKE_END && cut ? TAKE_LOST : t;
}

static void pull(struct wire *wire, bool want)
{
    struct stream *s = stream_of(of(wire));

    if (want)
        stream_read(s, STREAM_READ);
    else if (s->in_bytes >= STREAM_HIGH_WATER)
        stream_read(s, STREAM_WATCH);
}

static int error(const struct wire *wire)
{
    const struct stream *s = stream_of(of_const(wire));

    return s->error != 0 ? s->error : s->tx_error;
}

static const char *why(const struct wire *wire)
{
    const struct stream *s = stream_of(of_const(wire));

    return stream_is_tls(s) ? stream_tls_reason(s) : "";
}

static const char *reason(const struct wire *wire)
{
    (void)wire;
    return NULL;
}

/* ---- around us ---- */

static struct stream *raw(struct wire *wire)
{
    struct stream *s = stream_of(of(wire));

    return s != NULL && stream_is_tls(s) ? NULL : s;
}

static uint64_t spliceable(const struct wire *wire)
{
    return h1_body_spliceable(&of_const(wire)->body);
}

static void spliced(struct wire *wire, uint64_t n)
{
    wire->in_bytes += n;
    h1_body_spliced(&of(wire)->body, n);
}

static void upgrade(struct wire *wire)
{
    struct wire_h1 *w = of(wire);

    w->raw = true;
    w->keep = false;
    w->request_ended = false;
    w->request_body = HTTP_BODY_CLOSE;
    h1_body_begin(&w->body, HTTP_BODY_CLOSE, 0);
}

/* The connection goes back to the cache when it can carry another request, else it is closed. */
static void close_wire(struct wire *wire, bool reset)
{
    struct wire_h1 *w = of(wire);

    w->conn->last_client = wire->exchange->session->id;
    if (w->keep && !reset && w->body.ended && w->request_ended && wire->reusable)
        conn_cache_give(&w->conn, w->keep_alive_s, w->bulk);
    else
        backend_conn_close(&w->conn, reset);
}

static const struct wire_ops wire_h1_ops = {
    .send_head = send_head,
    .send_body = send_body,
    .send_end = send_end,
    .flush = flush,
    .blocked = blocked,
    .takes = takes,
    .progress = progress,
    .out_bytes = out_bytes,
    .maybe_seen = maybe_seen,
    .read_head = read_head,
    .head_taken = head_taken,
    .take = take,
    .pull = pull,
    .error = error,
    .why = why,
    .reason = reason,
    .raw = raw,
    .spliceable = spliceable,
    .spliced = spliced,
    .upgrade = upgrade,
    .close = close_wire,
};
