/* process_start.h - the start of the process, in the order that process.h tells: each step can fail
 * for what it finds around it, and says so in the log; process.c frees what there is by then. */
#ifndef SLUICE_MAIN_PROCESS_START_H
#define SLUICE_MAIN_PROCESS_START_H

#include "lb/base/assert.h"

struct process;

/* All threads run and listen, or are about to (a takeover). 0 or -errno. */
int process_start(struct process *p) WARN_UNUSED;

#endif
