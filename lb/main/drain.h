/* drain.h - from the first signal to the moment when nothing is left. Control thread.
 * The phases stand in process.h; drain_enter() is the only place where they change. */
#ifndef SLUICE_MAIN_DRAIN_H
#define SLUICE_MAIN_DRAIN_H

#include "lb/main/process.h"

void drain_init(struct process *p);
/* signals_fn: TERM, QUIT and INT end the process, HUP, USR1, USR2 are dealt with. */
void drain_on_signal(void *arg, int signo);
/* After every turn of the control loop: goes on where something has ended. */
void drain_step(struct process *p);
/* True when the control loop has nothing of ours any more. */
bool drain_over(const struct process *p);
/* Another process serves in our place. */
void drain_hand_over(struct process *p, int to);
/* Once a second: how it goes, for systemd and the log. */
void drain_tick(struct process *p);
void drain_describe(const struct process *p, struct drain_info *out);
void drain_enter(struct process *p, enum process_phase next);

#endif
