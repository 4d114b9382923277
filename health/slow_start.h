/* slow_start.h - the weight of a backend that has just come up: pure arithmetic. */
#ifndef SLUICE_HEALTH_SLOW_START_H
#define SLUICE_HEALTH_SLOW_START_H

#include <stdint.h>

/* Effective weight (x WEIGHT_SCALE) elapsed_ms after the start; linear, at least 1 where set_weight
 * is not 0, all of it from total_ms on (total_ms 0: at once). */
uint16_t slow_start_weight(uint16_t set_weight, uint64_t elapsed_ms, uint32_t total_ms);
/* When to look again: a twentieth of the whole, between 50 ms and 5 s. */
uint32_t slow_start_step_ms(uint32_t total_ms);

#endif
