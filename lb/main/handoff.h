/* handoff.h - another process takes our place (takeover.h is its side): we give it our listening
 * sockets, go on serving, and drain when it says that it serves. Control thread. */
#ifndef SLUICE_MAIN_HANDOFF_H
#define SLUICE_MAIN_HANDOFF_H

#include "lb/base/assert.h"

#include <stdbool.h>

struct process;

/* Somebody asked on the stats socket at level admin: the connection is ours now. One at a time; the
 * peer must be our user or root. */
void handoff_begin(struct process *p, int fd);
/* Nobody waits for sockets any more. */
void handoff_stop(struct process *p);
bool handoff_stopped(const struct process *p);

#endif
