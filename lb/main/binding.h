/* binding.h - the sockets of listeners: bound at start and by reloads or inherited (inherit.h),
 * given to the workers, removed from the file system at the end.
 *
 * While another process serves whose place we are to take (`before`), nothing of what it has in the
 * file system is touched: binding_succeed() does that. */
#ifndef SLUICE_MAIN_BINDING_H
#define SLUICE_MAIN_BINDING_H

#include "lb/base/assert.h"
#include "lb/main/inherit.h"
#include "lb/main/socket_path.h"
#include "lb/net/addr.h"

#include <stdint.h>
#include <sys/types.h>

struct conf;
struct listener_conf;
struct strbuf;

struct binding {
    const struct conf *conf;
    uint32_t sockets; /* per address: one per worker at least */
    struct inherit inherit;
    struct addr admin; /* where we serve HTTP for admins; len 0: nowhere */
    pid_t before; /* the process whose place we are to take; 0: there is none, or it has left */
    struct binding_row {
        uint32_t id; /* nobody else's, ever */
        struct addr addr;
        bool dgram; /* of mode udp */
        struct binding_fd {
            int fd;     /* stays as long as it is listened on, for binding_each() */
            bool taken; /* its taker closes it */
            bool quiet; /* of a group; it does not listen yet */
        } * fds;
        uint32_t n; /* at least b->sockets */
        struct socket_path path;
    } * rows;
    uint32_t n, last_id;
};

/* Takes what has been inherited over; before: 0, or see above. */
void binding_init(struct binding *b, const struct conf *conf, uint32_t sockets,
                  struct inherit *inherited, pid_t before);
/* As the user that we are from then on. 0 or -errno; what failed was logged: address, listener,
 * file and line. */
int binding_listeners(struct binding *b) WARN_UNUSED;
/* One more address of a listener; 0 or -errno, what failed is appended to errors. */
int binding_add(struct binding *b, const struct listener_conf *l, uint32_t bind,
                struct strbuf *errors) WARN_UNUSED;
/* The row of this address of the listener; NULL: it is not bound. Valid until the next
 * binding_add(). */
const struct binding_row *binding_find(const struct binding *b, const struct listener_conf *l,
                                       uint32_t bind);
/* Whether an address of ours, of a listener or the admin address, has that port already. */
bool binding_is_beside(const struct binding *b, const struct addr *addr, bool dgram);
/* It is not listened on any more: what nobody has taken is closed, a unix socket's path removed. */
void binding_remove(struct binding *b, uint32_t id);
/* How many sockets the address has. */
uint32_t binding_count(const struct binding *b, uint32_t id);
/* The i-th of them; it is the caller's from then on. -errno: it cannot listen. */
int binding_take(struct binding *b, uint32_t id, uint32_t i) WARN_UNUSED;
/* What was inherited and the configuration does not have: its addresses, for the log, comma
 * between. */
void binding_unused(const struct binding *b, struct strbuf *out);
/* The process before us leaves: paths of unix sockets are ours. */
void binding_succeed(struct binding *b);
/* The other way round: another process has taken our place, and they are its. */
void binding_step_aside(struct binding *b);
/* Closes what nobody took, and removes unix sockets. */
void binding_fini(struct binding *b);

#endif
