/* privileges.c - see privileges.h */
#include "lb/main/privileges.h"

#include "lb/base/str.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int find_user(const char *name, struct privileges *out,
                     char error[static PRIVILEGES_ERROR_MAX])
{
    uint64_t number;
    bool numeric = str_u64(str_of(name), UINT32_MAX - 1, &number) == 0;
    struct passwd *pw = numeric ? getpwuid((uid_t)number) : getpwnam(name);

    if (pw == NULL && !numeric) {
        snprintf(error, PRIVILEGES_ERROR_MAX, "no user named \"%.60s\" on this machine", name);
        return -EINVAL;
    }
    out->user = name;
    out->uid = pw != NULL ? pw->pw_uid : (uid_t)number;
    out->gid = pw != NULL ? pw->pw_gid : (gid_t)number;
    return 0;
}

int privileges_find(const char *user, const char *group, struct privileges *out,
                    char error[static PRIVILEGES_ERROR_MAX])
{
    struct privileges p = {.uid = (uid_t)-1, .gid = (gid_t)-1};
    uint64_t number;

    error[0] = '\0';
    if (user != NULL && find_user(user, &p, error) < 0)
        return -EINVAL;
    if (group != NULL && str_u64(str_of(group), UINT32_MAX - 1, &number) == 0) {
        p.gid = (gid_t)number;
    } else if (group != NULL) {
        struct group *gr = getgrnam(group);
        if (gr == NULL) {
            snprintf(error, PRIVILEGES_ERROR_MAX, "no group named \"%.60s\" on this machine",
                     group);
            return -EINVAL;
        }
        p.gid = gr->gr_gid;
    }
    *out = p;
    return 0;
}

static int fail(char error[static PRIVILEGES_ERROR_MAX], const char *what)
{
    int err = errno;

    snprintf(error, PRIVILEGES_ERROR_MAX, "%s: %s", what, strerror(err));
    return -err;
}

int privileges_keep(uint32_t wanted, uint32_t *out_kept)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct caps[2];

    memset(caps, 0, sizeof(caps));
    if (syscall(SYS_capget, &head, caps) < 0)
        return -errno;
    uint32_t kept = caps[0].permitted & wanted; /* a container may have taken some away */
    memset(caps, 0, sizeof(caps));
    caps[0].permitted = caps[0].effective = kept;
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capset, &head, caps) < 0)
        return -errno;
    *out_kept = kept;
    return 0;
}

static int take_group(const struct privileges *p)
{
    if (p->user != NULL && initgroups(p->user, p->gid) < 0 && setgroups(1, &p->gid) < 0)
        return -1;
    if (p->user == NULL && setgroups(1, &p->gid) < 0)
        return -1;
    return setresgid(p->gid, p->gid, p->gid);
}

int privileges_drop(const struct privileges *p, uint32_t kept,
                    char error[static PRIVILEGES_ERROR_MAX])
{
    bool user = p->uid != (uid_t)-1 && p->uid != geteuid();
    bool group = p->gid != (gid_t)-1 && p->gid != getegid();

    error[0] = '\0';
    if (!user && !group)
        return 0;
    if (geteuid() != 0) {
        snprintf(error, PRIVILEGES_ERROR_MAX,
                 "user and group are left as they are: only root can change them");
        return 0;
    }
    if (p->gid != (gid_t)-1 && take_group(p) < 0) /* also without root's supplementary groups */
        return fail(error, "cannot take the group");
    if (user) {
        if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
            return fail(error, "cannot keep capabilities");
        if (setresuid(p->uid, p->uid, p->uid) < 0)
            return fail(error, "cannot take the user");
        if (privileges_keep(kept, &kept) < 0)
            return fail(error, "cannot limit capabilities");
        if (setuid(0) == 0) {
            snprintf(error, PRIVILEGES_ERROR_MAX, "root could be had back after giving it up");
            return -EPERM;
        }
    }
    return 0;
}
