/* flight.c - see flight.h */
#include "lb/obs/flight.h"

#include "lb/base/alloc.h"
#include "lb/obs/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct flight *flight_new(void)
{
    struct flight *f = xcalloc(1, sizeof(*f));

    f->stale_us = UINT64_MAX;
    return f;
}

void flight_free(struct flight **f)
{
    free(*f);
    *f = NULL;
}

/* ---- writing ---- */

static bool is_stale(const struct flight_record *r, uint64_t now_us)
{
    return now_us >= r->end_us + FLIGHT_WINDOW_US;
}

/* Where the next slow one goes: a free place, one that has left the window, else the least slow. */
static struct flight_record *slow_place(struct flight *f, uint64_t now_us)
{
    struct flight_record *least = &f->slow[0];

    if (f->n_slow < FLIGHT_SLOW)
        return &f->slow[f->n_slow++];
    for (uint32_t i = 0; i < FLIGHT_SLOW; i++) {
        if (is_stale(&f->slow[i], now_us))
            return &f->slow[i];
        if (f->slow[i].slow_us < least->slow_us)
            least = &f->slow[i];
    }
    return least;
}

/* What flight_wants() compares with. */
static void set_gate(struct flight *f)
{
    f->slow_us = f->n_slow < FLIGHT_SLOW ? 0 : UINT64_MAX;
    f->stale_us = UINT64_MAX;
    for (uint32_t i = 0; i < f->n_slow; i++) {
        const struct flight_record *r = &f->slow[i];
        if (r->slow_us < f->slow_us)
            f->slow_us = r->slow_us;
        if (r->end_us + FLIGHT_WINDOW_US < f->stale_us)
            f->stale_us = r->end_us + FLIGHT_WINDOW_US;
    }
}

void flight_add(struct flight *f, const struct flight_record *r)
{
    if (flight_wants(f, false, r->slow_us, r->end_us)) {
        *slow_place(f, r->end_us) = *r;
        set_gate(f);
    }
    if (!r->failed)
        return;
    f->failed[f->next_failed] = *r;
    f->next_failed = (f->next_failed + 1) % FLIGHT_FAILED;
    if (f->n_failed < FLIGHT_FAILED)
        f->n_failed++;
}

bool flight_is_failure(enum session_end end, uint16_t status)
{
    switch (end) {
    case END_NORMAL:
    case END_LOCAL:
    case END_DENIED:
    case END_CLIENT_LEFT_HEAD:
        return status >= 500;
    default:
        return true;
    }
}

void flight_set_text(char *out, size_t size, struct str text)
{
    size_t n = text.len < size - 1 ? text.len : size - 1;

    for (size_t i = 0; i < n; i++)
        out[i] = text.p[i] > ' ' && text.p[i] < 0x7f ? text.p[i] : '?';
    out[n] = '\0';
    if (text.len > n && n >= 3)
        memcpy(out + n - 3, "...", 3);
}

/* ---- reading ---- */

uint32_t flight_copy(const struct flight *f, uint64_t now_us, struct flight_record *out)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < f->n_slow; i++) {
        if (is_stale(&f->slow[i], now_us))
            continue;
        out[n] = f->slow[i];
        out[n++].failed = false;
    }
    for (uint32_t i = 0; i < f->n_failed; i++)
        out[n++] = f->failed[i];
    return n;
}

const struct flight_record *flight_raw(const struct flight *f, uint32_t i)
{
    if (i < FLIGHT_SLOW)
        return i < f->n_slow ? &f->slow[i] : NULL;
    i -= FLIGHT_SLOW;
    return i < f->n_failed ? &f->failed[i] : NULL;
}

/* ---- words ---- */

static void add_time(struct strbuf *out, uint64_t wall_us)
{
    time_t s = (time_t)(wall_us / 1000000);
    struct tm tm;

    gmtime_r(&s, &tm);
    strbuf_addf(out, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", tm.tm_year + 1900, tm.tm_mon + 1,
                tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(wall_us % 1000000));
}

/* Milliseconds with three decimals; "-" for a phase that was not reached. */
static void add_ms(struct strbuf *out, const char *name, int64_t us)
{
    if (us < 0)
        strbuf_addf(out, " %s=-", name);
    else
        strbuf_addf(out, " %s=%" PRId64 ".%03d", name, us / 1000, (int)(us % 1000));
}

static const char *or_dash(const char *text)
{
    return text[0] != '\0' ? text : "-";
}

void flight_text(const struct flight_record *r, struct strbuf *out)
{
    strbuf_addf(out, "%s ", r->failed ? "failed" : "slow");
    add_time(out, r->wall_us);
    strbuf_addf(out, " 0x%016" PRIx64, r->id);
    if (r->sequence != 0)
        strbuf_addf(out, "/%u", r->sequence);
    strbuf_addf(out, " client=%s listener=%s route=%s pool=%s backend=%s", or_dash(r->client),
                or_dash(r->listener), or_dash(r->route), or_dash(r->pool), or_dash(r->backend));
    add_ms(out, "total_ms", (int64_t)r->total_us);
    add_ms(out, "queue_ms", r->queue_us);
    add_ms(out, "connect_ms", r->connect_us);
    add_ms(out, "first_ms", r->first_us);
    strbuf_addf(out, " in=%" PRIu64 " out=%" PRIu64 " retries=%u", r->bytes_in, r->bytes_out,
                r->retries);
    if (r->sequence != 0)
        strbuf_addf(out, " status=%u %s %s", r->status, or_dash(r->method), or_dash(r->target));
    strbuf_addf(out, " end=%s (%s%s%s)", session_end_code(r->end), session_end_text(r->end),
                r->why[0] != '\0' ? ": " : "", r->why);
}

static void add_json_text(struct strbuf *out, const char *name, const char *text)
{
    strbuf_addf(out, ",\"%s\":", name);
    json_add_string(out, str_of(text));
}

static void add_json_us(struct strbuf *out, const char *name, int64_t us)
{
    if (us < 0)
        strbuf_addf(out, ",\"%s\":null", name);
    else
        strbuf_addf(out, ",\"%s\":%" PRId64, name, us);
}

void flight_json(const struct flight_record *r, struct strbuf *out)
{
    strbuf_addf(out, "{\"list\":\"%s\",\"time\":\"", r->failed ? "failed" : "slow");
    add_time(out, r->wall_us);
    strbuf_addf(out,
                "\",\"time_us\":%" PRIu64 ",\"id\":\"0x%016" PRIx64 "\",\"sequence\":%u,"
                "\"worker\":%u",
                r->wall_us, r->id, r->sequence, r->worker);
    add_json_text(out, "client", r->client);
    add_json_text(out, "listener", r->listener);
    add_json_text(out, "route", r->route);
    add_json_text(out, "pool", r->pool);
    add_json_text(out, "backend", r->backend);
    add_json_text(out, "method", r->method);
    add_json_text(out, "target", r->target);
    strbuf_addf(out, ",\"status\":%u,\"end\":\"%s\"", r->status, session_end_code(r->end));
    add_json_text(out, "end_text", session_end_text(r->end));
    add_json_text(out, "why", r->why);
    add_json_us(out, "queue_us", r->queue_us);
    add_json_us(out, "connect_us", r->connect_us);
    add_json_us(out, "first_us", r->first_us);
    strbuf_addf(out,
                ",\"total_us\":%" PRIu64 ",\"bytes_in\":%" PRIu64 ",\"bytes_out\":%" PRIu64
                ",\"retries\":%u}",
                r->total_us, r->bytes_in, r->bytes_out, r->retries);
}
