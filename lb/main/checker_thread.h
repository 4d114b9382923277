/* checker_thread.h - the health thread: a loop with the checker on it. */
#ifndef SLUICE_MAIN_CHECKER_THREAD_H
#define SLUICE_MAIN_CHECKER_THREAD_H

#include "health/checker.h"
#include "lb/base/assert.h"

struct checker_thread;
struct loop;

/* Starts the thread, waits until its checker exists. NULL and *out_error = -errno. hooks as for
 * checker_new(). */
struct checker_thread *checker_thread_start(enum io_engine_kind engine, struct backend_table *table,
                                            struct epoch_domain *epochs,
                                            const struct checker_hooks *hooks, int *out_error);
struct checker *checker_thread_checker(struct checker_thread *t);
struct loop *checker_thread_loop(struct checker_thread *t);
/* Ends the checks; no hook is called afterwards. The checker itself stays, as workers report to it.
 */
void checker_thread_stop(struct checker_thread *t);
void checker_thread_free(struct checker_thread **t); /* after the workers have ended */

#endif
