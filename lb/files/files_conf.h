/* files_conf.h - `files` of a route, as the configuration has it. Immutable. */
#ifndef SLUICE_FILES_FILES_CONF_H
#define SLUICE_FILES_FILES_CONF_H

#include <stdbool.h>
#include <stdint.h>

struct files_conf {
    char *root;   /* absolute */
    char **index; /* names that stand for a directory, in order */
    uint32_t n_index;
    char **tries; /* what is looked for, in order; see file_plan.h */
    uint32_t n_tries;
    char **refuse; /* endings of names that are never sent */
    uint32_t n_refuse;
    bool precompressed; /* x.br and x.gz are sent for x */
};

#endif
