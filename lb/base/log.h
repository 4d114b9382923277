/* log.h - the process log: one line per event, with a level.
 *
 * Safe from any thread. A line is formatted by the caller and handed to the sink; with the log
 * thread running (log_thread_start) each sink has a bounded ring, and a full ring drops the line
 * and counts it, so logging never blocks a worker. Before that, and in tests, lines go straight to
 * the descriptor. Low layers return reasons; session, checker, control and main log.
 * Sinks are opened and closed, and the thread started and stopped, by one thread (control). */
#ifndef SLUICE_BASE_LOG_H
#define SLUICE_BASE_LOG_H

#include "lb/base/assert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_set_level(enum log_level level);
/* -EINVAL for a name that is none of error, warn, info, debug. */
int log_level_parse(const char *name, enum log_level *out_level) WARN_UNUSED;
bool log_enabled(enum log_level level);
/* One line `TIMESTAMP LEVEL message`; the newline is added, control bytes are escaped. */
void log_msg(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define log_error(...) log_msg(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_msg(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_msg(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_enabled(LOG_LEVEL_DEBUG))                                                          \
            log_msg(LOG_LEVEL_DEBUG, __VA_ARGS__);                                                 \
    } while (0)

/* Where log lines and access lines go. A sink is a file that the log thread writes. */
struct log_sink;
/* target: "stdout", "stderr", "off", "/path", "syslog:ADDR". NULL and *out_error (static text) when
 * it cannot be opened. */
struct log_sink *log_sink_open(const char *target, const char **out_error);
/* No thread may write to it any more. What is queued is still written (by the log thread). */
void log_sink_close(struct log_sink **sink);
void log_set_sink(struct log_sink *sink); /* for log_msg; not owned */
/* Queues one finished line (with its newline). Never blocks: false when dropped (and counted). */
bool log_sink_write(struct log_sink *sink, const char *line, size_t len);
uint64_t log_dropped(void);
/* Where a signal handler may write last words: the file of the process log, else stderr. */
int log_crash_fd(void);

void log_thread_start(void);
/* Writes what is queued, then joins; a reader that is stuck delays it by LIMIT_LOG_STOP_MS at most.
 */
void log_thread_stop(void);
void log_reopen(void); /* files by path are opened again (USR1), by the log thread */

#endif
