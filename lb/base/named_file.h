/* named_file.h - files that a configuration names. They are opened as who we are; where that is
 * refused and there is a helper that has kept more rights (main's keeper), by it. */
#ifndef SLUICE_BASE_NAMED_FILE_H
#define SLUICE_BASE_NAMED_FILE_H

#include "lb/base/assert.h"

#include <sys/stat.h>

enum named_file_use {
    NAMED_FILE_READ,
    NAMED_FILE_APPEND, /* made where it is not there yet: logs */
};

struct named_file_helper {
    /* A descriptor, close-on-exec, or -errno. Any thread. May wait. */
    int (*open)(void *ctx, const char *path, enum named_file_use use);
    void *ctx;
};

/* NULL: none. Before other threads exist, or when they do no more. */
void named_file_set_helper(const struct named_file_helper *helper);

/* For reading; flags of open(2) besides, O_CLOEXEC is added. A descriptor or -errno. */
int named_file_open(const char *path, int flags) WARN_UNUSED;
/* For appending, made where it is not there. Never waits: a fifo that nobody reads is -ENXIO. */
int named_file_open_log(const char *path) WARN_UNUSED;
/* 0 or -errno. */
int named_file_stat(const char *path, struct stat *out) WARN_UNUSED;

#endif
