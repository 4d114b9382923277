/* admin_glue.h - struct admin_ops, filled: what the stats socket asks for, got from the process.
 * Control thread. Questions about sessions go to all workers as messages; the answer is given when
 * the last one has come back. */
#ifndef SLUICE_MAIN_ADMIN_GLUE_H
#define SLUICE_MAIN_ADMIN_GLUE_H

#include <stdbool.h>

struct process;

void admin_glue_init(struct process *p);
void admin_glue_follow(struct process *p);
/* another snapshot is in force */ /* after everything that ops points to exists */
/* No question is on its way any more. */
bool admin_glue_idle(const struct process *p);
void admin_glue_fini(struct process *p); /* idle */

/* NULL when ready, else why not, in words. */
const char *admin_glue_not_ready(struct process *p);

#endif
