/* wire_cgi.c - see wire_cgi.h */
#include "lb/proxy/wire_cgi.h"

#include "lb/net/stream_tls.h"
#include "lb/proxy/cgi_request.h"
#include "lb/proxy/cgi_stderr.h"
#include "lb/proxy/exchange.h"
#include "lb/proxy/proxy_priv.h"

#include <errno.h>
#include <string.h>

#define HEAD_BYTES  (64u * 1024 - 1)
#define HEAD_FIELDS 256
#define HEAD_PIECE  2048 /* of what was received is looked at for the head, at a time */

static const struct wire_ops wire_cgi_ops;

static struct wire_cgi *of(struct wire *w)
{
    return container_of(w, struct wire_cgi, wire);
}

static const struct wire_cgi *of_const(const struct wire *w)
{
    return container_of(w, const struct wire_cgi, wire);
}

static struct stream *stream_of(const struct wire_cgi *w)
{
    return &w->conn->stream;
}

static struct io *io_of(const struct wire_cgi *w)
{
    return w->conn->stream.env->loop->io;
}

static bool is_fastcgi(const struct wire_cgi *w)
{
    return w->kind == CGI_FASTCGI;
}

static void drop(struct wire_cgi *w, struct io_buf **chain)
{
    io_buf_put_chain(io_of(w), *chain);
    *chain = NULL;
}

static void on_event(struct stream *s)
{
    struct backend_conn *conn = container_of(s, struct backend_conn, stream);
    struct wire_cgi *w = conn->owner;

    exchange_wire_event(&w->wire);
}

static enum cgi_wire kind_of(enum pool_protocol p)
{
    return p == PROTOCOL_FASTCGI ? CGI_FASTCGI : p == PROTOCOL_UWSGI ? CGI_UWSGI : CGI_SCGI;
}

void wire_cgi_open(struct wire_cgi *w, struct exchange *x, struct backend_conn *conn)
{
    *w = (struct wire_cgi){
        .wire = {.ops = &wire_cgi_ops, .exchange = x, .reused = conn->requests > 0},
        .conn = conn,
        .kind = (uint8_t)kind_of(x->pool->conf->protocol),
    };
    w->keep = is_fastcgi(w) && x->pool->conf->http.reuse != REUSE_NEVER &&
              x->pool->conf->send_proxy == PROXY_OFF;
    conn->requests++;
    conn->owner = w;
    conn->stream.event = on_event;
    w->sent_at = conn->stream.sent + conn->stream.out_bytes;
    stream_read(&conn->stream, STREAM_READ);
}

/* ---- the request ---- */

/* A record holds 64 KiB: what is larger is copied into several. */
static bool send_record(struct wire_cgi *w, const uint8_t *data, uint32_t len)
{
    char head[FCGI_HEAD_BYTES];

    while (len > 0) {
        uint32_t n = len < FCGI_CONTENT_MAX ? len : FCGI_CONTENT_MAX;
        if (!stream_write(stream_of(w), head, fcgi_head(FCGI_STDIN, n, head)) ||
            !stream_write(stream_of(w), data, n))
            return false;
        data += n;
        len -= n;
    }
    return true;
}

/* As many buffers as fit go into one record. */
static bool send_records(struct wire_cgi *w, struct io_buf *chain)
{
    char head[FCGI_HEAD_BYTES];

    while (chain != NULL) {
        struct io_buf *first = chain, *last = chain;
        uint32_t n = first->len;
        while (last->next != NULL && n + last->next->len <= FCGI_CONTENT_MAX) {
            last = last->next;
            n += last->len;
        }
        chain = last->next;
        last->next = NULL;
        if (n == 0) { /* it would be the end of the payload */
            io_buf_put_chain(io_of(w), first);
            continue;
        }
        bool large = n > FCGI_CONTENT_MAX, good;
        if (large) {
            good = send_record(w, first->data, n);
            io_buf_put(io_of(w), first);
        } else {
            good = stream_write(stream_of(w), head, fcgi_head(FCGI_STDIN, n, head));
            stream_queue(stream_of(w), first);
        }
        if (!good) {
            io_buf_put_chain(io_of(w), chain);
            return false;
        }
    }
    return true;
}

