/* log.c - levels and lines of the process log; where they go is log_sink.c's. See log.h. */
#include "lb/base/log.h"

#include "lb/base/limits.h"
#include "lb/base/log_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *const level_names[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};
static const char *const level_words[] = {
    [LOG_LEVEL_ERROR] = "ERROR",
    [LOG_LEVEL_WARN] = "WARN",
    [LOG_LEVEL_INFO] = "INFO",
    [LOG_LEVEL_DEBUG] = "DEBUG",
};

static _Atomic int threshold = LOG_LEVEL_INFO;
static _Atomic(struct log_sink *) process_sink; /* NULL: stderr */

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&threshold, (int)level, memory_order_relaxed);
}

int log_level_parse(const char *name, enum log_level *out_level)
{
    for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *out_level = (enum log_level)i;
            return 0;
        }
    }
    return -EINVAL;
}

bool log_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&threshold, memory_order_relaxed);
}

int log_crash_fd(void)
{
    const struct log_sink *sink = atomic_load_explicit(&process_sink, memory_order_acquire);
    bool is_file =
        sink != NULL && sink->fd >= 0 && (sink->kind == LOG_SINK_PATH || sink->kind == LOG_SINK_FD);

    return is_file ? sink->fd : 2;
}

void log_set_sink(struct log_sink *sink)
{
    atomic_store_explicit(&process_sink, sink, memory_order_release);
}

/* Writes "2026-11-22T23:05:47.123Z LEVEL " and returns its length. */
static size_t write_prefix(char *out, size_t room, enum log_level level)
{
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    int n = snprintf(out, room, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ %s ", tm.tm_year + 1900,
                     tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                     (int)(now.tv_nsec / 1000000), level_words[level]);
    sl_assert(n > LOG_STAMP_LEN && (size_t)n < room);
    return (size_t)n;
}

/* Copies text with control bytes as \xHH, so that what a peer sent can neither end the line nor
 * steer a terminal. Returns the length; *out_whole tells whether all of it had room. */
static size_t escape(char *out, size_t room, const char *text, bool *out_whole)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        bool control = c < 0x20 || c == 0x7f;
        if (n + (control ? 4 : 1) > room)
            break;
        if (control) {
            out[n++] = '\\';
            out[n++] = 'x';
            out[n++] = hex[c >> 4];
            out[n++] = hex[c & 15];
        } else {
            out[n++] = (char)c;
        }
    }
    *out_whole = *text == '\0';
    return n;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    static const char cut[] = "...";
    if (!log_enabled(level))
        return;
    int saved_errno = errno; /* log_msg("%m") and a caller's later look at errno */
    char text[LIMIT_LOG_LINE], line[LIMIT_LOG_LINE];
    va_list ap;
    va_start(ap, fmt);
    int wanted = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (wanted < 0)
        snprintf(text, sizeof(text), "(a message that cannot be formatted)");

    size_t len = write_prefix(line, sizeof(line), level);
    size_t room = sizeof(line) - len - (sizeof(cut) - 1) - 1;
    bool whole;
    len += escape(line + len, room, text, &whole);
    if (!whole || wanted >= (int)sizeof(text)) {
        memcpy(line + len, cut, sizeof(cut) - 1);
        len += sizeof(cut) - 1;
    }
    line[len++] = '\n';

    struct log_sink *sink = atomic_load_explicit(&process_sink, memory_order_acquire);
    log_sink_put(sink != NULL ? sink : log_sink_default(), LOG_TAG_STAMPED | (uint8_t)level, line,
                 len);
    errno = saved_errno;
}
