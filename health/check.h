/* check.h - one run of one health check: connect, send, receive, judge.
 *
 * check_run.c does the I/O; each kind of check is a row of functions (check_tcp.c, check_http.c)
 * that say what to send and judge what came. A new kind: one file, one row in check_run.c, one
 * test. */
#ifndef SLUICE_HEALTH_CHECK_H
#define SLUICE_HEALTH_CHECK_H

#include "health/checker.h"
#include "lb/io/loop.h"

struct strbuf;

struct check_outcome {
    enum check_result result;
    uint32_t code; /* HTTP status, or errno of a connect */
    uint32_t duration_us;
    bool passed;
    char desc[LIMIT_CHECK_DESC + 1]; /* what was seen */
};

struct check;
/* Once per run, from the loop, never from inside check_start(). */
typedef void check_done_fn(struct check *c, const struct check_outcome *outcome);

struct check {
    struct loop *loop;
    const struct checker_pool_conf *conf; /* the owner's; stays during a run */
    check_done_fn *done;
    struct addr addr;
    struct op op;
    struct timer timeout;
    int fd;
    bool running, timed_out, cancelled, connected;
    uint64_t started_us;
    char *out, *in; /* request and answer of this run */
    size_t out_len, in_len, in_cap;
    struct check_outcome outcome;
};

struct check_kind {
    const char *name; /* "tcp", "http" */
    /* Appends what to send after connecting (nothing: do not send). */
    void (*request)(const struct check *c, struct strbuf *out);
    /* Looks at what came so far. False: more is needed (not when eof). True: c->outcome is set. */
    bool (*judge)(struct check *c, bool eof);
    /* Results for a timeout and a reset during the conversation. */
    enum check_result timed_out, broken;
};

extern const struct check_kind check_kind_tcp, check_kind_http;
const struct check_kind *check_kind_of(enum check_type type);

void check_init(struct check *c, struct loop *loop, const struct checker_pool_conf *conf,
                check_done_fn *done);
/* addr: of the backend; the conf's own address and port come before it. */
void check_start(struct check *c, const struct addr *backend);
void check_cancel(struct check *c); /* ends without `done`; running is false once it has ended */
/* Fills c->outcome; for kinds. */
void check_say(struct check *c, bool passed, enum check_result result, uint32_t code,
               const char *fmt, ...) PRINTF_LIKE(5, 6);

#endif
