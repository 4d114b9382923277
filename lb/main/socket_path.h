/* socket_path.h - a unix socket in the file system as we made it, so that it is removed as long as
 * it is ours: a successor may have put its own in that place while we were draining. */
#ifndef SLUICE_MAIN_SOCKET_PATH_H
#define SLUICE_MAIN_SOCKET_PATH_H

#include <stdbool.h>
#include <sys/stat.h>

struct socket_path {
    dev_t dev;
    ino_t ino; /* 0: none */
};

/* What is there now is ours. False: there is nothing. */
bool socket_path_note(struct socket_path *p, const char *path);
bool socket_path_is_ours(const struct socket_path *p, const char *path);
/* No effect where it is not ours. */
void socket_path_remove(const struct socket_path *p, const char *path);

#endif
