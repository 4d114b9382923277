/* binding.c - see binding.h */
#include "lb/main/binding.h"

#include "lb/base/alloc.h"
#include "lb/base/log.h"
#include "lb/config/conf.h"
#include "lb/net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 65535 /* the kernel caps it at net.core.somaxconn */

void binding_init(struct binding *b, const struct conf *conf, uint32_t sockets,
                  struct inherit *inherited, pid_t before)
{
    *b =
        (struct binding){.conf = conf, .sockets = sockets, .inherit = *inherited, .before = before};
    *inherited = (struct inherit){0};
    b->stats = xcalloc(conf->n_stats + 1, sizeof(b->stats[0]));
    for (uint32_t i = 0; i < conf->n_stats; i++)
        b->stats[i].fd = -1;
}

/* ---- paths ---- */

static bool note_path(struct binding_path *p, const char *path)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return false;
    *p = (struct binding_path){st.st_dev, st.st_ino};
    return true;
}

static void remove_path(const struct binding_path *p, const char *path)
{
    struct stat st;

    if (p->ino != 0 && lstat(path, &st) == 0 && st.st_dev == p->dev && st.st_ino == p->ino)
        unlink(path);
}

static void log_lines(enum log_level level, const struct strbuf *lines)
{
    for (struct str rest = strbuf_str(lines), line; (line = str_word(&rest, "\n")).len > 0;)
        log_msg(level, STR_FMT, STR_ARG(line));
}

/* ---- stats sockets ---- */

static int fail(const struct stats_conf *s, const char *what)
{
    int err = errno;

    log_error("stats socket %s: %s: %s", s->socket, what, strerror(err));
    return -err;
}

static bool is_peer(int fd, pid_t pid)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    return pid != 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid == pid;
}

/* Whether somebody serves this path already; what is no socket is never replaced. */
static int check_free(const struct binding *b, const struct stats_conf *s,
                      const struct sockaddr_un *addr)
{
    struct stat st;

    if (lstat(s->socket, &st) < 0)
        return errno == ENOENT ? 0 : fail(s, "cannot be looked at");
    if (!S_ISSOCK(st.st_mode)) {
        log_error("stats socket %s: there is a file of that name that is no socket", s->socket);
        return -EEXIST;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail(s, "socket");
    int rc = connect(fd, (const struct sockaddr *)addr, sizeof(*addr));
    int err = errno;
    bool expected = rc == 0 && is_peer(fd, b->before);
    close(fd);
    if (expected || (rc < 0 && err != EAGAIN)) /* EAGAIN: its backlog is full: somebody is there */
        return 0;
    log_error("stats socket %s: another process answers there (is sluice running already?)",
              s->socket);
    return -EADDRINUSE;
}

static int own(const struct stats_conf *s, const char *path, const struct privileges *owner)
{
    struct privileges p;
    char error[PRIVILEGES_ERROR_MAX];

    if (privileges_find(s->user, s->group, &p, error) < 0) {
        log_error("stats socket %s: %s", s->socket, error);
        return -EINVAL;
    }
    uid_t uid = p.uid != (uid_t)-1 ? p.uid : owner->uid;
    gid_t gid = p.gid != (gid_t)-1 ? p.gid : owner->gid;
    bool asked = s->user != NULL || s->group != NULL;
    if (uid == (uid_t)-1 && gid == (gid_t)-1)
        return 0;
    if (!asked && geteuid() != 0) /* the process stays who it is */
        return 0;
    if (chown(path, uid, gid) < 0)
        return fail(s, "its owner cannot be set");
    return 0;
}

static int dress(struct binding_stats *row, const struct stats_conf *s, const char *path,
                 const struct privileges *owner)
{
    struct stat st;
    int rc;

    if (chmod(path, (mode_t)s->mode) < 0)
        return fail(s, "its mode cannot be set");
    rc = own(s, path, owner);
    if (rc < 0)
        return rc;
    if (listen(row->fd, 64) < 0)
        return fail(s, "listen");
    if (!note_path(&row->path, path) || lstat(path, &st) < 0)
        return fail(s, "cannot be looked at");
    row->rule = (struct peer_rule){st.st_uid, st.st_gid, st.st_mode};
    return 0;
}

/* Under its own name at last. */
static int name_stats(struct binding_stats *row, const struct stats_conf *s)
{
    if (row->temp == NULL)
        return 0;
    int rc = rename(row->temp, s->socket) < 0 ? fail(s, "cannot be put in its place") : 0;
    if (rc == 0) {
        free(row->temp);
        row->temp = NULL;
    }
    return rc;
}

/* Made under another name, dressed, then renamed: nobody ever sees it half done. */
static int bind_stats(const struct binding *b, struct binding_stats *row,
                      const struct stats_conf *s, const struct privileges *owner)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX}, temp = {.sun_family = AF_UNIX};

    if (strlen(s->socket) >= sizeof(addr.sun_path)) {
        log_error("stats socket %s: the path is longer than %zu bytes", s->socket,
                  sizeof(addr.sun_path) - 1);
        return -ENAMETOOLONG;
    }
    strcpy(addr.sun_path, s->socket);
    int n = snprintf(temp.sun_path, sizeof(temp.sun_path), "%s.%d", s->socket, (int)getpid());
    if (n < 0 || (size_t)n >= sizeof(temp.sun_path)) {
        log_error("stats socket %s: the path is too long by %zu bytes", s->socket,
                  (size_t)n - sizeof(temp.sun_path) + 1);
        return -ENAMETOOLONG;
    }
    int rc = check_free(b, s, &addr);
    if (rc < 0)
        return rc;
    row->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (row->fd < 0)
        return fail(s, "socket");
    mode_t mask = umask(0177);
    unlink(temp.sun_path); /* of a dead process that had our number */
    rc = bind(row->fd, (struct sockaddr *)&temp, sizeof(temp)) < 0 ? fail(s, "bind") : 0;
    umask(mask);
    if (rc < 0)
        return rc;
    row->temp = xstrdup(temp.sun_path);
    rc = dress(row, s, temp.sun_path, owner);
    return rc == 0 && b->before == 0 ? name_stats(row, s) : rc;
}

