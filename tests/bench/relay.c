/* relay.c - the floor for bulk transfers: a relay that does nothing but splice(2).
 *
 *   relay LISTEN_HOST:PORT TARGET_HOST:PORT
 *
 * One thread, edge-triggered epoll, a 1 MiB pipe per direction; no balancing, checks, counters,
 * time-outs. What a proxy spends above this is its own. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIPE_BYTES (1 << 20)

struct direction {
    int rd, wr;
    size_t fill;
    bool ended, finished;
};

struct pair;
struct side {
    struct pair *pair;
    int fd;
};

struct pair {
    struct side side[2];
    struct direction dir[2]; /* [0]: from side 0 to side 1 */
    bool dead;
    struct pair *next_dead;
};

static int epfd;
static struct pair *dead; /* freed after the batch of events that may still name them */

static void fail(const char *what)
{
    fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
    exit(1);
}

static struct sockaddr_in parse(char *text)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    char *colon = strrchr(text, ':');
    if (colon == NULL)
        fail(text);
    *colon = '\0';
    a.sin_port = htons((uint16_t)atoi(colon + 1));
    if (inet_pton(AF_INET, text, &a.sin_addr) != 1)
        fail(text);
    return a;
}

static void watch(struct side *s)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP, .data.ptr = s};
    int one = 1;
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (epoll_ctl(epfd, EPOLL_CTL_ADD, s->fd, &ev) < 0)
        fail("epoll_ctl");
}

/* Moves what can be moved; false: broken. */
static bool move(struct direction *d, int in, int out)
{
    for (;;) {
        bool progress = false;
        if (!d->ended && d->fill < PIPE_BYTES) {
            ssize_t n = splice(in, NULL, d->wr, NULL, PIPE_BYTES - d->fill,
                               SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
            if (n > 0) {
                d->fill += (size_t)n;
                progress = true;
            } else if (n == 0) {
                d->ended = true;
            } else if (errno != EAGAIN) {
                return false;
            }
        }
        if (d->fill > 0) {
            ssize_t n = splice(d->rd, NULL, out, NULL, d->fill, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
            if (n > 0) {
                d->fill -= (size_t)n;
                progress = true;
            } else if (errno != EAGAIN) {
                return false;
            }
        }
        if (d->ended && d->fill == 0 && !d->finished) {
            shutdown(out, SHUT_WR);
            d->finished = true;
        }
        if (!progress)
            return true;
    }
}

static void step(struct pair *p)
{
    if (p->dead)
        return;
    bool good = move(&p->dir[0], p->side[0].fd, p->side[1].fd) &&
                move(&p->dir[1], p->side[1].fd, p->side[0].fd);
    if (good && !(p->dir[0].finished && p->dir[1].finished))
        return;
    for (int i = 0; i < 2; i++) {
        close(p->side[i].fd);
        close(p->dir[i].rd);
        close(p->dir[i].wr);
    }
    p->dead = true;
    p->next_dead = dead;
    dead = p;
}

static void accept_all(int listener, const struct sockaddr_in *target)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct pair *p = calloc(1, sizeof(*p));
        if (p == NULL)
            fail("memory");
        p->side[0] = (struct side){p, fd};
        p->side[1] =
            (struct side){p, socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
        for (int i = 0; i < 2; i++) {
            int ends[2];
            if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0)
                fail("pipe");
            fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES);
            p->dir[i] = (struct direction){.rd = ends[0], .wr = ends[1]};
        }
        if (connect(p->side[1].fd, (const struct sockaddr *)target, sizeof(*target)) < 0 &&
            errno != EINPROGRESS)
            fail("connect");
        watch(&p->side[0]);
        watch(&p->side[1]);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: relay LISTEN_HOST:PORT TARGET_HOST:PORT\n");
        return 2;
    }
    struct sockaddr_in at = parse(argv[1]), target = parse(argv[2]);
    signal(SIGPIPE, SIG_IGN);
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(listener, 4096) < 0)
        fail("listen");
    epfd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
    if (epfd < 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, listener, &ev) < 0)
        fail("epoll");
    for (;;) {
        struct epoll_event events[256];
        int n = epoll_wait(epfd, events, 256, -1);
        for (int i = 0; i < n; i++) {
            struct side *s = events[i].data.ptr;
            if (s == NULL)
                accept_all(listener, &target);
            else
                step(s->pair); /* an error shows in its splice */
        }
        while (dead) {
            struct pair *p = dead;
            dead = p->next_dead;
            free(p);
        }
    }
}
