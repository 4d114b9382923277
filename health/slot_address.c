/* slot_address.c - where a slot's backend is: one address, or all that its name has.
 *
 * They are one object, published by the pointer to the one in use, so that whoever reads that
 * pointer needs no more (table.h). Who cannot connect moves it on to the next by a
 * compare-exchange, from any thread; of several who fail at the same address one does. */
#include "health/table.h"

#include "lb/base/alloc.h"
#include "lb/base/epoch.h"
#include "lb/net/addr.h"

#include <stdlib.h>

struct place {
    struct addr addr;        /* first: what the slot points to */
    struct addresses *among; /* the object that it is a part of */
};

struct addresses {
    uint64_t set; /* the number of their setting */
    uint32_t n;
    _Atomic uint32_t works; /* the one that was connected to last; to begin with the first in use */
    struct place at[];
};

static const struct place *place_of(const struct addr *a)
{
    return (const struct place *)a;
}

static struct addresses *addresses_of(const struct addr *a)
{
    return place_of(a)->among;
}

static uint32_t index_of(const struct addr *a)
{
    return (uint32_t)(place_of(a) - addresses_of(a)->at);
}

static struct addr *in_use(const struct backend_slot *s)
{
    return atomic_load_explicit(&s->address, memory_order_acquire);
}

static struct addresses *make(const struct addr *list, uint32_t n, uint32_t first)
{
    struct addresses *made = xcalloc(1, sizeof(*made) + n * sizeof(made->at[0]));

    made->n = n;
    atomic_init(&made->works, first);
    for (uint32_t i = 0; i < n; i++)
        made->at[i] = (struct place){.addr = list[i], .among = made};
    return made;
}

void slot_set_addresses(struct epoch_domain *epochs, struct backend_slot *s,
                        const struct addr *list, uint32_t n, uint32_t first)
{
    struct addr *now = n > 0 ? &make(list, n, first)->at[first].addr : NULL;
    if (now != NULL)
        addresses_of(now)->set = ++s->address_sets;
    struct addr *old = atomic_exchange_explicit(&s->address, now, memory_order_acq_rel);
    if (old != NULL)
        epoch_retire(epochs, addresses_of(old), free);
}

uint64_t slot_address(const struct backend_slot *s, struct addr *out)
{
    const struct addr *a = in_use(s);

    *out = a != NULL ? *a : (struct addr){0};
    return a != NULL ? addresses_of(a)->set : 0;
}

void slot_free_addresses(struct backend_slot *s)
{
    struct addr *a = in_use(s);

    if (a != NULL)
        free(addresses_of(a));
}

bool slot_has_addresses(const struct backend_slot *s, const struct addr *list, uint32_t n)
{
    const struct addr *a = in_use(s);
    const struct addresses *all = a != NULL ? addresses_of(a) : NULL;
    uint32_t known = 0;

    if (all == NULL || all->n != n)
        return false;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < n; j++)
            known += addr_eq(&list[i], &all->at[j].addr);
    return known == n; /* each is there once */
}

uint32_t slot_address_failed(struct backend_slot *s, const struct addr *failed)
{
    struct addr *a = in_use(s);

    if (a == NULL || addresses_of(a)->n < 2)
        return 0;
    struct addresses *all = addresses_of(a);
    if (addr_eq(a, failed)) { /* else somebody else was faster, here and below */
        struct addr *next = &all->at[(index_of(a) + 1) % all->n].addr;
        atomic_compare_exchange_strong_explicit(&s->address, &a, next, memory_order_acq_rel,
                                                memory_order_acquire);
    }
    return all->n;
}

bool slot_address_works(struct backend_slot *s, const struct addr *connected,
                        struct addr *out_before)
{
    const struct addr *a = in_use(s);

    if (a == NULL || addresses_of(a)->n < 2 || !addr_eq(a, connected))
        return false;
    struct addresses *all = addresses_of(a);
    uint32_t before = atomic_load_explicit(&all->works, memory_order_relaxed);
    if (before == index_of(a) || !atomic_compare_exchange_strong(&all->works, &before, index_of(a)))
        return false;
    *out_before = all->at[before].addr;
    return true;
}
