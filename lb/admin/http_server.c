/* http_server.c - the socket of the admin address and its life; see http_server.h. What a client
 * says and is told is in http_client.c. */
#include "lb/admin/http_server.h"

#include "lb/admin/dash.h"
#include "lb/admin/http_server_priv.h"
#include "lb/base/alloc.h"
#include "lb/io/loop.h"
#include "lb/net/stream_tls.h"
#include "lb/obs/events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MS 1000 /* to accept again when there were no descriptors */

/* Who waits there has woken us, and nobody else: also where another process listens on it. */
static void close_listening(struct http_server *s)
{
    int fd;

    while (!s->stopping && (fd = io_accept_now(s->loop->io, s->fd)) >= 0)
        http_client_new(s, fd);
    io_close(s->loop->io, s->fd);
    s->fd = -1;
}

static void on_accept(struct op *op, int res)
{
    struct http_server *s = container_of(op, struct http_server, accept);

    if (res >= 0) {
        if (s->stopping)
            io_close(s->loop->io, res);
        else
            http_client_new(s, res);
        return;
    }
    if (s->leaving)
        close_listening(s);
    if (s->leaving || s->stopping || res == -ECANCELED)
        return;
    if (res == -EMFILE || res == -ENFILE || res == -ENOBUFS || res == -ENOMEM)
        timer_start(&s->loop->timers, &s->retry, loop_now_ms(s->loop) + RETRY_MS);
    else
        events_log(EVENT_LIMIT, LOG_LEVEL_ERROR, NULL, "admin: accepting ended: %s",
                   strerror(-res));
}

static void on_retry(struct timer *t)
{
    struct http_server *s = container_of(t, struct http_server, retry);

    io_accept(s->loop->io, &s->accept, s->fd);
}

/* ---- life ---- */

struct http_server *http_server_new(struct loop *loop, const struct command_env *env,
                                    const struct http_server_conf *conf)
{
    struct http_server *s = xcalloc(1, sizeof(*s));

    s->loop = loop;
    s->env = env;
    s->conf = conf;
    s->fd = -1;
    list_init(&s->clients);
    stream_env_init(&s->wires, loop);
    op_init(&s->accept, on_accept);
    timer_init(&s->retry, on_retry);
    s->dash = dash_new(loop, env);
    dash_page_init(&s->page);
    return s;
}

const struct http_server_conf *http_server_conf(const struct http_server *s)
{
    return s->conf;
}

struct dash *http_server_dash(const struct http_server *s)
{
    return s->dash;
}

const struct dash_page *http_server_page(const struct http_server *s)
{
    return &s->page;
}

void http_server_use_tls(struct http_server *s, struct tls_server *tls)
{
    struct tls_server *old = s->tls;

    s->tls = tls != NULL ? tls_server_ref(tls) : NULL;
    if (old != NULL)
        tls_server_unref(&old);
}

void http_server_listen(struct http_server *s, int fd)
{
    sl_assert(s->fd < 0);
    s->fd = fd;
    io_accept(s->loop->io, &s->accept, fd);
}

int http_server_socket(const struct http_server *s)
{
    return s->fd;
}

void http_server_leave(struct http_server *s)
{
    if (s->leaving || s->stopping || s->fd < 0)
        return;
    s->leaving = true;
    dash_leave(s->dash);
    timer_stop(&s->loop->timers, &s->retry);
    if (s->accept.armed)
        io_cancel(s->loop->io, &s->accept);
    else
        close_listening(s);
}

void http_server_change(struct http_server *s, const struct http_server_conf *conf, bool wire)
{
    s->conf = conf;
    dash_leave(s->dash);
    if (!wire)
        return;
    list_for_each_safe (it, tmp, &s->clients)
        http_client_retire(it);
}

void http_server_retire(struct http_server *s)
{
    if (s->retiring || s->stopping)
        return;
    s->retiring = true;
    http_server_leave(s);
    list_for_each_safe (it, tmp, &s->clients)
        http_client_retire(it);
}

bool http_server_retired(const struct http_server *s)
{
    return s->retiring && s->fd < 0 && list_empty(&s->clients);
}

/* Answers that are on their way are sent; so is the last of each stream. */
void http_server_stop(struct http_server *s)
{
    if (s->stopping)
        return;
    s->stopping = true;
    if (s->tls != NULL)
        tls_server_unref(&s->tls);
    dash_stop(s->dash);
    timer_stop(&s->loop->timers, &s->retry);
    if (s->accept.armed && !s->leaving)
        io_cancel(s->loop->io, &s->accept);
    list_for_each_safe (it, tmp, &s->clients)
        http_client_stop(it);
}

bool http_server_stopped(const struct http_server *s)
{
    return s->stopping && !s->accept.armed && list_empty(&s->clients);
}

void http_server_free(struct http_server **server)
{
    struct http_server *s = *server;

    if (s == NULL)
        return;
    sl_assert(http_server_stopped(s));
    if (s->fd >= 0)
        io_close(s->loop->io, s->fd);
    stream_env_fini(&s->wires);
    dash_free(&s->dash);
    dash_page_fini(&s->page);
    free(s);
    *server = NULL;
}
