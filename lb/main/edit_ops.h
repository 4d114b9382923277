/* edit_ops.h - what the stats socket wants of backends that come and go at run time: fills its part
 * of struct admin_ops. Control thread. */
#ifndef SLUICE_MAIN_EDIT_OPS_H
#define SLUICE_MAIN_EDIT_OPS_H

struct process;

void edit_ops_init(struct process *p);
/* The process ends: who waits is told so. */
void edit_ops_stop(struct process *p);

#endif
