/* control_client.c - one client of the stats socket; see control_priv.h.
 *
 * A client is always in one state, and in each exactly one thing is awaited: bytes (READING), an
 * answer of the workers (WAITING), room for the answer (SENDING), the end of an armed operation
 * (CLOSING). Who follows the events (FOLLOWING) may say something while it is sent to. Commands run
 * in between, one at a time and only while no answer is unsent beyond a small amount, so a client
 * that does not read holds one answer at most. Every state but CLOSING has a deadline, so a client
 * that does nothing goes away.
 *
 * Lines: without a prompt the first line is answered (further complete ones, if they have come with
 * it), then the connection is closed. At end of stream a last line may lack its newline. */
#include "lb/admin/command.h"
#include "lb/admin/command_line.h"
#include "lb/admin/control_priv.h"
#include "lb/base/alloc.h"
#include "lb/io/loop.h"
#include "lb/obs/events.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define IDLE_MS         10000 /* HAProxy's `stats timeout` */
#define IDLE_PROMPT_MS  60000 /* somebody types */
#define WAIT_MS         30000 /* for the workers */
#define FOLLOW_MS       100   /* how often is looked for new events, while somebody follows */
#define LAST_MS         200   /* for the last events, when the process ends */
#define RECV_BYTES      4096
#define OUT_ENOUGH      (64u << 10)  /* unsent bytes beyond which no further command runs */
#define PAYLOAD_MAX     (128u << 10) /* as HAProxy's; it is read and thrown away */
#define CLIENTS_REFUSED 8 /* beyond the limit, so many are told so; the rest just closed */
#define CLIENT_MAGIC    0x636c6965u

enum client_state {
    CLIENT_READING,
    CLIENT_WAITING,
    CLIENT_SENDING,
    CLIENT_FOLLOWING,
    CLIENT_CLOSING
};

struct client {
    uint32_t magic;
    enum client_state state;
    struct list node;
    struct control *control;
    int fd;
    struct op recv, send;
    struct timer timer;
    uint64_t deadline_ms;
    uint32_t sent; /* of the armed send, when it was last looked at */
    bool ending;   /* nothing more is read or run: send what there is, close */
    bool eof;
    bool answered; /* a line has been run */
    struct command_session session;
    struct late_answer *late;
    struct strbuf in;   /* received, not yet a line */
    struct strbuf line; /* the present line */
    struct str rest;    /* of it: commands that have not run */
    struct str held;    /* of it: commands that run when the payload is complete */
    bool payload;       /* lines up to payload_end come before the present line runs */
    size_t payload_len;
    char payload_end[COMMAND_PAYLOAD_END_MAX + 1];
    struct strbuf out;
    char chunk[RECV_BYTES];
};

static void go_on(struct client *c);
static void follow(struct client *c);

/* ---- the end of a client ---- */

static void client_free(struct client *c)
{
    struct control *control = c->control;

    timer_stop(&control->loop->timers, &c->timer);
    list_remove(&c->node);
    control->n_clients--;
    if (c->fd >= 0)
        io_close(control->loop->io, c->fd);
    strbuf_fini(&c->in);
    strbuf_fini(&c->line);
    strbuf_fini(&c->out);
    c->magic = 0;
    free(c);
}

/* A join: what is armed is asked to end; the last completion frees the client. */
static void client_close(struct client *c)
{
    struct io *io = c->control->loop->io;

    c->state = CLIENT_CLOSING;
    timer_stop(&c->control->loop->timers, &c->timer);
    if (c->late != NULL)
        late_answer_abandon(&c->late);
    if (c->recv.armed)
        io_cancel(io, &c->recv);
    else if (c->send.armed) /* FOLLOWING has both: each completion comes by here */
        io_cancel(io, &c->send);
    else
        client_free(c);
}

/* ---- states ---- */

static uint32_t idle_ms(const struct client *c)
{
    if (c->control->stopping)
        return LAST_MS;
    if (c->session.timeout_ms != 0)
        return c->session.timeout_ms;
    return c->session.prompt != PROMPT_OFF ? IDLE_PROMPT_MS : IDLE_MS;
}

