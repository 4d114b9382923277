/* listener.c - see listener.h. Runs on the control thread, before the workers; may block shortly
 * (files, a connect to a unix socket never waits). */
#include "lb/net/listener.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DGRAM_BUFFER (4 << 20) /* bytes, of a socket */

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

/* The port 1024 is the usual bound; net.ipv4.ip_unprivileged_port_start may lower it. */
static const char *advice(const struct addr *addr, int error)
{
    bool is_unix = addr_family(addr) == AF_UNIX;
    switch (error) {
    case EADDRINUSE:
        return is_unix ? "another process answers there (is it running already?)"
                       : "another process has this port (`ss -ltnp` shows which)";
    case EACCES:
    case EPERM:
        return is_unix ? "the directory cannot be written by this user"
                       : "ports below 1024 need root, CAP_NET_BIND_SERVICE or a lower "
                         "net.ipv4.ip_unprivileged_port_start";
    case EADDRNOTAVAIL:
        return "this machine has no such address";
    case EAFNOSUPPORT:
        return "the kernel runs without this address family";
    case EMFILE:
    case ENFILE:
        return "too many open files (raise LimitNOFILE or `ulimit -n`)";
    case EEXIST:
        return "there is a file of that name that is no socket";
    case ENOENT:
    case ENOTDIR:
        return is_unix ? "its directory does not exist" : NULL;
    case EROFS:
        return "its directory is on a read-only file system";
    default:
        return NULL;
    }
}

/* Returns error (negative), so that callers can `return explain(...)`. */
static int explain(const struct addr *addr, const char *what, int error, const char **out_error)
{
    static _Thread_local char text[256];
    const char *hint = advice(addr, -error);
    snprintf(text, sizeof(text), "%s: %s%s%s", what, strerrordesc_np(-error),
             hint != NULL ? "; " : "", hint != NULL ? hint : "");
    *out_error = text;
    return error;
}

