/* log_sink.c - where lines go: descriptors, files by path, syslog. See log.h.
 *
 * While the log thread runs, only it touches descriptors; everyone else puts lines in the sink's
 * ring. Without it the caller writes, one at a time. Sinks are opened and closed by the thread that
 * starts and stops the log thread. */
#include "lb/base/alloc.h"
#include "lb/base/log_priv.h"
#include "lb/base/named_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH_BYTES  (64u << 10) /* written in one go */
#define STUCK_MS_MAX 1000        /* for a non-blocking descriptor that takes nothing */

static struct log_sink default_sink = {.kind = LOG_SINK_FD, .fd = STDERR_FILENO};
static struct log_sink *sinks = &default_sink;
static pthread_mutex_t sinks_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t direct_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- the list ---- */

struct log_sink *log_sink_default(void)
{
    return &default_sink;
}

struct log_sink *log_sink_first(void)
{
    pthread_mutex_lock(&sinks_lock);
    struct log_sink *s = sinks;
    pthread_mutex_unlock(&sinks_lock);
    return s;
}

struct log_sink *log_sink_next(struct log_sink *s)
{
    pthread_mutex_lock(&sinks_lock);
    struct log_sink *next = s->next;
    pthread_mutex_unlock(&sinks_lock);
    return next;
}

static void link_in(struct log_sink *s)
{
    pthread_mutex_lock(&sinks_lock);
    s->next = sinks;
    sinks = s;
    pthread_mutex_unlock(&sinks_lock);
}

static void link_out(struct log_sink *s)
{
    pthread_mutex_lock(&sinks_lock);
    struct log_sink **at = &sinks;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    pthread_mutex_unlock(&sinks_lock);
}

/* ---- open and close ---- */

/* A descriptor, or -errno. Never waits: a fifo that nobody reads is an error (ENXIO). */
static int open_path(const char *path)
{
    int fd = named_file_open_log(path);
    if (fd < 0)
        return fd;
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0)
        fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    return fd;
}

static int open_target(struct log_sink *s, const char *target, const char **out_error)
{
    static const char syslog_prefix[] = "syslog:";
    if (strcmp(target, "off") == 0) {
        s->kind = LOG_SINK_OFF;
    } else if (strcmp(target, "stdout") == 0) {
        s->kind = LOG_SINK_FD;
        s->fd = STDOUT_FILENO;
    } else if (strcmp(target, "stderr") == 0) {
        s->kind = LOG_SINK_FD;
        s->fd = STDERR_FILENO;
    } else if (target[0] == '/') {
        s->kind = LOG_SINK_PATH;
        s->fd = open_path(target);
        if (s->fd < 0) {
            *out_error = strerrordesc_np(-s->fd);
            return s->fd;
        }
        s->path = xstrdup(target);
    } else if (strncmp(target, syslog_prefix, sizeof(syslog_prefix) - 1) == 0) {
        s->kind = LOG_SINK_SYSLOG;
        return log_syslog_open(s, target + sizeof(syslog_prefix) - 1, out_error);
    } else {
        *out_error = "expected stdout, stderr, off, /path or syslog:ADDR";
        return -EINVAL;
    }
    return 0;
}

struct log_sink *log_sink_open(const char *target, const char **out_error)
{
    struct log_sink *s = xaligned(sizeof(*s));
    s->fd = -1;
    if (open_target(s, target, out_error) < 0) {
        free(s);
        return NULL;
    }
    if (s->kind != LOG_SINK_OFF)
        log_ring_init(&s->ring, LIMIT_LOG_RING);
    link_in(s);
    return s;
}

void log_sink_close(struct log_sink **sink)
{
    struct log_sink *s = *sink;
    *sink = NULL;
    if (s == NULL || log_thread_abandoned())
        return;
    if (log_thread_running()) {
        atomic_store_explicit(&s->closing, true, memory_order_seq_cst);
        log_thread_wake();
        return;
    }
    log_sink_drain(s);
    log_sink_destroy(s);
}

void log_sink_destroy(struct log_sink *s)
{
    link_out(s);
    if (s->fd >= 0 && s->kind != LOG_SINK_FD)
        close(s->fd);
    log_ring_fini(&s->ring);
    free(s->path);
    free(s);
}

void log_sink_reopen(struct log_sink *s)
{
    if (s->kind != LOG_SINK_PATH)
        return;
    int fd = open_path(s->path);
    if (fd < 0) {
        log_error("log: %s cannot be opened again, the old file is still written: %s", s->path,
                  strerrordesc_np(-fd));
        return;
    }
    close(s->fd);
    s->fd = fd;
}

/* ---- writing ---- */

static uint64_t count_lines(const char *data, size_t len)
{
    uint64_t n = 0;
    for (const char *end = data + len; data < end; n++) {
        const char *nl = memchr(data, '\n', (size_t)(end - data));
        data = nl != NULL ? nl + 1 : end;
    }
    return n;
}

/* All of it, or the rest is dropped and counted. */
static bool write_out(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n >= 0) {
            data += n;
            len -= (size_t)n;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno == EAGAIN && !log_thread_stopping() &&
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, STUCK_MS_MAX) > 0)
            continue;
        log_count_dropped(count_lines(data, len));
        return false;
    }
    return true;
}

static bool write_line(struct log_sink *s, uint8_t tag, const char *line, size_t len)
{
    if (s->kind != LOG_SINK_SYSLOG)
        return write_out(s->fd, line, len);
    if (log_syslog_send(s, tag, line, len))
        return true;
    log_count_dropped(1);
    return false;
}

bool log_sink_put(struct log_sink *s, uint8_t tag, const char *line, size_t len)
{
    if (s->kind == LOG_SINK_OFF || len == 0)
        return true;
    if (unlikely(!log_thread_running())) {
        /* The lock keeps lines whole that a pipe takes in parts. */
        pthread_mutex_lock(&direct_lock);
        bool ok = write_line(s, tag, line, len);
        pthread_mutex_unlock(&direct_lock);
        return ok;
    }
    size_t fill;
    if (len > LIMIT_LOG_RECORD || !log_ring_put(&s->ring, tag, line, len, &fill)) {
        log_count_dropped(1);
        return false;
    }
    log_thread_poke(fill, s->ring.size);
    return true;
}

bool log_sink_write(struct log_sink *sink, const char *line, size_t len)
{
    return log_sink_put(sink, LOG_LEVEL_INFO, line, len);
}

/* Lines are copied together and go out in one write; the ring is free again before that, so it is
 * at its largest while the disk is slow. */
bool log_sink_drain(struct log_sink *s)
{
    static char batch[BATCH_BYTES]; /* one thread at a time: see log_priv.h */
    static_assert(BATCH_BYTES >= 2 * LIMIT_LOG_RECORD, "a batch is more than a line");
    bool any = false;
    size_t have = 0, n;
    uint8_t tag;
    if (s->ring.data == NULL)
        return false;
    while ((n = log_ring_take(&s->ring, batch + have, sizeof(batch) - have, &tag)) > 0) {
        any = true;
        if (s->kind == LOG_SINK_SYSLOG) {
            write_line(s, tag, batch, n);
            continue;
        }
        have += n;
        if (sizeof(batch) - have < LIMIT_LOG_RECORD) {
            write_out(s->fd, batch, have);
            have = 0;
        }
    }
    if (have > 0)
        write_out(s->fd, batch, have);
    return any;
}