static bool send_payload(struct wire_cgi *w, struct io_buf *chain)
{
    if (is_fastcgi(w))
        return send_records(w, chain);
    stream_queue(stream_of(w), chain);
    return true;
}

/* Behind all payload. No effect on streams of bytes: their length was said. */
static bool end_payload(struct wire_cgi *w)
{
    char head[FCGI_HEAD_BYTES];

    if (!is_fastcgi(w))
        return true;
    return stream_write(stream_of(w), head, fcgi_head(FCGI_STDIN, 0, head));
}

static bool cannot(struct wire_cgi *w, uint16_t status, const char *why)
{
    w->unable = why;
    w->wire.status = status;
    return true;
}

static bool send_head(struct wire *wire, const struct wire_request *request)
{
    struct wire_cgi *w = of(wire);
    struct wire_request r = *request;
    const char *reason;

    if (r.body == HTTP_BODY_CHUNKED && !w->request_ended) {
        w->holds = true; /* CONTENT_LENGTH goes before it: until all of it is here */
        return true;
    }
    if (r.body == HTTP_BODY_CHUNKED) {
        r.body = HTTP_BODY_LENGTH;
        r.content_length = w->held_bytes;
        r.has_content_length = true;
    }
    if (!stream_write(stream_of(w), r.preface.p, (uint32_t)r.preface.len))
        return false;
    struct io_buf *b = cgi_request(wire->exchange, (enum cgi_wire)w->kind, &r, w->keep, &reason);
    if (b == NULL)
        return reason != NULL && cannot(w, 431, reason);
    stream_queue(stream_of(w), b);
    w->stdin_over = r.body == HTTP_BODY_NONE || r.content_length == 0;
    if (!w->holds)
        return true;
    struct io_buf *held = w->held;
    w->holds = false;
    w->held = w->held_last = NULL;
    return (held == NULL || send_payload(w, held)) && (w->stdin_over || end_payload(w));
}

static bool hold(struct wire_cgi *w, struct io_buf *chain)
{
    uint64_t n = io_chain_bytes(chain);

    if (w->held_bytes + n > w->wire.exchange->pool->conf->http.cgi.buffer_bytes) {
        io_buf_put_chain(io_of(w), chain);
        return cannot(w, 411, "length-required");
    }
    w->held_bytes += (uint32_t)n;
    if (w->held_last != NULL)
        w->held_last->next = chain;
    else
        w->held = chain;
    for (w->held_last = chain; w->held_last->next != NULL;)
        w->held_last = w->held_last->next;
    return true;
}

static bool send_body(struct wire *wire, struct io_buf *chain)
{
    struct wire_cgi *w = of(wire);

    if (w->holds)
        return hold(w, chain);
    if (w->raw) {
        stream_queue(stream_of(w), chain);
        return true;
    }
    return send_payload(w, chain);
}

static bool send_end(struct wire *wire, const struct http_head *trailers)
{
    struct wire_cgi *w = of(wire);

    (void)trailers; /* there is no place for them */
    w->request_ended = true;
    if (w->raw) {
        stream_shutdown(stream_of(w));
        return true;
    }
    return w->holds || w->stdin_over || end_payload(w);
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
    const struct wire_cgi *w = of_const(wire);

    return w->unable == NULL && !stream_of(w)->tx_dead;
}

static uint64_t progress(const struct wire *wire)
{
    const struct stream *s = stream_of(of_const(wire));

    return s->sent + (s->tx.armed ? s->tx.send.done : 0);
}

static uint64_t out_bytes(const struct wire *wire)
{
    const struct wire_cgi *w = of_const(wire);
    uint64_t out = stream_of(w)->sent + stream_of(w)->out_bytes;

    return out > w->sent_at ? out - w->sent_at : 0;
}

