/* state.h - what is known of backends outlives the process: their health, and what was changed at
 * run time. It is written to the state file now and then and at the end, given to the process that
 * takes our place, and taken up at the start.
 *
 * Health that is older than state_max_age is not believed; what people have set is, whatever its
 * age, unless the file has changed the same value since. Control thread; the file is written by a
 * thread of its own, as fsync may take long. */
#ifndef SLUICE_MAIN_STATE_H
#define SLUICE_MAIN_STATE_H

#include "lb/base/assert.h"

#include <stdbool.h>

struct backend_slot;
struct checker_known;
struct process;
struct strbuf;

/* At the start: reads the state file, or what the process before us has said; backends that came
 * and went are edits from then on. What it finds is logged; nothing of it is an error. */
void state_load(struct process *p);
/* At the start, with the first snapshot in force and nothing running: so is what was changed at run
 * time. */
void state_restore(struct process *p);
/* At the start: what is known of a backend; false: nothing. Valid until
 * state_forget(). */
bool state_recall(const struct process *p, const struct backend_slot *s, struct checker_known *out);
/* The checks have begun. */
void state_forget(struct process *p);
/* The process before us says what it has changed since it said all: text as of state_print(). */
void state_follow(struct process *p, const struct strbuf *text);

/* All of it, as text. */
void state_print(const struct process *p, struct strbuf *out);

/* Once a second: writes the file when something has changed, or when it grows old. */
void state_tick(struct process *p);
/* Another process serves: the file is its from now on. */
void state_hand_over(struct process *p);
/* At the end, with no loop running: waits for the thread, writes a last time. */
void state_finish(struct process *p);

#endif
