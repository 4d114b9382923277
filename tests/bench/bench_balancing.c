/* bench_balancing.c - what a pick and a plan cost, per algorithm and number of backends.
 *
 * Prints nanoseconds per pick (members idle; with connections that come and go, each pick taking
 * one and giving one back; with every second member full), the first pick with a new plan, and the
 * time to build a plan with equal and with mixed weights. Not a test: figures depend on the
 * machine. */
#include "balancing/balancer.h"
#include "lb/base/alloc.h"
#include "lb/base/hash.h"
#include "lb/base/rand.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PICKS 400000
#define OPEN  8192 /* connections at the same time, power of 2 */

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

struct pool {
    struct balancer_conf conf;
    struct backend_slot *slots;
    struct plan_member *members;
    uint32_t n;
    struct rng rng;
    struct balancer_plan *plan;
    struct balancer_cursor cursor;
};

static void plan_anew(struct pool *p, double *out_ms)
{
    double start = now_ns();
    struct balancer_plan *plan = balancer_plan_new(&p->conf, p->members, p->n);
    *out_ms = (now_ns() - start) / 1e6;
    balancer_plan_free(p->plan);
    p->plan = plan;
}

static struct backend_slot *pick(struct pool *p, uint64_t key)
{
    struct pick request = {.key = hash_u64(key), .rng = &p->rng};
    struct backend_slot *slot = NULL;
    if (balancer_pick(p->plan, &p->cursor, &request, &slot) != PICK_OK)
        abort();
    return slot;
}

static double idle_ns(struct pool *p)
{
    uintptr_t sum = 0;
    double start = now_ns();
    for (uint64_t i = 0; i < PICKS; i++)
        sum += (uintptr_t)pick(p, i);
    double ns = (now_ns() - start) / PICKS;
    return sum == 1 ? 0 : ns; /* sum is used: the loop stays */
}

static double churn_ns(struct pool *p)
{
    static struct backend_slot *open[OPEN];
    for (uint64_t i = 0; i < OPEN; i++) {
        open[i] = pick(p, i);
        open[i]->in_flight++;
    }
    double start = now_ns();
    for (uint64_t i = 0; i < PICKS; i++) {
        struct backend_slot **ends = &open[hash_u64(i) % OPEN];
        (*ends)->in_flight--;
        *ends = pick(p, i);
        (*ends)->in_flight++;
    }
    double ns = (now_ns() - start) / PICKS;
    for (uint32_t i = 0; i < OPEN; i++)
        open[i]->in_flight--;
    return ns;
}

static void fill_every_second(struct pool *p, uint32_t max_connections)
{
    for (uint32_t i = 0; i < p->n; i += 2) {
        p->slots[i].max_connections = max_connections;
        p->slots[i].in_flight = max_connections;
    }
}

static void measure(enum balance_kind kind, uint32_t load_bound, uint32_t n)
{
    struct pool p = {.conf = {.kind = kind, .load_bound_percent = load_bound}, .n = n};
    double plan_ms, mixed_ms, first_us, idle, churn, half_full;

    rng_seed(&p.rng, 1);
    p.slots = xaligned(n * sizeof(*p.slots));
    p.members = xcalloc(n, sizeof(*p.members));
    for (uint32_t i = 0; i < n; i++) {
        p.slots[i].index = i;
        snprintf(p.slots[i].name, sizeof(p.slots[i].name), "s%u", i);
        snprintf(p.slots[i].pool_name, sizeof(p.slots[i].pool_name), "p");
        p.members[i] = (struct plan_member){&p.slots[i], 1 + rng_below(&p.rng, 16384)};
    }
    plan_anew(&p, &mixed_ms);
    for (uint32_t i = 0; i < n; i++)
        p.members[i].weight = WEIGHT_SCALE;
    plan_anew(&p, &plan_ms);

    double start = now_ns();
    pick(&p, 0);
    first_us = (now_ns() - start) / 1e3;
    idle = idle_ns(&p);
    churn = churn_ns(&p);
    fill_every_second(&p, 1);
    half_full = idle_ns(&p);
    printf("%-18s%-6s %6u  %6.1f %6.1f %9.1f  %9.1f  %10.3f %10.3f\n", balance_kind_name(kind),
           load_bound != 0 ? "bound" : "", n, idle, churn, half_full, first_us, plan_ms, mixed_ms);
    balancer_plan_free(p.plan);
    balancer_cursor_fini(&p.cursor);
    free(p.slots);
    free(p.members);
}

int main(void)
{
    static const uint32_t sizes[] = {10, 100, 1000, 10000};

    printf("%-24s %6s  %24s  %10s %21s\n", "", "", "ns/pick", "us", "ms/plan, weights");
    printf("%-24s %6s  %6s %6s %10s  %9s  %10s %10s\n", "", "n", "idle", "churn", "half full",
           "1st pick", "equal", "mixed");
    for (enum balance_kind kind = 0; balance_kind_name(kind) != NULL; kind++) {
        for (int i = 0; i < 4; i++)
            measure(kind, 0, sizes[i]);
        for (int i = 0; i < 4 && kind == BALANCE_HASH; i++)
            measure(kind, 125, sizes[i]);
    }
    return 0;
}