/* An application that has no room says so, and has not begun. */
static bool is_rejected(const struct wire_cgi *w)
{
    return w->ended && w->records.protocol != FCGI_REQUEST_COMPLETE;
}

static bool maybe_seen(const struct wire *wire)
{
    const struct wire_cgi *w = of_const(wire);

    if (is_rejected(w))
        return false;
    return stream_of(w)->tx.armed || progress(wire) > w->sent_at;
}

/* ---- FastCGI's records ---- */

/* Takes everything that is here out of its records. False: no memory, or with w->records.bad what
 * is wrong. */
static bool read_records(struct wire_cgi *w)
{
    struct stream *s = stream_of(w);

    while (s->in != NULL && !w->ended) {
        uint32_t at, used;
        enum fcgi_event e = fcgi_read(&w->records, s->in->data, s->in->len, &at, &used);
        if (e == FCGI_EVENT_BAD)
            return false;
        if (e == FCGI_EVENT_STDERR)
            cgi_stderr_add(&w->err, w->wire.exchange, (char *)s->in->data + at, used - at);
        uint32_t len = e == FCGI_EVENT_STDOUT ? used - at : 0;
        w->in_bytes += len;
        w->wire.in_bytes += used;
        if (!body_chain_take(&w->in, s, at, len, used))
            return false;
        w->ended = e == FCGI_EVENT_END;
    }
    if (w->ended && w->err != NULL)
        cgi_stderr_end(&w->err, w->wire.exchange);
    return true;
}

static void consume_in(struct wire_cgi *w, uint32_t n)
{
    struct io_buf *b = w->in.first;

    b->data += n;
    b->len -= n;
    w->in_bytes -= n;
    if (b->len > 0)
        return;
    w->in.first = b->next;
    if (b->next == NULL)
        w->in = (struct body_chain){0};
    io_buf_put(io_of(w), b);
}

/* ---- the response's head ---- */

/* What of the response is here and in one piece; len 0: nothing. */
static struct str peek(const struct wire_cgi *w)
{
    const struct io_buf *b = is_fastcgi(w) ? w->in.first : stream_of(w)->in;

    return b != NULL ? (struct str){(char *)b->data, b->len} : STR("");
}

static void consume(struct wire_cgi *w, uint32_t n)
{
    if (is_fastcgi(w)) {
        consume_in(w, n);
    } else {
        stream_consume(stream_of(w), n);
        w->wire.in_bytes += n;
    }
}

/* Room for n more bytes of the head, and for the status line. */
static bool reserve_head(struct wire_cgi *w, uint32_t n)
{
    n += sizeof(CGI_STATUS_LINE);
    if (w->head != NULL && io_buf_room(io_of(w), w->head) >= n)
        return true;
    uint32_t have = w->head != NULL ? w->head->len : 0;
    struct io_buf *b = io_buf_new(io_of(w), (have + n) * 2);
    if (b == NULL)
        return false;
    if (have > 0)
        memcpy(b->data, w->head->data, have);
    b->len = have;
    drop(w, &w->head);
    w->head = b;
    return true;
}

/* Puts our status line before the fields, once it is known that there is none. False: not yet. */
static bool begin_head(struct wire_cgi *w)
{
    struct io_buf *b = w->head;
    const uint32_t n = sizeof(CGI_STATUS_LINE) - 1;

    if (w->head_begun)
        return true;
    int own = cgi_has_status_line((struct str){(char *)b->data, b->len});
    if (own < 0)
        return false;
    w->head_begun = true;
    w->own_status = own > 0;
    if (own > 0)
        return true;
    memmove(b->data + n, b->data, b->len);
    memcpy(b->data, CGI_STATUS_LINE, n);
    b->len += n;
    return true;
}

