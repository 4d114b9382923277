/* conf_source.h - the text of a configuration: a file with its @include files in their places.
 *
 * libconfig is handed the joined text and so never opens a file itself: its 1.5 ends the process
 * when it is given a directory, and prefixes absolute paths with the include folder. Lines of the
 * joined text are mapped back to file and line here. */
#ifndef SLUICE_CONFIG_CONF_SOURCE_H
#define SLUICE_CONFIG_CONF_SOURCE_H

#include "lb/config/conf_arena.h"

struct problems;

struct conf_place {
    const char *file;
    uint32_t line;
};

struct conf_source {
    struct conf_arena *arena; /* file names live there */
    struct strbuf text;
    struct conf_place *places; /* one per line of text */
    uint32_t n_places, cap;
};

/* Both add what is wrong to problems and then return false; the source is to be ended anyway. */
bool conf_source_read(struct conf_source *s, const char *path,
                      struct problems *problems) WARN_UNUSED;
/* From memory; @include is refused there, so that no text can make us open a file. */
bool conf_source_set(struct conf_source *s, const char *name, struct str text,
                     struct problems *problems) WARN_UNUSED;
void conf_source_fini(struct conf_source *s);

/* line counts from 1; beyond the end it is the last line. */
struct conf_place conf_source_place(const struct conf_source *s, uint32_t line);
struct str conf_source_line(const struct conf_source *s, uint32_t line); /* without its newline */

#endif
