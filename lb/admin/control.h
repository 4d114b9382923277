/* control.h - the stats socket: accepts clients on the control thread's loop, reads command lines
 * in HAProxy's language, answers them. */
#ifndef SLUICE_ADMIN_CONTROL_H
#define SLUICE_ADMIN_CONTROL_H

#include "lb/admin/admin_ops.h"

struct command_env;
struct control;
struct control_socket;
struct loop;
struct peer_rule;

enum control_level { CONTROL_USER, CONTROL_OPERATOR, CONTROL_ADMIN };

/* ops must outlive it. */
struct control *control_new(struct loop *loop, const struct admin_ops *ops);
/* A listening unix socket, already bound by main; fd is taken over. path is for `show cli sockets`.
 * rule (peer.h): who may use it; NULL: whom the mode of the path lets in. */
struct control_socket *control_listen(struct control *c, int fd, const char *path,
                                      enum control_level level, const struct peer_rule *rule);
/* Of its clients from now on. */
void control_set_level(struct control_socket *s, enum control_level level);
/* It is closed, when those who have connected already are accepted; all its clients stay. Sets *s
 * to NULL. */
void control_unlisten(struct control *c, struct control_socket **s);
/* Listeners and pools of ops are others (a reload). */
void control_follow(struct control *c);
/* What commands work on; lives as long as this. */
const struct command_env *control_env(const struct control *c);
/* Samples rates and averages once a second; started by control_new. */
void control_stop(struct control *c);
bool control_stopped(const struct control *c);
void control_free(struct control **c);

#endif