static enum h1_result parse_head(struct wire_cgi *w, enum http_method to, struct http_head *out)
{
    const struct h1_limits limits = {
        .head_bytes = HEAD_BYTES,
        .fields = out->max_fields < HEAD_FIELDS ? out->max_fields : HEAD_FIELDS,
        .bare_lf = true,
    };
    *out = (struct http_head){.fields = out->fields, .max_fields = out->max_fields};
    return h1_parse_response(&w->parser, (char *)w->head->data, w->head->len, &limits, to, out);
}

static enum wire_read no_more(struct wire_cgi *w, const char **out_reason)
{
    const struct stream *s = stream_of(w);

    if (is_rejected(w)) {
        w->wire.refused = true;
        return WIRE_LOST;
    }
    if (w->ended) {
        *out_reason = "no-head";
        return WIRE_BAD;
    }
    if (s->eof || s->error != 0)
        return WIRE_LOST;
    stream_read(stream_of(w), STREAM_READ);
    return WIRE_MORE;
}

static enum wire_read finish_head(struct wire_cgi *w, enum http_method to, struct http_head *out,
                                  const char **out_reason)
{
    if (!is_fastcgi(w) && w->own_status)
        return WIRE_HEAD; /* as it is in HTTP/1 */
    *out_reason = cgi_response(out, to, w->own_status);
    return *out_reason == NULL ? WIRE_HEAD : WIRE_BAD;
}

static enum wire_read read_fields(struct wire_cgi *w, enum http_method to, struct http_head *out,
                                  const char **out_reason)
{
    struct str piece;

    while ((piece = peek(w)).len > 0) {
        uint32_t n = piece.len < HEAD_PIECE ? (uint32_t)piece.len : HEAD_PIECE;
        w->wire.head_begun = true;
        if (!reserve_head(w, n))
            return WIRE_LOST;
        memcpy(w->head->data + w->head->len, piece.p, n);
        w->head->len += n;
        enum h1_result r = begin_head(w) ? parse_head(w, to, out) : H1_MORE;
        if (r == H1_DONE) {
            consume(w, n - (w->head->len - w->parser.at));
            return finish_head(w, to, out, out_reason);
        }
        if (r != H1_MORE) {
            *out_reason = h1_result_code(r);
            return WIRE_BAD;
        }
        consume(w, n);
    }
    return no_more(w, out_reason);
}

/* Nobody behind us knows of 100-continue: we say it, where the client waits for it. */
static bool wants_continue(const struct wire_cgi *w)
{
    const struct exchange *x = w->wire.exchange;

    return x->request.expect_continue && !w->continued && !x->interim_seen && !x->request_taken &&
           x->in_payload == 0;
}

static enum wire_read say_continue(struct http_head *out)
{
    static char text[] = "Continue";

    out->mem = text;
    out->used = out->cap = sizeof(text) - 1;
    out->reason.len = sizeof(text) - 1;
    out->status = 100;
    out->version = 11;
    return WIRE_HEAD;
}

static enum wire_read read_head(struct wire *wire, enum http_method to, struct http_field *fields,
                                uint16_t max_fields, struct http_head *out, const char **out_reason)
{
    struct wire_cgi *w = of(wire);

    *out = (struct http_head){.fields = fields, .max_fields = max_fields};
    if (w->unable != NULL) {
        *out_reason = w->unable;
        return WIRE_UNABLE;
    }
    if (wants_continue(w)) {
        w->continued = true;
        return say_continue(out);
    }
    if (w->holds && w->request_ended)
        return WIRE_SEND;
    if (is_fastcgi(w) && !read_records(w)) {
        *out_reason = w->records.bad;
        return w->records.bad != NULL ? WIRE_BAD : WIRE_LOST;
    }
    return read_fields(w, to, out, out_reason);
}

static void head_taken(struct wire *wire, const struct http_head *h)
{
    struct wire_cgi *w = of(wire);

    if (w->head == NULL)
        return; /* it was ours */
    drop(w, &w->head);
    w->parser = (struct h1_parser){0};
    w->head_begun = false;
    if (h->status < 200 && h->status != 101)
        return;
    h1_body_begin(&w->body, (enum http_body)h->body, h->content_length);
}

