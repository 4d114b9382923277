/* tls_plan.h - the TLS of a snapshot that is to come into force: files read, contexts built for
 * every thread, so that all of it is known to be good before anything changes.
 *
 * What has not changed keeps its contexts (and the sessions in them), a listener keeps its ticket
 * keys as long as its name has TLS. Control thread, but for tls_plan_adopt(). */
#ifndef SLUICE_MAIN_TLS_PLAN_H
#define SLUICE_MAIN_TLS_PLAN_H

#include "lb/base/assert.h"

#include <stdint.h>

struct snapshot;
struct strbuf;
struct tls_plan;
struct tls_store;

/* NULL: one line a mistake is appended to errors. wall_s: wall clock. */
struct tls_plan *tls_plan_new(struct tls_store *s, const struct snapshot *new, int64_t wall_s,
                              struct strbuf *errors) WARN_UNUSED;
/* It comes into force: the store watches its files from now on, the health thread gets its
 * contexts by message. */
void tls_plan_commit(struct tls_plan *p);
/* On each worker, in the same turn as its objects. */
void tls_plan_adopt(struct tls_plan *p, uint32_t worker);
/* When all workers have adopted it, or when it is not to be. */
void tls_plan_free(struct tls_plan **p);

#endif
