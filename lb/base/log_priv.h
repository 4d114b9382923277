/* log_priv.h - what log.c, log_sink.c, log_syslog.c and log_thread.c share. */
#ifndef SLUICE_BASE_LOG_PRIV_H
#define SLUICE_BASE_LOG_PRIV_H

#include "lb/base/log.h"
#include "lb/base/log_ring.h"

#include <stdatomic.h>
#include <sys/socket.h>

/* Tag of a queued line: its level, and whether it begins with our timestamp (log_msg's do). */
#define LOG_TAG_LEVEL   0x0fu
#define LOG_TAG_STAMPED 0x10u
#define LOG_STAMP_LEN   25 /* bytes of "2026-11-22T23:05:47.123Z " */

enum log_sink_kind { LOG_SINK_OFF, LOG_SINK_FD, LOG_SINK_PATH, LOG_SINK_SYSLOG };

struct log_sink {
    struct log_ring ring;
    enum log_sink_kind kind;
    int fd;     /* -1: none at the moment */
    char *path; /* LOG_SINK_PATH: what to open again */
    struct log_syslog {
        struct sockaddr_storage addr;
        socklen_t addr_len;
        char host[65]; /* "" for a socket of this machine */
        int pid;
    } syslog;
    _Atomic bool closing;  /* the log thread writes the rest, then frees the sink */
    struct log_sink *next; /* log_sink_first(); changed under the lock only */
};

/* ---- log_sink.c ---- */
/* As log_sink_write, for a line with a tag. */
bool log_sink_put(struct log_sink *s, uint8_t tag, const char *line, size_t len);
struct log_sink *log_sink_default(void); /* stderr */
struct log_sink *log_sink_first(void);
struct log_sink *log_sink_next(struct log_sink *s);
/* What follows: by the log thread, or by log_thread_* when there is none. */
bool log_sink_drain(struct log_sink *s); /* writes what is queued; was there anything? */
void log_sink_reopen(struct log_sink *s);
void log_sink_destroy(struct log_sink *s);

/* ---- log_syslog.c ---- */
/* 0, or -errno with *out_error (static text). */
int log_syslog_open(struct log_sink *s, const char *addr, const char **out_error) WARN_UNUSED;
bool log_syslog_send(struct log_sink *s, uint8_t tag, const char *line, size_t len);

/* ---- log_thread.c ---- */
bool log_thread_running(void);
/* After a line was queued: wakes the log thread where it sleeps, or dozes beside a full ring. */
void log_thread_poke(size_t fill, size_t size);
void log_thread_wake(void);
bool log_thread_stopping(void);  /* do not wait for stuck readers */
bool log_thread_abandoned(void); /* it did not end in time: leave it what it may be using */
void log_count_dropped(uint64_t lines);

#endif
