/* landlock.c - see landlock.h
 *
 * What a version does not know must not be asked of it; the headers of the machine that builds may
 * know less than the kernel that runs, hence our own numbers. */
#include "lb/main/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TRUNCATE   (1ull << 14) /* version 3 */
#define DEVICE_CTL (1ull << 15) /* version 5 */
#define SIGNALS    (1ull << 1)  /* version 6, of scopes */

#define READ_FILE  (LANDLOCK_ACCESS_FS_READ_FILE)
#define READ       (READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE_FILE (LANDLOCK_ACCESS_FS_WRITE_FILE | TRUNCATE)
#define WRITE                                                                                      \
    (WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |                     \
     LANDLOCK_ACCESS_FS_REMOVE_FILE)
#define FIRST ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1) /* all of version 1 */

/* As of version 6; older kernels are told that it is shorter. */
struct attr {
    uint64_t files, net, scopes;
};

int landlock_version(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    return abi < 0 ? -errno : (int)abi;
}

const char *landlock_why(int error)
{
    switch (error) {
    case -ENOSYS:
        return "this kernel has none (before 5.13, or built without it)";
    case -EOPNOTSUPP:
        return "it is not among the kernel's security modules (the boot parameter lsm=)";
    case -EPERM:
        return "forbidden here (a container's or unit's filter of system calls?)";
    case -E2BIG:
        return "more than 16 layers of it are on already";
    default:
        return strerrordesc_np(-error);
    }
}

int landlock_init(struct landlock *l)
{
    int abi = landlock_version();
    struct attr attr = {.files = FIRST};

    *l = (struct landlock){.fd = -1};
    if (abi < 0)
        return abi;
    l->abi = (uint32_t)abi;
    if (abi >= 2)
        attr.files |= LANDLOCK_ACCESS_FS_REFER;
    if (abi >= 3)
        attr.files |= TRUNCATE;
    if (abi >= 5)
        attr.files |= DEVICE_CTL;
    if (abi >= 6)
        attr.scopes = SIGNALS;
    l->handled = attr.files;
    size_t size = abi >= 6 ? sizeof(attr) : sizeof(attr.files);
    long fd = syscall(SYS_landlock_create_ruleset, &attr, size, 0); /* close-on-exec */
    l->fd = (int)fd;
    return fd < 0 ? -errno : 0;
}

int landlock_allow(struct landlock *l, const char *path, enum landlock_use use)
{
    struct landlock_path_beneath_attr rule = {.parent_fd = open(path, O_PATH | O_CLOEXEC)};
    struct stat st;
    int rc = 0;

    if (rule.parent_fd < 0)
        return -errno;
    if (fstat(rule.parent_fd, &st) < 0)
        rc = -errno;
    bool folder = rc == 0 && S_ISDIR(st.st_mode);
    rule.allowed_access = folder ? READ : READ_FILE;
    if (use == LANDLOCK_WRITE)
        rule.allowed_access |= folder ? WRITE : WRITE_FILE;
    rule.allowed_access &= l->handled;
    if (rc == 0 && syscall(SYS_landlock_add_rule, l->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
        rc = -errno;
    close(rule.parent_fd);
    return rc;
}

int landlock_enforce(struct landlock *l)
{
    return syscall(SYS_landlock_restrict_self, l->fd, 0) < 0 ? -errno : 0;
}

void landlock_fini(struct landlock *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}
