/* fastcgi_origin.c - the benchmark's FastCGI backend: one thread, epoll, as little as can answer.
 *
 *   fastcgi_origin PATH
 *
 * Listens at the unix socket PATH and answers every request, once its empty STDIN record is there,
 * with hello world; keeps the connection where FCGI_KEEP_CONN says so. PHP-FPM costs a hundred
 * times as much, so that behind it a proxy mostly sleeps and wakes: this shows what its own work
 * is. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HEAD_BYTES    8
#define BEGIN_REQUEST 1
#define STDIN         5
#define STDOUT        6
#define END_REQUEST   3

struct conn {
    int fd;
    uint32_t got; /* bytes of records in `in` */
    bool keep;
    uint8_t in[16384];
};

/* As PHP-FPM's own: both records in one write. */
static uint8_t answer[256];
static uint32_t answer_len;

static void fail(const char *what)
{
    fprintf(stderr, "fastcgi_origin: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void make_answer(void)
{
    static const char text[] = "X-Powered-By: C\r\nContent-Length: 14\r\nContent-type: text/html; "
                               "charset=UTF-8\r\n\r\nHello, World!\n";
    const uint8_t n = sizeof(text) - 1, padding = (uint8_t)(-n & 7);
    const uint8_t out[HEAD_BYTES] = {1, STDOUT, 0, 1, 0, n, padding, 0};
    const uint8_t end[HEAD_BYTES] = {1, END_REQUEST, 0, 1, 0, 8, 0, 0};

    memcpy(answer, out, HEAD_BYTES);
    memcpy(answer + HEAD_BYTES, text, n);
    answer_len = (uint32_t)HEAD_BYTES + n + padding;
    memcpy(answer + answer_len, end, HEAD_BYTES);
    answer_len += HEAD_BYTES + 8; /* status 0, complete */
}

/* False: the connection is over. */
static bool take_records(struct conn *c)
{
    uint32_t at = 0;

    while (c->got - at >= HEAD_BYTES) {
        const uint8_t *r = c->in + at;
        uint32_t content = (uint32_t)r[4] << 8 | r[5], len = HEAD_BYTES + content + r[6];
        if (len > sizeof(c->in))
            return false;
        if (c->got - at < len)
            break;
        if (r[1] == BEGIN_REQUEST)
            c->keep = r[HEAD_BYTES + 2] & 1;
        at += len;
        if (r[1] != STDIN || content > 0)
            continue;
        if (send(c->fd, answer, answer_len, MSG_NOSIGNAL) != (ssize_t)answer_len || !c->keep)
            return false;
    }
    memmove(c->in, c->in + at, c->got - at);
    c->got -= at;
    return true;
}

static bool on_event(struct conn *c)
{
    ssize_t n = recv(c->fd, c->in + c->got, sizeof(c->in) - c->got, 0);

    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    c->got += (uint32_t)n;
    return take_records(c);
}

static void accept_all(int epfd, int listener)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct conn *c = calloc(1, sizeof(*c));
        if (c == NULL)
            fail("memory");
        c->fd = fd;
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev) < 0)
            fail("epoll_ctl");
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
    int listener, epfd;

    if (argc != 2 || strlen(argv[1]) >= sizeof(at.sun_path)) {
        fprintf(stderr, "usage: fastcgi_origin PATH\n");
        return 2;
    }
    strcpy(at.sun_path, argv[1]);
    make_answer();
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(listener, 4096) < 0)
        fail(argv[1]);
    epfd = epoll_create1(EPOLL_CLOEXEC);
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
