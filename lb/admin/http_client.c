/* http_client.c - one connection of the admin address; see http_server_priv.h.
 *
 * It has a stream (lb/net), so TLS costs nothing here. A client is always in one state, and in each
 * is awaited: a request (READING), an answer of the workers (WAITING), room for the answer
 * (SENDING), what its stream has to say (STREAMING, which also reads, to see it leave), the rest of
 * what it sends after an answer that ends the connection (LEAVING: closed at once it might lose the
 * answer to a reset), the end of armed operations (CLOSING). Each but STREAMING has a deadline.
 * Requests come one at a time; what was sent ahead waits in `in`, which holds one head and one body
 * at most. */
#include "lb/admin/http_call.h"
#include "lb/admin/http_server_priv.h"
#include "lb/http/h1_parse.h"
#include "lb/io/loop.h"
#include "lb/net/addr.h"
#include "lb/net/stream_tls.h"
#include "lb/obs/events.h"

#include <stdlib.h>
#include <sys/socket.h>

#define BODY_MAX     (16u << 10)
#define FIELDS_MAX   64
#define IN_MAX       (HTTP_HEAD_MAX + BODY_MAX)
#define PIECE_MAX    (64u << 10) /* of an answer that is given to the stream at once */
#define REQUEST_MS   10000       /* for a request, from its first byte */
#define IDLE_MS      65000       /* for the first byte of the next: monitors ask every 15 to 60 s */
#define WAIT_MS      30000       /* for the workers */
#define SEND_MS      10000       /* without progress */
#define LEAVE_MS     1000
#define STREAM_MAX   (256u << 10) /* of a stream, behind what is being sent: or else one piece */
#define CLIENT_MAGIC 0x68747470u

enum client_state {
    CLIENT_READING,
    CLIENT_WAITING,
    CLIENT_SENDING,
    CLIENT_STREAMING,
    CLIENT_LEAVING,
    CLIENT_CLOSING
};

struct http_client {
    uint32_t magic;
    enum client_state state;
    struct list node;
    struct http_server *server;
    struct stream wire;
    struct timer timer;
    uint64_t progress; /* what the wire had sent when it was last looked at */
    size_t given;      /* bytes of `out` that the wire was given */
    bool sending;      /* not all of `out` is sent */
    bool last;         /* the connection ends after this answer */
    bool retired;      /* ... whatever it asks for */
    bool cut;          /* closed by the timer, whatever is being sent */
    bool ending;       /* its stream is over when all is sent */
    bool continued;    /* 100 was sent for this request */
    bool head_only;    /* this request is HEAD */
    struct h1_parser parser;
    struct strbuf in;      /* received: the present request, and what follows it */
    struct strbuf out;     /* being sent */
    struct strbuf next;    /* of a stream: behind it */
    struct http_call call; /* while late */
    struct http_stream *stream;
    char peer[ADDR_TEXT_MAX];
};

static void go_on(struct http_client *c);

/* ---- the end of a client ---- */

static void end_stream(struct http_client *c)
{
    struct http_stream *s = c->stream;

    c->stream = NULL;
    if (s != NULL) {
        s->client = NULL;
        s->ended(s);
    }
}

static void client_free(struct http_client *c)
{
    struct http_server *server = c->server;

    timer_stop(&server->loop->timers, &c->timer);
    list_remove(&c->node);
    server->n_clients--;
    stream_close(&c->wire, false);
    strbuf_fini(&c->in);
    strbuf_fini(&c->out);
    strbuf_fini(&c->next);
    c->magic = 0;
    free(c);
}

static void call_fini(struct http_call *call)
{
    if (call->late != NULL)
        late_answer_abandon(&call->late);
    strbuf_fini(&call->fields);
    strbuf_fini(&call->out);
}

/* A join: what is armed is asked to end; the last event of the wire frees the client. */
static void client_close(struct http_client *c)
{
    if (c->state == CLIENT_WAITING)
        call_fini(&c->call);
    c->state = CLIENT_CLOSING;
    timer_stop(&c->server->loop->timers, &c->timer);
    end_stream(c);
    stream_stop(&c->wire);
    if (stream_idle(&c->wire))
        client_free(c);
}

static void set_deadline(struct http_client *c, uint32_t ms)
{
    timer_start(&c->server->loop->timers, &c->timer, loop_now_ms(c->server->loop) + ms);
}

