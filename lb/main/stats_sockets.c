/* stats_sockets.c - see stats_sockets.h */
#include "lb/main/stats_sockets.h"

#include "lb/admin/control.h"
#include "lb/admin/peer.h"
#include "lb/base/alloc.h"
#include "lb/base/log.h"
#include "lb/config/conf.h"
#include "lb/main/levels.h"
#include "lb/main/privileges.h"
#include "lb/main/socket_path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 64

struct stats_socket {
    struct stats_conf conf; /* its texts are copies: configurations come and go */
    int fd;                 /* -1 once control has it */
    struct socket_path path;
    struct peer_rule rule;
    char *temp;   /* a name that is to go: its own until it has the right one, else NULL */
    bool swapped; /* what had its name before is at `temp` now */
    char *aside;  /* its second name, where another process has taken our place, else NULL */
    struct control_socket *served;
};

static char *copy(const char *text)
{
    return text != NULL ? xstrdup(text) : NULL;
}

static struct stats_socket *row_new(const struct stats_conf *conf)
{
    struct stats_socket *row = xcalloc(1, sizeof(*row));

    row->conf = *conf;
    row->conf.socket = xstrdup(conf->socket);
    row->conf.user = copy(conf->user);
    row->conf.group = copy(conf->group);
    row->fd = -1;
    return row;
}

static void row_free(struct stats_socket **r)
{
    struct stats_socket *row = *r;

    if (row->fd >= 0)
        close(row->fd);
    socket_path_remove(&row->path, row->conf.socket);
    if (row->temp != NULL)
        unlink(row->temp);
    if (row->aside != NULL)
        socket_path_remove(&row->path, row->aside);
    free(row->temp);
    free(row->aside);
    free(row->conf.socket);
    free(row->conf.user);
    free(row->conf.group);
    free(row);
    *r = NULL;
}

static int fail(const struct stats_conf *s, const char *what, struct strbuf *errors)
{
    int err = errno;

    strbuf_addf(errors, "stats socket %s: %s: %s\n", s->socket, what, strerror(err));
    return -err;
}

static void log_lines(const struct strbuf *lines)
{
    for (struct str rest = strbuf_str(lines), line; (line = str_word(&rest, "\n")).len > 0;)
        log_error(STR_FMT, STR_ARG(line));
}

/* ---- one ---- */

static bool is_peer(int fd, pid_t pid)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    return pid != 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid == pid;
}

/* Whether the one of this name is ours, so that it may be replaced. */
static bool is_ours(const struct stats_sockets *s, const char *path)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (strcmp(s->rows[i]->conf.socket, path) == 0 &&
            socket_path_is_ours(&s->rows[i]->path, path))
            return true;
    return false;
}

/* Whether somebody serves this path already; what is no socket is never replaced. */
static int check_free(const struct stats_sockets *all, const struct stats_conf *s,
                      const struct sockaddr_un *addr, struct strbuf *errors)
{
    struct stat st;

    if (lstat(s->socket, &st) < 0)
        return errno == ENOENT ? 0 : fail(s, "cannot be looked at", errors);
    if (!S_ISSOCK(st.st_mode)) {
        strbuf_addf(errors, "stats socket %s: there is a file of that name that is no socket\n",
                    s->socket);
        return -EEXIST;
    }
    if (is_ours(all, s->socket))
        return 0;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail(s, "socket", errors);
    int rc = connect(fd, (const struct sockaddr *)addr, sizeof(*addr));
    int err = errno;
    bool expected = rc == 0 && is_peer(fd, all->before);
    close(fd);
    if (expected || (rc < 0 && err != EAGAIN)) /* EAGAIN: its backlog is full: somebody is there */
        return 0;
    strbuf_addf(errors,
                "stats socket %s: another process answers there (is sluice running already?)\n",
                s->socket);
    return -EADDRINUSE;
}

static int own(const struct stats_conf *s, const char *path, const struct privileges *owner,
               struct strbuf *errors)
{
    struct privileges p;
    struct stat st;
    char error[PRIVILEGES_ERROR_MAX];

    if (privileges_find(s->user, s->group, &p, error) < 0) {
        strbuf_addf(errors, "stats socket %s: %s\n", s->socket, error);
        return -EINVAL;
    }
    uid_t uid = p.uid != (uid_t)-1 ? p.uid : owner->uid;
    gid_t gid = p.gid != (gid_t)-1 ? p.gid : owner->gid;
    bool asked = s->user != NULL || s->group != NULL;
    if (!asked && geteuid() != 0) /* the process stays who it is */
        return 0;
    if (lstat(path, &st) < 0)
        return fail(s, "cannot be looked at", errors);
    if ((uid == (uid_t)-1 || uid == st.st_uid) && (gid == (gid_t)-1 || gid == st.st_gid))
        return 0;
    if (chown(path, uid, gid) < 0)
        return fail(s, "its owner cannot be set", errors);
    return 0;
}

