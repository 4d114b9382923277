/* state_restore.h - what a former process was told at run time, put in force again: of each value
 * what was set, as long as the file says of it what it said then. Control thread. */
#ifndef SLUICE_MAIN_STATE_RESTORE_H
#define SLUICE_MAIN_STATE_RESTORE_H

#include <stdbool.h>

struct process;
struct state_text;

/* again: it was done before; only what differs is worth a line. */
void state_restore_changes(struct process *p, const struct state_text *t, bool again);

#endif
