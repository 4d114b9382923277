/* binding.c - see binding.h */
#include "lb/main/binding.h"

#include "lb/base/alloc.h"
#include "lb/base/log.h"
#include "lb/config/conf.h"
#include "lb/net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define BACKLOG 65535 /* the kernel caps it at net.core.somaxconn */

void binding_init(struct binding *b, const struct conf *conf, uint32_t sockets,
                  struct inherit *inherited, pid_t before)
{
    *b =
        (struct binding){.conf = conf, .sockets = sockets, .inherit = *inherited, .before = before};
    *inherited = (struct inherit){0};
}

static void log_lines(enum log_level level, const struct strbuf *lines)
{
    for (struct str rest = strbuf_str(lines), line; (line = str_word(&rest, "\n")).len > 0;)
        log_msg(level, STR_FMT, STR_ARG(line));
}

/* ---- listeners ---- */

/* The first `has` are there; each worker gets one at least. A group (TCP, UDP) is enlarged, where
 * that is allowed: it is one user's. Else, and for unix sockets, descriptors of what is there: each
 * worker closes what it has. */
static int share_out(struct binding_row *row, uint32_t has)
{
    int fds[LIMIT_WORKERS];
    uint32_t more = row->n - has;
    bool group = addr_family(&row->addr) != AF_UNIX;

    sl_assert(has > 0 && more < LIMIT_WORKERS);
    if (group && more > 0 && listener_bind_more(&row->addr, row->dgram, fds, more) == 0) {
        for (uint32_t i = 0; i < more; i++)
            row->fds[has + i] = (struct binding_fd){.fd = fds[i], .quiet = !row->dgram};
        return 0;
    }
    for (uint32_t i = has; i < row->n; i++) {
        row->fds[i].fd = fcntl(row->fds[i % has].fd, F_DUPFD_CLOEXEC, 0);
        if (row->fds[i].fd < 0)
            return -errno;
    }
    return 0;
}

/* The path of a listener's unix socket; NULL: it has none. */
static const char *path_of(const struct addr *addr)
{
    return addr_family(addr) == AF_UNIX && addr->un.sun_path[0] != '\0' ? addr->un.sun_path : NULL;
}

static struct binding_row *new_row(struct binding *b, const struct addr *addr, bool dgram,
                                   uint32_t n)
{
    b->rows = xrealloc(b->rows, (b->n + 1) * sizeof(b->rows[0]));
    struct binding_row *row = &b->rows[b->n++];

    *row = (struct binding_row){.id = ++b->last_id, .addr = *addr, .dgram = dgram, .n = n};
    row->fds = xcalloc(n, sizeof(row->fds[0]));
    for (uint32_t i = 0; i < n; i++)
        row->fds[i].fd = -1;
    return row;
}

static bool takes_place(const struct addr *a, const struct addr *b)
{
    return addr_eq(a, b) || addr_overlaps(a, b);
}

/* Of this process, or the one before it, for as long as the change takes: no configuration has two
 * addresses that overlap. The kernel gives connections to the socket whose address is the narrower
 * one. */
bool binding_is_beside(const struct binding *b, const struct addr *addr, bool dgram)
{
    for (uint32_t i = 0; i < b->n; i++)
        if (b->rows[i].dgram == dgram && takes_place(&b->rows[i].addr, addr))
            return true;
    for (uint32_t i = 0; i < b->inherit.n; i++)
        if (b->inherit.rows[i].dgram == dgram && takes_place(&b->inherit.rows[i].addr, addr))
            return true;
    return !dgram && b->admin.len > 0 && takes_place(&b->admin, addr);
}

static int bind_anew(struct binding *b, const struct addr *addr, bool dgram, const char **out_why)
{
    const struct listener_bind_opts opts = {.sockets = b->sockets,
                                            .backlog = BACKLOG,
                                            .beside = binding_is_beside(b, addr, dgram),
                                            .dgram = dgram};
    int fds[LIMIT_WORKERS];
    int rc = listener_bind(addr, &opts, fds, out_why);

    if (rc < 0)
        return rc;
    struct binding_row *row = new_row(b, addr, dgram, b->sockets);
    bool shared = addr_family(addr) == AF_UNIX;
    for (uint32_t i = 0; i < (shared ? 1 : b->sockets); i++)
        row->fds[i].fd = fds[i];
    if (path_of(addr) != NULL)
        socket_path_note(&row->path, path_of(addr));
    return shared ? share_out(row, 1) : 0;
}

/* All sockets of a group are listened on, also where we have fewer workers: the kernel goes on
 * giving each its part, and what waits in one that is closed is reset. */
static int take_inherited(struct binding *b, struct inherit_row *from, const struct addr *addr)
{
    uint32_t n = from->n > b->sockets ? from->n : b->sockets;
    struct binding_row *row = new_row(b, addr, from->dgram, n);
    uint32_t has = 0;

    row->addr = from->addr; /* for those that join it */
    for (uint32_t i = 0; i < from->n; i++, has++) {
        row->fds[i].fd = from->used ? fcntl(from->fds[i], F_DUPFD_CLOEXEC, 0) : from->fds[i];
        if (row->fds[i].fd < 0)
            return -errno;
        listener_prepare(row->fds[i].fd);
    }
    from->used = true;
    int rc = share_out(row, has);
    row->addr = *addr;
    if (path_of(addr) != NULL && b->before == 0)
        socket_path_note(&row->path, path_of(addr));
    return rc;
}