/* Nobody can connect before it listens, whatever its mode is. */
static int dress(struct stats_socket *row, const char *path, const struct privileges *owner,
                 struct strbuf *errors)
{
    const struct stats_conf *s = &row->conf;
    struct stat st;
    int rc;

    if (chmod(path, (mode_t)s->mode) < 0)
        return fail(s, "its mode cannot be set", errors);
    rc = own(s, path, owner, errors);
    if (rc < 0)
        return rc;
    if (listen(row->fd, BACKLOG) < 0)
        return fail(s, "listen", errors);
    if (!socket_path_note(&row->path, path) || lstat(path, &st) < 0)
        return fail(s, "cannot be looked at", errors);
    row->rule = (struct peer_rule){st.st_uid, st.st_gid, st.st_mode};
    return 0;
}

/* Made under another name and dressed: nobody ever sees it half done. */
static int bind_row(const struct stats_sockets *all, struct stats_socket *row,
                    const struct privileges *owner, struct strbuf *errors)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX}, temp = {.sun_family = AF_UNIX};
    const struct stats_conf *s = &row->conf;

    if (strlen(s->socket) >= sizeof(addr.sun_path)) {
        strbuf_addf(errors, "stats socket %s: the path is longer than %zu bytes\n", s->socket,
                    sizeof(addr.sun_path) - 1);
        return -ENAMETOOLONG;
    }
    strcpy(addr.sun_path, s->socket);
    int n = snprintf(temp.sun_path, sizeof(temp.sun_path), "%s.%d", s->socket, (int)getpid());
    if (n < 0 || (size_t)n >= sizeof(temp.sun_path)) {
        strbuf_addf(errors, "stats socket %s: the path is too long by %zu bytes\n", s->socket,
                    (size_t)n - sizeof(temp.sun_path) + 1);
        return -ENAMETOOLONG;
    }
    int rc = check_free(all, s, &addr, errors);
    if (rc < 0)
        return rc;
    row->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (row->fd < 0)
        return fail(s, "socket", errors);
    unlink(temp.sun_path); /* of a dead process that had our number */
    if (bind(row->fd, (struct sockaddr *)&temp, sizeof(temp)) < 0)
        return fail(s, "bind", errors);
    row->temp = xstrdup(temp.sun_path);
    return dress(row, temp.sun_path, owner, errors);
}

/* Under its own name at last. */
static int name_row(struct stats_socket *row, struct strbuf *errors)
{
    if (row->temp == NULL)
        return 0;
    if (rename(row->temp, row->conf.socket) < 0)
        return fail(&row->conf, "cannot be put in its place", errors);
    free(row->temp);
    row->temp = NULL;
    return 0;
}

/* The same, and what was there keeps a name until the reload is sure. Where the file system cannot
 * exchange names, one that is refused afterwards leaves the old socket without. */
static int swap_row(struct stats_socket *row, struct strbuf *errors)
{
    row->swapped = renameat2(AT_FDCWD, row->temp, AT_FDCWD, row->conf.socket, RENAME_EXCHANGE) == 0;
    return row->swapped ? 0 : name_row(row, errors);
}

/* ---- the start ---- */

int stats_sockets_bind(struct stats_sockets *s, const struct conf *conf, pid_t before,
                       const struct privileges *owner)
{
    struct strbuf errors = {0};
    int rc = 0;

    *s = (struct stats_sockets){.before = before};
    s->rows = xcalloc(conf->n_stats + 1, sizeof(s->rows[0]));
    for (uint32_t i = 0; i < conf->n_stats && rc == 0; i++) {
        struct stats_socket *row = s->rows[s->n++] = row_new(&conf->stats[i]);
        rc = bind_row(s, row, owner, &errors);
        if (rc == 0 && before == 0)
            rc = name_row(row, &errors);
    }
    log_lines(&errors);
    strbuf_fini(&errors);
    return rc;
}

static void serve(struct stats_socket *row, struct control *control)
{
    row->served = control_listen(control, row->fd, row->conf.socket,
                                 control_level_of(row->conf.level), &row->rule);
    row->fd = -1;
}

void stats_sockets_serve(struct stats_sockets *s, struct control *control)
{
    for (uint32_t i = 0; i < s->n; i++)
        serve(s->rows[i], control);
}

/* ---- a reload ---- */

