/* origin.c - see origin.h
 *
 * One thread. All answers are made at start; a connection parses what it has received, gathers the
 * answers to it (pipelining) in one vector, sends them, and only then goes on parsing: so at most
 * LIMIT_IOV answers wait and a client that does not read stops being read. Not a web server: every
 * path is answered alike, but for /healthz. */
#include "lb/main/origin.h"

#include "lb/base/alloc.h"
#include "lb/base/limits.h"
#include "lb/base/rand.h"
#include "lb/base/slab.h"
#include "lb/base/str.h"
#include "lb/io/loop.h"
#include "lb/main/options.h"
#include "lb/main/origin_request.h"
#include "lb/main/origin_udp.h"
#include "lb/main/origin_words.h"
#include "lb/main/signals.h"
#include "lb/net/addr.h"
#include "lb/net/listener.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONN_MAGIC     0x6f726967u
#define HEAD_MAX       16384 /* bytes of a request head */
#define HELD_MAX       4     /* receive buffers that a connection holds before it stops reading */
#define ACCEPT_WAIT_MS 100   /* after running out of descriptors */

enum answer { ANSWER_OK, ANSWER_HEALTHY, ANSWER_FAILURE, ANSWER_BAD, ANSWER_TOO_LONG, N_ANSWERS };

struct answer_text {
    char *p;
    size_t head_len, len;
};

struct origin {
    struct loop loop;
    struct origin_conf conf;
    struct answer_text answers[N_ANSWERS][2]; /* [1]: with Connection: close */
    struct slab slab;
    struct list conns;
    struct op accept;
    struct echo *echo; /* NULL: connections are accepted */
    struct timer accept_again;
    struct signals signals;
    struct rng rng;
    int fd;
    bool stopping;
};

struct conn {
    uint32_t magic;
    int fd;
    struct origin *origin;
    struct op recv, send;
    struct io_buf *first, *last; /* received, not parsed */
    uint32_t held;               /* buffers in that list */
    uint32_t head_len;
    char *head;    /* a request head that came in pieces; NULL: none */
    uint64_t skip; /* bytes of a request body to come */
    struct iovec iov[LIMIT_IOV];
    int n_iov;
    struct iovec after_body; /* the answer to the request whose body is being skipped */
    bool close_after;        /* the last answer of iov says Connection: close */
    bool ended;              /* the client will send no more */
    bool stop_reading;       /* the receive is being cancelled, since too much is held */
    bool closing;
    struct timer delay;
    struct list node;
};

static void run(struct conn *c);

/* ---- answers ---- */

static void make_answer(struct origin *o, enum answer which, const char *status, const char *body,
                        size_t len)
{
    for (int close = 0; close < 2; close++) {
        char *head = xasprintf("HTTP/1.1 %s\r\n"
                               "Content-Type: text/plain\r\n"
                               "Content-Length: %zu\r\n"
                               "X-Backend: %s\r\n"
                               "%s\r\n",
                               status, len, o->conf.name, close ? "Connection: close\r\n" : "");
        struct answer_text *a = &o->answers[which][close];
        a->head_len = strlen(head);
        a->len = a->head_len + len;
        a->p = xrealloc(head, a->len);
        memcpy(a->p + a->head_len, body, len);
    }
}

static void make_answers(struct origin *o)
{
    static const char line[] = "The quick brown fox jumps over the lazy dog, and on it goes: ...\n";
    char *hello = xasprintf("hello from %s\n", o->conf.name);

    if (o->conf.has_bytes) {
        char *body = xmalloc(o->conf.bytes + 1);
        for (size_t i = 0; i < o->conf.bytes; i++)
            body[i] = line[i % (sizeof(line) - 1)];
        make_answer(o, ANSWER_OK, "200 OK", body, o->conf.bytes);
        free(body);
    } else {
        make_answer(o, ANSWER_OK, "200 OK", hello, strlen(hello));
    }
    free(hello);
    make_answer(o, ANSWER_HEALTHY, "200 OK", "ok\n", 3);
    make_answer(o, ANSWER_FAILURE, "503 Service Unavailable", "failing as told\n", 16);
    make_answer(o, ANSWER_BAD, "400 Bad Request", "bad request\n", 12);
    make_answer(o, ANSWER_TOO_LONG, "431 Request Header Fields Too Large", "too long\n", 9);
}

