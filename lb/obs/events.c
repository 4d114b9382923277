/* events.c - a ring under a lock that is held for one copy; see events.h.
 *
 * State of the process as a whole, as in log.c: what is noted comes from all layers. An entry's
 * serial is cleared before it is written and set behind, so that events_peek() can tell. */
#include "lb/obs/events.h"

#include "lb/base/str.h"
#include "lb/obs/json.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

static struct {
    pthread_mutex_t lock;
    _Atomic uint64_t last;
    _Atomic uint64_t written[EVENTS_KEPT]; /* the serial in a place, 0 while it is written */
    struct event ring[EVENTS_KEPT];        /* event n is at n % EVENTS_KEPT */
} events = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- writing ---- */

/* Copies text with control bytes as \xHH; what does not fit ends in "...". */
static void copy_escaped(char *out, size_t size, const char *text)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;

    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        bool control = c < 0x20 || c == 0x7f;
        if (n + (control ? 4 : 1) >= size) {
            if (n > size - 4)
                n = size - 4;
            while (n > 0 && ((unsigned char)out[n] & 0xc0) == 0x80)
                n--; /* not in the middle of a character */
            memcpy(out + n, "...", 3);
            n += 3;
            break;
        }
        if (control) {
            out[n++] = '\\';
            out[n++] = 'x';
            out[n++] = hex[c >> 4];
            out[n++] = hex[c & 15];
        } else {
            out[n++] = (char)c;
        }
    }
    out[n] = '\0';
}

static void note(enum event_kind kind, enum log_level severity, const char *object,
                 const char *text)
{
    struct timespec now;
    struct event e = {.kind = kind, .severity = severity};

    copy_escaped(e.object, sizeof(e.object), object != NULL ? object : "");
    copy_escaped(e.text, sizeof(e.text), text);
    pthread_mutex_lock(&events.lock);
    clock_gettime(CLOCK_REALTIME, &now); /* within the lock: times are in the order of numbers */
    e.wall_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    e.serial = atomic_load_explicit(&events.last, memory_order_relaxed) + 1;
    size_t place = e.serial % EVENTS_KEPT;
    atomic_exchange_explicit(&events.written[place], 0, memory_order_acq_rel);
    events.ring[place] = e;
    atomic_store_explicit(&events.written[place], e.serial, memory_order_release);
    atomic_store_explicit(&events.last, e.serial, memory_order_release);
    pthread_mutex_unlock(&events.lock);
}

/* Formats; on the stack of the caller, as a line of the log is. */
#define FORMAT(text, fmt)                                                                          \
    char text[LIMIT_LOG_LINE];                                                                     \
    int saved_errno = errno;                                                                       \
    va_list ap;                                                                                    \
    va_start(ap, fmt);                                                                             \
    if (vsnprintf(text, sizeof(text), fmt, ap) < 0)                                                \
        snprintf(text, sizeof(text), "(a message that cannot be formatted)");                      \
    va_end(ap)

void events_add(enum event_kind kind, enum log_level severity, const char *object, const char *fmt,
                ...)
{
    FORMAT(text, fmt);
    note(kind, severity, object, text);
    errno = saved_errno;
}

void events_log(enum event_kind kind, enum log_level severity, const char *object, const char *fmt,
                ...)
{
    FORMAT(text, fmt);
    note(kind, severity, object, text);
    log_msg(severity, "%s", text);
    errno = saved_errno;
}

void events_log_backend(enum event_kind kind, enum log_level severity, const char *pool,
                        const char *backend, const char *fmt, ...)
{
    char object[EVENT_OBJECT_MAX + 1];

    FORMAT(text, fmt);
    snprintf(object, sizeof(object), "%s/%s", pool, backend);
    note(kind, severity, object, text);
    log_msg(severity, "%s", text);
    errno = saved_errno;
}

/* ---- reading ---- */

uint64_t events_last(void)
{
    return atomic_load_explicit(&events.last, memory_order_acquire);
}

uint32_t events_read(uint64_t after, struct event *out, uint32_t max)
{
    uint32_t n = 0;

    pthread_mutex_lock(&events.lock);
    uint64_t last = atomic_load_explicit(&events.last, memory_order_relaxed);
    uint64_t first = last > EVENTS_KEPT ? last - EVENTS_KEPT + 1 : 1;
    if (after > last)
        after = last;
    for (uint64_t i = after >= first ? after + 1 : first; i <= last && n < max; i++)
        out[n++] = events.ring[i % EVENTS_KEPT];
    pthread_mutex_unlock(&events.lock);
    return n;
}

bool events_peek(uint64_t serial, struct event *out)
{
    size_t place = serial % EVENTS_KEPT;

    if (serial == 0 || atomic_load_explicit(&events.written[place], memory_order_acquire) != serial)
        return false;
    *out = events.ring[place];
    return atomic_fetch_add_explicit(&events.written[place], 0, memory_order_acq_rel) == serial;
}

/* ---- words ---- */

const char *event_kind_name(enum event_kind kind)
{
    static const char *const names[EVENT_KINDS] = {
        [EVENT_HEALTH] = "health",   [EVENT_EJECTION] = "ejection",
        [EVENT_CHANGE] = "change",   [EVENT_RELOAD] = "reload",
        [EVENT_LIFE] = "life",       [EVENT_CERTIFICATE] = "certificate",
        [EVENT_LIMIT] = "limit",     [EVENT_ADDRESS] = "address",
        [EVENT_REFUSED] = "refused", [EVENT_WORKER] = "worker",
    };
    return kind < EVENT_KINDS ? names[kind] : "?";
}

const char *event_severity_name(enum log_level severity)
{
    static const char *const names[] = {
        [LOG_LEVEL_ERROR] = "error",
        [LOG_LEVEL_WARN] = "warn",
        [LOG_LEVEL_INFO] = "info",
        [LOG_LEVEL_DEBUG] = "debug",
    };
    return severity < ARRAY_LEN(names) ? names[severity] : "?";
}

/* "2026-11-23T09:20:00.123456Z" */
static void add_time(struct strbuf *out, uint64_t wall_us)
{
    time_t s = (time_t)(wall_us / 1000000);
    struct tm tm;

    gmtime_r(&s, &tm);
    strbuf_addf(out, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", tm.tm_year + 1900, tm.tm_mon + 1,
                tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(wall_us % 1000000));
}

void event_text(const struct event *e, struct strbuf *out)
{
    strbuf_addf(out, "%" PRIu64 " ", e->serial);
    add_time(out, e->wall_us);
    strbuf_addf(out, " %s %s %s %s", event_severity_name(e->severity), event_kind_name(e->kind),
                e->object[0] != '\0' ? e->object : "-", e->text);
}

void event_json(const struct event *e, struct strbuf *out)
{
    strbuf_addf(out, "{\"serial\":%" PRIu64 ",\"time_us\":%" PRIu64 ",\"time\":\"", e->serial,
                e->wall_us);
    add_time(out, e->wall_us);
    strbuf_addf(out, "\",\"severity\":\"%s\",\"kind\":\"%s\",\"object\":",
                event_severity_name(e->severity), event_kind_name(e->kind));
    json_add_string(out, str_of(e->object));
    strbuf_add_cstr(out, ",\"text\":");
    json_add_string(out, str_of(e->text));
    strbuf_add_char(out, '}');
}
