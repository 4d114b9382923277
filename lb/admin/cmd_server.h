/* cmd_server.h - what the files of the commands about servers share. */
#ifndef SLUICE_ADMIN_CMD_SERVER_H
#define SLUICE_ADMIN_CMD_SERVER_H

#include "lb/base/str.h"

struct addr;
struct backend_slot;
struct command;
struct pool;

/* Logs what has been done to it, and by whom. */
void cmd_server_note(const struct command *c, const struct backend_slot *slot, const char *what);
/* An IP address without a port. */
bool cmd_server_parse_ip(struct str word, struct addr *out);
/* `set server <b>/<s> agent…`. False: it is none of these. */
bool cmd_agent_set(struct command *c, const struct pool *p, struct backend_slot *slot);

#endif
