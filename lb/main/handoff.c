/* handoff.c - see handoff.h. The sockets' descriptors are the workers': their numbers are good for
 * sending as long as no reload is under way, since only reloads and the drain close them. */
#include "lb/main/handoff.h"

#include "lb/base/alloc.h"
#include "lb/base/log.h"
#include "lb/config/conf.h"
#include "lb/main/drain.h"
#include "lb/main/handoff_line.h"
#include "lb/main/process.h"
#include "lb/main/reload.h"
#include "lb/main/state.h"
#include "lb/main/systemd.h"
#include "lb/obs/events.h"

#include <errno.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

struct handoff {
    struct process *process;
    struct op recv;
    int fd;
    int pid; /* the peer's, as the kernel says */
    bool stopping;
    struct strbuf in;
    char chunk[HANDOFF_LINE_MAX];
};

/* ---- saying ---- */

/* One line with its descriptors, in one message. Never blocks: a peer that does not read is none.
 */
static int say(int fd, const char *line, const int *fds, uint32_t n)
{
    alignas(struct cmsghdr) char control[CMSG_SPACE(HANDOFF_FDS_MAX * sizeof(int))] = {0};
    struct iovec iov = {(char *)line, strlen(line)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    sl_assert(n <= HANDOFF_FDS_MAX);
    if (n > 0) {
        msg.msg_control = control;
        msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n * sizeof(int));
    }
    ssize_t sent = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0)
        return -errno;
    return (size_t)sent == iov.iov_len ? 0 : -EAGAIN;
}

static int say_row(int fd, const struct binding_row *row)
{
    int fds[HANDOFF_FDS_MAX];
    char line[32];
    int rc = 0;
    /* A unix socket is one, whoever has descriptors of it. */
    uint32_t n = addr_family(&row->addr) == AF_UNIX ? 1 : row->n;

    for (uint32_t at = 0; at < n && rc == 0;) {
        uint32_t some = 0;
        for (; at < n && some < HANDOFF_FDS_MAX; at++)
            fds[some++] = row->fds[at].fd;
        snprintf(line, sizeof(line), "listen %u\n", some);
        rc = say(fd, line, fds, some);
    }
    return rc;
}

/* In memory: it may be more than a socket takes at once. Without it the other checks for itself. */
static int say_state(const struct process *p, int fd)
{
    int file = memfd_create("sluice-state", MFD_CLOEXEC), rc = 0;
    struct strbuf text = {0};

    if (file < 0)
        return 0;
    state_print(p, &text);
    if (write(file, text.p, text.len) == (ssize_t)text.len)
        rc = say(fd, "state\n", &file, 1);
    strbuf_fini(&text);
    close(file);
    return rc;
}

static int say_all(const struct process *p, int fd)
{
    char line[64];

    snprintf(line, sizeof(line), "sluice-handoff %d %d\n", HANDOFF_VERSION, (int)getpid());
    int rc = say(fd, line, NULL, 0);
    snprintf(line, sizeof(line), "watchdog %llu\n", systemd_watchdog_ms() * 2000ULL);
    if (rc == 0)
        rc = say(fd, line, NULL, 0);
    if (rc == 0)
        rc = say_state(p, fd);
    for (uint32_t i = 0; i < p->binding.n && rc == 0; i++)
        rc = say_row(fd, &p->binding.rows[i]);
    int admin = admin_http_socket(&p->admin_http);
    if (rc == 0 && admin >= 0)
        rc = say(fd, "listen 1\n", &admin, 1);
    return rc == 0 ? say(fd, "end\n", NULL, 0) : rc;
}

/* ---- the end ---- */

static void end(struct handoff *h)
{
    struct process *p = h->process;

    io_close(p->loop.io, h->fd);
    strbuf_fini(&h->in);
    free(h);
    p->handoff = NULL;
}

