/* peer.h - who may use a stats socket, beside what the mode of its path lets in: that can be
 * changed by others, and does not hold for descriptors that are passed on. */
#ifndef SLUICE_ADMIN_PEER_H
#define SLUICE_ADMIN_PEER_H

#include <stdbool.h>
#include <sys/types.h>

/* As configured, and as the path was made. */
struct peer_rule {
    uid_t uid;
    gid_t gid;
    mode_t mode;
};

/* Whether this one is the owner, we, root, of the group where that may write, or anybody where all
 * may. *out_uid: who it is, (uid_t)-1 where nobody says so (then it is refused). */
bool peer_may(const struct peer_rule *rule, int fd, uid_t *out_uid);

#endif