static bool same_text(const char *a, const char *b)
{
    return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

/* The one that can stay; its level may be another. NULL: none. */
static struct stats_socket *find_same(const struct stats_sockets *s, const struct stats_conf *conf)
{
    for (uint32_t i = 0; i < s->n; i++) {
        const struct stats_conf *c = &s->rows[i]->conf;
        if (strcmp(c->socket, conf->socket) == 0 && c->mode == conf->mode &&
            same_text(c->user, conf->user) && same_text(c->group, conf->group))
            return s->rows[i];
    }
    return NULL;
}

static bool has_row(struct stats_socket *const *rows, uint32_t n, const struct stats_socket *row)
{
    for (uint32_t i = 0; i < n; i++)
        if (rows[i] == row)
            return true;
    return false;
}

/* Its name is still that of the process before us. */
static int too_early(const struct stats_socket *row, struct strbuf *errors)
{
    errno = EBUSY;
    return fail(&row->conf, "the process before has not left yet, reload again", errors);
}

bool stats_sockets_prepare(struct stats_sockets *s, const struct conf *conf,
                           const struct privileges *owner, const char *file, struct strbuf *errors)
{
    struct strbuf lines = {0};
    int rc = 0;

    s->next = xcalloc(conf->n_stats + 1, sizeof(s->next[0]));
    for (uint32_t i = 0; i < conf->n_stats && rc == 0; i++) {
        struct stats_socket *row = find_same(s, &conf->stats[i]);
        if (row == NULL) {
            row = row_new(&conf->stats[i]);
            rc = s->before == 0 ? bind_row(s, row, owner, &lines) : too_early(row, &lines);
        }
        s->next[s->n_next++] = row;
    }
    for (uint32_t i = 0; i < s->n_next && rc == 0; i++)
        if (!has_row(s->rows, s->n, s->next[i]))
            rc = swap_row(s->next[i], &lines);
    if (rc < 0) {
        strbuf_addf(errors, "%s: error: " STR_FMT, file, STR_ARG(strbuf_str(&lines)));
        stats_sockets_undo(s);
    }
    strbuf_fini(&lines);
    return rc == 0;
}

void stats_sockets_commit(struct stats_sockets *s, const struct conf *conf, struct control *control)
{
    struct stats_socket **old = s->rows;
    uint32_t n_old = s->n;

    s->rows = s->next;
    s->n = s->n_next;
    s->next = NULL;
    s->n_next = 0;
    for (uint32_t i = 0; i < n_old; i++) {
        if (has_row(s->rows, s->n, old[i]))
            continue;
        control_unlisten(control, &old[i]->served);
        row_free(&old[i]); /* of its path only what is its: a new one may have that name */
    }
    for (uint32_t i = 0; i < s->n; i++) {
        struct stats_socket *row = s->rows[i];
        row->conf.level = conf->stats[i].level;
        if (row->served != NULL) {
            control_set_level(row->served, control_level_of(row->conf.level));
            continue;
        }
        if (row->temp != NULL)
            unlink(row->temp); /* what it has replaced */
        free(row->temp);
        row->temp = NULL;
        row->swapped = false;
        serve(row, control);
    }
    free(old);
}

void stats_sockets_undo(struct stats_sockets *s)
{
    for (uint32_t i = 0; i < s->n_next; i++) {
        struct stats_socket *row = s->next[i];
        if (has_row(s->rows, s->n, row))
            continue;
        if (row->swapped &&
            renameat2(AT_FDCWD, row->temp, AT_FDCWD, row->conf.socket, RENAME_EXCHANGE) < 0)
            log_error("stats socket %s: the old one cannot be put back: %s", row->conf.socket,
                      strerror(errno));
        row_free(&row);
    }
    free(s->next);
    s->next = NULL;
    s->n_next = 0;
}

/* ---- from one process to the next ---- */

/* The folder must be writable by who we are when the process before us leaves. */
static int check_folder(const struct stats_conf *s, struct strbuf *errors)
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
    return fail(s, "it cannot be replaced while the process before runs: its folder", errors);
}

int stats_sockets_check_succession(const struct stats_sockets *s)
{
    struct strbuf errors = {0};
    int rc = 0;

    for (uint32_t i = 0; i < s->n && s->before != 0 && rc == 0; i++)
        rc = check_folder(&s->rows[i]->conf, &errors);
    log_lines(&errors);
    strbuf_fini(&errors);
    return rc;
}

void stats_sockets_succeed(struct stats_sockets *s)
{
    struct strbuf errors = {0};

    s->before = 0;
    for (uint32_t i = 0; i < s->n; i++)
        if (name_row(s->rows[i], &errors) < 0)
            strbuf_addf(&errors, "stats socket %s: it answers at %s\n", s->rows[i]->conf.socket,
                        s->rows[i]->temp);
    log_lines(&errors);
    strbuf_fini(&errors);
}

void stats_sockets_step_aside(struct stats_sockets *s)
{
    for (uint32_t i = 0; i < s->n; i++) {
        struct stats_socket *row = s->rows[i];
        char *aside = xasprintf("%s.%d", row->conf.socket, (int)getpid());
        if (link(row->conf.socket, aside) == 0) {
            log_info("stats socket %s: this process answers at %s from now on", row->conf.socket,
                     aside);
            row->aside = aside;
        } else {
            free(aside); /* its clients stay; nobody new finds it */
        }
    }
}

void stats_sockets_fini(struct stats_sockets *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        row_free(&s->rows[i]);
    free(s->rows);
    *s = (struct stats_sockets){0};
}
