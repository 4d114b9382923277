/* safe_path.h - opening a file with root's rights, on somebody else's word: only by ways that
 * nobody but root can have laid. Every folder and link on the way is root's, and nobody else can
 * put anything into these folders (where everybody may, as in /tmp, what is on the way is root's).
 * So no link of another user's leads us to what he may not read. */
#ifndef SLUICE_MAIN_SAFE_PATH_H
#define SLUICE_MAIN_SAFE_PATH_H

#include "lb/base/assert.h"
#include "lb/base/named_file.h"

#include <stdbool.h>

/* path is absolute. A descriptor of a plain file, close-on-exec, or -errno: -EACCES where the way
 * is not safe, or what is there no plain file. */
int safe_path_open(const char *path, enum named_file_use use) WARN_UNUSED;
/* Whether nobody but root can change what is in this open file. */
bool safe_path_is_roots(int fd);

#endif