static void step_aside(struct handoff *h, int pid)
{
    struct process *p = h->process;

    events_log(EVENT_LIFE, LOG_LEVEL_INFO, NULL, "handoff: process %d serves now", pid);
    p->handed_over = true;
    admin_http_leave(&p->admin_http);
    systemd_mute();
    stats_sockets_step_aside(&p->stats_sockets);
    binding_step_aside(&p->binding);
    state_hand_over(p);
    if (say_state(p, h->fd) < 0 || say(h->fd, "leaving\n", NULL, 0) < 0)
        log_warn("handoff: process %d does not hear that this one leaves", pid);
    end(h);
    drain_hand_over(p, pid);
}

/* ---- hearing ---- */

static void listen_on(struct handoff *h)
{
    io_recv_into(h->process->loop.io, &h->recv, h->fd, h->chunk, sizeof(h->chunk));
}

/* False: h is gone. */
static bool hear(struct handoff *h)
{
    const char *newline = memchr(h->in.p, '\n', h->in.len);
    struct handoff_line l;

    if (newline == NULL && h->in.len < HANDOFF_LINE_MAX)
        return true;
    if (newline != NULL && h->process->phase == PHASE_RUNNING &&
        handoff_line_parse((struct str){h->in.p, (size_t)(newline - h->in.p)}, &l) == 0 &&
        l.word == HANDOFF_SERVING) {
        step_aside(h, l.pid);
        return false;
    }
    events_log(EVENT_LIFE, LOG_LEVEL_ERROR, NULL,
               "handoff: process %d says what is not understood: going on without it", h->pid);
    end(h);
    return false;
}

static void on_recv(struct op *op, int res)
{
    struct handoff *h = container_of(op, struct handoff, recv);

    if (h->stopping || res <= 0) {
        if (!h->stopping)
            events_log(EVENT_LIFE, LOG_LEVEL_WARN, NULL,
                       "handoff: process %d has gone before it served: nothing has changed",
                       h->pid);
        end(h);
        return;
    }
    strbuf_add(&h->in, h->chunk, (size_t)res);
    if (hear(h))
        listen_on(h);
}

static const char *refusal(const struct process *p, int fd, struct ucred *out_peer)
{
    socklen_t len = sizeof(*out_peer);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, out_peer, &len) < 0)
        return "who asks cannot be found out";
    if (out_peer->uid != geteuid() && out_peer->uid != 0)
        return "only root and the user that this process runs as may take its place";
    if (p->phase != PHASE_RUNNING)
        return "the process is ending";
    if (p->handoff != NULL)
        return "another process is about to take this one's place";
    if (p->takeover != NULL)
        return "the process has not yet taken its own place";
    if (!reload_idle(p))
        return "a reload is under way";
    return NULL;
}

void handoff_begin(struct process *p, int fd)
{
    struct ucred peer = {0};
    char line[HANDOFF_LINE_MAX];
    const char *why = refusal(p, fd, &peer);
    int rc = why == NULL ? say_all(p, fd) : 0;

    if (rc < 0)
        why = strerror(-rc);
    if (why != NULL) {
        events_log(EVENT_LIFE, LOG_LEVEL_WARN, NULL, "handoff to process %d refused: %s", peer.pid,
                   why);
        snprintf(line, sizeof(line), "refused %s\n", why);
        say(fd, line, NULL, 0);
        io_close(p->loop.io, fd);
        return;
    }
    events_log(EVENT_LIFE, LOG_LEVEL_INFO, NULL,
               "handoff: process %d was given the listening sockets; this one serves until it says "
               "that it does",
               peer.pid);
    p->handoff = xcalloc(1, sizeof(*p->handoff));
    p->handoff->process = p;
    p->handoff->fd = fd;
    p->handoff->pid = peer.pid;
    op_init(&p->handoff->recv, on_recv);
    listen_on(p->handoff);
}

void handoff_stop(struct process *p)
{
    if (p->handoff == NULL || p->handoff->stopping)
        return;
    p->handoff->stopping = true;
    io_cancel(p->loop.io, &p->handoff->recv);
}

bool handoff_stopped(const struct process *p)
{
    return p->handoff == NULL;
}