/* Its end comes in a later turn, so that whoever calls may go on. */
static void fail_later(struct http_client *c)
{
    c->cut = true; /* progress does not save it */
    set_deadline(c, 0);
}

static uint64_t progress(const struct http_client *c)
{
    return c->wire.sent + (c->wire.tx.armed ? c->wire.tx.send.done : 0);
}

static void send_piece(struct http_client *c)
{
    size_t left = c->out.len - c->given, n = left < PIECE_MAX ? left : PIECE_MAX;

    if (!stream_write(&c->wire, c->out.p + c->given, (uint32_t)n)) {
        fail_later(c);
        return;
    }
    c->given += n;
    stream_flush(&c->wire);
}

static void send_out(struct http_client *c)
{
    c->sending = true;
    c->given = 0;
    c->progress = progress(c);
    set_deadline(c, SEND_MS);
    send_piece(c);
}

/* What was sent ahead of its turn stays with the wire. */
static void take_in(struct http_client *c)
{
    while (c->wire.in_bytes > 0 && c->in.len < IN_MAX) {
        struct io_buf *b = c->wire.in;
        strbuf_add(&c->in, (const char *)b->data, b->len);
        stream_consume(&c->wire, b->len);
    }
}

static void read_more(struct http_client *c)
{
    c->state = CLIENT_READING;
    set_deadline(c, c->in.len > 0 ? REQUEST_MS : IDLE_MS);
    stream_read(&c->wire, STREAM_READ_SOME);
}

/* The answer is out and nothing more is read of it: but what the peer still sends must not meet a
 * closed socket before it has read the answer. */
static void leave(struct http_client *c)
{
    c->state = CLIENT_LEAVING;
    stream_shutdown(&c->wire);
    if (c->wire.eof && c->wire.shut) {
        client_close(c);
        return;
    }
    set_deadline(c, LEAVE_MS);
    stream_read(&c->wire, STREAM_READ_SOME);
}

static void on_timer(struct timer *t)
{
    struct http_client *c = container_of(t, struct http_client, timer);

    CHECK_MAGIC(c, CLIENT_MAGIC);
    if (!c->cut && c->sending && progress(c) != c->progress) { /* slow, but it reads */
        c->progress = progress(c);
        set_deadline(c, SEND_MS);
        return;
    }
    if (c->state == CLIENT_READING && c->in.len > 0) {
        log_debug("admin: %s: its request did not come in %d s", c->peer, REQUEST_MS / 1000);
    } else if (c->state == CLIENT_READING && !stream_tls_ready(&c->wire)) {
        log_debug("admin: %s: no TLS handshake in %d s", c->peer, REQUEST_MS / 1000);
    } else if (c->state == CLIENT_WAITING) {
        events_log(EVENT_WORKER, LOG_LEVEL_WARN, NULL, "admin: the workers did not answer in %d s",
                   WAIT_MS / 1000);
    }
    client_close(c);
}

/* ---- answers ---- */

static void add_head(struct http_client *c, const struct http_call *call)
{
    struct strbuf *out = &c->out;

    strbuf_addf(out, "HTTP/1.1 %u %s\r\n", call->status, http_reason(call->status));
    strbuf_addf(out, "Content-Type: %s\r\n", call->type);
    if (call->stream == NULL)
        strbuf_addf(out, "Content-Length: %zu\r\n", call->out.len);
    strbuf_add(out, call->fields.p, call->fields.len);
    strbuf_add_cstr(out, "X-Content-Type-Options: nosniff\r\n");
    if (!str_contains((struct str){call->fields.p, call->fields.len}, STR("Cache-Control:")))
        strbuf_add_cstr(out, "Cache-Control: no-store\r\n");
    if (c->last)
        strbuf_add_cstr(out, "Connection: close\r\n");
    strbuf_add_cstr(out, "\r\n");
}

static void answer(struct http_client *c, struct http_call *call)
{
    c->stream = call->stream;
    if (c->stream != NULL) {
        c->stream->client = c;
        c->last = true;
    }
    add_head(c, call);
    if (!c->head_only)
        strbuf_add(&c->out, call->out.p, call->out.len);
    call_fini(call);
    c->state = c->stream != NULL ? CLIENT_STREAMING : CLIENT_SENDING;
    stream_read(&c->wire, c->stream != NULL ? STREAM_READ_SOME : STREAM_QUIET);
    send_out(c);
}

