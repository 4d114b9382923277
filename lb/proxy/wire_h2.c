/* wire_h2.c - see wire_h2.h */
#include "lb/proxy/wire_h2.h"

#include "lb/http/websocket.h"
#include "lb/proxy/exchange.h"
#include "lb/proxy/h1_body.h"
#include "lb/proxy/proxy_priv.h"

#include <errno.h>
#include <stdlib.h>

#define HEAD_BYTES     (64u * 1024 - 1)
#define HEAD_FIELDS    256
#define TRAILER_BYTES  8192
#define TRAILER_FIELDS 32
#define FLOOD_BYTES    (4 * HEAD_BYTES) /* of fields that are only counted any more */
#define BLOCKS_MAX     8                /* heads that were not read: interim ones, all but one */
#define NV_STACK       64               /* fields of a usual request */

struct h2_block {
    struct h2_block *next;
    struct http_head head;
};

static const struct wire_ops wire_h2_ops;
static const struct h2_stream_ops stream_ops;

static struct wire_h2 *of(struct wire *w)
{
    return container_of(w, struct wire_h2, wire);
}

static const struct wire_h2 *of_const(const struct wire *w)
{
    return container_of(w, const struct wire_h2, wire);
}

static struct wire_h2 *of_stream(struct h2_stream *s)
{
    return container_of(s, struct wire_h2, stream);
}

static enum http_method method_of(const struct wire_h2 *w)
{
    return (enum http_method)w->wire.exchange->request.method;
}

void wire_h2_open(struct wire_h2 *w, struct exchange *x, struct h2_conn *conn)
{
    *w = (struct wire_h2){
        .wire = {.ops = &wire_h2_ops, .exchange = x, .reused = h2_conn_reused(conn)},
        .conn = conn,
    };
    arena_init(&w->heads, x->arena.pool);
    h2_stream_attach(conn, &w->stream, &stream_ops);
}

/* ---- the request ---- */

static bool submit(struct wire_h2 *w, const struct wire_request *r)
{
    struct http_head *h = &w->wire.exchange->request;
    nghttp2_nv usual[NV_STACK], *nv = usual;
    const struct h2_request line = {
        .method = r->method,
        .scheme = h2_conn_is_tls(w->conn) ? STR("https") : STR("http"),
        .authority = r->host,
        .path = r->target,
        .te_trailers = r->te_trailers,
        .websocket = w->connecting,
    };
    bool body = w->connecting || r->body == HTTP_BODY_CHUNKED ||
                (r->body == HTTP_BODY_LENGTH && r->content_length > 0);
    const uint64_t *length = r->body == HTTP_BODY_LENGTH ? &r->content_length : NULL;

    if (h2_nv_max(h) > NV_STACK)
        nv = malloc(h2_nv_max(h) * sizeof(*nv));
    if (nv == NULL)
        return false;
    uint32_t n = h2_write_request(h, &line, length, &w->digits, nv);
    bool ok = h2_stream_open(&w->stream, nv, n, body);
    if (nv != usual)
        free(nv);
    return ok;
}

/* Whether the backend takes a tunnel is known when its settings are here. */
static bool send_head(struct wire *wire, const struct wire_request *r)
{
    struct wire_h2 *w = of(wire);
    const struct http_field *upgrade = r->upgrade ? http_find(r->head, HTTP_UPGRADE, NULL) : NULL;

    w->connecting =
        upgrade != NULL && str_eq_nocase(http_value(r->head, upgrade), STR("websocket"));
    if (w->connecting && h2_conn_connect(w->conn) != H2_CONNECT_YES) {
        w->unsent = true;
        return true;
    }
    w->unsent = false;
    return submit(w, r);
}

static bool send_body(struct wire *wire, struct io_buf *chain)
{
    h2_stream_send(&of(wire)->stream, chain);
    return true;
}

static bool send_end(struct wire *wire, const struct http_head *trailers)
{
    struct wire_h2 *w = of(wire);

    if (!w->connecting) /* a request for a tunnel has no end of its own */
        h2_stream_end(&w->stream, trailers != NULL);
    return true;
}

static bool on_trailers_due(struct h2_stream *s)
{
    struct http_head *h = of_stream(s)->wire.exchange->request_trailers;
    nghttp2_nv nv[TRAILER_FIELDS + 8];

    if (h == NULL || h2_nv_max(h) > ARRAY_LEN(nv))
        return false;
    uint32_t n = h2_write_trailers(h, nv);
    return n > 0 && h2_stream_trailers(s, nv, n);
}

