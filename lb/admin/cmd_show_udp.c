/* cmd_show_udp.c - `show udp [json]`: what listeners of mode udp count beyond `show stat`, a row
 * per listener: flows there are, datagrams from and to clients, flows that made place for others,
 * and datagrams that went no further, by reason. */
#include "lb/admin/command.h"
#include "lb/admin/rows.h"
#include "lb/obs/metrics.h"

#include <string.h>

#define COLUMNS (7 + UDP_DROPS)

static void add_listener(struct rows *r, const struct listener_stats *l)
{
    struct listener_counters sums;

    listener_counters_sum(l, &sums);
    rows_text(r, l->name);
    rows_number(r, (int64_t)atomic_load_explicit(&l->current, memory_order_relaxed));
    rows_number(r, (int64_t)counter_get(&sums.dgrams_in));
    rows_number(r, (int64_t)counter_get(&sums.dgrams_out));
    rows_number(r, (int64_t)counter_get(&sums.bytes_in));
    rows_number(r, (int64_t)counter_get(&sums.bytes_out));
    rows_number(r, (int64_t)counter_get(&sums.flows_evicted));
    for (int d = 0; d < UDP_DROPS; d++)
        rows_number(r, (int64_t)counter_get(&sums.dgrams_dropped[d]));
}

void cmd_show_udp(struct command *c)
{
    const char *columns[COLUMNS] = {"listener", "flows", "in", "out", "bin", "bout", "evicted"};
    const struct admin_ops *ops = c->env->ops;
    struct rows r;

    for (int d = 0; d < UDP_DROPS; d++)
        columns[7 + d] = udp_drop_name((enum udp_drop)d);
    bool json = c->n_words > c->n_name && str_eq_cstr(command_arg(c, 0), "json");
    rows_begin(&r, c->out, json, columns, COLUMNS);
    for (uint32_t i = 0; i < ops->n_listeners; i++)
        if (strcmp(ops->listeners[i]->mode, "udp") == 0)
            add_listener(&r, ops->listeners[i]);
    rows_end(&r);
}
