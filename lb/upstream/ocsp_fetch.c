/* ocsp_fetch.c - see ocsp_fetch.h */
#include "lb/upstream/ocsp_fetch.h"

#include "lb/base/alloc.h"
#include "lb/http/h1_parse.h"
#include "lb/net/addr.h"
#include "lb/net/resolver.h"
#include "lb/net/stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS    10000
#define RESPONSE_MAX  65535u /* bytes, with its head; usual ones have 2,000 */
#define FIELDS_MAX    64
#define ADDRESSES_MAX 4 /* that are tried */

struct ocsp_fetch {
    struct loop *loop;
    struct resolver *resolver;
    char *host;
    uint16_t port;
    ocsp_fetch_fn *done;
    void *arg;
    uint32_t *live;
    struct stream_env env;
    struct stream stream;
    struct op connect;
    struct timer deadline;
    struct loop_task finish;
    struct addr addrs[ADDRESSES_MAX];
    uint32_t n_addrs, next;
    int fd; /* being connected */
    bool opened, asking, over, stopped;
    struct strbuf out, in;
    struct str body; /* of in */
    char error[128]; /* "": it is good */
};

static void connect_next(struct ocsp_fetch *f);

/* ---- the end ---- */

static bool armed(const struct ocsp_fetch *f)
{
    return f->asking || f->connect.armed || (f->opened && !stream_idle(&f->stream));
}

static void on_finish(struct loop_task *t)
{
    struct ocsp_fetch *f = container_of(t, struct ocsp_fetch, finish);

    if (f->opened)
        stream_close(&f->stream, false);
    else if (f->fd >= 0)
        io_close(f->loop->io, f->fd);
    timer_stop(&f->loop->timers, &f->deadline);
    if (!f->stopped)
        f->done(f->arg, f->body, f->error[0] != '\0' ? f->error : NULL);
    *f->live -= 1;
    stream_env_fini(&f->env);
    strbuf_fini(&f->out);
    strbuf_fini(&f->in);
    free(f->host);
    free(f);
}

static void join(struct ocsp_fetch *f)
{
    if (!armed(f) && list_empty(&f->finish.node))
        loop_defer(f->loop, &f->finish);
}

static void end(struct ocsp_fetch *f, const char *error, const char *detail)
{
    if (f->over)
        return;
    f->over = true;
    if (error != NULL)
        snprintf(f->error, sizeof(f->error), "%s%s%.80s", error, detail[0] != '\0' ? ": " : "",
                 detail);
    if (f->connect.armed)
        io_cancel(f->loop->io, &f->connect);
    if (f->opened)
        stream_stop(&f->stream);
    join(f);
}

static void on_deadline(struct timer *t)
{
    end(container_of(t, struct ocsp_fetch, deadline), "no answer within 10 s", "");
}

/* ---- the answer ---- */

static void judge(struct ocsp_fetch *f, bool ended)
{
    const struct h1_limits limits = {.head_bytes = RESPONSE_MAX, .fields = FIELDS_MAX};
    struct http_field fields[FIELDS_MAX];
    struct http_head h = {.fields = fields, .max_fields = FIELDS_MAX};
    struct h1_parser p = {0};
    char status[32];

    enum h1_result r = h1_parse_response(&p, f->in.p, (uint32_t)f->in.len, &limits, HTTP_POST, &h);
    if (r == H1_MORE && !ended)
        return;
    if (r != H1_DONE) {
        end(f, "bad answer", r == H1_MORE ? "it is cut" : h1_result_text(r));
        return;
    }
    if (h.status != 200) {
        snprintf(status, sizeof(status), "HTTP %u", h.status);
        end(f, "bad answer", status);
        return;
    }
    size_t have = f->in.len - p.at;
    if (h.body == HTTP_BODY_LENGTH && have >= h.content_length)
        f->body = (struct str){f->in.p + p.at, h.content_length};
    else if (h.body == HTTP_BODY_CLOSE && ended)
        f->body = (struct str){f->in.p + p.at, have};
    else if (h.body == HTTP_BODY_LENGTH || h.body == HTTP_BODY_CLOSE) {
        if (ended)
            end(f, "bad answer", "it is cut");
        return;
    } else {
        end(f, "bad answer", "it has no plain body"); /* chunks are not for HTTP/1.0 */
        return;
    }
    end(f, NULL, "");
}

static void on_event(struct stream *s)
{
    struct ocsp_fetch *f = container_of(s, struct ocsp_fetch, stream);

    for (; s->in != NULL && !f->over; stream_consume(s, s->in->len)) {
        if (f->in.len + s->in->len > RESPONSE_MAX) {
            end(f, "bad answer", "it is too large");
            break;
        }
        strbuf_add(&f->in, s->in->data, s->in->len);
    }
    if (!f->over && s->error != 0)
        end(f, "connection lost", strerror(-s->error));
    else if (!f->over && s->tx_dead)
        end(f, "connection lost", strerror(-s->tx_error));
    else if (!f->over && (f->in.len > 0 || s->eof))
        judge(f, s->eof);
    if (f->over)
        join(f);
}

