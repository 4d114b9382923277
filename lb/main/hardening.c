/* hardening.c - see hardening.h */
#include "lb/main/hardening.h"

#include "lb/base/log.h"
#include "lb/main/privileges.h"
#include "lb/main/syscalls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

/* A part of the line that says what is on. */
PRINTF_LIKE(2, 3) static void say(struct hardening *h, const char *fmt, ...)
{
    va_list ap;

    if (h->text.len > 0)
        strbuf_add_cstr(&h->text, ", ");
    va_start(ap, fmt);
    strbuf_vaddf(&h->text, fmt, ap);
    va_end(ap);
}

int hardening_without(enum hardening_wish wish, const char *setting, const char *why, int error)
{
    if (wish == HARDENING_REQUIRED) {
        log_error("hardening.%s = \"required\": not available: %s", setting, why);
        return error;
    }
    log_info("hardening: goes without %s: %s", setting, why);
    return 0;
}

void hardening_has_keeper(struct hardening *h, pid_t pid, bool files)
{
    h->keeper = files;
    say(h, "keeper (process %d)", (int)pid);
}

/* ---- descriptors ---- */

/* All of ours are close-on-exec; what is not came from who started us. */
static void close_inherited(struct hardening *h)
{
    DIR *dir = opendir("/proc/self/fd");
    struct strbuf closed = {0};
    struct dirent *entry;

    if (dir == NULL) {
        log_info("hardening: descriptors of the parent stay: /proc/self/fd: %s", strerror(errno));
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        int fd = atoi(entry->d_name), flags = fd > STDERR_FILENO ? fcntl(fd, F_GETFD) : -1;
        if (flags < 0 || (flags & FD_CLOEXEC) != 0)
            continue;
        close(fd);
        strbuf_addf(&closed, "%s%d", closed.len > 0 ? " " : "", fd);
    }
    closedir(dir);
    if (closed.len > 0)
        say(h, "closed what the parent had open (%s)", closed.p);
    strbuf_fini(&closed);
}

/* ---- capabilities ---- */

#define LOW_PORTS (1u << CAP_NET_BIND_SERVICE)
/* Who stays root goes on reading everybody's files, as he expects, and has root's limits. */
#define OF_ROOT                                                                                    \
    (LOW_PORTS | 1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH |            \
     1u << CAP_FOWNER | 1u << CAP_IPC_LOCK | 1u << CAP_SYS_RESOURCE)

static void give_up_capabilities(struct hardening *h, enum hardening_capabilities wish)
{
    uint32_t kept = geteuid() == 0 ? OF_ROOT : LOW_PORTS;

    if (wish == HARDENING_ALL)
        return;
    int rc = privileges_keep(h->keeper || wish == HARDENING_NONE ? 0 : kept, &kept);
    if (rc < 0)
        log_warn("hardening: capabilities: %s", strerror(-rc));
    else if (kept == 0)
        say(h, "no capabilities");
    else
        say(h, "%d capabilit%s", __builtin_popcount(kept), kept == LOW_PORTS ? "y" : "ies");
}

/* ---- Landlock ---- */

static int give_up_files(struct hardening *h, struct landlock *l, const struct conf *conf)
{
    uint32_t n = 0;

    places_of(&h->places, conf);
    for (uint32_t i = 0; i < h->places.n; i++) {
        int rc = landlock_allow(l, h->places.rows[i].path, h->places.rows[i].use);
        if (rc == 0)
            n++;
        else if (rc != -ENOENT && rc != -EACCES) /* what we cannot reach anyway */
            return rc;
    }
    int rc = landlock_enforce(l);
    if (rc < 0)
        return rc;
    h->landlock = l->abi;
    say(h, "Landlock version %u (%u places)", l->abi, n);
    return 0;
}

static int confine_files(struct hardening *h, const struct conf *conf)
{
    struct landlock l;

    if (conf->hardening.landlock == HARDENING_OFF)
        return 0;
    if (!h->no_new_privileges)
        return hardening_without(conf->hardening.landlock, "landlock", "it needs no_new_privileges",
                                 -EPERM);
    int rc = landlock_init(&l);
    if (rc == 0)
        rc = give_up_files(h, &l, conf);
    landlock_fini(&l);
    if (rc < 0)
        places_fini(&h->places);
    return rc < 0 ? hardening_without(conf->hardening.landlock, "landlock", landlock_why(rc), rc)
                  : 0;
}

/* ---- the whole ---- */

int hardening_confine(struct hardening *h, const struct conf *conf)
{
    if (conf->hardening.no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        log_warn("hardening: no_new_privileges: %s", strerror(errno));
    /* Whoever has set it: it cannot be taken back. */
    h->no_new_privileges = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
    if (h->no_new_privileges)
        say(h, "no new privileges");
    if (prctl(PR_SET_DUMPABLE, conf->hardening.dumpable ? 1 : 0, 0, 0, 0) < 0)
        log_warn("hardening: dumpable: %s", strerror(errno));
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0)
        say(h, "not dumpable");
    if (conf->hardening.close_inherited)
        close_inherited(h);
    give_up_capabilities(h, conf->hardening.capabilities);
    return confine_files(h, conf);
}

int hardening_filter(struct hardening *h, const struct conf *conf)
{
    uint32_t calls;

    if (conf->hardening.seccomp == HARDENING_OFF)
        return 0;
    if (!h->no_new_privileges)
        return hardening_without(conf->hardening.seccomp, "seccomp", "it needs no_new_privileges",
                                 -EPERM);
    int rc = syscalls_restrict(&calls);
    if (rc < 0)
        return hardening_without(conf->hardening.seccomp, "seccomp", syscalls_why(rc), rc);
    say(h, "seccomp (%u system calls)", calls);
    return 0;
}

bool hardening_allows(const struct hardening *h, const struct conf *conf, const char *file,
                      struct strbuf *errors)
{
    return h->landlock == 0 || places_missing(&h->places, conf, h->keeper, file, errors) == 0;
}

const char *hardening_hint(const struct hardening *h)
{
    return h->landlock == 0
               ? ""
               : "hardening: this process opens no file outside of the folders that "
                 "were named at its start: hardening.paths adds some, with a restart\n";
}

void hardening_fini(struct hardening *h)
{
    places_fini(&h->places);
    strbuf_fini(&h->text);
}

void hardening_print(FILE *out)
{
    int abi = landlock_version();

    if (abi < 0)
        fprintf(out, "Landlock:  not available: %s\n", landlock_why(abi));
    else
        fprintf(out, "Landlock:  available (version %d)\n", abi);
    int rc = syscalls_available();
    if (rc < 0)
        fprintf(out, "seccomp:   not available: %s\n", syscalls_why(rc));
    else
        fprintf(out, "seccomp:   available\n");
}
