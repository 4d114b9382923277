/* places.h - the files and folders that a hardened process keeps: those of the system that its
 * libraries read, those that the configuration names, those of hardening.paths.
 *
 * Folders rather than files, since files are replaced: by editors, by certbot, by log rotation. */
#ifndef SLUICE_MAIN_PLACES_H
#define SLUICE_MAIN_PLACES_H

#include "lb/base/str.h"
#include "lb/main/landlock.h"

struct conf;

struct place {
    char *path; /* without links */
    enum landlock_use use;
};

struct places {
    struct place *rows;
    uint32_t n;
};

/* What this configuration needs, of what is there now. */
void places_of(struct places *p, const struct conf *conf);
/* What another configuration needs beyond them: a line in *errors each. How many. keeper: what is
 * opened file by file need not be among them. */
uint32_t places_missing(const struct places *p, const struct conf *conf, bool keeper,
                        const char *file, struct strbuf *errors);
void places_fini(struct places *p);

#endif
