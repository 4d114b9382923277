/* access.c - who may come in, by source address: deny is looked at first, then allow. */
#include "lb/base/alloc.h"
#include "lb/filter/filter_priv.h"

#include <stdlib.h>

struct access {
    struct filter base;
    struct addr_net *allow, *deny;
    uint32_t n_allow, n_deny;
};

static struct addr_net *copy_nets(const struct addr_net *nets, uint32_t n)
{
    struct addr_net *copy = n > 0 ? xcalloc(n, sizeof(*copy)) : NULL;

    if (n > 0)
        memcpy(copy, nets, n * sizeof(*copy));
    return copy;
}

static struct filter *make(const struct filters_conf *conf, const char **out_error)
{
    const struct access_conf *ac = &conf->access;

    (void)out_error;
    if (ac->n_allow == 0 && ac->n_deny == 0)
        return NULL;
    struct access *a = xcalloc(1, sizeof(*a));
    a->base.type = &access_filter;
    a->allow = copy_nets(ac->allow, ac->n_allow);
    a->deny = copy_nets(ac->deny, ac->n_deny);
    a->n_allow = ac->n_allow;
    a->n_deny = ac->n_deny;
    return &a->base;
}

static void free_access(struct filter *f)
{
    struct access *a = container_of(f, struct access, base);

    free(a->allow);
    free(a->deny);
    free(a);
}

static bool among(const struct addr_net *nets, uint32_t n, const struct addr *addr)
{
    for (uint32_t i = 0; i < n; i++)
        if (addr_net_contains(&nets[i], addr))
            return true;
    return false;
}

static enum filter_verdict request_head(struct filter *f, struct filter_exchange *x, void *state)
{
    const struct access *a = container_of(f, struct access, base);

    (void)state;
    if (!among(a->deny, a->n_deny, x->client) &&
        (a->n_allow == 0 || among(a->allow, a->n_allow, x->client)))
        return FILTER_PASS;
    x->answer = (struct filter_answer){.status = 403, .reason = "denied"};
    return FILTER_ANSWER;
}

const struct filter_type access_filter = {
    .name = "access",
    .make = make,
    .free = free_access,
    .request_head = request_head,
};
