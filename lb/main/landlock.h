/* landlock.h - the kernel's Landlock: a process gives up all files but those beneath some places.
 * For the calling thread and what it starts from then on, so before any other thread exists. Only
 * what all versions mean alike is used; nothing of the network. */
#ifndef SLUICE_MAIN_LANDLOCK_H
#define SLUICE_MAIN_LANDLOCK_H

#include "lb/base/assert.h"

#include <stdint.h>

enum landlock_use {
    LANDLOCK_READ,  /* files and lists of folders */
    LANDLOCK_WRITE, /* that, and files and sockets written, made, renamed, removed */
};

struct landlock {
    int fd;       /* of the rules so far */
    uint32_t abi; /* of this kernel */
    uint64_t handled;
};

/* The version of the kernel's interface (1, 2, ...), or -errno: -ENOSYS and -EOPNOTSUPP where there
 * is none, -EPERM where something forbids it. */
int landlock_version(void);
/* The same in words, for -errno. Static text. */
const char *landlock_why(int error);

/* 0 or -errno. */
int landlock_init(struct landlock *l) WARN_UNUSED;
/* The file, or the folder with everything beneath it. 0, or -errno: -ENOENT where nothing is. */
int landlock_allow(struct landlock *l, const char *path, enum landlock_use use) WARN_UNUSED;
/* From here on there is nothing else. Needs PR_SET_NO_NEW_PRIVS. 0 or -errno. */
int landlock_enforce(struct landlock *l) WARN_UNUSED;
void landlock_fini(struct landlock *l);

#endif
