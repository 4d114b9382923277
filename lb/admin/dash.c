/* dash.c - see dash.h */
#include "lb/admin/dash.h"

#include "lb/admin/dash_json.h"
#include "lb/admin/http_call.h"
#include "lb/base/alloc.h"
#include "lb/io/loop.h"
#include "lb/obs/json.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

#define TICK_MS 1000

struct dash {
    struct loop *loop;
    const struct command_env *env;
    struct dash_model model;
    struct dash_text text;
    uint64_t changes; /* of the model, when all were told everything */
    struct timer tick;
    struct list streams;
    uint32_t n_streams;
    char token[DASH_TOKEN_LEN + 1];
};

struct stream {
    struct http_stream stream;
    struct dash *dash;
};

static uint64_t wall_us(const struct dash *d)
{
    struct process_info p;

    d->env->ops->process_info(d->env->ops->ctx, &p);
    return p.now_wall_us;
}

/* `event: NAME`, its data on one line. */
static void begin_event(struct strbuf *out, const char *name)
{
    strbuf_addf(out, "event: %s\ndata: ", name);
}

static void end_event(struct strbuf *out)
{
    strbuf_add_cstr(out, "\n\n");
}

static void push(struct dash *d, struct strbuf *text)
{
    list_for_each_safe (it, tmp, &d->streams) {
        struct stream *s = container_of(it, struct stream, stream.node);
        /* One that is cut leaves later: ended() is told. */
        if (!http_stream_push(&s->stream, strbuf_str(text)))
            list_remove(&s->stream.node);
    }
}

static void tell_all(struct dash *d, struct strbuf *out)
{
    begin_event(out, "state");
    dash_json_all(&d->text, out);
    end_event(out);
}

static void tell_changes(struct dash *d)
{
    struct strbuf out = {0};

    begin_event(&out, "state");
    dash_json_changes(&d->text, &out);
    end_event(&out);
    if (d->changes != d->model.changes) {
        d->changes = d->model.changes;
        strbuf_clear(&out);
        tell_all(d, &out);
    }
    push(d, &out);
    strbuf_fini(&out);
}

static void on_tick(struct timer *t)
{
    struct dash *d = container_of(t, struct dash, tick);

    timer_start(&d->loop->timers, t, loop_now_ms(d->loop) + TICK_MS);
    dash_model_tick(&d->model, loop_now_us(d->loop), wall_us(d));
    if (!list_empty(&d->streams))
        tell_changes(d);
}

static void on_ended(struct http_stream *stream)
{
    struct stream *s = container_of(stream, struct stream, stream);

    list_remove(&s->stream.node);
    s->dash->n_streams--;
    free(s);
}

static void tell_hello(struct dash *d, const struct http_call *call, struct strbuf *out)
{
    static const char *const levels[] = {
        [CONTROL_USER] = "user", [CONTROL_OPERATOR] = "operator", [CONTROL_ADMIN] = "admin"};

    begin_event(out, "hello");
    strbuf_addf(out, "{\"level\":\"%s\",\"may_change\":%s,\"token\":\"%s\"}", levels[call->level],
                call->level >= CONTROL_ADMIN ? "true" : "false",
                call->level >= CONTROL_ADMIN ? d->token : "");
    end_event(out);
}

bool dash_stream(struct dash *d, struct http_call *call)
{
    struct stream *s = d->n_streams < DASH_STREAMS_MAX ? calloc(1, sizeof(*s)) : NULL;

    if (s == NULL)
        return false;
    /* The others first: what is told everybody next is what has changed since now. */
    dash_model_tick(&d->model, loop_now_us(d->loop), wall_us(d));
    tell_changes(d);
    s->dash = d;
    s->stream.ended = on_ended;
    list_push_back(&d->streams, &s->stream.node);
    d->n_streams++;
    tell_hello(d, call, &call->out);
    tell_all(d, &call->out);
    http_call_stream(call, &s->stream);
    return true;
}

bool dash_token_is(const struct dash *d, struct str token)
{
    return token.len == DASH_TOKEN_LEN && CRYPTO_memcmp(token.p, d->token, DASH_TOKEN_LEN) == 0;
}

/* ---- life ---- */

struct dash *dash_new(struct loop *loop, const struct command_env *env)
{
    struct dash *d = xcalloc(1, sizeof(*d));
    unsigned char secret[DASH_TOKEN_LEN / 2];

    d->loop = loop;
    d->env = env;
    dash_model_init(&d->model, env->ops, loop_now_us(loop));
    d->text.m = &d->model;
    d->changes = d->model.changes;
    list_init(&d->streams);
    timer_init(&d->tick, on_tick);
    timer_start(&loop->timers, &d->tick, loop_now_ms(loop) + TICK_MS);
    if (RAND_bytes(secret, sizeof(secret)) != 1)
        sl_assert(!"no random bytes");
    for (size_t i = 0; i < sizeof(secret); i++)
        snprintf(d->token + 2 * i, 3, "%02x", secret[i]);
    return d;
}

void dash_leave(struct dash *d)
{
    list_for_each_safe (it, tmp, &d->streams) {
        struct stream *s = container_of(it, struct stream, stream.node);
        list_remove(it);
        http_stream_end(&s->stream);
    }
}

void dash_stop(struct dash *d)
{
    timer_stop(&d->loop->timers, &d->tick);
    dash_leave(d);
}

void dash_free(struct dash **dash)
{
    struct dash *d = *dash;

    if (d == NULL)
        return;
    sl_assert(d->n_streams == 0);
    dash_model_fini(&d->model);
    free(d);
    *dash = NULL;
}