static void on_late(void *arg)
{
    struct http_client *c = arg;

    CHECK_MAGIC(c, CLIENT_MAGIC);
    sl_assert(c->state == CLIENT_WAITING);
    late_answer_take(&c->call.late, &c->call.out);
    answer(c, &c->call);
}

/* ---- streams ---- */

bool http_stream_push(struct http_stream *s, struct str data)
{
    struct http_client *c = s->client;

    if (c == NULL || c->state != CLIENT_STREAMING)
        return false;
    if (!c->sending) {
        strbuf_add_str(&c->out, data);
        send_out(c);
    } else if (c->next.len == 0 || c->next.len + data.len <= STREAM_MAX) {
        strbuf_add_str(&c->next, data);
    } else {
        log_debug("admin: %s: reads too slowly, its stream is cut", c->peer);
        fail_later(c);
        return false;
    }
    return true;
}

void http_stream_end(struct http_stream *s)
{
    struct http_client *c = s->client;

    if (c == NULL || c->state != CLIENT_STREAMING)
        return;
    if (!c->sending)
        fail_later(c);
    else
        c->ending = true; /* stream_sent() closes when all is out */
}

static void stream_sent(struct http_client *c)
{
    struct strbuf sent = c->out;

    if (c->cut) {
        client_close(c);
        return;
    }
    timer_stop(&c->server->loop->timers, &c->timer);
    if (c->next.len == 0) {
        if (c->ending)
            client_close(c);
        return;
    }
    c->out = c->next;
    c->next = sent;
    strbuf_clear(&c->next);
    send_out(c);
}

/* ---- requests ---- */

static void refuse(struct http_client *c, unsigned status, const char *why)
{
    struct http_call call = {.status = status};

    http_call_fail(&call, status, "%s", why);
    c->last = true;
    answer(c, &call);
}

/* Whether all of the body is there; n: bytes of the head. False: it is waited for, or refused. */
static bool body_there(struct http_client *c, const struct http_head *h, uint32_t n)
{
    static const char go[] = "HTTP/1.1 100 Continue\r\n\r\n";

    if (h->body == HTTP_BODY_CHUNKED) {
        refuse(c, 411, "A body needs a Content-Length here.");
        return false;
    }
    if (h->body == HTTP_BODY_LENGTH && h->content_length > BODY_MAX) {
        refuse(c, 413, "The body is too large.");
        return false;
    }
    if (h->body != HTTP_BODY_LENGTH || c->in.len - n >= h->content_length)
        return true;
    if (h->expect_continue && !c->continued) {
        c->continued = true;
        strbuf_add(&c->out, go, sizeof(go) - 1);
        c->state = CLIENT_SENDING;
        stream_read(&c->wire, STREAM_QUIET);
        send_out(c);
    } else {
        read_more(c);
    }
    return false;
}

static void run_request(struct http_client *c, struct http_head *h, uint32_t n)
{
    struct http_call call = {.head = h};

    if (!body_there(c, h, n))
        return;
    if (h->body == HTTP_BODY_LENGTH)
        call.body = (struct str){c->in.p + n, (size_t)h->content_length};
    c->last = !h->keep_alive || c->wire.eof || c->retired || c->server->stopping;
    c->head_only = h->method == HTTP_HEAD;
    call.server = c->server;
    call.peer = c->peer;
    http_call_run(&call);
    strbuf_drop_front(&c->in, n + call.body.len);
    c->parser = (struct h1_parser){0};
    c->continued = false;
    if (call.late == NULL) {
        answer(c, &call);
        return;
    }
    call.head = NULL; /* the request is gone */
    call.path = call.query = call.rest = call.body = (struct str){0};
    c->call = call;
    c->state = CLIENT_WAITING;
    stream_read(&c->wire, STREAM_QUIET);
    set_deadline(c, WAIT_MS);
    late_answer_wait(c->call.late, on_late, c);
}

/* Whenever nothing is awaited: the next request, if it is there. */
static void go_on(struct http_client *c)
{
    static const struct h1_limits limits = {HTTP_HEAD_MAX, HTTP_HEAD_MAX / 2, FIELDS_MAX, false};
    struct http_field fields[FIELDS_MAX];
    struct http_head h = {.fields = fields, .max_fields = FIELDS_MAX};

    if (c->last) {
        leave(c);
        return;
    }
    take_in(c);
    if (c->in.len == 0) {
        if (c->wire.eof || c->retired || c->server->stopping)
            client_close(c);
        else
            read_more(c);
        return;
    }
    c->parser = (struct h1_parser){0}; /* its beginning may have moved */
    enum h1_result r = h1_parse_request(&c->parser, c->in.p, (uint32_t)c->in.len, &limits, &h);
    c->head_only = false;
    if (r == H1_DONE)
        run_request(c, &h, c->parser.at);
    else if (r != H1_MORE)
        refuse(c, h1_result_status(r), h1_result_text(r));
    else if (c->wire.eof)
        client_close(c);
    else
        read_more(c);
}

