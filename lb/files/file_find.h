/* file_find.h - goes through a plan's tries until a file is found: paths, indexes of directories,
 * compressed siblings. Each step may have to wait for files_look(); so it is a machine that is told
 * to go on, and calls back when it has waited. */
#ifndef SLUICE_FILES_FILE_FIND_H
#define SLUICE_FILES_FILE_FIND_H

#include "lb/files/file_path.h"
#include "lb/files/file_plan.h"
#include "lb/files/files.h"
#include "lb/http/coding.h"

struct file_type;
struct http_vars;

enum file_found {
    FILE_FOUND_LATER,     /* find->fn is called, then file_find_go_on() */
    FILE_FOUND,           /* file, name (for its type), coding */
    FILE_FOUND_DIRECTORY, /* the request's path lacks the slash at its end */
    FILE_FOUND_PATH,      /* find->path: may be another route's; if not: file_find_go_on() */
    FILE_FOUND_STATUS,
    FILE_FOUND_POOL,
    FILE_FOUND_NONE, /* reason says why, of the last that was looked for; error: -EACCES... or 0 */
};

struct file_find {
    /* in */
    struct files *files;
    const struct file_plan *plan;
    struct str url_path;          /* of the request, as it goes on: $path */
    const struct http_vars *vars; /* needed where a try is a template; stays */
    struct http_codings codings;  /* that the client takes */
    void (*fn)(struct file_find *find);
    /* Told of every name that was looked at, and what came of it; NULL: nobody is. */
    void (*trace)(void *arg, const char *name, const char *what);
    void *trace_arg;
    /* out */
    struct file *file; /* the caller's to release */
    const struct file_type *type;
    enum http_coding coding; /* 0: as it is */
    bool varies;             /* compressed siblings were asked for */
    struct str path;         /* FILE_FOUND_PATH: in its memory */
    uint32_t status;
    const char *pool;
    const char *reason; /* a code */
    int error;
    /* its own */
    struct file_look look;
    uint32_t at, index;
    uint8_t state, sibling;
    bool asked, slash, own;
    size_t len, tried_len;
    char url[FILE_PATH_MAX];      /* the try's path, of a URL */
    char name[FILE_PATH_MAX + 8]; /* ... of a file; an index or ending is appended */
};

/* Everything of `in` is set, the rest is not looked at. */
void file_find_start(struct file_find *find);
enum file_found file_find_go_on(struct file_find *find);
static inline bool file_find_busy(const struct file_find *find)
{
    return file_look_busy(&find->look);
}

#endif
