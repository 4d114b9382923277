/* peer.c - see peer.h */
#include "lb/admin/peer.h"

#include "lb/base/alloc.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Its groups beside the first. */
static bool is_in_group(int fd, gid_t gid)
{
    gid_t few[64], *groups = few;
    socklen_t len = sizeof(few);
    bool found = false;
    int rc = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len);

    if (rc < 0 && errno == ERANGE) { /* len: what it takes, 65536 of them at most */
        groups = xcalloc(1, len);
        rc = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len);
    }
    for (size_t i = 0; rc == 0 && i < len / sizeof(groups[0]); i++)
        found = found || groups[i] == gid;
    if (groups != few)
        free(groups);
    return found;
}

bool peer_may(const struct peer_rule *rule, int fd, uid_t *out_uid)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    *out_uid = (uid_t)-1;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
        return false;
    *out_uid = peer.uid;
    if (peer.uid == 0 || peer.uid == geteuid() || peer.uid == rule->uid ||
        (rule->mode & S_IWOTH) != 0)
        return true;
    return (rule->mode & S_IWGRP) != 0 && (peer.gid == rule->gid || is_in_group(fd, rule->gid));
}
