/* reload_global.h - what a reload changes beside listeners and pools: stats sockets, the admin
 * address, how names are looked up.
 *
 * In two steps, as all of a reload: what can fail is done first, and undone where something else of
 * the configuration is refused. Control thread. */
#ifndef SLUICE_MAIN_RELOAD_GLOBAL_H
#define SLUICE_MAIN_RELOAD_GLOBAL_H

#include "lb/base/assert.h"

#include <stdbool.h>

struct conf;
struct process;
struct resolver;
struct strbuf;

struct reload_global {
    bool other_admin;
    bool other_names;          /* settings of the resolver differ */
    struct resolver *resolver; /* NULL: it stays */
};

/* False: lines of what is wrong are in errors, and nothing has changed. */
bool reload_global_prepare(struct process *p, struct reload_global *g, const struct conf *conf,
                           struct strbuf *errors) WARN_UNUSED;
/* Nothing of it fails. conf: in force. */
void reload_global_commit(struct process *p, struct reload_global *g, const struct conf *conf);
/* In place of the commit: as it was before. */
void reload_global_undo(struct process *p, struct reload_global *g);

#endif
