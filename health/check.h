/* check.h - one run of one health check: connect, encrypt where that is wanted, send, receive,
 * judge.
 *
 * check.c does the I/O and keeps the time; a kind (check_tcp.c, check_http.c...) says what to send
 * and judges what comes, without I/O of its own. A new kind: one file, one row in
 * check_kinds.c, one test. All on the health thread. From check_start() until `done` the run owns
 * its memory and its socket; `done` comes exactly once, from the end of a turn, also after
 * check_cancel(). */
#ifndef SLUICE_HEALTH_CHECK_H
#define SLUICE_HEALTH_CHECK_H

#include "health/agent_reply.h"
#include "health/check_http_parse.h"
#include "health/checker.h"
#include "lb/base/str.h"
#include "lb/net/stream.h"

enum check_end {
    CHECK_CANCELLED, /* nothing was learned, and nobody wants to know */
    CHECK_UNABLE,    /* nothing was learned about the backend: something is short here */
    CHECK_PASSED,
    CHECK_FAILED,
};

struct check_outcome {
    enum check_end end;
    enum check_result result;
    uint32_t code; /* HTTP status, or errno of a connect */
    uint32_t duration_us;
    bool definite;                   /* not one of several that count: it alone decides */
    char desc[LIMIT_CHECK_DESC + 1]; /* what was seen */
};

struct check;
struct check_cgi; /* check_cgi.c */
struct check_h2;  /* check_h2.c */
struct grpc;      /* check_grpc.c */
struct scram;
typedef void check_done_fn(struct check *ck, const struct check_outcome *outcome);

struct check_kind {
    const char *name; /* as in the configuration: "tcp", "http" */
    /* Appends what to send once connected (nothing: nothing is sent). */
    void (*request)(struct check *ck, struct strbuf *out);
    /* All of it was sent. True: that was all, the outcome is set. */
    bool (*sent)(struct check *ck);
    /* More of the answer. True: the outcome is set. */
    bool (*answer)(struct check *ck, struct str data);
    /* The answer is over before it was decided: sets the outcome. */
    void (*ended)(struct check *ck);
    /* What comes after the decision; true: the answer is complete. NULL: nobody waits for it. */
    bool (*rest)(struct check *ck, struct str data);
    /* Where TLS is asked for in clear (health.starttls): appends what to send first; NULL: there
     * are no words for it. */
    void (*ask_tls)(struct check *ck, struct strbuf *out);
    /* More of the answer to that. True: the outcome is set, or the handshake follows behind what
     * was appended to `out`; then request(). */
    bool (*tls_answer)(struct check *ck, struct str data, struct strbuf *out);
    /* Frees what request() has made. NULL: nothing. */
    void (*fini)(struct check *ck);
};
extern const struct check_kind check_kind_tcp, check_kind_tls, check_kind_http, check_kind_http2;
extern const struct check_kind check_kind_fastcgi, check_kind_uwsgi, check_kind_scgi;
extern const struct check_kind check_kind_postgres, check_kind_mysql, check_kind_redis,
    check_kind_smtp, check_kind_udp, check_kind_dns, check_kind_grpc, check_kind_exec,
    check_kind_agent;
const struct check_kind *check_kind_of(enum check_type type); /* NULL: none */

enum check_state {
    CHECK_IDLE,
    CHECK_CONNECTING,
    CHECK_BACKLOG, /* a unix socket's queue is full: waits to try again */
    CHECK_PREFACE, /* what goes before the handshake: a PROXY header, or words that ask for it */
    CHECK_ASKING,  /* the answer to these is awaited */
    CHECK_SECURING,
    CHECK_SENDING,
    CHECK_RECEIVING,
    CHECK_DRAINING, /* it is decided; the rest of the answer is taken for politeness */
    CHECK_CLOSING,  /* it is decided; what is armed is joined */
    CHECK_ENDED,    /* `done` comes at the end of the turn */
};

#define CHECK_SEED_LEN 20

