/* status.h - the state of a backend in HAProxy's words. Control thread. */
#ifndef SLUICE_ADMIN_STATUS_H
#define SLUICE_ADMIN_STATUS_H

#include "health/table.h"

struct pool;

struct server_status {
    struct backend_word word;
    struct backend_info info;
    bool eligible;        /* gets new traffic now, as far as its health is concerned */
    bool draining;        /* by an admin or for its weight of 0 */
    uint32_t full_weight; /* x WEIGHT_SCALE: what is set, as far as its agent leaves it */
};

void server_status_read(struct server_status *s, const struct pool *p,
                        const struct backend_slot *slot);

/* Without slow start, in configured units. */
uint32_t server_status_weight(const struct server_status *s);

#define SERVER_STATUS_MAX 32
/* "UP", "UP 1/3", "DOWN", "DOWN 1/2", "DRAIN", "DRAIN 1/3", "MAINT", "MAINT (resolution)",
 * "no check". Returns buf. */
const char *server_status_text(const struct server_status *s, char buf[static SERVER_STATUS_MAX]);
/* Whether a check is configured and not paused by maintenance. */
bool server_status_checked(const struct server_status *s);
/* "Layer4 check passed", ... */
const char *check_result_text(enum check_result r);

#endif
