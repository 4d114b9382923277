/* binding.h - all sockets that the process listens on: bound at start, given to the workers and to
 * the stats socket, removed from the file system at the end. */
#ifndef SLUICE_MAIN_BINDING_H
#define SLUICE_MAIN_BINDING_H

#include "lb/base/assert.h"
#include "lb/main/privileges.h"
#include "lb/net/addr.h"

#include <stdint.h>
#include <sys/stat.h>

struct conf;
struct listener_conf;
struct stats_conf;
struct strbuf;

/* A unix socket in the file system as we made it, so that the end removes nothing of others: a
 * successor may have put its own in that place while we were draining. */
struct binding_path {
    dev_t dev;
    ino_t ino; /* 0: none */
};

struct binding {
    const struct conf *conf;
    uint32_t sockets; /* per address: one per worker */
    struct binding_row {
        uint32_t id; /* nobody else's, ever */
        struct addr addr;
        int *fds; /* sockets of them; -1 once taken; each is its taker's alone */
        struct binding_path path;
    } * rows;
    uint32_t n, last_id;
    struct binding_stats {
        int fd; /* -1 once taken */
        struct binding_path path;
    } * stats; /* conf->n_stats */
};

void binding_init(struct binding *b, const struct conf *conf, uint32_t sockets);
/* As the user that we started as: modes and owners are set before the socket appears under its
 * name. owner: who the process will be. 0 or -errno; what failed was logged. */
int binding_stats(struct binding *b, const struct privileges *owner) WARN_UNUSED;
/* As the user that we are from then on. 0 or -errno; what failed was logged: address, listener,
 * file and line. */
int binding_listeners(struct binding *b) WARN_UNUSED;
/* One more address of a listener; 0 or -errno, what failed is appended to errors. */
int binding_add(struct binding *b, const struct listener_conf *l, uint32_t bind,
                struct strbuf *errors) WARN_UNUSED;
/* The row of this address; NULL: it is not bound. Valid until the next binding_add(). */
const struct binding_row *binding_find(const struct binding *b, const struct addr *addr);
/* It is not listened on any more: what nobody has taken is closed, a unix socket's path removed. */
void binding_remove(struct binding *b, uint32_t id);
/* The socket of a worker; it is the caller's from then on. */
int binding_take(struct binding *b, uint32_t id, uint32_t worker);
int binding_take_stats(struct binding *b, uint32_t i);
/* Closes what nobody took, and removes unix sockets. */
void binding_fini(struct binding *b);

#endif
