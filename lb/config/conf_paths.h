/* conf_paths.h - the files, folders and sockets that a configuration names: what a hardened process
 * must be able to reach, and what its keeper opens for it. Found by the schema's rows, so that a
 * new setting is one of them by itself. */
#ifndef SLUICE_CONFIG_CONF_PATHS_H
#define SLUICE_CONFIG_CONF_PATHS_H

#include "lb/config/conf.h"

enum conf_path_use {
    CONF_PATH_SOURCE, /* the configuration's own text: the main file, what it includes */
    CONF_PATH_FILE,   /* read, again when it changes: keys, certificates, pages, passwords */
    CONF_PATH_TREE,   /* read with everything beneath it */
    CONF_PATH_KEPT,   /* read, and replaced by renaming: the state file, the overlay */
    CONF_PATH_LOG,    /* appended to, and made again after it was rotated */
    CONF_PATH_SOCKET, /* of the stats socket, of a listener: made and removed */
};

/* setting: "listeners.tls.crl", or "@include". The texts are conf's. */
typedef void conf_path_fn(void *ctx, enum conf_path_use use, const char *path, const char *setting);
/* All of them, some more than once. Paths may be relative to the working folder (the main file's
 * may). */
void conf_paths(const struct conf *conf, conf_path_fn *fn, void *ctx);

#endif