static void free_answers(struct origin *o)
{
    for (int i = 0; i < N_ANSWERS; i++)
        for (int close = 0; close < 2; close++)
            free(o->answers[i][close].p);
}

/* ---- requests ---- */

static enum answer choose(struct origin *o, const struct origin_request *r)
{
    if (r->bad)
        return ANSWER_BAD;
    if (r->healthz)
        return ANSWER_HEALTHY;
    if (o->conf.fail_permille > 0 && rng_below(&o->rng, 1000) < o->conf.fail_permille)
        return ANSWER_FAILURE;
    return ANSWER_OK;
}

static void answer(struct conn *c, enum answer which, const struct origin_request *r)
{
    bool close = r->close || r->bad;
    const struct answer_text *a = &c->origin->answers[which][close];
    struct iovec one = {a->p, r->head ? a->head_len : a->len};

    c->close_after = close;
    c->skip = r->bad ? 0 : r->body;
    if (c->skip > 0)
        c->after_body = one;
    else
        c->iov[c->n_iov++] = one;
}

static void on_head(struct conn *c, struct str head)
{
    struct origin_request r;

    origin_request_parse(head, &r);
    answer(c, choose(c->origin, &r), &r);
}

static void refuse(struct conn *c, enum answer which)
{
    const struct origin_request r = {.bad = true};

    answer(c, which, &r);
}

/* ---- input ---- */

static void consume(struct conn *c, size_t n)
{
    struct io_buf *b = c->first;

    b->data += n;
    b->len -= (uint32_t)n;
    if (b->len > 0)
        return;
    c->first = b->next;
    if (c->first == NULL)
        c->last = NULL;
    c->held--;
    io_buf_put(c->origin->loop.io, b);
}

static void skip_body(struct conn *c)
{
    size_t n = c->skip < c->first->len ? (size_t)c->skip : c->first->len;

    c->skip -= n;
    consume(c, n);
    if (c->skip == 0)
        c->iov[c->n_iov++] = c->after_body;
}

static void drop_head(struct conn *c)
{
    free(c->head);
    c->head = NULL;
    c->head_len = 0;
}

/* The head did not end in the buffer where it began: collected in memory of its own. */
static void collect_head(struct conn *c)
{
    size_t had = c->head_len, n = c->first->len;

    if (n > HEAD_MAX - had)
        n = HEAD_MAX - had;
    if (c->head == NULL)
        c->head = xmalloc(HEAD_MAX);
    memcpy(c->head + had, c->first->data, n);
    c->head_len += (uint32_t)n;
    size_t from = had < 3 ? 0 : had - 3;
    const char *end = memmem(c->head + from, c->head_len - from, "\r\n\r\n", 4);
    if (end != NULL) {
        size_t len = (size_t)(end - c->head) + 4;
        consume(c, len - had);
        on_head(c, (struct str){c->head, len});
        drop_head(c);
    } else if (c->head_len == HEAD_MAX) {
        consume(c, n);
        refuse(c, ANSWER_TOO_LONG);
        drop_head(c);
    } else {
        consume(c, n);
    }
}

/* Takes one step on the input that is held. */
static void parse_some(struct conn *c)
{
    if (c->skip > 0) {
        skip_body(c);
        return;
    }
    struct io_buf *b = c->first;
    const char *end = c->head == NULL ? memmem(b->data, b->len, "\r\n\r\n", 4) : NULL;
    if (end == NULL) {
        collect_head(c);
        return;
    }
    size_t len = (size_t)(end - (const char *)b->data) + 4;
    on_head(c, (struct str){(const char *)b->data, len});
    consume(c, len);
}

