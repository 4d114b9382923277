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
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
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
    struct keeper_program *programs;
    uint32_t n_programs;
};

struct keeper_self {
    const char *from; /* NULL: there is no file */
    struct rules rules, next;
    bool read;              /* next is there */
    bool trusted;           /* who could change the file has no more rights than we keep */
    struct privileges user; /* of programs */
    uint32_t running;       /* processes that watch them */
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

static void add_program(struct rules *r, const struct pool_conf *pool)
{
    const struct health_conf *h = &pool->health;
    struct keeper_program p = {.timeout_ms = h->timeout_ms};

    if (h->type != CHECK_TYPE_EXEC)
        return;
    p.pool = xstrdup(pool->name);
    p.argv = xcalloc(h->n_command + 1, sizeof(p.argv[0]));
    for (uint32_t i = 0; i < h->n_command; i++)
        p.argv[i] = xstrdup(h->command[i]);
    r->programs = xrealloc(r->programs, (r->n_programs + 1) * sizeof(p));
    r->programs[r->n_programs++] = p;
}

static void add_bind(struct rules *r, const struct addr *addr, bool dgram)
{
    r->binds = xrealloc(r->binds, (r->n_binds + 1) * sizeof(r->binds[0]));
    r->binds[r->n_binds++] = (struct bound){*addr, dgram};
}

static void rules_of(struct rules *r, const struct conf *conf)
{
    struct addr_spec admin;
    const char *why;

    *r = (struct rules){0};
    for (uint32_t i = 0; i < conf->n_pools; i++)
        add_program(r, &conf->pools[i]);
    conf_paths(conf, on_path, r);
    for (uint32_t i = 0; i < conf->n_listeners; i++) {
        const struct listener_conf *l = &conf->listeners[i];
        for (uint32_t k = 0; k < l->n_binds; k++)
            add_bind(r, &l->binds[k].addr, l->mode == MODE_UDP);
    }
    if (conf->admin != NULL &&
        addr_parse(str_of(conf->admin->bind), false, true, &admin, &why) == 0)
        add_bind(r, &admin.addr, false);
}

static void rules_fini(struct rules *r)
{
    for (uint32_t i = 0; i < r->n_files; i++)
        free(r->files[i].path);
    for (uint32_t i = 0; i < r->n_programs; i++) {
        for (char **arg = r->programs[i].argv; *arg != NULL; arg++)
            free(*arg);
        free(r->programs[i].argv);
        free(r->programs[i].pool);
    }
    free(r->programs);
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

/* A broken one brings nothing new. What is wrong with it is told by who reads it too, as far as he
 * can: we do not quote what only root may read, as it might be named by others. */
static int refresh(struct keeper_self *self, char why[static KEEPER_TEXT_MAX])
{
    struct strbuf problems = {0};
    struct trust trust = {why};
    struct conf *conf = self->from != NULL ? conf_load(self->from, &problems) : NULL;

    rules_fini(&self->next);
    self->read = false;
    strbuf_fini(&problems);
    if (conf == NULL && self->from != NULL)
        snprintf(why, KEEPER_TEXT_MAX, "%s", KEEPER_BROKEN);
    if (conf == NULL)
        return self->from != NULL ? -EINVAL : 0;
    if (!self->trusted)
        conf_paths(conf, on_source, &trust);
    self->read = why[0] == '\0';
    if (self->read)
        rules_of(&self->next, conf);
    conf_free(&conf);
    return why[0] == '\0' ? 0 : -EACCES;
}

static void commit(struct keeper_self *self)
{
    if (!self->read)
        return; /* there was nothing to trust */
    self->read = false;
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

/* ---- programs ---- */

/* What is new comes first: checks of a pool begin when its configuration is in force, before its
 * commit reaches us. */
static const struct keeper_program *program_of(const struct keeper_self *self, const char *pool)
{
    const struct rules *both[] = {&self->next, &self->rules};

    for (size_t k = 0; k < ARRAY_LEN(both); k++)
        for (uint32_t i = 0; i < both[k]->n_programs; i++)
            if (strcmp(both[k]->programs[i].pool, pool) == 0)
                return &both[k]->programs[i];
    return NULL;
}

static bool is_address(const struct addr *a)
{
    switch (a->len >= sizeof(a->sa.sa_family) ? addr_family(a) : AF_UNSPEC) {
    case AF_INET:
        return a->len == sizeof(a->in);
    case AF_INET6:
        return a->len == sizeof(a->in6);
    case AF_UNIX:
        return a->len <= sizeof(a->un);
    default:
        return false;
    }
}

static void run(struct keeper_self *self, struct keeper_run *q, int fd)
{
    q->pool[sizeof(q->pool) - 1] = q->backend[sizeof(q->backend) - 1] = '\0';
    const struct keeper_program *p = program_of(self, q->pool);

    if (fd < 0)
        return;
    if (!is_address(&q->addr))
        keeper_program_say(fd, "unable this is no address");
    else if (p == NULL)
        keeper_program_say(fd, "unable the configuration that the keeper trusts has no program "
                               "for this pool");
    else if (self->running >= KEEPER_PROGRAMS_MAX)
        keeper_program_say(fd, "unable %u programs are running", self->running);
    else {
        pid_t pid = fork();
        if (pid == 0)
            keeper_program_run(p, q, &self->user, fd);
        if (pid < 0)
            keeper_program_say(fd, "unable %s", strerror(errno));
        self->running += pid > 0;
    }
    close(fd);
}

static void on_child(int sig)
{
    (void)sig; /* ppoll() comes back: that is all */
}

static void reap(struct keeper_self *self)
{
    while (waitpid(-1, NULL, WNOHANG) > 0)
        self->running--;
}

/* ---- life ---- */

/* Signals are for the process that we help, whose end is ours. */
static void settle_signals(void)
{
    static const int ignored[] = {SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE};
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
    struct sigaction child = {.sa_handler = on_child};
    sigset_t blocked;

    for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
        signal(ignored[i], SIG_IGN);
    for (size_t i = 0; i < ARRAY_LEN(fatal); i++)
        signal(fatal[i], SIG_DFL);
    sigaction(SIGCHLD, &child, NULL);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);
    sigprocmask(SIG_BLOCK, &blocked, NULL); /* but in ppoll() */
}

/* Not what others wait for the end of, nor the sockets that were passed to the process: ours are
 * the first ones behind standard error. */
static void settle_descriptors(struct keeper_task *t)
{
    enum { ASKED = STDERR_FILENO + 1, PROGRAMS };
    int null = open("/dev/null", O_RDWR);
    int asked = fcntl(t->fd, F_DUPFD_CLOEXEC, PROGRAMS + 1);
    int programs = t->programs_fd < 0 ? -1 : fcntl(t->programs_fd, F_DUPFD_CLOEXEC, PROGRAMS + 1);

    for (int i = 0; null >= 0 && i <= STDERR_FILENO; i++)
        dup2(null, i);
    t->fd = dup3(asked, ASKED, O_CLOEXEC);
    if (programs >= 0)
        t->programs_fd = dup3(programs, PROGRAMS, O_CLOEXEC);
    close_range(programs >= 0 ? PROGRAMS + 1 : PROGRAMS, ~0u, 0);
    if (t->fd < 0)
        _exit(1);
}

static void settle(struct keeper_self *self, const struct keeper_task *t)
{
    char error[PRIVILEGES_ERROR_MAX];
    uint32_t kept = 0;

    prctl(PR_SET_NAME, "sluice-keeper");
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (geteuid() == 0 && (self->user.uid == (uid_t)-1 || self->user.uid == 0) &&
        privileges_find("nobody", NULL, &self->user, error) < 0)
        self->user.uid = (uid_t)-1;
    if (t->files)
        kept |= 1u << CAP_NET_BIND_SERVICE | 1u << CAP_DAC_READ_SEARCH | 1u << CAP_DAC_OVERRIDE;
    if (t->programs_fd >= 0)
        kept |= 1u << CAP_SETUID | 1u << CAP_SETGID;
    if (privileges_keep(kept, &kept) < 0)
        _exit(1);
}

bool keeper_serve_question(struct keeper_self *self, int fd)
{
    struct keeper_request q;
    int passed, out = -1, rc = keeper_receive(fd, &q, sizeof(q), &passed);
    struct keeper_reply a = {.serial = rc < 0 ? 0 : q.serial, .rc = rc};

    if (rc < 0 && rc != -EPROTO)
        return false;
    if (rc == 0)
        answer(self, &q, passed, &a, &out);
    rc = keeper_send(fd, &a, sizeof(a), out);
    if (passed >= 0)
        close(passed);
    if (out >= 0)
        close(out);
    return rc == 0;
}

void keeper_serve_program(struct keeper_self *self, int fd)
{
    struct keeper_run q;
    int passed;

    if (keeper_receive(fd, &q, sizeof(q), &passed) == 0)
        run(self, &q, passed);
}

struct keeper_self *keeper_self_new(const struct keeper_task *task)
{
    struct keeper_self *self = xcalloc(1, sizeof(*self));

    self->from = task->from;
    self->trusted = !task->files;
    self->user = *task->user;
    rules_of(&self->rules, task->conf);
    return self;
}

void keeper_self_free(struct keeper_self **self)
{
    rules_fini(&(*self)->rules);
    rules_fini(&(*self)->next);
    free(*self);
    *self = NULL;
}

void keeper_serve(const struct keeper_task *task)
{
    struct keeper_self *self = keeper_self_new(task);
    struct keeper_task t = *task;
    sigset_t open;

    settle_signals();
    settle_descriptors(&t);
    settle(self, &t);
    sigemptyset(&open);
    for (;;) {
        struct pollfd fds[2] = {{.fd = t.fd, .events = POLLIN},
                                {.fd = t.programs_fd, .events = POLLIN}};
        int n = ppoll(fds, ARRAY_LEN(fds), NULL, &open);
        reap(self);
        if (n <= 0)
            continue;
        if (fds[0].revents != 0 && !keeper_serve_question(self, t.fd))
            break;
        if (fds[1].revents & POLLIN)
            keeper_serve_program(self, t.programs_fd);
        else if (fds[1].revents != 0)
            t.programs_fd = -1;
    }
    _exit(0);
}
