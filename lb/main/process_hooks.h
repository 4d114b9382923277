/* process_hooks.h - what other threads tell of themselves: the health thread about pools, backends
 * and its first round, workers about listeners that nobody uses any more. On their threads; what is
 * the control thread's gets a message. */
#ifndef SLUICE_MAIN_PROCESS_HOOKS_H
#define SLUICE_MAIN_PROCESS_HOOKS_H

#include "health/checker.h"

struct process;

struct checker_hooks process_hooks(struct process *p);
/* On the health thread: all views of the pool are made anew, and who waits for it looks again. */
void process_pool_changed(struct process *p, uint32_t pool);
/* For proxy_shared; ctx: the process. */
void process_on_listener_over(void *ctx);

#endif
