/* keeper_program.c - one run of one program of a check, in two processes of its own: one that
 * watches, and the program. Both are the user that programs run as; the keeper has forked the
 * first and waits for nothing. What the watcher says over its stream: health/check_exec.c. */
#include "lb/main/keeper_priv.h"
#include "lb/main/privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OUTPUT_KEPT 256 /* bytes of what it writes; the rest is read and forgotten */
#define NO_UID      ((uid_t)-1)
#define WATCHED_FD  3 /* the stream, in the watcher */

struct run {
    int fd, output; /* output: -1: over */
    pid_t pid;
    uint64_t until_ms;
    char text[OUTPUT_KEPT];
    size_t len;
};

void keeper_program_say(int fd, const char *fmt, ...)
{
    char line[OUTPUT_KEPT + 64];
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
    va_end(ap);
    size_t len = n < 0 ? 0 : (size_t)n;
    if (len > sizeof(line) - 2)
        len = sizeof(line) - 2;
    line[len++] = '\n';
    (void)!send(fd, line, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- the program ---- */

/* Its whole environment. */
static char **environment(const struct keeper_run *q)
{
    static char texts[9][sizeof("HAPROXY_SERVER_NAME=") + ADDR_TEXT_MAX];
    static char *list[sizeof(texts) / sizeof(texts[0]) + 1];
    bool local = addr_family(&q->addr) == AF_UNIX;
    char host[ADDR_TEXT_MAX], port[16] = "";
    const char *const values[][2] = {
        {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        {"SLUICE_POOL", q->pool},
        {"SLUICE_BACKEND", q->backend},
        {"SLUICE_ADDRESS", host},
        {"SLUICE_PORT", port},
        {"HAPROXY_PROXY_NAME", q->pool},
        {"HAPROXY_SERVER_NAME", q->backend},
        {"HAPROXY_SERVER_ADDR", host},
        {"HAPROXY_SERVER_PORT", local ? "NOT_USED" : port},
    };

    if (local) {
        addr_format(&q->addr, host);
        memmove(host, host + strlen("unix:"), strlen(host) + 1 - strlen("unix:"));
    } else {
        addr_format_host(&q->addr, host);
        snprintf(port, sizeof(port), "%u", addr_port(&q->addr));
    }
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        snprintf(texts[i], sizeof(texts[i]), "%s=%s", values[i][0], values[i][1]);
        list[i] = texts[i];
    }
    return list;
}

/* As it would find things, had a shell of its user started it. */
static void settle_signals(void)
{
    sigset_t none;

    for (int i = 1; i < NSIG; i++)
        if (i != SIGKILL && i != SIGSTOP)
            signal(i, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

_Noreturn static void become(const struct keeper_program *p, char **env, int output, pid_t watcher)
{
    static const struct rlimit no_core = {0, 0};

    setpgid(0, 0);
    settle_signals();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != watcher) /* it was faster */
        _exit(127);
    setrlimit(RLIMIT_CORE, &no_core);
    umask(022);
    if (dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0)
        _exit(127);
    close_range(STDERR_FILENO + 1, ~0u, 0);
    execve(p->argv[0], p->argv, env);
    dprintf(STDOUT_FILENO, "cannot run %s: %s\n", p->argv[0], strerror(errno));
    _exit(127);
}

/* ---- the watcher ---- */

static void read_output(struct run *r)
{
    char buf[4096];

    for (int i = 0; i < 16 && r->output >= 0; i++) { /* not for ever: time goes on */
        ssize_t n = read(r->output, buf, sizeof(buf));
        if (n < 0)
            return; /* nothing yet */
        size_t room = sizeof(r->text) - r->len;
        size_t take = (size_t)n < room ? (size_t)n : room;
        memcpy(r->text + r->len, buf, take);
        r->len += take;
        if (n == 0) {
            close(r->output);
            r->output = -1;
        }
    }
}

static int first_line(struct run *r)
{
    char *end = memchr(r->text, '\n', r->len);
    size_t len = end != NULL ? (size_t)(end - r->text) : r->len;

    for (size_t i = 0; i < len; i++)
        if (r->text[i] == '\0') /* as our line is a text */
            r->text[i] = '?';
    while (len > 0 && (r->text[len - 1] == '\r' || r->text[len - 1] == ' '))
        len--;
    return (int)len;
}

/* Its group goes before it is reaped: until then nobody else can have its number. */
static void finish(struct run *r, const char *early)
{
    int status = 0;

    kill(-r->pid, SIGKILL);
    kill(r->pid, SIGKILL);
    while (waitpid(r->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (early != NULL)
        keeper_program_say(r->fd, "%s", early);
    else if (WIFSIGNALED(status))
        keeper_program_say(r->fd, "signal %d", WTERMSIG(status));
    else
        keeper_program_say(r->fd, "exited %d %.*s", WEXITSTATUS(status), first_line(r), r->text);
    _exit(0);
}

static bool has_ended(const struct run *r)
{
    siginfo_t info = {0};

    return waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOWAIT | WNOHANG) == 0 && info.si_pid != 0;
}

static void on_child(int sig)
{
    (void)sig; /* ppoll() comes back: that is all */
}

_Noreturn static void watch(struct run *r)
{
    struct sigaction act = {.sa_handler = on_child};
    sigset_t open;

    sigemptyset(&open); /* SIGCHLD is blocked but in ppoll() */
    sigaction(SIGCHLD, &act, NULL);
    for (;;) {
        uint64_t now = now_ms();
        struct pollfd fds[2] = {{.fd = r->fd, .events = POLLIN | POLLRDHUP},
                                {.fd = r->output, .events = POLLIN}};
        if (has_ended(r)) {
            read_output(r);
            finish(r, NULL);
        }
        if (now >= r->until_ms)
            finish(r, "timeout");
        uint64_t left = r->until_ms - now;
        const struct timespec wait = {(time_t)(left / 1000), (long)(left % 1000) * 1000000};
        if (ppoll(fds, 2, &wait, &open) <= 0)
            continue;
        if (fds[0].revents != 0)
            finish(r, "timeout"); /* nobody waits for it any more */
        if (fds[1].revents != 0)
            read_output(r);
    }
}

/* False: said why. */
static bool take_user(const struct privileges *user, int fd)
{
    char error[PRIVILEGES_ERROR_MAX] = "";
    uint32_t kept = 0;

    if (geteuid() != 0)
        return privileges_keep(0, &kept) == 0;
    if (user->uid == NO_UID || user->uid == 0)
        keeper_program_say(fd, "unable there is no user for it");
    else if (privileges_drop(user, 0, error) < 0 || geteuid() == 0)
        keeper_program_say(fd, "unable %s", error);
    else
        return true;
    return false;
}

void keeper_program_run(const struct keeper_program *p, const struct keeper_run *q,
                        const struct privileges *user, int fd)
{
    struct run r = {.fd = WATCHED_FD, .until_ms = now_ms() + p->timeout_ms};
    int output[2];
    sigset_t child;

    if (fd != WATCHED_FD)
        dup3(fd, WATCHED_FD, O_CLOEXEC);
    close_range(WATCHED_FD + 1, ~0u, 0);
    prctl(PR_SET_NAME, "sluice-program");
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (!take_user(user, r.fd))
        _exit(1);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    char **env = environment(q);
    pid_t self = getpid();
    if (chdir("/") < 0 || pipe2(output, O_CLOEXEC) < 0 || (r.pid = fork()) < 0) {
        keeper_program_say(r.fd, "unable %s", strerror(errno));
        _exit(1);
    }
    if (r.pid == 0)
        become(p, env, output[1], self);
    setpgid(r.pid, r.pid);
    close(output[1]);
    r.output = output[0];
    fcntl(r.output, F_SETFL, O_NONBLOCK);
    watch(&r);
}
