/* build.h - run-time objects of a configuration: those that have not changed since the snapshot in
 * force are taken over, others are made. Control thread. */
#ifndef SLUICE_MAIN_BUILD_H
#define SLUICE_MAIN_BUILD_H

#include "lb/main/snapshot.h"

/* The i-th of s->conf. NULL: a line is appended to errors. */
struct live_pool *build_pool(struct process *p, struct snapshot *s, uint32_t i,
                             struct strbuf *errors);
/* When all pools are there. */
struct live_listener *build_listener(struct process *p, struct snapshot *s, uint32_t i,
                                     struct strbuf *errors);
/* What is shown of its routes, in its stats: when it comes into force. */
void build_route_stats(struct live_listener *ll);
/* Also the ends of those that were never in force. */
void live_pool_free(struct live_pool **live);
void live_listener_free(struct live_listener **live);

#endif
