/* files.h - one worker's open files: looked up by path beneath a root, kept open while they are
 * asked for, looked at again every second. Never waits for a disk: what is not in memory is opened
 * by other threads (lb/io/io.h).
 *
 * A path that is replaced (by rename, as is done where files must change as a whole) is seen within
 * LIMIT_FILE_FRESH_MS; one that is changed in its place, with the next request. The same goes for
 * the root, which may be a link that is set to another release. */
#ifndef SLUICE_FILES_FILES_H
#define SLUICE_FILES_FILES_H

#include "lb/io/loop.h"

struct file_root;
struct files;

/* A regular file, open, or a directory. Shared by all who read it. */
struct file {
    uint32_t refs;
    int fd; /* -1: a directory */
    bool directory;
    uint64_t size, device, inode;
    int64_t modified_s; /* since 1970 */
    uint32_t modified_ns;
    struct io_file_memory memory;
};

struct files *files_new(struct loop *loop);
void files_free(struct files **f); /* files_quiet(); all files were released */
bool files_quiet(const struct files *f);
/* Closes one that nobody reads; false: there is none. */
bool files_evict(struct files *f);
uint32_t files_open(const struct files *f);

void file_hold(struct file *file);
void file_release(struct file **file);

/* One question. Embedded in what lives until it is answered (file_look_busy()). */
struct file_look {
    struct op op;
    struct files *files;
    struct file_root *root;
    const char *path;
    size_t len;
    uint32_t hash;
    void (*fn)(struct file_look *look);
    struct file *file; /* the answer: held for the asker; or NULL, and */
    int error;         /* -errno: -ENOENT, -EACCES, -EXDEV (it leads out of the root)... */
    uint8_t state;
};

/* root: absolute; path: relative to it, as file_path_of() makes it; both stay until the answer.
 * True: it is there already, fn is not called. */
bool files_look(struct files *f, struct file_look *look, const char *root, const char *path,
                void (*fn)(struct file_look *look)) WARN_UNUSED;
static inline bool file_look_busy(const struct file_look *look)
{
    return look->op.armed;
}
/* An answer that nobody wants any more comes soon, by fn. */
void file_look_cancel(struct file_look *look);

#endif