/* ---- connecting ---- */

static void connected(struct ocsp_fetch *f)
{
    stream_open(&f->stream, &f->env, f->fd, on_event);
    f->opened = true;
    stream_read(&f->stream, STREAM_READ);
    if (stream_write(&f->stream, f->out.p, (uint32_t)f->out.len))
        stream_flush(&f->stream);
    else
        end(f, "out of memory", "");
}

static void on_connect(struct op *op, int res)
{
    struct ocsp_fetch *f = container_of(op, struct ocsp_fetch, connect);

    if (f->over) {
        join(f);
    } else if (res == 0) {
        connected(f);
    } else {
        io_close(f->loop->io, f->fd);
        f->fd = -1;
        snprintf(f->error, sizeof(f->error), "cannot connect: %.80s", strerror(-res));
        connect_next(f);
    }
}

static void connect_next(struct ocsp_fetch *f)
{
    static const struct io_sock_opts opts = {.nodelay = true};
    char last[sizeof(f->error)];

    if (f->next == f->n_addrs) {
        memcpy(last, f->error, sizeof(last));
        end(f, last, "");
        return;
    }
    struct addr *a = &f->addrs[f->next++];
    f->fd = io_socket(f->loop->io, addr_family(a), &opts);
    if (f->fd < 0) {
        end(f, "no socket", strerror(-f->fd));
        return;
    }
    io_connect(f->loop->io, &f->connect, f->fd, &a->sa, a->len);
}

static void on_resolved(void *arg, const struct addr *addrs, uint32_t n, const char *error)
{
    struct ocsp_fetch *f = arg;

    f->asking = false;
    if (f->over) {
        join(f);
        return;
    }
    if (n == 0) {
        end(f, f->host, error);
        return;
    }
    f->n_addrs = n < ADDRESSES_MAX ? n : ADDRESSES_MAX;
    for (uint32_t i = 0; i < f->n_addrs; i++) {
        f->addrs[i] = addrs[i];
        addr_set_port(&f->addrs[i], f->port);
    }
    connect_next(f);
}

/* ---- public ---- */

static void find_addresses(struct ocsp_fetch *f)
{
    struct strbuf text = {0};
    const char *error;
    struct addr_spec spec;
    bool v6 = strchr(f->host, ':') != NULL && f->host[0] != '[';

    strbuf_addf(&text, v6 ? "[%s]:%u" : "%s:%u", f->host, f->port);
    bool literal = addr_parse(strbuf_str(&text), false, true, &spec, &error) == 0 &&
                   spec.addr.len > 0 && addr_family(&spec.addr) != AF_UNIX;
    strbuf_fini(&text);
    if (literal) {
        f->addrs[0] = spec.addr;
        f->n_addrs = 1;
        connect_next(f);
        return;
    }
    f->asking = true;
    resolver_ask(f->resolver, f->host, on_resolved, f);
}

struct ocsp_fetch *ocsp_fetch_start(struct loop *loop, struct resolver *resolver,
                                    const struct ocsp_fetch_conf *conf, ocsp_fetch_fn *done,
                                    void *arg)
{
    struct ocsp_fetch *f = xcalloc(1, sizeof(*f));

    f->loop = loop;
    f->resolver = resolver;
    f->host = xstrdup(conf->host);
    f->port = conf->port;
    f->done = done;
    f->arg = arg;
    f->live = conf->live;
    *f->live += 1;
    f->fd = -1;
    op_init(&f->connect, on_connect);
    timer_init(&f->deadline, on_deadline);
    list_init(&f->finish.node);
    f->finish.fn = on_finish;
    stream_env_init(&f->env, loop);
    strbuf_addf(&f->out,
                "POST %s HTTP/1.0\r\nHost: %s\r\nContent-Type: application/ocsp-request\r\n"
                "Accept: application/ocsp-response\r\nContent-Length: %zu\r\n\r\n",
                conf->path, conf->host, conf->request.len);
    strbuf_add_str(&f->out, conf->request);
    timer_start(&loop->timers, &f->deadline, loop_now_ms(loop) + TIMEOUT_MS);
    find_addresses(f);
    return f;
}

void ocsp_fetch_stop(struct ocsp_fetch **fetch)
{
    struct ocsp_fetch *f = *fetch;

    *fetch = NULL;
    if (f == NULL)
        return;
    f->stopped = true;
    end(f, "stopped", "");
}
