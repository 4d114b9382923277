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

void binding_init(struct binding *b, const struct conf *conf, uint32_t sockets)
{
    *b = (struct binding){.conf = conf, .sockets = sockets};
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
    for (struct str rest = strbuf_str(lines), line; rest.len > 0;) {
        line = str_word(&rest, "\n");
        log_msg(level, STR_FMT, STR_ARG(line));
    }
}

/* ---- stats sockets ---- */

static int fail(const struct stats_conf *s, const char *what)
{
    int err = errno;

    log_error("stats socket %s: %s: %s", s->socket, what, strerror(err));
    return -err;
}

/* Whether somebody serves this path already; what is no socket is never replaced. */
static int check_free(const struct stats_conf *s, const struct sockaddr_un *addr)
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
    close(fd);
    if (rc < 0 && err != EAGAIN) /* EAGAIN: its backlog is full, so somebody is there */
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
    int rc;

    if (chmod(path, (mode_t)s->mode) < 0)
        return fail(s, "its mode cannot be set");
    rc = own(s, path, owner);
    if (rc < 0)
        return rc;
    if (listen(row->fd, 64) < 0)
        return fail(s, "listen");
    if (!note_path(&row->path, path) || rename(path, s->socket) < 0)
        return fail(s, "cannot be put in its place");
    return 0;
}

/* Made under another name, dressed, then renamed: nobody ever sees it half done. */
static int bind_stats(struct binding_stats *row, const struct stats_conf *s,
                      const struct privileges *owner)
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
    int rc = check_free(s, &addr);
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
    rc = dress(row, s, temp.sun_path, owner);
    if (rc < 0) {
        row->path.ino = 0;
        unlink(temp.sun_path);
    }
    return rc;
}

int binding_stats(struct binding *b, const struct privileges *owner)
{
    for (uint32_t i = 0; i < b->conf->n_stats; i++) {
        int rc = bind_stats(&b->stats[i], &b->conf->stats[i], owner);
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

/* A unix socket is one for all; each worker gets a descriptor of its own for it, so that each may
 * close what it has. */
static int share_out(const struct binding *b, int *fds)
{
    int rc = 0;

    for (uint32_t i = 1; i < b->sockets && (fds[i] == fds[0] || rc < 0); i++) {
        fds[i] = rc == 0 ? fcntl(fds[0], F_DUPFD_CLOEXEC, 0) : -1;
        if (fds[i] < 0 && rc == 0)
            rc = -errno;
    }
    return rc;
}

/* The path of a listener's unix socket; NULL: it has none. */
static const char *path_of(const struct addr *addr)
{
    return addr_family(addr) == AF_UNIX && addr->un.sun_path[0] != '\0' ? addr->un.sun_path : NULL;
}

int binding_add(struct binding *b, const struct listener_conf *l, uint32_t bind,
                struct strbuf *errors)
{
    const struct listener_bind_opts opts = {.sockets = b->sockets, .backlog = BACKLOG};
    const struct addr *addr = &l->binds[bind].addr;
    const char *why = "";
    int *fds = xcalloc(b->sockets, sizeof(fds[0]));

    for (uint32_t i = 0; i < b->sockets; i++)
        fds[i] = -1;
    int rc = listener_bind(addr, &opts, fds, &why);
    if (rc < 0) {
        strbuf_addf(errors, "%s:%d: listener \"%s\": cannot listen on %s: %s\n", l->file, l->line,
                    l->name, l->bind_texts[bind], why);
        free(fds);
        return rc;
    }
    b->rows = xrealloc(b->rows, (b->n + 1) * sizeof(b->rows[0]));
    struct binding_row *row = &b->rows[b->n++];
    *row = (struct binding_row){.id = ++b->last_id, .addr = *addr, .fds = fds};
    if (path_of(addr) != NULL)
        note_path(&row->path, path_of(addr));
    rc = share_out(b, fds);
    if (rc < 0)
        strbuf_addf(errors, "listener \"%s\": %s\n", l->name, strerror(-rc));
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

const struct binding_row *binding_find(const struct binding *b, const struct addr *addr)
{
    for (uint32_t i = 0; i < b->n; i++)
        if (addr_eq(&b->rows[i].addr, addr))
            return &b->rows[i];
    return NULL;
}

int binding_take(struct binding *b, uint32_t id, uint32_t worker)
{
    struct binding_row *row = row_of(b, id);

    sl_assert(row != NULL && row->fds[worker] >= 0);
    int fd = row->fds[worker];
    row->fds[worker] = -1;
    return fd;
}

/* ---- end ---- */

static void row_fini(const struct binding *b, struct binding_row *row)
{
    for (uint32_t w = 0; w < b->sockets; w++)
        if (row->fds[w] >= 0)
            close(row->fds[w]);
    free(row->fds);
    if (row->path.ino != 0)
        remove_path(&row->path, path_of(&row->addr));
}

void binding_remove(struct binding *b, uint32_t id)
{
    struct binding_row *row = row_of(b, id);

    sl_assert(row != NULL);
    row_fini(b, row);
    *row = b->rows[--b->n];
}

void binding_fini(struct binding *b)
{
    for (uint32_t i = 0; i < b->n; i++)
        row_fini(b, &b->rows[i]);
    free(b->rows);
    for (uint32_t i = 0; b->stats != NULL && i < b->conf->n_stats; i++) {
        if (b->stats[i].fd >= 0)
            close(b->stats[i].fd);
        remove_path(&b->stats[i].path, b->conf->stats[i].socket);
    }
    free(b->stats);
    *b = (struct binding){0};
}
