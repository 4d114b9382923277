/* keeper.h - a small process beside ours that keeps root's rights when we give them up, and does
 * with them what the configuration says, nothing else: it opens files that the configuration names
 * (by ways that only root can have laid, safe_path.h) and binds its addresses. It reads the
 * configuration by itself, so that nobody who has taken us over can name it others. Where
 * hardening.exec is set it runs the programs of checks as well, also without such rights. Forked
 * before rings and threads; it ends when we do. */
#ifndef SLUICE_MAIN_KEEPER_H
#define SLUICE_MAIN_KEEPER_H

#include "health/checker.h"
#include "lb/base/named_file.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct addr;
struct conf;
struct privileges;

#define KEEPER_TEXT_MAX 256

/* Our end of it. Calls may come from any thread; they wait, for 5 s at most. */
struct keeper {
    int fd;          /* -1: there is none */
    int programs_fd; /* where programs are asked for, without answers; -1: it runs none */
    bool helps;      /* with files and addresses */
    pid_t pid;
    uint32_t serial;
    pthread_mutex_t lock;
    struct named_file_helper files;
    struct checker_programs programs; /* asks it; for the health thread */
};

void keeper_init(struct keeper *k); /* none */
/* conf: what it is to help with; from: the file to read again, or NULL; user: whom programs run as;
 * files: becomes the helper of named_file_open() and of listeners. 0 or -errno: there is none. */
int keeper_start(struct keeper *k, const struct conf *conf, const char *from,
                 const struct privileges *user, bool files) WARN_UNUSED;
/* The configuration is about to be read again: so does it, and helps with both until
 * keeper_commit(). False with a reason where it does not trust the file, or finds it broken.
 * Without one: true. */
bool keeper_refresh(struct keeper *k, char why[static KEEPER_TEXT_MAX]);
/* What it has read is in force: it forgets what was before. */
void keeper_commit(struct keeper *k);
/* Its end. No thread asks any more. */
void keeper_stop(struct keeper *k);

#endif
