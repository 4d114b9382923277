/* dgram.c - datagrams by recvmmsg and sendmmsg, the same for both engines of the kernel: one call
 * moves a batch, which was no dearer than completions of the ring and needs no buffers meanwhile.
 * Where the kernel joins datagrams of one size (UDP_GRO) or splits them (UDP_SEGMENT), one of a
 * batch may be many on the wire. */
#include "lb/base/assert.h"
#include "lb/io/io_priv.h"

#include <errno.h>
#include <netinet/udp.h>
#include <string.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

/* A segment size and a local address. */
union control {
    struct cmsghdr align;
    uint8_t room[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

/* ---- receive ---- */

static void read_control(struct io_dgram *d, struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
            int size;
            memcpy(&size, CMSG_DATA(c), sizeof(size));
            d->segment = size > 0 && (uint32_t)size < d->len ? (uint16_t)size : 0;
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            d->local.len = sizeof(d->local.in);
            d->local.in =
                (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = info.ipi_spec_dst};
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            d->local.len = sizeof(d->local.in6);
            d->local.in6 =
                (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = info.ipi6_addr};
            if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
                d->local.in6.sin6_scope_id = info.ipi6_ifindex;
        }
    }
}

static int recv_kernel(int fd, struct io_dgram *d, int n, uint32_t room, bool from)
{
    struct mmsghdr m[IO_DGRAMS_MAX];
    struct iovec iov[IO_DGRAMS_MAX];
    union control control[IO_DGRAMS_MAX];
    int got;

    for (int i = 0; i < n; i++) {
        iov[i] = (struct iovec){d[i].data, room};
        m[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i],
                                       .msg_iovlen = 1,
                                       .msg_control = &control[i],
                                       .msg_controllen = sizeof(control[i])};
        if (from) {
            m[i].msg_hdr.msg_name = &d[i].peer.sa;
            m[i].msg_hdr.msg_namelen = sizeof(d[i].peer.in6);
        }
    }
    do {
        got = n == 1 ? (int)recvmsg(fd, &m[0].msg_hdr, MSG_DONTWAIT)
                     : recvmmsg(fd, m, (unsigned)n, MSG_DONTWAIT, NULL);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    if (n == 1) {
        m[0].msg_len = (unsigned)got;
        got = 1;
    }
    for (int i = 0; i < got; i++) {
        d[i].len = m[i].msg_len;
        d[i].segment = 0;
        d[i].cut = (m[i].msg_hdr.msg_flags & MSG_TRUNC) != 0;
        d[i].peer.len = from ? m[i].msg_hdr.msg_namelen : 0;
        d[i].local.len = 0;
        if (m[i].msg_hdr.msg_controllen > 0)
            read_control(&d[i], &m[i].msg_hdr);
    }
    return got;
}

int io_dgrams_recv(struct io *io, int fd, struct io_dgram *d, int n, uint32_t room, bool from)
{
    sl_assert(n > 0 && n <= IO_DGRAMS_MAX);
    counter_add(&io->stats.syscalls, 1);
    int got = io->engine->dgrams_recv != NULL ? io->engine->dgrams_recv(io, fd, d, n, room, from)
                                              : recv_kernel(fd, d, n, room, from);
    if (got > 0)
        counter_add(&io->stats.dgrams_in, (uint64_t)got);
    return got;
}

/* ---- send ---- */

static struct cmsghdr *add_control(struct msghdr *m, union control *room, int level, int type,
                                   const void *data, size_t len)
{
    struct cmsghdr *c = (struct cmsghdr *)(void *)(room->room + m->msg_controllen);

    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(c), data, len);
    m->msg_control = room;
    m->msg_controllen += CMSG_SPACE(len);
    return c;
}

static void write_control(const struct io_dgram *d, struct msghdr *m, union control *room)
{
    if (d->segment > 0)
        add_control(m, room, IPPROTO_UDP, UDP_SEGMENT, &d->segment, sizeof(d->segment));
    if (d->local.len == 0 || m->msg_name == NULL)
        return;
    if (d->local.sa.sa_family == AF_INET) {
        const struct in_pktinfo info = {.ipi_spec_dst = d->local.in.sin_addr};
        add_control(m, room, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
    } else {
        const struct in6_pktinfo info = {.ipi6_addr = d->local.in6.sin6_addr,
                                         .ipi6_ifindex = d->local.in6.sin6_scope_id};
        add_control(m, room, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
    }
}

static int send_kernel(int fd, const struct io_dgram *d, int n, bool to)
{
    struct mmsghdr m[IO_DGRAMS_MAX];
    struct iovec iov[IO_DGRAMS_MAX];
    union control control[IO_DGRAMS_MAX];
    int sent;

    for (int i = 0; i < n; i++) {
        struct msghdr *h = &m[i].msg_hdr;
        iov[i] = (struct iovec){d[i].data, d[i].len};
        *h = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
        if (to) {
            h->msg_name = (void *)(uintptr_t)&d[i].peer.sa;
            h->msg_namelen = d[i].peer.len;
        }
        write_control(&d[i], h, &control[i]);
    }
    do {
        sent = n == 1 ? (int)sendmsg(fd, &m[0].msg_hdr, MSG_DONTWAIT | MSG_NOSIGNAL)
                      : sendmmsg(fd, m, (unsigned)n, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return -errno;
    return n == 1 ? 1 : sent;
}

int io_dgrams_send(struct io *io, int fd, const struct io_dgram *d, int n, bool to)
{
    sl_assert(n > 0 && n <= IO_DGRAMS_MAX);
    counter_add(&io->stats.syscalls, 1);
    int sent = io->engine->dgrams_send != NULL ? io->engine->dgrams_send(io, fd, d, n, to)
                                               : send_kernel(fd, d, n, to);
    if (sent > 0)
        counter_add(&io->stats.dgrams_out, (uint64_t)sent);
    return sent;
}

/* ---- sockets ---- */

static int connect_kernel(const struct sockaddr *addr, socklen_t len)
{
    const int one = 1;
    int fd = socket(addr->sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (connect(fd, addr, len) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    (void)setsockopt(fd, IPPROTO_UDP, UDP_GRO, &one, sizeof(one)); /* without, it works too */
    return fd;
}

int io_dgram_connect(struct io *io, const struct sockaddr *addr, socklen_t len)
{
    counter_add(&io->stats.syscalls, 2);
    return io->engine->dgram_connect != NULL ? io->engine->dgram_connect(io, addr, len)
                                             : connect_kernel(addr, len);
}
