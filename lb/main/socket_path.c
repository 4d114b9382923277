/* socket_path.c - see socket_path.h */
#include "lb/main/socket_path.h"

#include <unistd.h>

bool socket_path_note(struct socket_path *p, const char *path)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return false;
    *p = (struct socket_path){st.st_dev, st.st_ino};
    return true;
}

bool socket_path_is_ours(const struct socket_path *p, const char *path)
{
    struct stat st;

    return p->ino != 0 && lstat(path, &st) == 0 && st.st_dev == p->dev && st.st_ino == p->ino;
}

void socket_path_remove(const struct socket_path *p, const char *path)
{
    if (socket_path_is_ours(p, path))
        unlink(path);
}