static void set_deadline(struct client *c, uint64_t ms)
{
    c->deadline_ms = loop_now_ms(c->control->loop) + ms;
    timer_start(&c->control->loop->timers, &c->timer, c->deadline_ms);
}

static void on_late(void *arg);

static void send_out(struct client *c)
{
    set_deadline(c, idle_ms(c));
    c->sent = 0;
    /* One answer is far below the limit of one send; cut what could not be sent at all. */
    io_send(c->control->loop->io, &c->send, c->fd, c->out.p,
            c->out.len < (1u << 30) ? c->out.len : (1u << 30));
}

static void enter(struct client *c, enum client_state next)
{
    struct io *io = c->control->loop->io;

    sl_assert(!c->recv.armed && !c->send.armed);
    c->state = next;
    switch (next) {
    case CLIENT_READING:
        set_deadline(c, idle_ms(c));
        io_recv_into(io, &c->recv, c->fd, c->chunk, sizeof(c->chunk));
        return;
    case CLIENT_WAITING:
        set_deadline(c, c->late->wait_ms + WAIT_MS);
        late_answer_wait(c->late, on_late, c);
        return;
    case CLIENT_SENDING:
        send_out(c);
        return;
    case CLIENT_FOLLOWING:
        c->ending = c->eof; /* nobody could end it: what is there, and no more */
        if (!c->eof)
            io_recv_into(io, &c->recv, c->fd, c->chunk, sizeof(c->chunk));
        follow(c);
        return;
    case CLIENT_CLOSING:
        client_close(c);
        return;
    }
}

static void on_timer(struct timer *t)
{
    struct client *c = container_of(t, struct client, timer);

    CHECK_MAGIC(c, CLIENT_MAGIC);
    if (c->state == CLIENT_FOLLOWING && !c->send.armed) {
        follow(c);
        return;
    }
    if (c->send.armed && c->send.send.done > c->sent &&
        !c->control->stopping) { /* slow, but it reads */
        c->sent = c->send.send.done;
        set_deadline(c, idle_ms(c));
        return;
    }
    if (c->state == CLIENT_WAITING)
        events_log(EVENT_WORKER, LOG_LEVEL_WARN, NULL,
                   "stats socket: the workers did not answer in %d s", WAIT_MS / 1000);
    client_close(c);
}

/* ---- prompts and answers ---- */

static void add_prompt(struct client *c)
{
    uint64_t s = (loop_now_ms(c->control->loop) - c->control->start_ms) / 1000;

    if (c->session.prompt != PROMPT_SHOWN)
        return;
    if (c->session.prompt_time)
        strbuf_addf(&c->out, "[%" PRIu64 ":%02u:%02u:%02u]", s / 86400, (unsigned)(s / 3600 % 24),
                    (unsigned)(s / 60 % 60), (unsigned)(s % 60));
    strbuf_add_cstr(&c->out, "> ");
}

static void after_answer(struct client *c)
{
    if (c->session.quit)
        c->ending = true;
    else
        add_prompt(c);
}

static void on_late(void *arg)
{
    struct client *c = arg;

    CHECK_MAGIC(c, CLIENT_MAGIC);
    sl_assert(c->state == CLIENT_WAITING);
    late_answer_take(&c->late, &c->out);
    after_answer(c);
    go_on(c);
}

/* For what is wrong with the connection itself rather than with a command. */
static void refuse_client(struct client *c, const char *why)
{
    const char *mark = "";

    if (c->session.severity != SEVERITY_HIDDEN)
        mark = c->session.severity == SEVERITY_NUMBER ? "[3]: " : "[err]: ";
    strbuf_addf(&c->out, "%s%s\n\n", mark, why);
    c->ending = true;
}

/* ---- following ---- */

