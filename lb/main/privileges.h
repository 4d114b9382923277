/* privileges.h - from root to the configured user. Before any thread exists, before listeners are
 * bound (a group of SO_REUSEPORT sockets is one user's), after what needs root (stats sockets and
 * their owners, log files). CAP_NET_BIND_SERVICE may be kept, so that low ports can still be
 * bound where there is no keeper for that. */
#ifndef SLUICE_MAIN_PRIVILEGES_H
#define SLUICE_MAIN_PRIVILEGES_H

#include "lb/base/assert.h"

#include <stdint.h>
#include <sys/types.h>

#define PRIVILEGES_ERROR_MAX 160

/* Who that is; (uid_t)-1, (gid_t)-1 where nothing is named. A user without a group brings his own
 * primary one. Numbers are taken as such. 0, or -EINVAL with error in words. */
struct privileges {
    uid_t uid;
    gid_t gid;
    const char *user; /* as configured, or NULL; not owned */
};
int privileges_find(const char *user, const char *group, struct privileges *out,
                    char error[static PRIVILEGES_ERROR_MAX]) WARN_UNUSED;
/* Takes them, and of the capabilities those of the mask `kept` (1 << CAP_...; of the first 32); no
 * effect when they are ours already or when not started as root (then error says so,
 * for a warning, and 0 is returned). -errno with error when it fails: do not go on. */
int privileges_drop(const struct privileges *p, uint32_t kept,
                    char error[static PRIVILEGES_ERROR_MAX]) WARN_UNUSED;

/* Of the capabilities that we have, those of the mask stay: *out_kept. 0 or -errno. */
int privileges_keep(uint32_t wanted, uint32_t *out_kept) WARN_UNUSED;

#endif
