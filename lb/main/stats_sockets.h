/* stats_sockets.h - the stats sockets of the process: bound at start and by reloads, served by the
 * control thread (control.h), removed from the file system at the end.
 *
 * While another process serves whose place we are to take (`before`), theirs keep their names:
 * stats_sockets_succeed() replaces them. Control thread. */
#ifndef SLUICE_MAIN_STATS_SOCKETS_H
#define SLUICE_MAIN_STATS_SOCKETS_H

#include "lb/base/assert.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct conf;
struct control;
struct privileges;
struct stats_socket;
struct strbuf;

struct stats_sockets {
    struct stats_socket **rows; /* as the configuration has them */
    uint32_t n;
    struct stats_socket **next; /* of a reload that is being prepared: some of them are in rows */
    uint32_t n_next;
    pid_t before; /* the process whose place we are to take; 0: there is none, or it has left */
};

/* As the user that we started as: modes and owners are set before a socket appears under its name.
 * owner: who the process will be. 0 or -errno; what failed was logged. */
int stats_sockets_bind(struct stats_sockets *s, const struct conf *conf, pid_t before,
                       const struct privileges *owner) WARN_UNUSED;
void stats_sockets_serve(struct stats_sockets *s, struct control *control);

/* A reload, first step: what is new or has changed is bound, and has its name. False, with lines in
 * errors: nothing has changed. */
bool stats_sockets_prepare(struct stats_sockets *s, const struct conf *conf,
                           const struct privileges *owner, const char *file,
                           struct strbuf *errors) WARN_UNUSED;
/* Second step: it is served, and what it replaces is not any more; clients of that stay. */
void stats_sockets_commit(struct stats_sockets *s, const struct conf *conf,
                          struct control *control);
/* In place of it. */
void stats_sockets_undo(struct stats_sockets *s);

/* As the user that we are from then on: whether stats_sockets_succeed() will be able to. 0 or
 * -errno; what is in its way was logged. */
int stats_sockets_check_succession(const struct stats_sockets *s) WARN_UNUSED;
/* The process before us leaves: they get their names. What fails is logged. */
void stats_sockets_succeed(struct stats_sockets *s);
/* The other way round: another process has taken our place. They keep a second name. */
void stats_sockets_step_aside(struct stats_sockets *s);
void stats_sockets_fini(struct stats_sockets *s); /* control has ended */

#endif
