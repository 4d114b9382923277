/* refusals.h - makes events of what workers have refused: requests that the strict parser or a
 * limit did not let through, by listener; responses of backends likewise, by pool; and what a full
 * queue turned away. Control thread.
 *
 * Once a second it looks at the workers' counts; they know nothing of it. The first of an object is
 * told at once, those that follow in one event after 10 seconds, then after 20, up to 10 minutes:
 * whoever wants to fill the last 1,000 events with his nonsense does not get far. */
#ifndef SLUICE_ADMIN_REFUSALS_H
#define SLUICE_ADMIN_REFUSALS_H

#include <stdint.h>

struct admin_ops;
struct refusals;

/* ops must outlive it. What was counted before is not told. */
struct refusals *refusals_new(const struct admin_ops *ops);
void refusals_free(struct refusals **r);
/* Listeners and pools of ops are others: those that were there keep what is known of them. */
void refusals_follow(struct refusals *r);
void refusals_look(struct refusals *r, uint64_t now_us);

#endif
