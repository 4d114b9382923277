/* slow_start.c - see slow_start.h */
#include "health/slow_start.h"

#include "health/table.h"

uint16_t slow_start_weight(uint16_t set_weight, uint64_t elapsed_ms, uint32_t total_ms)
{
    uint32_t whole = (uint32_t)set_weight * WEIGHT_SCALE;

    if (elapsed_ms >= total_ms || whole == 0)
        return (uint16_t)whole;
    uint32_t part = (uint32_t)(whole * elapsed_ms / total_ms);
    return (uint16_t)(part > 0 ? part : 1);
}

uint32_t slow_start_step_ms(uint32_t total_ms)
{
    uint32_t step = total_ms / 20;

    return step < 50 ? 50 : step > 5000 ? 5000 : step;
}
