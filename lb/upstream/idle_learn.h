/* idle_learn.h - how long a backend lets a connection be idle, learnt from what it says and does.
 *
 * A request that is sent while the backend closes is lost, so a connection is dropped a second (at
 * most half the time) before that. Pure arithmetic; zero it to start. One worker's, per backend. */
#ifndef SLUICE_UPSTREAM_IDLE_LEARN_H
#define SLUICE_UPSTREAM_IDLE_LEARN_H

#include <stdbool.h>
#include <stdint.h>

struct idle_learn {
    uint32_t said_ms; /* of the last Keep-Alive header */
    uint32_t seen_ms; /* when it closes, as observed twice; 0: not known */
    uint32_t once_ms; /* observed once: a restart closes connections of any age */
    uint32_t survivors;
    bool said;
};

/* `Keep-Alive: timeout=seconds` of a response. */
void idle_learn_header(struct idle_learn *l, uint32_t seconds);
/* The backend closed a connection that had been idle for so long. */
void idle_learn_closed(struct idle_learn *l, uint32_t idle_ms);
/* A connection was idle for so long and still open: it is used again, or we close it. */
void idle_learn_survived(struct idle_learn *l, uint32_t idle_ms);
/* For how long to keep one; configured_ms (0: no limit) is never exceeded. 0: not at all;
 * UINT32_MAX: no limit is known. */
uint32_t idle_learn_keep_ms(const struct idle_learn *l, uint32_t configured_ms);

#endif
