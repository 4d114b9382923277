/* latency.h - how long a backend takes to answer: an estimate that all workers feed and read.
 *
 * A peak-sensitive moving average, kept in the slot (one atomic word: value and time of the last
 * change). A slower answer counts in full at once, faster ones bring it down over LATENCY_DECAY_US;
 * so does time in which nothing is heard. At most one sample a millisecond moves the average (peaks
 * always do), so that workers do not fight over the word. Any thread; never blocks. */
#ifndef SLUICE_HEALTH_LATENCY_H
#define SLUICE_HEALTH_LATENCY_H

#include "health/table.h"

#define LATENCY_DECAY_US   10000000u /* what was seen so long ago counts 1/e */
#define LATENCY_MAX_US     60000000u /* longer ones are taken for this */
#define LATENCY_PENALTY_US 10000u    /* of the second failure running; doubles with each more */

/* An answer came rtt_us after the request was sent. now_us: the loop's clock, the same for all. */
void slot_observe_latency(struct backend_slot *s, uint64_t now_us, uint64_t rtt_us);
/* It failed (no connection, no or a bad answer, 5xx) after rtt_us; in_a_row: with this one, as
 * checker_report_result() says. A single failure never makes the backend look faster; from the
 * second one on it looks slower with each. */
void slot_observe_failure(struct backend_slot *s, uint64_t now_us, uint64_t rtt_us,
                          uint32_t in_a_row);

struct latency {
    float seen;  /* us, as it was after the last sample; 0: there has been none */
    float faded; /* us, with the time that has passed since */
};
/* now_us 0: nothing fades. */
struct latency slot_latency(const struct backend_slot *s, uint64_t now_us);
/* The slot is another backend's, or has moved to another machine: nothing is known. */
void slot_forget_latency(struct backend_slot *s);

#endif