static int set_int(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

static listener_helper_fn *helper;
static void *helper_ctx;

void listener_set_helper(listener_helper_fn *fn, void *ctx)
{
    helper = fn;
    helper_ctx = ctx;
}

/* ---- TCP and UDP ---- */

/* A bound socket, or -errno. Address reuse is for connections of a former process that linger; it
 * never lets a port be taken from one that listens. */
static int bind_inet(const struct addr *addr, bool dgram, bool group)
{
    int family = addr_family(addr), error = 0;
    int fd = socket(family, (dgram ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    /* Among datagram sockets it would let others have the port too. */
    error = dgram ? 0 : set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (error == 0 && group)
        error = set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (error == 0 && family == AF_INET6)
        error = set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (error == 0 && bind(fd, &addr->sa, addr->len) < 0)
        error = -errno;
    if (error == -EACCES && helper != NULL)
        error = helper(helper_ctx, fd, addr);
    if (error == 0)
        return fd;
    close(fd);
    return error;
}

/* With SO_REUSEPORT a bind succeeds beside another process of the same user, which then gets a
 * part of the connections. Without it, it fails. */
static int probe(const struct addr *addr, bool dgram)
{
    int fd = bind_inet(addr, dgram, false);
    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

/* A client wants its answer from the address that it has asked: that is known of each datagram
 * where the socket has no address of its own. */
static int open_dgram(int fd, const struct addr *addr)
{
    /* Bursts wait here; the kernel caps it. Without, and without joined datagrams, it works. */
    (void)set_int(fd, SOL_SOCKET, SO_RCVBUF, DGRAM_BUFFER);
    (void)set_int(fd, SOL_SOCKET, SO_SNDBUF, DGRAM_BUFFER);
    (void)set_int(fd, IPPROTO_UDP, UDP_GRO, 1);
    if (addr_family(addr) == AF_INET6)
        return IN6_IS_ADDR_UNSPECIFIED(&addr->in6.sin6_addr)
                   ? set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
                   : 0;
    return addr->in.sin_addr.s_addr == htonl(INADDR_ANY) ? set_int(fd, IPPROTO_IP, IP_PKTINFO, 1)
                                                         : 0;
}

void listener_prepare(int fd)
{
    (void)set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1); /* what is sent was gathered already */
}

static int listen_tcp(int fd, const struct listener_bind_opts *opts)
{
    /* Accepted sockets inherit these. A kernel that lacks one is no reason not to serve. */
    listener_prepare(fd);
    if (opts->user_timeout_ms > 0)
        (void)set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)opts->user_timeout_ms);
    if (opts->defer_ack)
        (void)set_int(fd, IPPROTO_TCP, TCP_QUICKACK, 0);
    return listen(fd, opts->backlog) < 0 ? -errno : 0;
}

/* Binds all before any listens: once the first listens, connections may arrive that only it gets.
 */
static int bind_group(const struct addr *addr, const struct listener_bind_opts *opts, int *fds,
                      const char **out_error)
{
    struct addr where = *addr;
    int rc = addr_port(addr) != 0 && !opts->beside ? probe(addr, opts->dgram) : 0;
    if (rc < 0)
        return explain(addr, "bind", rc, out_error);
    for (uint32_t i = 0; i < opts->sockets; i++) {
        fds[i] = bind_inet(&where, opts->dgram, true);
        if (fds[i] < 0)
            return explain(addr, "bind", fds[i], out_error);
        if (i == 0 && addr_port(addr) == 0) { /* the kernel chose: the others go to the same */
            struct sockaddr_storage name;
            socklen_t len = sizeof(name);
            if (getsockname(fds[0], (struct sockaddr *)&name, &len) < 0)
                return explain(addr, "getsockname", -errno, out_error);
            addr_from_sockaddr(&where, (struct sockaddr *)&name, len);
        }
    }
    for (uint32_t i = 0; i < opts->sockets; i++) {
        rc = opts->dgram ? open_dgram(fds[i], addr) : listen_tcp(fds[i], opts);
        if (rc < 0)
            return explain(addr, "listen", rc, out_error);
    }
    return 0;
}

/* ---- unix ---- */

static bool has_path(const struct addr *addr)
{
    return addr_family(addr) == AF_UNIX && addr->len > offsetof(struct sockaddr_un, sun_path) &&
           addr->un.sun_path[0] != '\0';
}

/* Removes a socket that a dead process left. 0: the path is free; -errno: it is not. */
static int clear_path(const struct addr *addr)
{
    struct stat st;
    if (lstat(addr->un.sun_path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int error = connect(fd, &addr->sa, addr->len) < 0 ? errno : 0;
    close(fd);
    if (error == ENOENT)
        return 0;
    if (error != ECONNREFUSED) /* connected, backlog full, of another type, not ours to try */
        return error == EACCES ? -EACCES : -EADDRINUSE;
    return unlink(addr->un.sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

static int bind_unix(const struct addr *addr, const struct listener_bind_opts *opts, int *fds,
                     const char **out_error)
{
    int rc = has_path(addr) ? clear_path(addr) : 0;
    if (rc < 0)
        return explain(addr, "bind", rc, out_error);
    fds[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fds[0] < 0)
        return explain(addr, "socket", -errno, out_error);
    if (bind(fds[0], &addr->sa, addr->len) < 0) {
        rc = -errno;
        close(fds[0]); /* here, lest the caller's clean-up removes a path that is not ours */
        fds[0] = -1;
        return explain(addr, "bind", rc, out_error);
    }
    if (listen(fds[0], opts->backlog) < 0)
        return explain(addr, "listen", -errno, out_error);
    for (uint32_t i = 1; i < opts->sockets; i++)
        fds[i] = fds[0];
    return 0;
}

/* ---- both ---- */

int listener_bind(const struct addr *addr, const struct listener_bind_opts *opts, int *fds,
                  const char **out_error)
{
    int rc;
    sl_assert(opts->sockets > 0);
    for (uint32_t i = 0; i < opts->sockets; i++)
        fds[i] = -1;
    switch (addr_family(addr)) {
    case AF_INET:
    case AF_INET6:
        rc = bind_group(addr, opts, fds, out_error);
        break;
    case AF_UNIX:
        rc = bind_unix(addr, opts, fds, out_error);
        break;
    default:
        rc = explain(addr, "socket", -EAFNOSUPPORT, out_error);
        break;
    }
    if (rc < 0)
        listener_close(addr, fds, opts->sockets);
    return rc;
}

int listener_bind_more(const struct addr *addr, bool dgram, int *fds, uint32_t sockets)
{
    for (uint32_t i = 0; i < sockets; i++) {
        int fd = bind_inet(addr, dgram, true);
        if (fd >= 0 && dgram && open_dgram(fd, addr) < 0) {
            close(fd);
            fd = -EINVAL;
        }
        if (fd >= 0 && !dgram)
            listener_prepare(fd);
        if (fd < 0) {
            while (i-- > 0)
                close(fds[i]);
            return fd;
        }
        fds[i] = fd;
    }
    return 0;
}

int listener_listen(int fd, int backlog)
{
    return listen(fd, backlog) < 0 ? -errno : 0;
}

void listener_close(const struct addr *addr, int *fds, uint32_t sockets)
{
    bool any = false;
    for (uint32_t i = 0; i < sockets; i++) {
        bool shared = i > 0 && addr_family(addr) == AF_UNIX && fds[i] == fds[0];
        if (fds[i] < 0 || shared)
            continue;
        close(fds[i]);
        any = true;
    }
    for (uint32_t i = 0; i < sockets; i++)
        fds[i] = -1;
    if (any && has_path(addr))
        unlink(addr->un.sun_path);
}
