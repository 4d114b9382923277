/* control_priv.h - what the files of the stats socket share: control.c accepts, control_client.c is
 * one client. */
#ifndef SLUICE_ADMIN_CONTROL_PRIV_H
#define SLUICE_ADMIN_CONTROL_PRIV_H

#include "lb/admin/command.h"
#include "lb/admin/control.h"
#include "lb/base/list.h"
#include "lb/io/timer.h"

struct refusals;

struct control {
    struct loop *loop;
    const struct admin_ops *ops;
    struct command_env env;
    struct refusals *refusals;
    struct command_socket *env_sockets; /* env.sockets */
    struct list sockets, clients;
    uint32_t n_clients;
    struct timer tick;
    uint64_t start_ms;
    bool stopping;
};

/* A connection that was accepted; fd is taken over, also when there are too many (then it is told
 * so, or closed). It is in c->clients until it has ended. */
void control_client_new(struct control *c, int fd, enum control_level level);
/* Its end, of one in c->clients: who follows the events hears of the last ones. May free it. */
void control_client_stop(struct list *node);

#endif