/* Sends what is new, or looks again soon. Nothing is being sent. */
static void follow(struct client *c)
{
    if (c->session.follow.on && !events_follow(&c->session.follow, OUT_ENOUGH, &c->out)) {
        log_warn("stats socket: a client that follows the events is cut: it reads too slowly");
        c->session.follow.on = false;
        c->ending = true;
    }
    if (c->out.len > 0)
        send_out(c);
    else if (c->ending)
        client_close(c);
    else
        set_deadline(c, FOLLOW_MS);
}

/* What is there is sent, if it can be at once: how this process ends may be of interest. */
static void follow_last(struct client *c)
{
    c->ending = true;
    if (c->send.armed)
        set_deadline(c, LAST_MS);
    else
        follow(c);
}

/* The client has said something: that ends it, as a key does. */
static void end_following(struct client *c)
{
    if (c->session.follow.on) /* only now: it has not been told anything yet */
        c->ending = !events_follow(&c->session.follow, OUT_ENOUGH, &c->out);
    c->session.follow.on = false;
    if (c->in.p[0] == '\n')
        strbuf_drop_front(&c->in, 1);
    strbuf_add_char(&c->out, '\n');
    add_prompt(c);
}

/* ---- lines ---- */

/* Moves the next line of the input to c->line, without its end. False: there is none yet. */
static bool take_line(struct client *c)
{
    const char *newline = c->in.len > 0 ? memchr(c->in.p, '\n', c->in.len) : NULL;
    size_t len = newline != NULL ? (size_t)(newline - c->in.p) : c->in.len;

    if (newline == NULL && !(c->eof && c->in.len > 0)) {
        if (c->in.len >= LIMIT_CTL_LINE)
            refuse_client(c, "The line is too long.");
        return false;
    }
    if (len >= LIMIT_CTL_LINE) {
        refuse_client(c, "The line is too long.");
        return false;
    }
    size_t text = len > 0 && c->in.p[len - 1] == '\r' ? len - 1 : len;
    if (!c->payload) {
        strbuf_clear(&c->line);
        strbuf_add(&c->line, c->in.p, text);
    } else {
        c->payload_len += len + 1;
        bool last = str_eq_cstr((struct str){c->in.p, text}, c->payload_end);
        c->payload = !last;
    }
    strbuf_drop_front(&c->in, len + (newline != NULL));
    return true;
}

/* Reads lines of a payload. True: it is complete. No command takes one, so it is not kept. */
static bool skip_payload(struct client *c)
{
    while (c->payload) {
        if (!take_line(c)) {
            if (c->eof)
                c->ending = true;
            return false;
        }
        if (c->payload_len > PAYLOAD_MAX) {
            refuse_client(c, "The payload is too long.");
            return false;
        }
        if (c->payload && c->session.prompt == PROMPT_SHOWN)
            strbuf_add_cstr(&c->out, "+ ");
    }
    return true;
}

static void begin_payload(struct client *c, struct str mark)
{
    c->payload = true;
    c->payload_len = 0;
    snprintf(c->payload_end, sizeof(c->payload_end), STR_FMT, STR_ARG(mark));
    if (c->session.prompt == PROMPT_SHOWN)
        strbuf_add_cstr(&c->out, "+ ");
}

/* Makes c->rest the commands of the next line. False: none is complete, or none is wanted. */
static bool next_line(struct client *c)
{
    struct str mark;

    if (!c->payload) {
        if (!take_line(c)) {
            /* One line was asked for and has been answered, or nobody will ask any more. */
            if (c->eof || (c->answered && c->session.prompt == PROMPT_OFF))
                c->ending = true;
            return false;
        }
        c->held = strbuf_str(&c->line);
        if (command_line_payload(&c->held, &mark))
            begin_payload(c, mark);
    }
    if (!skip_payload(c))
        return false;
    c->rest = c->held;
    c->answered = true;
    return true;
}

/* Runs one command. False: its answer comes later (c->late), or goes on without end. */
static bool run(struct client *c, struct str command)
{
    command_run(&c->control->env, &c->session, command, &c->out, &c->late);
    if (c->late != NULL)
        return false;
    if (c->session.follow.on && c->in.len == 0)
        return false;
    if (c->session.follow.on) /* it has said the next thing already */
        end_following(c);
    else
        after_answer(c);
    return true;
}

