/* takeover.c - see takeover.h */
#include "lb/main/takeover.h"

#include "lb/base/alloc.h"

#include <errno.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS     5000
#define STATE_BYTES_MAX (64u << 20)

/* Returns -EPROTO, so that callers can `return fail(...)`. */
PRINTF_LIKE(2, 3) static int fail(char error[static TAKEOVER_ERROR_MAX], const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(error, TAKEOVER_ERROR_MAX, fmt, ap);
    va_end(ap);
    return -EPROTO;
}

/* ---- bytes and descriptors ---- */

static void keep_fds(struct takeover *t, const struct msghdr *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL;
         c = CMSG_NXTHDR((struct msghdr *)msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        uint32_t n = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        t->fds = xrealloc(t->fds, (t->n_fds + n) * sizeof(int));
        memcpy(t->fds + t->n_fds, CMSG_DATA(c), n * sizeof(int));
        t->n_fds += n;
    }
}

/* More bytes. 0 or -errno with error. */
static int receive(struct takeover *t, char error[static TAKEOVER_ERROR_MAX])
{
    alignas(struct cmsghdr) char control[CMSG_SPACE(253 * sizeof(int))];
    struct iovec iov = {t->in + t->in_len, sizeof(t->in) - t->in_len};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    ssize_t n;

    if (iov.iov_len == 0)
        return fail(error, "%s: an answer that is no line", t->socket);
    do
        n = recvmsg(t->fd, &msg, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return fail(error, "%s: %s", t->socket,
                    errno == EAGAIN ? "no answer within 5 s" : strerror(errno));
    keep_fds(t, &msg);
    if (n == 0)
        return fail(error, "%s: the process there has closed the connection", t->socket);
    if ((msg.msg_flags & MSG_CTRUNC) != 0)
        return fail(error, "%s: sockets were lost on the way (too few open files allowed?)",
                    t->socket);
    if (t->n_fds > HANDOFF_FDS_ALL_MAX)
        return fail(error, "%s: too many sockets", t->socket);
    t->in_len += (size_t)n;
    return 0;
}

static void drop(struct takeover *t, size_t bytes, uint32_t fds)
{
    t->in_len -= bytes;
    memmove(t->in, t->in + bytes, t->in_len);
    t->n_fds -= fds;
    if (t->n_fds > 0)
        memmove(t->fds, t->fds + fds, t->n_fds * sizeof(int));
}

/* ---- lines ---- */

static int read_state(struct takeover *t, int fd)
{
    char part[4096];
    ssize_t n;
    off_t at = 0;

    strbuf_clear(&t->state);
    while ((n = pread(fd, part, sizeof(part), at)) > 0 && t->state.len < STATE_BYTES_MAX) {
        strbuf_add(&t->state, part, (size_t)n);
        at += n;
    }
    close(fd);
    return n < 0 ? -errno : 0;
}

/* Takes the line's descriptors. 0 or -errno with error. */
static int take(struct takeover *t, const struct handoff_line *l,
                char error[static TAKEOVER_ERROR_MAX])
{
    const char *why;
    int rc = 0;

    switch (l->word) {
    case HANDOFF_HELLO:
        if (l->number != HANDOFF_VERSION)
            return fail(error, "%s: the process there speaks version %llu of the handoff, we %d",
                        t->socket, (unsigned long long)l->number, HANDOFF_VERSION);
        t->pid = l->pid;
        break;
    case HANDOFF_WATCHDOG:
        t->watchdog_usec = l->number;
        break;
    case HANDOFF_STATE:
        if (read_state(t, t->fds[0]) < 0)
            strbuf_clear(&t->state);
        break;
    case HANDOFF_LISTEN:
        for (uint32_t i = 0; i < l->fds; i++)
            if (inherit_add(&t->inherit, t->fds[i], "", &why) < 0)
                rc = fail(error, "%s: a socket of the process there is of no use: %s", t->socket,
                          why);
        break;
    case HANDOFF_REFUSED:
        return fail(error, "%s: the process there refuses: " STR_FMT, t->socket, STR_ARG(l->text));
    case HANDOFF_UNKNOWN:
    case HANDOFF_END:
    case HANDOFF_SERVING:
    case HANDOFF_LEAVING:
        break;
    }
    return rc;
}

/* What came in place of a greeting: the stats socket, in its own words, would not take the command.
 */
static int refused_ask(const struct takeover *t, struct str line,
                       char error[static TAKEOVER_ERROR_MAX])
{
    if (str_eq(line, STR("Permission denied")))
        return fail(error,
                    "%s: its level does not allow that: it takes a stats socket with "
                    "level = \"admin\"",
                    t->socket);
    return fail(error, "%s: who answers there knows no handoff: %.*s", t->socket,
                (int)(line.len < 80 ? line.len : 80), line.p);
}

/* The next line is taken. 0 or -errno with error. */
static int next_line(struct takeover *t, enum handoff_word *out_word,
                     char error[static TAKEOVER_ERROR_MAX])
{
    struct handoff_line l;
    const char *newline;
    int rc;

    while ((newline = memchr(t->in, '\n', t->in_len)) == NULL)
        if ((rc = receive(t, error)) < 0)
            return rc;
    struct str line = {t->in, (size_t)(newline - t->in)};
    if (handoff_line_parse(line, &l) < 0 || l.fds > t->n_fds)
        return fail(error, "%s: an answer that is not understood: %.*s", t->socket,
                    (int)(line.len < 80 ? line.len : 80), line.p);
    if (t->pid == 0 && l.word != HANDOFF_HELLO && l.word != HANDOFF_REFUSED)
        return refused_ask(t, line, error);
    rc = take(t, &l, error);
    drop(t, line.len + 1, l.fds);
    *out_word = l.word;
    return rc;
}

/* ---- the connection ---- */

static int dial(struct takeover *t, char error[static TAKEOVER_ERROR_MAX])
{
    const struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct ucred peer;
    socklen_t len = sizeof(peer);

    if (strlen(t->socket) >= sizeof(to.sun_path))
        return fail(error, "%s: the path is too long", t->socket);
    strcpy(to.sun_path, t->socket);
    t->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (t->fd < 0)
        return fail(error, "socket: %s", strerror(errno));
    setsockopt(t->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(t->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (connect(t->fd, (const struct sockaddr *)&to, sizeof(to)) < 0)
        return fail(error, "%s: %s%s", t->socket, strerror(errno),
                    errno == ENOENT || errno == ECONNREFUSED ? " (does sluice run?)" : "");
    if (getsockopt(t->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
        return fail(error, "%s: %s", t->socket, strerror(errno));
    if (peer.uid != geteuid() && peer.uid != 0 && geteuid() != 0)
        return fail(error, "%s: the process there is another user's (uid %u)", t->socket,
                    (unsigned)peer.uid);
    return 0;
}

static int say(const struct takeover *t, const char *text, char error[static TAKEOVER_ERROR_MAX])
{
    size_t len = strlen(text);
    ssize_t n = send(t->fd, text, len, MSG_NOSIGNAL);

    return n == (ssize_t)len ? 0 : fail(error, "%s: %s", t->socket, n < 0 ? strerror(errno) : "?");
}

int takeover_begin(struct takeover *t, const char *socket, char error[static TAKEOVER_ERROR_MAX])
{
    enum handoff_word word = HANDOFF_UNKNOWN;
    char ask[32];
    int rc;

    *t = (struct takeover){.socket = socket, .fd = -1, .tell_fd = -1};
    snprintf(ask, sizeof(ask), "_handoff %d\n", HANDOFF_VERSION);
    rc = dial(t, error);
    if (rc == 0)
        rc = say(t, ask, error);
    while (rc == 0 && word != HANDOFF_END)
        rc = next_line(t, &word, error);
    if (rc < 0)
        takeover_fini(t);
    return rc;
}

int takeover_finish(struct takeover *t, char error[static TAKEOVER_ERROR_MAX])
{
    enum handoff_word word = HANDOFF_UNKNOWN;
    char text[32];

    snprintf(text, sizeof(text), "serving %d\n", (int)getpid());
    int rc = say(t, text, error);
    while (rc == 0 && word != HANDOFF_LEAVING)
        rc = next_line(t, &word, error);
    close(t->fd);
    t->fd = -1;
    return rc;
}

void takeover_tell(struct takeover *t)
{
    if (t->tell_fd < 0)
        return;
    ssize_t n = write(t->tell_fd, "+", 1);
    (void)n; /* nobody waits any more: as well */
    close(t->tell_fd);
    t->tell_fd = -1;
}

void takeover_fini(struct takeover *t)
{
    if (t->fd >= 0)
        close(t->fd);
    if (t->tell_fd >= 0)
        close(t->tell_fd);
    for (uint32_t i = 0; i < t->n_fds; i++)
        close(t->fds[i]);
    free(t->fds);
    inherit_fini(&t->inherit);
    strbuf_fini(&t->state);
    *t = (struct takeover){.fd = -1, .tell_fd = -1};
}
