/* inherit.c - see inherit.h. sd_listen_fds(3)'s protocol, without its library. */
#include "lb/main/inherit.h"

#include "lb/base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */
#define FDS_MAX  (LIMIT_WORKERS * LIMIT_LISTENERS)

static int get_int(int fd, int level, int name, int *out)
{
    socklen_t len = sizeof(*out);

    return getsockopt(fd, level, name, out, &len) < 0 ? -errno : 0;
}

static const char *check(int fd, struct addr *out_addr, bool *out_dgram)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    int type, listens;

    if (get_int(fd, SOL_SOCKET, SO_TYPE, &type) < 0)
        return "it is no socket";
    *out_dgram = type == SOCK_DGRAM;
    if (type != SOCK_DGRAM &&
        (type != SOCK_STREAM || get_int(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens) < 0 || !listens))
        return "it does not listen for streams";
    if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
        return "its address cannot be found out";
    addr_from_sockaddr(out_addr, (struct sockaddr *)&ss, len);
    switch (addr_family(out_addr)) {
    case AF_INET:
    case AF_INET6:
        return NULL;
    case AF_UNIX:
        return *out_dgram ? "it is a unix socket for datagrams" : NULL;
    default:
        return "its family is none of inet, inet6 and unix";
    }
}

static struct inherit_row *row_of(struct inherit *in, const struct addr *addr, bool dgram)
{
    for (uint32_t i = 0; i < in->n; i++)
        if (in->rows[i].dgram == dgram && addr_eq(&in->rows[i].addr, addr))
            return &in->rows[i];
    return NULL;
}

int inherit_add(struct inherit *in, int fd, const char *name, const char **out_error)
{
    struct addr addr;
    int only_v6 = 1, flags = fcntl(fd, F_GETFL);
    bool dgram = false;
    const char *why = check(fd, &addr, &dgram);

    if (why != NULL || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        *out_error = why != NULL ? why : "it cannot be set up";
        close(fd);
        return -EINVAL;
    }
    struct inherit_row *row = row_of(in, &addr, dgram);
    if (row == NULL) {
        in->rows = xrealloc(in->rows, (in->n + 1) * sizeof(in->rows[0]));
        row = &in->rows[in->n++];
        *row = (struct inherit_row){.addr = addr, .dgram = dgram};
        snprintf(row->name, sizeof(row->name), "%s", name);
        if (addr_family(&addr) == AF_INET6)
            row->dual_stack = get_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6) == 0 && !only_v6;
    }
    row->fds = xrealloc(row->fds, (row->n + 1) * sizeof(row->fds[0]));
    row->fds[row->n++] = fd;
    return 0;
}

/* What is ours by the variables: their number, 0 when they are for another process or senseless. */
static uint32_t count(void)
{
    const char *fds = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
    uint64_t n, whose;

    if (fds == NULL || str_u64(str_of(fds), FDS_MAX, &n) < 0)
        return 0;
    if (pid == NULL || str_u64(str_of(pid), INT32_MAX, &whose) < 0 || whose != (uint64_t)getpid())
        return 0;
    return (uint32_t)n;
}

void inherit_from_systemd(struct inherit *in, struct strbuf *errors)
{
    const char *text = getenv("LISTEN_FDNAMES");
    struct str names = str_of(text != NULL ? text : "");
    char name[LIMIT_NAME_LEN + 1];
    const char *why;
    uint32_t n = count();

    for (uint32_t i = 0; i < n; i++) {
        struct str word = str_word(&names, ":");
        int len = word.len < sizeof(name) ? (int)word.len : 0;
        snprintf(name, sizeof(name), "%.*s", len, len > 0 ? word.p : "");
        if (inherit_add(in, FIRST_FD + (int)i, name, &why) < 0)
            strbuf_addf(errors, "the passed descriptor %u (%s) is of no use: %s\n", FIRST_FD + i,
                        name[0] != '\0' ? name : "without a name", why);
    }
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDNAMES");
}

/* [::]:80 of systemd takes IPv4 too, and nobody else can have 0.0.0.0:80 then. */
static bool covers(const struct inherit_row *row, const struct addr *addr, bool dgram)
{
    static const struct in6_addr any6 = IN6ADDR_ANY_INIT;

    return row->dual_stack && row->dgram == dgram && addr_family(addr) == AF_INET &&
           addr->in.sin_addr.s_addr == htonl(INADDR_ANY) &&
           memcmp(&row->addr.in6.sin6_addr, &any6, sizeof(any6)) == 0 &&
           addr_port(addr) == addr_port(&row->addr);
}

struct inherit_row *inherit_find(struct inherit *in, const struct addr *addr, bool dgram,
                                 const char *name)
{
    struct inherit_row *row = row_of(in, addr, dgram);

    for (uint32_t i = 0; row == NULL && i < in->n; i++)
        if (covers(&in->rows[i], addr, dgram))
            row = &in->rows[i];
    for (uint32_t i = 0; row == NULL && i < in->n; i++)
        if (!in->rows[i].used && in->rows[i].dgram == dgram && strcmp(in->rows[i].name, name) == 0)
            row = &in->rows[i];
    return row;
}

void inherit_forget_used(struct inherit *in)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < in->n; i++) {
        if (in->rows[i].used)
            free(in->rows[i].fds);
        else
            in->rows[n++] = in->rows[i];
    }
    in->n = n;
}

void inherit_fini(struct inherit *in)
{
    for (uint32_t i = 0; i < in->n; i++) {
        for (uint32_t k = 0; !in->rows[i].used && k < in->rows[i].n; k++)
            close(in->rows[i].fds[k]);
        free(in->rows[i].fds);
    }
    free(in->rows);
    *in = (struct inherit){0};
}