int binding_stats(struct binding *b, const struct privileges *owner)
{
    for (uint32_t i = 0; i < b->conf->n_stats; i++) {
        int rc = bind_stats(b, &b->stats[i], &b->conf->stats[i], owner);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int binding_take_stats(struct binding *b, uint32_t i)
{
    int fd = b->stats[i].fd;

    b->stats[i].fd = -1;
    return fd;
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

/* Of this process, or the one before it, for as long as the change takes: no configuration has two
 * addresses that overlap. The kernel gives connections to the socket whose address is the narrower
 * one. */
static bool is_beside(const struct binding *b, const struct addr *addr, bool dgram)
{
    for (uint32_t i = 0; i < b->n; i++)
        if (b->rows[i].dgram == dgram && addr_overlaps(&b->rows[i].addr, addr))
            return true;
    for (uint32_t i = 0; i < b->inherit.n; i++)
        if (b->inherit.rows[i].dgram == dgram && addr_overlaps(&b->inherit.rows[i].addr, addr))
            return true;
    return false;
}

static int bind_anew(struct binding *b, const struct addr *addr, bool dgram, const char **out_why)
{
    const struct listener_bind_opts opts = {.sockets = b->sockets,
                                            .backlog = BACKLOG,
                                            .beside = is_beside(b, addr, dgram),
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
        note_path(&row->path, path_of(addr));
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
        note_path(&row->path, path_of(addr));
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

/* The folder must be writable by who we are when the process before us leaves. */
static int check_folder(const struct stats_conf *s)
{
    char folder[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    char *slash;

    snprintf(folder, sizeof(folder), "%s", s->socket);
    slash = strrchr(folder, '/');
    if (slash == NULL)
        return 0;
    slash[slash == folder] = '\0';
    if (faccessat(AT_FDCWD, folder, W_OK, AT_EACCESS) == 0)
        return 0;
    return fail(s, "it cannot be replaced while the process before runs: its folder");
}

int binding_check_succession(const struct binding *b)
{
    int rc = 0;

    for (uint32_t i = 0; i < b->conf->n_stats && b->before != 0 && rc == 0; i++)
        rc = check_folder(&b->conf->stats[i]);
    return rc;
}

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
    for (uint32_t i = 0; i < b->conf->n_stats; i++)
        if (name_stats(&b->stats[i], &b->conf->stats[i]) < 0)
            log_error("stats socket %s: it answers at %s", b->conf->stats[i].socket,
                      b->stats[i].temp);
    for (uint32_t i = 0; i < b->n; i++)
        if (b->rows[i].path.ino == 0 && path_of(&b->rows[i].addr) != NULL)
            note_path(&b->rows[i].path, path_of(&b->rows[i].addr));
    for (uint32_t i = 0; i < b->inherit.n; i++) /* of listeners that are no more */
        if (!b->inherit.rows[i].used && path_of(&b->inherit.rows[i].addr) != NULL)
            unlink(path_of(&b->inherit.rows[i].addr));
    inherit_fini(&b->inherit);
}

void binding_step_aside(struct binding *b)
{
    for (uint32_t i = 0; i < b->conf->n_stats; i++) {
        struct binding_stats *row = &b->stats[i];
        char *aside = xasprintf("%s.%d", b->conf->stats[i].socket, (int)getpid());
        if (link(b->conf->stats[i].socket, aside) == 0) {
            log_info("stats socket %s: this process answers at %s from now on",
                     b->conf->stats[i].socket, aside);
            row->aside = aside;
        } else {
            free(aside); /* its clients stay; nobody new finds it */
        }
    }
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
        remove_path(&row->path, path_of(&row->addr));
}

void binding_remove(struct binding *b, uint32_t id)
{
    struct binding_row *row = row_of(b, id);

    sl_assert(row != NULL);
    row_fini(row);
    *row = b->rows[--b->n];
}

static void stats_fini(struct binding_stats *row, const struct stats_conf *s)
{
    if (row->fd >= 0)
        close(row->fd);
    remove_path(&row->path, s->socket);
    if (row->temp != NULL)
        unlink(row->temp);
    if (row->aside != NULL)
        remove_path(&row->path, row->aside);
    free(row->temp);
    free(row->aside);
}

void binding_fini(struct binding *b)
{
    for (uint32_t i = 0; i < b->n; i++)
        row_fini(&b->rows[i]);
    free(b->rows);
    for (uint32_t i = 0; b->stats != NULL && i < b->conf->n_stats; i++)
        stats_fini(&b->stats[i], &b->conf->stats[i]);
    free(b->stats);
    inherit_fini(&b->inherit);
    *b = (struct binding){0};
}