/* ---- life of a connection ---- */

static void end(struct conn *c)
{
    c->closing = true;
    timer_stop(&c->origin->loop.timers, &c->delay);
    io_cancel(c->origin->loop.io, &c->recv);
    io_cancel(c->origin->loop.io, &c->send);
}

/* Frees c when nothing is armed any more. */
static void settle(struct conn *c)
{
    struct origin *o = c->origin;

    if (!c->closing || c->recv.armed || c->send.armed)
        return;
    while (c->first != NULL)
        consume(c, c->first->len);
    drop_head(c);
    io_close(o->loop.io, c->fd);
    list_remove(&c->node);
    c->magic = 0;
    slab_free(&o->slab, c);
}

static void send_answers(struct conn *c)
{
    size_t total = 0;

    for (int i = 0; i < c->n_iov; i++)
        total += c->iov[i].iov_len;
    c->send.fresh = total <= LIMIT_BUF_SIZE;
    io_sendv(c->origin->loop.io, &c->send, c->fd, c->iov, c->n_iov);
}

static void on_delay(struct timer *t)
{
    send_answers(container_of(t, struct conn, delay));
}

/* Parses, answers, reads on: whatever can be done now. */
static void run(struct conn *c)
{
    struct origin *o = c->origin;

    if (c->closing || c->send.armed || timer_pending(&c->delay))
        return;
    while (c->first != NULL && c->n_iov < LIMIT_IOV && !c->close_after)
        parse_some(c);
    while (c->first != NULL && c->close_after && c->skip > 0) /* the body before the last answer */
        skip_body(c);
    if (c->n_iov > 0) {
        if (o->conf.delay_ms > 0)
            timer_start(&o->loop.timers, &c->delay, loop_now_ms(&o->loop) + o->conf.delay_ms);
        else
            send_answers(c);
    } else if (c->ended) {
        end(c);
    }
    if (!c->closing && !c->ended && !c->recv.armed && c->held <= HELD_MAX) {
        c->stop_reading = false;
        io_recv(o->loop.io, &c->recv, c->fd);
    }
}

static void on_recv(struct op *op, int res)
{
    struct conn *c = container_of(op, struct conn, recv);
    CHECK_MAGIC(c, CONN_MAGIC);

    for (struct io_buf *b = op_take_bufs(op), *next; b != NULL; b = next) {
        next = b->next;
        b->next = NULL;
        if (c->last != NULL)
            c->last->next = b;
        else
            c->first = b;
        c->last = b;
        c->held++;
    }
    if (res == 0)
        c->ended = true;
    else if (res < 0 && !(res == -ECANCELED && c->stop_reading))
        end(c);
    run(c);
    if (c->held > HELD_MAX && c->recv.armed && !c->closing) {
        c->stop_reading = true;
        io_cancel(c->origin->loop.io, &c->recv);
    }
    settle(c);
}

static void on_send(struct op *op, int res)
{
    struct conn *c = container_of(op, struct conn, send);
    CHECK_MAGIC(c, CONN_MAGIC);

    c->n_iov = 0;
    if (res < 0 ||
        (c->close_after && c->skip == 0)) /* with a body to come, the last answer waits */
        end(c);
    run(c);
    settle(c);
}

static void open_conn(struct origin *o, int fd)
{
    struct conn *c = slab_alloc(&o->slab);

    if (c == NULL) {
        io_close(o->loop.io, fd);
        return;
    }
    c->magic = CONN_MAGIC;
    c->origin = o;
    c->fd = fd;
    op_init(&c->recv, on_recv);
    op_init(&c->send, on_send);
    timer_init(&c->delay, on_delay);
    list_push_back(&o->conns, &c->node);
    io_recv(o->loop.io, &c->recv, fd);
}