int binding_add(struct binding *b, const struct listener_conf *l, uint32_t bind,
                struct strbuf *errors)
{
    const struct addr *addr = &l->binds[bind].addr;
    bool dgram = l->mode == MODE_UDP;
    struct inherit_row *from = inherit_find(&b->inherit, addr, dgram, l->name);
    char text[ADDR_TEXT_MAX];
    const char *why = "";
    int rc;

    if (from == NULL) {
        rc = bind_anew(b, addr, dgram, &why);
    } else {
        rc = take_inherited(b, from, addr);
        why = rc < 0 ? strerror(-rc) : "";
        if (!addr_eq(&from->addr, addr))
            log_info("listener %s: %s is served by the socket %s that was passed", l->name,
                     l->bind_texts[bind], addr_format(&from->addr, text));
    }
    if (rc < 0)
        strbuf_addf(errors, "%s:%d: listener \"%s\": cannot listen on %s: %s\n", l->file, l->line,
                    l->name, l->bind_texts[bind], why);
    return rc;
}

int binding_listeners(struct binding *b)
{
    struct strbuf errors = {0};
    int first = 0;

    for (uint32_t i = 0; i < b->conf->n_listeners; i++) {
        for (uint32_t j = 0; j < b->conf->listeners[i].n_binds; j++) {
            int rc =
                binding_add(b, &b->conf->listeners[i], j, &errors); /* all that fail are said */
            if (rc < 0 && first == 0)
                first = rc;
        }
    }
    inherit_forget_used(&b->inherit);
    log_lines(LOG_LEVEL_ERROR, &errors);
    strbuf_fini(&errors);
    return first;
}

static struct binding_row *row_of(const struct binding *b, uint32_t id)
{
    for (uint32_t i = 0; i < b->n; i++)
        if (b->rows[i].id == id)
            return &b->rows[i];
    return NULL;
}

const struct binding_row *binding_find(const struct binding *b, const struct listener_conf *l,
                                       uint32_t bind)
{
    const struct addr *addr = &l->binds[bind].addr;
    bool dgram = l->mode == MODE_UDP;

    for (uint32_t i = 0; i < b->n; i++)
        if (b->rows[i].dgram == dgram && addr_eq(&b->rows[i].addr, addr))
            return &b->rows[i];
    return NULL;
}

uint32_t binding_count(const struct binding *b, uint32_t id)
{
    return row_of(b, id)->n;
}

int binding_take(struct binding *b, uint32_t id, uint32_t i)
{
    struct binding_row *row = row_of(b, id);

    sl_assert(row != NULL && i < row->n && row->fds[i].fd >= 0 && !row->fds[i].taken);
    struct binding_fd *f = &row->fds[i];
    int rc = f->quiet ? listener_listen(f->fd, BACKLOG) : 0;
    if (rc < 0)
        return rc;
    f->quiet = false;
    f->taken = true;
    return f->fd;
}

/* ---- from one process to the next ---- */

void binding_unused(const struct binding *b, struct strbuf *out)
{
    char text[ADDR_TEXT_MAX];

    for (uint32_t i = 0; i < b->inherit.n; i++)
        if (!b->inherit.rows[i].used)
            strbuf_addf(out, "%s%s", out->len > 0 ? ", " : "",
                        addr_format(&b->inherit.rows[i].addr, text));
}

void binding_succeed(struct binding *b)
{
    b->before = 0;
    for (uint32_t i = 0; i < b->n; i++)
        if (b->rows[i].path.ino == 0 && path_of(&b->rows[i].addr) != NULL)
            socket_path_note(&b->rows[i].path, path_of(&b->rows[i].addr));
    for (uint32_t i = 0; i < b->inherit.n; i++) /* of listeners that are no more */
        if (!b->inherit.rows[i].used && path_of(&b->inherit.rows[i].addr) != NULL)
            unlink(path_of(&b->inherit.rows[i].addr));
    inherit_fini(&b->inherit);
}

void binding_step_aside(struct binding *b)
{
    for (uint32_t i = 0; i < b->n; i++)
        b->rows[i].path.ino = 0;
}

/* ---- end ---- */

static void row_fini(struct binding_row *row)
{
    for (uint32_t i = 0; i < row->n; i++)
        if (row->fds[i].fd >= 0 && !row->fds[i].taken)
            close(row->fds[i].fd);
    free(row->fds);
    if (row->path.ino != 0)
        socket_path_remove(&row->path, path_of(&row->addr));
}

void binding_remove(struct binding *b, uint32_t id)
{
    struct binding_row *row = row_of(b, id);

    sl_assert(row != NULL);
    row_fini(row);
    *row = b->rows[--b->n];
}

void binding_fini(struct binding *b)
{
    for (uint32_t i = 0; i < b->n; i++)
        row_fini(&b->rows[i]);
    free(b->rows);
    inherit_fini(&b->inherit);
    *b = (struct binding){0};
}