struct check {
    uint32_t magic;
    enum check_state state;
    struct loop *loop;
    struct stream_env *streams;
    const struct checker_pool_conf *conf; /* the owner's; stays during a run */
    const struct check_kind *kind;
    check_done_fn *done;
    void *owner;
    struct addr addr; /* what is connected to */
    struct op connect;
    struct stream stream;
    struct timer deadline, again;
    struct loop_task finish;
    int fd;        /* being connected */
    bool opened;   /* it is the stream's */
    bool decided;  /* the outcome is set; what comes is joined only */
    bool complete; /* set by answer(): nothing of the answer is to come */
    bool was_sent; /* bytes have left, or may have */
    bool asked;    /* TLS was asked for, and granted */
    uint64_t started_us;
    struct check_outcome outcome;
    uint32_t drained;   /* bytes after the decision */
    struct strbuf out;  /* what is sent */
    struct strbuf seen; /* of the answer, where it is searched; LIMIT_CHECK_BODY at most */
    struct check_http http;
    struct check_h2 *h2;      /* NULL: it speaks HTTP/1.1 */
    struct agent_reply agent; /* text: of `seen` */
    struct check_cgi *cgi;
    struct grpc *grpc;
    struct scram *scram;          /* check_postgres.c */
    bool has_starttls;            /* check_smtp.c: it was offered */
    bool sha2;                    /* check_mysql.c: the plug-in in use is caching_sha2_password */
    uint8_t seed[CHECK_SEED_LEN]; /* ... that passwords are mixed with */
    uint32_t step;                /* of the kind's conversation, from 0 */
    size_t at;                    /* of `seen`: up to here it was looked at */
};

/* ck: zeroed or ended. conf, and the strings in it, stay until `done`. backend: its address; the
 * conf's own address and port come before it. */
void check_start(struct check *ck, struct stream_env *streams, const struct checker_pool_conf *conf,
                 const struct addr *backend, check_done_fn *done, void *owner);
void check_cancel(struct check *ck); /* soon `done` with CHECK_CANCELLED, unless it is decided */

/* ---- for kinds ---- */

void check_say(struct check *ck, enum check_end end, enum check_result result, uint32_t code,
               const char *fmt, ...) PRINTF_LIKE(5, 6);
/* The outcome of a check that a connection, or a handshake, is enough for. */
void check_say_connected(struct check *ck);
/* More to send, while an answer comes. Without memory it is not sent, and the check times out. */
void check_send(struct check *ck, const void *data, size_t len);
/* What is sent can be read by nobody between: TLS, or a unix socket. */
bool check_is_private(const struct check *ck);
/* Fails: it does not speak TLS. */
void check_say_no_tls(struct check *ck, const char *text);
/* The backend has said whether it is a primary: passes, or fails at once where health.role is
 * another one. */
void check_say_role(struct check *ck, bool primary);
/* Adds to ck->seen; the next line, or so many bytes, of what was not looked at yet. False: it is
 * not here. Lines end in LF; a CR before it is no part of them. */
void check_see(struct check *ck, struct str data);
bool check_next_line(struct check *ck, struct str *out);
bool check_next_bytes(struct check *ck, size_t n, struct str *out);
/* Of check_http.c, for every version: the status is in ck->http; a piece of the body; its end. They
 * decide, or not yet. */
void check_http_head(struct check *ck);
void check_http_body(struct check *ck, struct str data);
void check_http_over(struct check *ck);
const char *check_http_host(const struct check *ck, char buf[static ADDR_TEXT_MAX]);
const char *check_http_method(const struct check *ck);
const char *check_http_path(const struct check *ck);
/* Adds data to ck->seen and looks for needle, also across pieces. */
bool check_find(struct check *ck, struct str data, struct str needle);
bool check_seen_all(const struct check *ck); /* LIMIT_CHECK_BODY is reached: no more is looked at */
#define CHECK_QUOTE_MAX 64
/* Text for people: what does not print as \xNN, what is too long cut. Returns buf. */
const char *check_quote(struct str s, char buf[static CHECK_QUOTE_MAX]);
#define CHECK_ERROR_MAX 96
/* "connection refused": an errno as a part of a sentence. Returns buf. */
const char *check_error_text(int error, char buf[static CHECK_ERROR_MAX]);

#endif
