/* file_type.h - what a file is, by the ending of its name. Pure. */
#ifndef SLUICE_FILES_FILE_TYPE_H
#define SLUICE_FILES_FILE_TYPE_H

#include "lb/base/str.h"

struct file_type {
    const char *ending; /* without the dot */
    const char *type;   /* value of Content-Type */
    bool shrinks;       /* when compressed: there may be a compressed one beside it */
};

/* By the last ending of the path; never NULL: what is not known is application/octet-stream. */
const struct file_type *file_type_of(struct str path);

#endif