static void on_accept(struct op *op, int res)
{
    struct origin *o = container_of(op, struct origin, accept);

    if (res >= 0)
        open_conn(o, res);
    if (op->armed || o->stopping)
        return;
    timer_start(&o->loop.timers, &o->accept_again, loop_now_ms(&o->loop) + ACCEPT_WAIT_MS);
}

static void on_accept_again(struct timer *t)
{
    struct origin *o = container_of(t, struct origin, accept_again);

    if (!o->stopping && !o->accept.armed)
        io_accept(o->loop.io, &o->accept, o->fd);
}

static void on_signal(void *arg, int signo)
{
    struct origin *o = arg;

    if (signo != SIGTERM && signo != SIGINT && signo != SIGQUIT)
        return;
    o->stopping = true;
    io_cancel(o->loop.io, &o->accept);
    if (o->echo != NULL)
        echo_stop(o->echo);
    timer_stop(&o->loop.timers, &o->accept_again);
    list_for_each_safe (it, next, &o->conns) {
        struct conn *c = list_entry(it, struct conn, node);
        end(c);
        settle(c);
    }
    signals_stop(&o->signals);
}

/* ---- start ---- */

static void serve(struct origin *o)
{
    char text[ADDR_TEXT_MAX];

    slab_init(&o->slab, "origin connections", sizeof(struct conn), 0);
    list_init(&o->conns);
    op_init(&o->accept, on_accept);
    timer_init(&o->accept_again, on_accept_again);
    rng_seed(&o->rng, io_random(o->loop.io));
    make_answers(o);
    if (o->conf.udp)
        o->echo = echo_new(&o->loop, o->fd);
    else
        io_accept(o->loop.io, &o->accept, o->fd);
    fprintf(stderr, "sluice origin: %s %s %s (%s)\n", o->conf.name,
            o->conf.udp ? "echoes datagrams to" : "listens on",
            addr_format(&o->conf.listen.addr, text), io_engine_name(o->loop.io));
    while (!o->stopping || o->accept.armed || (o->echo != NULL && !echo_stopped(o->echo)) ||
           !list_empty(&o->conns) || !signals_stopped(&o->signals))
        sl_assert(loop_turn(&o->loop, -1) >= 0);
    signals_fini(&o->signals);
    if (o->echo != NULL)
        echo_free(&o->echo);
    slab_fini(&o->slab);
    free_answers(o);
}

int origin_main(int argc, char **argv)
{
    struct origin o = {.fd = -1};
    /* Not io_uring: its ring keeps the sockets of a killed process open for a moment, and a backend
     * that is killed here is to look dead at once. */
    const struct io_conf engine = {.engine = IO_EPOLL};
    struct listener_bind_opts opts = {.sockets = 1, .backlog = 4096};
    const char *why;
    char text[ADDR_TEXT_MAX];
    int err, rc = origin_words_read(argc, argv, &o.conf);

    if (rc != EXIT_DONE)
        return rc;
    opts.dgram = o.conf.udp;
    if (listener_bind(&o.conf.listen.addr, &opts, &o.fd, &why) < 0) {
        fprintf(stderr, "sluice origin: %s: %s\n", addr_format(&o.conf.listen.addr, text), why);
        return EXIT_FAILED;
    }
    signals_block();
    struct io *io = io_new(&engine, &err);
    if (io == NULL || (err = loop_init(&o.loop, io, &o)) < 0 ||
        (err = signals_start(&o.signals, &o.loop, on_signal, &o)) < 0) {
        fprintf(stderr, "sluice origin: cannot start: %s\n", strerror(-err));
        return EXIT_FAILED;
    }
    serve(&o);
    loop_fini(&o.loop);
    listener_close(&o.conf.listen.addr, &o.fd, 1);
    return EXIT_DONE;
}
