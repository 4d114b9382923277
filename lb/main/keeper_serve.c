/* keeper_serve.c - the keeper itself. See keeper.h
 *
 * Who asks may have been taken over: what is asked for must be named by a configuration that the
 * keeper has read by itself, from files that only root can change. */
#include "lb/base/alloc.h"
#include "lb/config/conf.h"
#include "lb/config/conf_paths.h"
#include "lb/main/keeper_priv.h"
#include "lb/main/privileges.h"
#include "lb/main/safe_path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* What it helps with by one configuration. */
struct rules {
    struct rule {
        char *path;
        enum named_file_use use;
    } * files;
    uint32_t n_files;
    struct bound {
        struct addr addr;
        bool dgram;
    } * binds;
    uint32_t n_binds;
};

struct keeper_self {
    const char *from; /* NULL: there is no file */
    struct rules rules, next;
};

/* ---- rules ---- */

static void on_path(void *ctx, enum conf_path_use use, const char *path, const char *setting)
{
    struct rules *r = ctx;

    (void)setting;
    if (use == CONF_PATH_SOCKET || use == CONF_PATH_TREE || use == CONF_PATH_KEPT)
        return; /* what is ours as the user that we become */
    r->files = xrealloc(r->files, (r->n_files + 1) * sizeof(r->files[0]));
    char *cwd = path[0] != '/' ? getcwd(NULL, 0) : NULL;
    r->files[r->n_files++] =
        (struct rule){cwd != NULL ? xasprintf("%s/%s", cwd, path) : xstrdup(path),
                      use == CONF_PATH_LOG ? NAMED_FILE_APPEND : NAMED_FILE_READ};
    free(cwd);
}

static void rules_of(struct rules *r, const struct conf *conf)
{
    *r = (struct rules){0};
    conf_paths(conf, on_path, r);
    for (uint32_t i = 0; i < conf->n_listeners; i++) {
        const struct listener_conf *l = &conf->listeners[i];
        for (uint32_t k = 0; k < l->n_binds; k++) {
            r->binds = xrealloc(r->binds, (r->n_binds + 1) * sizeof(r->binds[0]));
            r->binds[r->n_binds++] = (struct bound){l->binds[k].addr, l->mode == MODE_UDP};
        }
    }
}

static void rules_fini(struct rules *r)
{
    for (uint32_t i = 0; i < r->n_files; i++)
        free(r->files[i].path);
    free(r->files);
    free(r->binds);
    *r = (struct rules){0};
}

static bool may_open(const struct rules *r, const char *path, enum named_file_use use)
{
    for (uint32_t i = 0; i < r->n_files; i++)
        if (r->files[i].use == use && strcmp(r->files[i].path, path) == 0)
            return true;
    return false;
}

static bool may_bind(const struct rules *r, const struct addr *addr, bool dgram)
{
    for (uint32_t i = 0; i < r->n_binds; i++)
        if (r->binds[i].dgram == dgram && addr_eq(&r->binds[i].addr, addr))
            return true;
    return false;
}

/* ---- the configuration, read again ---- */

struct trust {
    char *why; /* KEEPER_TEXT_MAX bytes; "": all is well */
};

static void on_source(void *ctx, enum conf_path_use use, const char *path, const char *setting)
{
    struct trust *t = ctx;
    char real[PATH_MAX];

    (void)setting;
    if (use != CONF_PATH_SOURCE || t->why[0] != '\0')
        return;
    int fd = realpath(path, real) != NULL ? safe_path_open(real, NAMED_FILE_READ) : -errno;
    if (fd < 0 || !safe_path_is_roots(fd))
        snprintf(t->why, KEEPER_TEXT_MAX,
                 "others than root can change %.180s, so nothing new is opened for it", path);
    if (fd >= 0)
        close(fd);
}

/* A broken one brings nothing new; what is wrong with it is told by who reads it too. */
static int refresh(struct keeper_self *self, char why[static KEEPER_TEXT_MAX])
{
    struct strbuf problems = {0};
    struct trust trust = {why};
    struct conf *conf = self->from != NULL ? conf_load(self->from, &problems) : NULL;

    rules_fini(&self->next);
    strbuf_fini(&problems);
    if (conf == NULL)
        return 0;
    conf_paths(conf, on_source, &trust);
    if (why[0] == '\0')
        rules_of(&self->next, conf);
    conf_free(&conf);
    return why[0] == '\0' ? 0 : -EACCES;
}

