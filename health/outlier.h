/* outlier.h - passive ejection: a backend whose answers to clients fail one after the other gets
 * none of them for a while. Pure arithmetic; the checker applies it.
 *
 * The n-th ejection lasts n times as long as the first (at most OUTLIER_FACTOR_MAX times); for
 * each `time_ms` that it is back and behaves, one of the ejections so far is forgotten. */
#ifndef SLUICE_HEALTH_OUTLIER_H
#define SLUICE_HEALTH_OUTLIER_H

#include <stdbool.h>
#include <stdint.h>

#define OUTLIER_FACTOR_MAX 10 /* with 30 s, five minutes */

struct outlier_conf {
    uint32_t failures;    /* in a row; 0: off */
    uint32_t time_ms;     /* of the first ejection */
    uint32_t max_percent; /* of the pool's members of its kind (active, or backup) */
};

struct outlier {
    bool ejected;
    uint32_t count;    /* of ejections that still count */
    uint64_t since_ms; /* of the present state; ejected: since when, else back since */
    uint64_t until_ms; /* ejected: when it returns */
};

/* How many of n members may be ejected at a time: max_percent of them, rounded down (50 % of 3 is
 * 1, 10 % of 9 is none), and never all: of a pool of one none. */
uint32_t outlier_allowed(uint32_t n, uint32_t max_percent);
/* Not ejected before. Sets until_ms. */
void outlier_eject(struct outlier *o, uint64_t now_ms, uint32_t time_ms);
void outlier_return(struct outlier *o, uint64_t now_ms);
/* Another machine, another conf: its past is forgotten. Not ejected. */
void outlier_forget(struct outlier *o);

#endif