/* Of all streams together, at the end of the turn. */
static void flush(struct wire *wire)
{
    (void)wire;
}

static bool blocked(struct wire *wire)
{
    return h2_stream_blocked(&of(wire)->stream);
}

static bool takes(const struct wire *wire)
{
    return !h2_stream_is_over(&of_const(wire)->stream);
}

static uint64_t progress(const struct wire *wire)
{
    return of_const(wire)->stream.out_wire;
}

static uint64_t out_bytes(const struct wire *wire)
{
    const struct h2_stream *s = &of_const(wire)->stream;

    return s->out_wire + s->out_bytes;
}

static bool maybe_seen(const struct wire *wire)
{
    return h2_stream_maybe_seen(&of_const(wire)->stream);
}

/* ---- what comes ---- */

static bool begin_trailers(struct wire_h2 *w)
{
    static const struct h1_limits limits = {.head_bytes = TRAILER_BYTES, .fields = TRAILER_FIELDS};
    struct arena *a = &w->wire.exchange->arena;

    if (w->trailers != NULL || (w->trailers = arena_zalloc(a, sizeof(*w->trailers))) == NULL)
        return false;
    h2_head_begin(&w->builder, H2_TRAILERS, &limits, a, w->trailers);
    return true;
}

static bool on_block(struct h2_stream *s)
{
    static const struct h1_limits limits = {.head_bytes = HEAD_BYTES, .fields = HEAD_FIELDS};
    struct wire_h2 *w = of_stream(s);

    w->wire.head_begun = true;
    if (w->final)
        return begin_trailers(w);
    if (w->n_blocks >= BLOCKS_MAX) {
        w->bad = "too-many-interim";
        return false;
    }
    w->begun = arena_zalloc(&w->heads, sizeof(*w->begun));
    if (w->begun == NULL)
        return false;
    h2_head_begin(&w->builder, H2_RESPONSE, &limits, &w->heads, &w->begun->head);
    return true;
}

static bool on_field(struct h2_stream *s, struct str name, struct str value)
{
    struct wire_h2 *w = of_stream(s);

    h2_head_field(&w->builder, name, value);
    if (w->builder.bytes <= FLOOD_BYTES)
        return true;
    w->bad = h1_result_code(H1_HEAD_TOO_LARGE);
    return false;
}

/* As HTTP/1 says it: 101, and the proof that the handshake was understood. */
static bool as_upgrade(struct wire_h2 *w, struct http_head *h)
{
    const struct http_head *request = &w->wire.exchange->request;
    const struct http_field *key = http_find_name(request, STR("sec-websocket-key"), NULL);
    char accept[WEBSOCKET_ACCEPT_LEN];

    h->status = 101;
    h->body = HTTP_BODY_NONE;
    h->upgrade = true;
    if (http_head_set(h, &w->heads, STR("Upgrade"), STR("websocket")) != 0)
        return false;
    if (key == NULL)
        return true;
    websocket_accept(http_value(request, key), accept);
    return http_head_set(h, &w->heads, STR("Sec-WebSocket-Accept"),
                         (struct str){accept, sizeof(accept)}) == 0;
}

static bool take_head(struct wire_h2 *w)
{
    struct h2_block *b = w->begun;
    unsigned status = b->head.status;

    w->begun = NULL;
    w->final = status >= 200;
    if (w->connecting && w->final && status < 300 && !as_upgrade(w, &b->head))
        return false;
    if (w->last != NULL)
        w->last->next = b;
    else
        w->first = b;
    w->last = b;
    w->n_blocks++;
    return true;
}

static bool on_block_end(struct h2_stream *s, bool last)
{
    struct wire_h2 *w = of_stream(s);
    enum h1_result r = h2_head_end(&w->builder, last, method_of(w));

    if (r != H1_DONE) {
        w->bad = h1_result_code(r);
        return false;
    }
    return w->final || take_head(w);
}

static void on_event(struct h2_stream *s)
{
    exchange_wire_event(&of_stream(s)->wire);
}

static const struct h2_stream_ops stream_ops = {
    .event = on_event,
    .block = on_block,
    .field = on_field,
    .block_end = on_block_end,
    .trailers = on_trailers_due,
};

