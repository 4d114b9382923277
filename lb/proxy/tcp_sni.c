/* tcp_sni.c - the pool of a session of mode tcp by the name that its client asks for: its
 * ClientHello is read as it comes and stays where it is, to be passed on unchanged. Who is refused
 * hears of it by an alert, as from a server that does not know the name. */
#include "lb/base/log.h"
#include "lb/net/client_hello.h"
#include "lb/proxy/tcp_priv.h"

#define ALERT_MS 1000 /* to get an alert out */

struct tcp_hello {
    struct client_hello parsed;
    struct tcp_session *session;
    struct op tx;
    uint8_t alert[TLS_ALERT_BYTES];
};

size_t tcp_hello_size(void)
{
    return sizeof(struct tcp_hello);
}

static void on_alert(struct op *op, int res)
{
    struct tcp_session *s = container_of(op, struct tcp_hello, tx)->session;

    (void)res; /* sent or not, it is over */
    if (s->state == TCP_REFUSING)
        tcp_end(s, (enum session_end)s->end, 0);
    else
        tcp_on_stopped(s);
}

bool tcp_hello_begin(struct tcp_session *s)
{
    struct tcp_hello *h = slab_alloc(&s->base.proxy->hellos);

    if (h == NULL)
        return false;
    client_hello_init(&h->parsed);
    op_init(&h->tx, on_alert);
    h->session = s;
    s->hello = h;
    return true;
}

/* Nothing else is sent to a client without a backend, so its descriptor is free for it. */
static void refuse(struct tcp_session *s, enum tls_alert alert, enum session_end why,
                   const char *words)
{
    struct tcp_hello *h = s->hello;

    s->why = words;
    log_debug("session %llx: %s: %s", (unsigned long long)s->base.id, session_end_text(why), words);
    if (alert == 0) {
        tcp_end(s, why, 0);
        return;
    }
    s->end = (uint8_t)why;
    tcp_enter(s, TCP_REFUSING, ALERT_MS);
    io_send(tcp_io(s), &h->tx, s->client_fd, h->alert, tls_alert_write(alert, h->alert));
}

void tcp_refuse_name(struct tcp_session *s)
{
    const char *words =
        s->name != NULL ? "no rule has this server name" : "no server name was sent";

    if (s->hello != NULL) {
        refuse(s, TLS_ALERT_UNRECOGNIZED_NAME, END_NO_NAME, words);
        return;
    }
    s->why = words;
    tcp_end(s, END_NO_NAME, 0);
}

/* What came since the last time: the parser has seen the rest. */
static enum hello_result feed(struct tcp_session *s)
{
    struct client_hello *h = &s->hello->parsed;
    uint32_t seen = h->eaten;
    enum hello_result r = HELLO_MORE;

    for (const struct io_buf *b = s->link->waiting(s); b != NULL; b = b->next) {
        uint32_t skip = seen < b->len ? seen : b->len;
        seen -= skip;
        r = client_hello_feed(h, b->data + skip, b->len - skip);
        if (r != HELLO_MORE)
            break;
    }
    return r;
}

void tcp_hello_read(struct tcp_session *s)
{
    struct tcp_link_view view;
    enum hello_result r = feed(s);

    if (r == HELLO_DONE) {
        tcp_choose_pool(s, client_hello_name(&s->hello->parsed));
        return;
    }
    if (r != HELLO_MORE) {
        refuse(s, client_hello_alert(r), END_BAD_HELLO, client_hello_text(r));
        return;
    }
    s->link->look(s, &view);
    if (view.client_ended) {
        s->why = "before its ClientHello was complete";
        tcp_end(s, END_CLIENT_GONE, 0);
    }
}

bool tcp_hello_idle(const struct tcp_session *s)
{
    return s->hello == NULL || !s->hello->tx.armed;
}

void tcp_hello_stop(struct tcp_session *s)
{
    if (s->hello != NULL)
        io_cancel(tcp_io(s), &s->hello->tx);
}

void tcp_hello_free(struct tcp_session *s)
{
    if (s->hello == NULL)
        return;
    sl_assert(!s->hello->tx.armed);
    slab_free(&s->base.proxy->hellos, s->hello);
    s->hello = NULL;
}