/* ---- its payload ---- */

/* Payload beyond the length that was said is nobody's, and neither is that of an answer to HEAD. */
static struct io_buf *take_in(struct wire_cgi *w)
{
    struct io_buf *chain = w->in.first, **at = &chain;
    uint64_t left = w->body.kind == HTTP_BODY_CLOSE    ? UINT64_MAX
                    : w->body.kind == HTTP_BODY_LENGTH ? w->body.left
                                                       : 0;

    w->in = (struct body_chain){0};
    w->in_bytes = 0;
    while (*at != NULL && left > 0) {
        if ((*at)->len > left)
            (*at)->len = (uint32_t)left;
        left -= (*at)->len;
        at = &(*at)->next;
    }
    drop(w, at);
    if (w->body.kind == HTTP_BODY_LENGTH)
        w->body.left = left;
    return chain;
}

/* The end is the record that says so, even where the length was known: the connection may carry
 * another request from then on. */
static enum take take_records(struct wire_cgi *w, struct io_buf **out, const char **out_reason)
{
    const struct stream *s = stream_of(w);

    *out = NULL;
    if (!read_records(w)) {
        *out_reason = w->records.bad;
        return w->records.bad != NULL ? TAKE_BAD : TAKE_LOST;
    }
    *out = take_in(w);
    if (!w->ended)
        return s->eof || s->error != 0 ? TAKE_LOST : TAKE_MORE;
    if (w->body.kind == HTTP_BODY_LENGTH && w->body.left > 0)
        return TAKE_LOST;
    w->body.ended = true;
    return TAKE_END;
}

static enum take take(struct wire *wire, struct arena *arena, struct io_buf **out,
                      struct http_head **out_trailers, const char **out_reason)
{
    struct wire_cgi *w = of(wire);

    if (is_fastcgi(w))
        return take_records(w, out, out_reason);
    enum take t =
        h1_body_take(&w->body, stream_of(w), arena, out, out_trailers, out_reason, &wire->in_bytes);
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

static const char *reason(const struct wire *wire)
{
    switch (
        (enum fcgi_status)(is_rejected(of_const(wire)) ? of_const(wire)->records.protocol : 0)) {
    case FCGI_REQUEST_COMPLETE:
        return NULL;
    case FCGI_CANT_MPX_CONN:
        return "fastcgi-cannot-multiplex";
    case FCGI_OVERLOADED:
        return "fastcgi-overloaded";
    case FCGI_UNKNOWN_ROLE:
        return "fastcgi-unknown-role";
    }
    return "fastcgi-refused";
}

static const char *why(const struct wire *wire)
{
    const struct stream *s = stream_of(of_const(wire));

    return stream_is_tls(s) ? stream_tls_reason(s) : "";
}

/* ---- around us ---- */

static struct stream *raw(struct wire *wire)
{
    struct wire_cgi *w = of(wire);

    return is_fastcgi(w) || w->holds || stream_is_tls(stream_of(w)) ? NULL : stream_of(w);
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
    struct wire_cgi *w = of(wire);

    w->raw = true;
    w->request_ended = false;
    h1_body_begin(&w->body, HTTP_BODY_CLOSE, 0);
}

static void close_wire(struct wire *wire, bool reset)
{
    struct wire_cgi *w = of(wire);

    if (w->err != NULL)
        cgi_stderr_end(&w->err, wire->exchange);
    drop(w, &w->held);
    drop(w, &w->head);
    drop(w, &w->in.first);
    w->conn->last_client = wire->exchange->session->id;
    bool over = w->ended && w->request_ended && !is_rejected(w);
    if (w->keep && over && !reset && wire->reusable)
        conn_cache_give(&w->conn, 0, false);
    else
        backend_conn_close(&w->conn, reset);
}

static const struct wire_ops wire_cgi_ops = {
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
