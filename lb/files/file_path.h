/* file_path.h - which file a path of a URL names. Pure. */
#ifndef SLUICE_FILES_FILE_PATH_H
#define SLUICE_FILES_FILE_PATH_H

#include "lb/base/str.h"

#define FILE_PATH_MAX 1024 /* bytes, with the NUL; two stand in each request for a file */

enum file_path {
    FILE_PATH_GOOD,
    FILE_PATH_BAD,    /* it can name no file: an escape of a slash or NUL, dot segments, too long */
    FILE_PATH_HIDDEN, /* a name in it begins with a dot; /.well-known/ may (RFC 8615) */
};

/* path: of a URL, rooted, with or without escapes, no query. out: relative to the root of the
 * files, "." for the root itself, without slashes at the ends and doubled ones. *out_directory: it
 * ended with a slash. */
enum file_path file_path_of(struct str path, char out[static FILE_PATH_MAX], size_t *out_len,
                            bool *out_directory) WARN_UNUSED;

/* Whether the name ends with one of these endings, any case. */
bool file_path_ends(struct str path, char *const *endings, uint32_t n);

#endif