static void commit(struct keeper_self *self)
{
    if (self->next.n_files == 0 && self->next.n_binds == 0)
        return; /* there was nothing to trust */
    rules_fini(&self->rules);
    self->rules = self->next;
    self->next = (struct rules){0};
}

/* ---- questions ---- */

static int bind_for(const struct keeper_self *self, int fd, const struct addr *addr)
{
    int type = 0;
    socklen_t len = sizeof(type);

    if (fd < 0 || addr->len > sizeof(struct sockaddr_in6) ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
        return -EINVAL;
    if (addr_family(addr) != AF_INET && addr_family(addr) != AF_INET6)
        return -EINVAL;
    bool dgram = type == SOCK_DGRAM;
    if (!may_bind(&self->rules, addr, dgram) && !may_bind(&self->next, addr, dgram))
        return -EACCES;
    return bind(fd, &addr->sa, addr->len) < 0 ? -errno : 0;
}

static int open_for(const struct keeper_self *self, const char *path, enum named_file_use use)
{
    if (!may_open(&self->rules, path, use) && !may_open(&self->next, path, use))
        return -EACCES;
    return safe_path_open(path, use);
}

/* *out_fd: goes along with the answer. */
static void answer(struct keeper_self *self, struct keeper_request *q, int fd,
                   struct keeper_reply *a, int *out_fd)
{
    q->path[sizeof(q->path) - 1] = '\0';
    switch (q->word) {
    case KEEPER_OPEN:
    case KEEPER_APPEND:
        *out_fd =
            open_for(self, q->path, q->word == KEEPER_OPEN ? NAMED_FILE_READ : NAMED_FILE_APPEND);
        a->rc = *out_fd < 0 ? *out_fd : 0;
        break;
    case KEEPER_BIND:
        a->rc = bind_for(self, fd, &q->addr);
        break;
    case KEEPER_REFRESH:
        a->rc = refresh(self, a->text);
        break;
    case KEEPER_COMMIT:
        commit(self);
        break;
    default:
        a->rc = -EINVAL;
        break;
    }
}

/* ---- life ---- */

/* Signals are for the process that we help, whose end is ours. */
static void settle(int *fd)
{
    static const int ignored[] = {SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE};
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};

    for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
        signal(ignored[i], SIG_IGN);
    for (size_t i = 0; i < ARRAY_LEN(fatal); i++)
        signal(fatal[i], SIG_DFL);
    prctl(PR_SET_NAME, "sluice-keeper");
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    int null = open("/dev/null", O_RDWR);
    for (int i = 0; null >= 0 && i <= STDERR_FILENO; i++)
        dup2(null, i);
    /* Not what others wait for the end of, nor the sockets that were passed to the process. */
    if (*fd != STDERR_FILENO + 1) {
        dup3(*fd, STDERR_FILENO + 1, O_CLOEXEC);
        *fd = STDERR_FILENO + 1;
    }
    close_range(STDERR_FILENO + 2, ~0u, 0);
    uint32_t kept = 1u << CAP_NET_BIND_SERVICE | 1u << CAP_DAC_READ_SEARCH | 1u << CAP_DAC_OVERRIDE;
    if (privileges_keep(kept, &kept) < 0)
        _exit(1);
}

void keeper_serve(int fd, const struct conf *conf, const char *from)
{
    struct keeper_self self = {.from = from};
    struct keeper_request q;
    int passed, rc;

    settle(&fd);
    rules_of(&self.rules, conf);
    while ((rc = keeper_receive(fd, &q, sizeof(q), &passed)) != -EPIPE) {
        struct keeper_reply a = {.serial = q.serial};
        int out = -1;
        if (rc < 0 && rc != -EPROTO)
            break;
        if (rc < 0)
            a.rc = rc;
        else
            answer(&self, &q, passed, &a, &out);
        rc = keeper_send(fd, &a, sizeof(a), out);
        if (passed >= 0)
            close(passed);
        if (out >= 0)
            close(out);
        if (rc < 0)
            break;
    }
    _exit(0);
}
