/* named_file.c - see named_file.h */
#include "lb/base/named_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

static const struct named_file_helper *helper;

void named_file_set_helper(const struct named_file_helper *h)
{
    helper = h;
}

static int ask(const char *path, enum named_file_use use, int error)
{
    if ((error != -EACCES && error != -EPERM) || helper == NULL)
        return error;
    return helper->open(helper->ctx, path, use);
}

int named_file_open(const char *path, int flags)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | flags);

    return fd >= 0 ? fd : ask(path, NAMED_FILE_READ, -errno);
}

int named_file_open_log(const char *path)
{
    const int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    int fd = open(path, flags, 0640);

    return fd >= 0 ? fd : ask(path, NAMED_FILE_APPEND, -errno);
}

int named_file_stat(const char *path, struct stat *out)
{
    struct stat st;

    if (stat(path, out) == 0)
        return 0;
    int fd = ask(path, NAMED_FILE_READ, -errno);
    if (fd < 0)
        return fd;
    int rc = fstat(fd, &st) < 0 ? -errno : 0;
    close(fd);
    if (rc == 0)
        *out = st;
    return rc;
}
