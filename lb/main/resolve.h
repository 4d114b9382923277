/* resolve.h - names in backend addresses: asked at start, asked again, put into the table.
 * Control thread. A name that has never been resolved keeps its backend in maintenance
 * (ADMIN_RMAINT) with the reason; once it was, a failing lookup leaves the last address in place.
 */
#ifndef SLUICE_MAIN_RESOLVE_H
#define SLUICE_MAIN_RESOLVE_H

#include "lb/base/assert.h"

#include <stdbool.h>
#include <stdint.h>

struct backend_conf;
struct backend_slot;
struct backend_table;
struct checker;
struct conf;
struct loop;
struct resolve;
struct resolver;

/* NULL with *out_error (static text) when the resolver cannot start. */
struct resolve *resolve_new(struct loop *loop, const struct conf *conf, struct backend_table *table,
                            const char **out_error);
/* A backend whose address is a name; slot goes into maintenance until there is an answer. conf
 * stays until another one is said, or the backend is forgotten. */
void resolve_add(struct resolve *r, struct backend_slot *slot, const struct backend_conf *conf);
void resolve_start(struct resolve *r, struct checker *checker); /* asks all */

/* Before a reload: asks for the name that it says of a backend, where it is another than by now, so
 * that resolve_add() begins with the answer. */
void resolve_ahead(struct resolve *r, const struct backend_slot *slot, const char *host);
/* fn(ctx), when all of them have been answered, from the loop's turn. False: nothing is asked. */
bool resolve_ahead_wait(struct resolve *r, void (*fn)(void *ctx), void *ctx);
void resolve_ahead_end(struct resolve *r); /* nobody waits; the answers are forgotten */

bool resolve_first_round_over(const struct resolve *r);
/* A reload: the same name, said by another configuration. */
void resolve_keep(struct resolve *r, const struct backend_slot *slot,
                  const struct backend_conf *conf);
/* This backend has got an address by hand: its name is asked no more. */
void resolve_forget(struct resolve *r, const struct backend_slot *slot);
/* A reload: what other servers or timeouts take; *out NULL: they are the same. 0 or -errno with
 * *out_error (static text). */
int resolve_prepare(const struct resolve *r, const struct conf *conf, struct resolver **out,
                    const char **out_error) WARN_UNUSED;
/* Lookups from now on go by these settings; addresses that are known stay. Takes *resolver, of
 * resolve_prepare(). Lookups that are under way are made again. */
void resolve_follow(struct resolve *r, const struct conf *conf, struct resolver **resolver);
void resolve_free(struct resolve **r);

#endif
