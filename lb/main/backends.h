/* backends.h - what a configuration says of backends, made so: in the table, to the checker, and to
 * who looks names up. Control thread. */
#ifndef SLUICE_MAIN_BACKENDS_H
#define SLUICE_MAIN_BACKENDS_H

#include "lb/base/assert.h"

#include <stdint.h>

struct process;
struct snapshot;
struct strbuf;

/* Whether names of this snapshot can be looked up, where it has any. 0 or -errno, with a line in
 * errors. */
int backends_prepare(struct process *p, const struct snapshot *s,
                     struct strbuf *errors) WARN_UNUSED;
/* At the start, with the first snapshot in force: names, then, when threads run, checks. */
void backends_name(struct process *p);
void backends_check(struct process *p);

struct backends_changes {
    uint32_t added, removed, changed;
    struct strbuf *told; /* a line for each that people may want to know */
};
/* A reload: from old to the snapshot in force. What was changed at run time stays, but where the
 * file says something else of that very value than it did. */
void backends_change(struct process *p, const struct snapshot *old, struct backends_changes *out);

#endif
