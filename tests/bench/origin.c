/* origin.c - the benchmark's HTTP backend: one thread, epoll, as little as can answer.
 *
 *   origin HOST:PORT BODY_BYTES
 *
 * Answers every request head (no bodies) with 200 and BODY_BYTES bytes; keeps the connection unless
 * the request says `Connection: close`. Not a server for anything else. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct conn {
    int fd;
    uint32_t got;     /* bytes of a request head in `in` */
    size_t sent;      /* of the answer under way */
    uint32_t answers; /* owed */
    bool close_after;
    char in[2048];
};

static char *answer;
static size_t answer_len;

static void fail(const char *what)
{
    fprintf(stderr, "origin: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Sends what is owed; false: the connection is over. */
static bool flush(struct conn *c)
{
    while (c->answers > 0) {
        ssize_t n = send(c->fd, answer + c->sent, answer_len - c->sent, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN;
        c->sent += (size_t)n;
        if (c->sent == answer_len) {
            c->sent = 0;
            c->answers--;
        }
    }
    return !c->close_after;
}

static bool take_requests(struct conn *c)
{
    char *end;
    while ((end = memmem(c->in, c->got, "\r\n\r\n", 4)) != NULL) {
        size_t len = (size_t)(end + 4 - c->in);
        if (memmem(c->in, len, "Connection: close", 17) != NULL)
            c->close_after = true;
        memmove(c->in, c->in + len, c->got - len);
        c->got -= (uint32_t)len;
        c->answers++;
    }
    return c->got < sizeof(c->in);
}

static bool on_event(struct conn *c)
{
    for (;;) {
        ssize_t n = recv(c->fd, c->in + c->got, sizeof(c->in) - c->got, 0);
        if (n == 0)
            return false;
        if (n < 0) {
            if (errno != EAGAIN)
                return false;
            break;
        }
        c->got += (uint32_t)n;
        if (!take_requests(c))
            return false;
        if (c->got < sizeof(c->in) / 2)
            break; /* edge-triggered, but a head never fills the buffer: nothing more is there */
    }
    return flush(c);
}

static void accept_all(int epfd, int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        struct conn *c = calloc(1, sizeof(*c));
        if (c == NULL)
            fail("memory");
        c->fd = fd;
        struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP,
                                 .data.ptr = c};
        if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev) < 0)
            fail("epoll_ctl");
    }
}

int main(int argc, char **argv)
{
    char *colon = argc == 3 ? strrchr(argv[1], ':') : NULL;
    if (colon == NULL) {
        fprintf(stderr, "usage: origin HOST:PORT BODY_BYTES\n");
        return 2;
    }
    *colon = '\0';
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
    if (inet_pton(AF_INET, argv[1], &at.sin_addr) != 1)
        fail(argv[1]);
    size_t body = strtoul(argv[2], NULL, 10);
    answer = malloc(body + 128);
    if (answer == NULL)
        fail("memory");
    answer_len = (size_t)sprintf(answer,
                                 "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                                 "Content-Length: %zu\r\n\r\n",
                                 body);
    memset(answer + answer_len, 'x', body);
    answer_len += body;

    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(listener, 4096) < 0)
        fail("listen");
    int epfd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
    if (epfd < 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, listener, &ev) < 0)
        fail("epoll");
    for (;;) {
        struct epoll_event events[256];
        int n = epoll_wait(epfd, events, 256, -1);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (c == NULL) {
                accept_all(epfd, listener);
            } else if (!on_event(c)) {
                close(c->fd);
                free(c);
            }
        }
    }
}
