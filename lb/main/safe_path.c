/* safe_path.c - see safe_path.h
 *
 * The way is gone step by step from the root, by descriptors of the folders; links are followed by
 * hand, as their targets are ways that need the same care. */
#include "lb/main/safe_path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINKS_MAX 16
#define OTHERS    (S_IWGRP | S_IWOTH)

struct way {
    int folder;  /* where we are */
    bool sticky; /* others may put things here, but not touch root's */
    unsigned links;
    char rest[PATH_MAX]; /* to go */
};

static int enter(struct way *w, int fd, const struct stat *st)
{
    bool shared = (st->st_mode & OTHERS) != 0;

    if (st->st_uid != 0 || (shared && (st->st_mode & S_ISVTX) == 0)) {
        close(fd);
        return -EACCES;
    }
    if (w->folder >= 0)
        close(w->folder);
    w->folder = fd;
    w->sticky = shared;
    return 0;
}

static int enter_root(struct way *w)
{
    struct stat st;
    int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    return enter(w, fd, &st);
}

/* The next name on the way; false: there is none. *out_last: nothing follows it. */
static bool next_name(struct way *w, char name[static NAME_MAX + 1], bool *out_last)
{
    const char *p = w->rest + strspn(w->rest, "/");
    size_t len = strcspn(p, "/");

    if (len == 0 || len > NAME_MAX)
        return false;
    memcpy(name, p, len);
    name[len] = '\0';
    p += len;
    *out_last = *p == '\0';
    memmove(w->rest, p, strlen(p) + 1);
    return true;
}

/* What the link says comes before the rest. */
static int follow(struct way *w, int fd, const struct stat *st)
{
    char target[PATH_MAX], whole[PATH_MAX];
    ssize_t n = readlinkat(fd, "", target, sizeof(target) - 1);

    if (n < 0)
        return -errno;
    target[n] = '\0';
    if (st->st_uid != 0)
        return -EACCES;
    if (++w->links > LINKS_MAX)
        return -ELOOP;
    if (snprintf(whole, sizeof(whole), "%s%s", target, w->rest) >= (int)sizeof(whole))
        return -ENAMETOOLONG;
    strcpy(w->rest, whole);
    return target[0] == '/' ? enter_root(w) : 0;
}

/* At its end: a plain file, or nothing yet. */
static int open_last(const struct way *w, const char *name, enum named_file_use use)
{
    const int how = use == NAMED_FILE_READ ? O_RDONLY : O_WRONLY | O_APPEND | O_CREAT;
    struct stat st;
    int fd = openat(w->folder, name, how | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0640);

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (w->sticky && st.st_uid != 0)) {
        close(fd);
        return -EACCES;
    }
    return fd;
}

/* A step. 0: go on; else the end of the way. */
static int step(struct way *w, enum named_file_use use)
{
    char name[NAME_MAX + 1];
    struct stat st;
    bool last;

    if (!next_name(w, name, &last))
        return -EACCES; /* a folder */
    int fd = openat(w->folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), rc;
    if (fd < 0)
        return errno == ENOENT && last && use == NAMED_FILE_APPEND ? open_last(w, name, use)
                                                                   : -errno;
    if (fstat(fd, &st) < 0)
        rc = -errno;
    else if (S_ISDIR(st.st_mode))
        return enter(w, fd, &st);
    else if (S_ISLNK(st.st_mode))
        rc = follow(w, fd, &st);
    else
        rc = last && S_ISREG(st.st_mode) ? open_last(w, name, use) : -EACCES;
    close(fd);
    return rc;
}

int safe_path_open(const char *path, enum named_file_use use)
{
    struct way w = {.folder = -1};
    int rc = path[0] == '/' ? 0 : -EACCES;

    if (rc == 0 && snprintf(w.rest, sizeof(w.rest), "%s", path) >= (int)sizeof(w.rest))
        rc = -ENAMETOOLONG;
    if (rc == 0)
        rc = enter_root(&w);
    while (rc == 0) /* no descriptor is 0: the standard ones are open */
        rc = step(&w, use);
    if (w.folder >= 0)
        close(w.folder);
    return rc;
}

bool safe_path_is_roots(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && st.st_uid == 0 && (st.st_mode & OTHERS) == 0;
}
