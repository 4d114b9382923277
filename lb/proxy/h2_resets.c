/* h2_resets.c - requests of HTTP/2 that were answered before they were complete: the client is told
 * to send no more of them (RST_STREAM with NO_ERROR, RFC 9113 section 8.1), but not in the same
 * breath. Clients that hear of the end while they are sending forget what they were answered, curl
 * among them. Till then their payload is dropped and their stream's window stays shut.
 *
 * Such streams count among those that the client may have at the same time, so they are bounded.
 * Where many wait the oldest is reset early. */
#include "lb/proxy/h2_priv.h"

#include <stdlib.h>
#include <string.h>

#define DELAY_MS  500
#define LATER_MAX 64

struct h2_resets {
    struct timer timer; /* until the first is due */
    struct h2_session *h2;
    uint32_t n;
    struct {
        int32_t id;
        uint64_t due_ms;
    } later[LATER_MAX]; /* in the order of their time */
};

static struct timer_wheel *wheel_of(const struct h2_session *h2)
{
    return &h2->s->base.proxy->loop->timers;
}

static void reset(struct h2_session *h2, int32_t id)
{
    /* It may have come to its end meanwhile, or be gone. */
    if (h2->dead || nghttp2_session_get_stream_remote_close(h2->ng, id) != 0)
        return;
    nghttp2_submit_rst_stream(h2->ng, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
    h2_flush_soon(h2);
}

static void reset_first(struct h2_resets *r)
{
    reset(r->h2, r->later[0].id);
    r->n--;
    memmove(&r->later[0], &r->later[1], r->n * sizeof(r->later[0]));
}

static void on_timer(struct timer *timer)
{
    struct h2_resets *r = container_of(timer, struct h2_resets, timer);
    uint64_t now_ms = loop_now_ms(r->h2->s->base.proxy->loop);

    while (r->n > 0 && r->later[0].due_ms <= now_ms)
        reset_first(r);
    if (r->n > 0)
        timer_start(wheel_of(r->h2), timer, r->later[0].due_ms);
}

static struct h2_resets *resets_of(struct h2_session *h2)
{
    if (h2->resets == NULL)
        h2->resets = calloc(1, sizeof(*h2->resets));
    if (h2->resets != NULL && h2->resets->h2 == NULL) {
        h2->resets->h2 = h2;
        timer_init(&h2->resets->timer, on_timer);
    }
    return h2->resets;
}

/* The client shall have places left for other requests. */
static uint32_t most(const struct h2_session *h2)
{
    uint32_t half = http_session_conf(h2->s)->h2_max_streams / 2;

    return half < LATER_MAX ? half : LATER_MAX;
}

void h2_reset_later(struct h2_session *h2, int32_t id)
{
    struct h2_resets *r = resets_of(h2);

    if (r == NULL) {
        reset(h2, id);
        return;
    }
    while (r->n > 0 && r->n >= most(h2))
        reset_first(r);
    r->later[r->n].id = id;
    r->later[r->n++].due_ms = loop_now_ms(h2->s->base.proxy->loop) + DELAY_MS;
    timer_start(wheel_of(h2), &r->timer, r->later[0].due_ms);
}

void h2_resets_free(struct h2_session *h2)
{
    if (h2->resets != NULL)
        timer_stop(wheel_of(h2), &h2->resets->timer);
    free(h2->resets);
    h2->resets = NULL;
}