/* The next command of the line that is not empty. */
static bool next_command(struct client *c, struct str *out_command)
{
    while (command_line_next(&c->rest, out_command))
        if (out_command->len > 0)
            return true;
    return false;
}

/* The connection is somebody else's from now on. */
static void leave(struct client *c)
{
    const struct admin_ops *ops = c->control->ops;
    int fd = c->fd;

    c->fd = -1;
    client_close(c);
    ops->handoff(ops->ctx, fd);
}

/* What a client does whenever nothing is awaited: run commands as long as there are any, then send,
 * read or close. */
static void go_on(struct client *c)
{
    struct str command;

    while (!c->ending && c->out.len < OUT_ENOUGH) {
        if (!next_command(c, &command)) {
            if (!next_line(c))
                break;
            if (!next_command(c, &command))
                command = STR(""); /* as HAProxy: answered by the list of commands */
        }
        if (!run(c, command)) {
            enter(c, c->late != NULL ? CLIENT_WAITING : CLIENT_FOLLOWING);
            return;
        }
        if (c->session.leaves) {
            leave(c);
            return;
        }
    }
    if (c->out.len > 0)
        enter(c, CLIENT_SENDING);
    else
        enter(c, c->ending ? CLIENT_CLOSING : CLIENT_READING);
}

/* ---- completions ---- */

static void on_recv(struct op *op, int res)
{
    struct client *c = container_of(op, struct client, recv);

    CHECK_MAGIC(c, CLIENT_MAGIC);
    if (c->state == CLIENT_CLOSING || res < 0) {
        client_close(c);
        return;
    }
    if (res == 0)
        c->eof = true;
    strbuf_add(&c->in, c->chunk, (size_t)res);
    if (c->state != CLIENT_FOLLOWING) {
        go_on(c);
    } else if (res == 0) {
        client_close(c);
    } else {
        c->session.follow.on = false;
        if (!c->send.armed) {
            end_following(c);
            go_on(c);
        }
    }
}

static void on_send(struct op *op, int res)
{
    struct client *c = container_of(op, struct client, send);

    CHECK_MAGIC(c, CLIENT_MAGIC);
    if (c->state == CLIENT_CLOSING || res < 0) {
        client_close(c);
        return;
    }
    if (c->out.cap > OUT_ENOUGH) /* a large answer was rare: do not keep its memory */
        strbuf_fini(&c->out);
    strbuf_clear(&c->out);
    if (c->state == CLIENT_FOLLOWING && (c->session.follow.on || c->ending)) {
        follow(c);
        return;
    }
    if (c->state == CLIENT_FOLLOWING)
        end_following(c);
    go_on(c);
}

void control_client_new(struct control *control, int fd, enum control_level level)
{
    struct client *c = NULL;

    if (control->n_clients < LIMIT_CTL_CLIENTS + CLIENTS_REFUSED)
        c = calloc(1, sizeof(*c));
    if (c == NULL) {
        io_close(control->loop->io, fd);
        return;
    }
    c->magic = CLIENT_MAGIC;
    c->control = control;
    c->fd = fd;
    c->session.level = level;
    c->session.may_follow = true;
    c->session.may_leave = control->ops->handoff != NULL;
    op_init(&c->recv, on_recv);
    op_init(&c->send, on_send);
    timer_init(&c->timer, on_timer);
    list_push_back(&control->clients, &c->node);
    if (++control->n_clients > LIMIT_CTL_CLIENTS)
        refuse_client(c, "Too many clients on the stats socket.");
    go_on(c);
}

void control_client_stop(struct list *node)
{
    struct client *c = list_entry(node, struct client, node);

    if (c->state == CLIENT_FOLLOWING)
        follow_last(c);
    else if (c->state != CLIENT_CLOSING)
        client_close(c);
}