/* ---- the response ---- */

static enum wire_read read_nothing(struct wire_h2 *w, const char **out_reason)
{
    struct h2_stream *s = &w->stream;

    if (w->bad != NULL || s->malformed) {
        *out_reason = w->bad != NULL ? w->bad : "h2-malformed";
        return WIRE_BAD;
    }
    w->wire.refused = s->refused;
    if (h2_stream_is_over(s))
        return WIRE_LOST;
    if (!w->unsent || h2_conn_connect(w->conn) == H2_CONNECT_UNKNOWN)
        return WIRE_MORE;
    if (h2_conn_connect(w->conn) == H2_CONNECT_NO) {
        *out_reason = "no-websocket";
        return WIRE_UNABLE;
    }
    return WIRE_SEND;
}

static enum wire_read read_head(struct wire *wire, enum http_method to, struct http_field *fields,
                                uint16_t max_fields, struct http_head *out, const char **out_reason)
{
    struct wire_h2 *w = of(wire);

    (void)to, (void)fields, (void)max_fields;
    if (w->first == NULL)
        return read_nothing(w, out_reason);
    *out = w->first->head;
    return WIRE_HEAD;
}

static void head_taken(struct wire *wire, const struct http_head *h)
{
    struct wire_h2 *w = of(wire);

    (void)h;
    w->first = w->first->next;
    w->n_blocks--;
    if (w->first != NULL)
        return;
    w->last = NULL;
    if (w->begun == NULL) {
        struct arena_pool *pool = w->heads.pool;
        arena_fini(&w->heads);
        arena_init(&w->heads, pool);
    }
}

/* Node's server, when windows hold it up, ends a response by a reset that says NO_ERROR. What a
 * length announced is known to be whole then; of others the client is told what we were. */
static enum take ended_by_reset(struct wire_h2 *w, const struct io_buf *last)
{
    const struct exchange *x = w->wire.exchange;

    if (w->stream.closed && w->stream.error_code == NGHTTP2_NO_ERROR) {
        if (x->response.has_content_length &&
            x->out_payload + io_chain_bytes(last) == x->response.content_length)
            return TAKE_END;
        w->wire.left_kindly = true;
    }
    return TAKE_LOST;
}

static enum take take(struct wire *wire, struct arena *arena, struct io_buf **out,
                      struct http_head **out_trailers, const char **out_reason)
{
    struct wire_h2 *w = of(wire);
    struct h2_stream *s = &w->stream;

    (void)arena;
    *out = h2_stream_take(s);
    wire->in_bytes = s->in_wire;
    if (w->bad != NULL || s->malformed) {
        *out_reason = w->bad != NULL ? w->bad : "h2-malformed";
        return TAKE_BAD;
    }
    if (s->in_over) {
        if (w->trailers != NULL && w->trailers->n_fields > 0)
            *out_trailers = w->trailers;
        return TAKE_END;
    }
    return h2_stream_is_over(s) ? ended_by_reset(w, *out) : TAKE_MORE;
}

/* What was not taken bounds what the backend may send. */
static void pull(struct wire *wire, bool want)
{
    (void)wire, (void)want;
}

static int error(const struct wire *wire)
{
    return h2_stream_error(&of_const(wire)->stream);
}

static const char *reason(const struct wire *wire)
{
    return h2_stream_reason(&of_const(wire)->stream);
}

static const char *why(const struct wire *wire)
{
    (void)wire;
    return "";
}

/* ---- around us, and the end ---- */

static struct stream *raw(struct wire *wire)
{
    (void)wire;
    return NULL;
}

static uint64_t spliceable(const struct wire *wire)
{
    (void)wire;
    return 0;
}

static void spliced(struct wire *wire, uint64_t n)
{
    (void)wire, (void)n;
}

static void upgrade(struct wire *wire)
{
    of(wire)->connecting = false; /* from now on our end is an end */
}

static void close_wire(struct wire *wire, bool reset)
{
    struct wire_h2 *w = of(wire);

    (void)reset;
    wire->in_bytes = w->stream.in_wire;
    h2_stream_close(&w->stream);
    arena_fini(&w->heads);
    w->first = w->last = w->begun = NULL;
    w->conn = NULL;
}

static const struct wire_ops wire_h2_ops = {
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