/* ---- what the wire says ---- */

static void on_sent(struct http_client *c)
{
    c->sending = false;
    if (c->out.cap > STREAM_MAX) /* a large answer was rare: do not keep its memory */
        strbuf_fini(&c->out);
    strbuf_clear(&c->out);
    if (c->state == CLIENT_STREAMING)
        stream_sent(c);
    else
        go_on(c);
}

static void discard(struct http_client *c)
{
    stream_consume(&c->wire, c->wire.in_bytes);
    if (c->wire.eof && (c->state == CLIENT_STREAMING || c->wire.shut))
        client_close(c);
    else
        stream_read(&c->wire, STREAM_READ_SOME);
}

/* Why a handshake has failed is told to the peer too. */
static void on_error(struct http_client *c)
{
    const char *reason = stream_tls_reason(&c->wire);

    if (c->state != CLIENT_LEAVING && reason[0] != '\0')
        log_debug("admin: %s: TLS: %s", c->peer, reason);
    if (c->state != CLIENT_READING || c->wire.tx_dead || stream_sent_all(&c->wire)) {
        client_close(c);
        return;
    }
    c->state = CLIENT_LEAVING;
    set_deadline(c, LEAVE_MS);
}

static void on_wire(struct stream *s)
{
    struct http_client *c = container_of(s, struct http_client, wire);

    CHECK_MAGIC(c, CLIENT_MAGIC);
    if (c->state == CLIENT_CLOSING) {
        if (stream_idle(s))
            client_free(c);
    } else if (s->error != 0 || s->tx_dead) {
        on_error(c);
    } else if (c->sending && stream_sent_all(s)) {
        if (c->given < c->out.len)
            send_piece(c);
        else
            on_sent(c);
    } else if (c->state == CLIENT_STREAMING || c->state == CLIENT_LEAVING) {
        discard(c);
    } else if (c->state == CLIENT_READING && (s->in_bytes > 0 || s->eof)) {
        go_on(c);
    } else if (c->state == CLIENT_READING) { /* a handshake is over, or bytes were of TLS only */
        stream_read(s, STREAM_READ_SOME);
    }
}

/* ---- for the server ---- */

void http_client_new(struct http_server *server, int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    struct addr peer = {0};

    struct http_client *c = server->n_clients < HTTP_CLIENTS_MAX ? calloc(1, sizeof(*c)) : NULL;
    if (c == NULL) {
        io_close(server->loop->io, fd);
        return;
    }
    c->magic = CLIENT_MAGIC;
    c->server = server;
    c->retired = server->retiring && server->tls == NULL; /* with TLS it has said nothing yet */
    stream_open(&c->wire, &server->wires, fd, on_wire);
    c->wire.tell_sent = true;
    timer_init(&c->timer, on_timer);
    list_push_back(&server->clients, &c->node);
    server->n_clients++;
    if (io_peer_name(server->loop->io, fd, &ss, &len) == 0)
        addr_from_sockaddr(&peer, (struct sockaddr *)&ss, len);
    addr_format_host(&peer, c->peer);
    if (server->tls != NULL && !stream_tls_accept(&c->wire, server->tls)) {
        client_close(c);
        return;
    }
    c->state = CLIENT_READING;
    set_deadline(c, REQUEST_MS);
    stream_read(&c->wire, STREAM_READ_SOME);
}

void http_client_retire(struct list *node)
{
    struct http_client *c = list_entry(node, struct http_client, node);

    c->retired = true;
    if (c->state == CLIENT_WAITING || c->state == CLIENT_SENDING)
        c->last = true;
    else if (c->state == CLIENT_READING && c->in.len == 0 && c->wire.in_bytes == 0)
        client_close(c);
}

void http_client_stop(struct list *node)
{
    struct http_client *c = list_entry(node, struct http_client, node);

    if (c->state == CLIENT_SENDING) {
        c->last = true;
        set_deadline(c, LEAVE_MS);
    } else if (c->state != CLIENT_CLOSING) {
        client_close(c);
    }
}
