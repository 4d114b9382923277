/* adoption.h - a snapshot on its way into force: what has changed, the sockets it needs, and the
 * messages by which each worker takes it up between two turns. Control thread. */
#ifndef SLUICE_MAIN_ADOPTION_H
#define SLUICE_MAIN_ADOPTION_H

#include "lb/base/assert.h"

#include <stdbool.h>

struct adoption;
struct process;
struct snapshot;
struct strbuf;

struct adoption *adoption_new(struct process *p);
void adoption_free(struct adoption **a); /* NULL: no effect; what was bound stays so */

/* What may fail, before anything is published: contexts of TLS; sockets for what is not bound yet.
 * False with lines in errors; nothing is kept of it. */
bool adoption_plan_tls(struct process *p, struct adoption *a, const struct snapshot *s,
                       struct strbuf *errors) WARN_UNUSED;
bool adoption_bind(struct process *p, struct adoption *a, const struct snapshot *s,
                   struct strbuf *errors) WARN_UNUSED;
/* At the start: everything is bound, and nobody listens yet. */
void adoption_bind_first(struct process *p, struct adoption *a);

/* Before the new one is in force, and with it in force. */
void adoption_list(struct adoption *a, const struct snapshot *old, const struct snapshot *new);
void adoption_begin(struct adoption *a);
/* What it adds has its backends: it is followed from now on. */
void adoption_watch(struct process *p, const struct adoption *a);
/* Lets go of addresses that no listener has any more; workers close their sockets themselves. */
void adoption_unbind_old(struct process *p);
/* done: when every worker has taken it up; a is freed by then. */
void adoption_send(struct process *p, struct adoption *a, void (*done)(struct process *p));

#endif
