/* keeper.c - the side of the process that is helped. See keeper.h */
#include "lb/main/keeper.h"

#include "lb/base/log.h"
#include "lb/base/str.h"
#include "lb/config/conf.h"
#include "lb/main/keeper_priv.h"
#include "lb/net/listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_S 5

/* ---- records ---- */

int keeper_send(int fd, const void *record, size_t size, int pass)
{
    alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec iov = {(void *)record, size};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    if (pass >= 0) {
        msg.msg_control = control;
        msg.msg_controllen = sizeof(control);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &pass, sizeof(int));
    }
    do
        n = sendmsg(fd, &msg, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

int keeper_receive(int fd, void *record, size_t size, int *out_fd)
{
    alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct iovec iov = {record, size};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    ssize_t n;

    *out_fd = -1;
    do
        n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(out_fd, CMSG_DATA(c), sizeof(int));
    if ((size_t)n == size && (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0)
        return 0;
    if (*out_fd >= 0)
        close(*out_fd);
    *out_fd = -1;
    return n == 0 ? -EPIPE : -EPROTO;
}

/* ---- questions ---- */

/* It is gone, or does not answer: nobody waits for it again. */
static void lose(struct keeper *k, int error)
{
    log_error("the keeper does not answer: %s: files that only root can open and low ports are out "
              "of reach until a restart",
              strerror(-error));
    close(k->fd);
    k->fd = -1;
}

static int exchange(struct keeper *k, struct keeper_request *q, int pass, struct keeper_reply *a,
                    int *out_fd)
{
    int rc;

    q->serial = ++k->serial;
    rc = keeper_send(k->fd, q, sizeof(*q), pass);
    if (rc == 0)
        rc = keeper_receive(k->fd, a, sizeof(*a), out_fd);
    return rc == 0 && a->serial != q->serial ? -EPROTO : rc;
}

/* -ENOTCONN without a keeper. */
static int ask(struct keeper *k, struct keeper_request *q, int pass, struct keeper_reply *a,
               int *out_fd)
{
    int rc = -ENOTCONN;

    *out_fd = -1;
    pthread_mutex_lock(&k->lock);
    if (k->fd >= 0) {
        rc = exchange(k, q, pass, a, out_fd);
        if (rc < 0)
            lose(k, rc);
        else
            rc = a->rc;
    }
    pthread_mutex_unlock(&k->lock);
    return rc;
}

static int on_open(void *ctx, const char *path, enum named_file_use use)
{
    struct keeper_request q = {.word = use == NAMED_FILE_READ ? KEEPER_OPEN : KEEPER_APPEND};
    struct keeper_reply a;
    char *whole = path[0] == '/' ? NULL : get_current_dir_name();
    int fd, n = snprintf(q.path, sizeof(q.path), "%s%s%s", whole != NULL ? whole : "",
                         whole != NULL ? "/" : "", path);

    free(whole);
    if (n >= (int)sizeof(q.path))
        return -ENAMETOOLONG;
    int rc = ask(ctx, &q, -1, &a, &fd);
    if (rc == -ENOTCONN)
        rc = -EACCES; /* what they have been told before */
    if (rc == 0 && fd < 0)
        rc = -EPROTO;
    return rc < 0 ? rc : fd;
}

static int on_bind(void *ctx, int fd, const struct addr *addr)
{
    struct keeper_request q = {.word = KEEPER_BIND, .addr = *addr};
    struct keeper_reply a;
    int none, rc = ask(ctx, &q, fd, &a, &none);

    if (none >= 0)
        close(none);
    return rc == -ENOTCONN ? -EACCES : rc;
}

bool keeper_refresh(struct keeper *k, char why[static KEEPER_TEXT_MAX])
{
    struct keeper_request q = {.word = KEEPER_REFRESH};
    struct keeper_reply a;
    int none, rc = ask(k, &q, -1, &a, &none);

    why[0] = '\0';
    if (rc < 0 && rc != -ENOTCONN)
        snprintf(why, KEEPER_TEXT_MAX, "%.*s", (int)sizeof(a.text) - 1, a.text);
    return rc == 0 || rc == -ENOTCONN;
}

void keeper_commit(struct keeper *k)
{
    struct keeper_request q = {.word = KEEPER_COMMIT};
    struct keeper_reply a;
    int none;

    (void)ask(k, &q, -1, &a, &none);
}

/* ---- programs ---- */

static int on_run(void *ctx, const char *pool, const char *backend, const struct addr *addr)
{
    struct keeper *k = ctx;
    struct keeper_run q = {.addr = *addr};
    int ends[2];

    if (k->programs_fd < 0)
        return -ENOTCONN;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
        return -errno;
    snprintf(q.pool, sizeof(q.pool), "%s", pool);
    snprintf(q.backend, sizeof(q.backend), "%s", backend);
    int rc = keeper_send(k->programs_fd, &q, sizeof(q), ends[1]);
    close(ends[1]);
    if (rc < 0)
        close(ends[0]);
    return rc < 0 ? rc : ends[0];
}

/* ---- life ---- */

void keeper_init(struct keeper *k)
{
    *k = (struct keeper){.fd = -1, .programs_fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER};
    k->programs = (struct checker_programs){k, on_run};
}

int keeper_start(struct keeper *k, const struct conf *conf, const char *from,
                 const struct privileges *user, bool files)
{
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    int ends[2], programs[2] = {-1, -1}, rc = 0;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    if (conf->hardening.exec &&
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, programs) < 0)
        rc = -errno;
    k->pid = rc == 0 ? fork() : -1;
    if (k->pid == 0)
        keeper_serve(&(struct keeper_task){ends[1], programs[1], conf, from, user, files});
    if (rc == 0 && k->pid < 0)
        rc = -errno;
    close(ends[1]);
    if (programs[1] >= 0)
        close(programs[1]);
    if (rc < 0) {
        k->pid = 0;
        close(ends[0]);
        if (programs[0] >= 0)
            close(programs[0]);
        return rc;
    }
    k->fd = ends[0];
    k->programs_fd = programs[0];
    k->helps = files;
    setsockopt(k->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(k->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (!files)
        return 0;
    k->files = (struct named_file_helper){on_open, k};
    named_file_set_helper(&k->files);
    listener_set_helper(on_bind, k);
    return 0;
}

void keeper_stop(struct keeper *k)
{
    if (k->pid == 0)
        return;
    if (k->helps) {
        named_file_set_helper(NULL);
        listener_set_helper(NULL, NULL);
    }
    if (k->programs_fd >= 0)
        close(k->programs_fd);
    k->programs_fd = -1;
    k->helps = false;
    if (k->fd >= 0)
        close(k->fd);
    k->fd = -1;
    while (waitpid(k->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    k->pid = 0;
}
