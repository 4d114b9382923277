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

/* The first that holds it, or NULL. */
static const struct addr_net *among(const struct addr_net *nets, uint32_t n,
                                    const struct addr *addr)
{
    for (uint32_t i = 0; i < n; i++)
        if (addr_net_contains(&nets[i], addr))
            return &nets[i];
    return NULL;
}

static enum filter_verdict request_head(struct filter *f, struct filter_exchange *x, void *state)
{
    const struct access *a = container_of(f, struct access, base);

    (void)state;
    if (among(a->deny, a->n_deny, x->client) == NULL &&
        (a->n_allow == 0 || among(a->allow, a->n_allow, x->client) != NULL))
        return FILTER_PASS;
    x->answer = (struct filter_answer){.status = 403, .reason = "denied"};
    return FILTER_ANSWER;
}

static enum filter_verdict explain(struct filter *f, struct filter_exchange *x,
                                   struct strbuf *words)
{
    const struct access *a = container_of(f, struct access, base);
    const struct addr_net *denied = among(a->deny, a->n_deny, x->client);
    const struct addr_net *allowed = among(a->allow, a->n_allow, x->client);
    char client[ADDR_TEXT_MAX], net[ADDR_TEXT_MAX];

    addr_format_host(x->client, client);
    if (denied != NULL)
        strbuf_addf(words, "%s is in deny %s", client, addr_net_format(denied, net));
    else if (allowed != NULL)
        strbuf_addf(words, "%s is in allow %s", client, addr_net_format(allowed, net));
    else
        strbuf_addf(words, "%s is in none of the networks of %s", client,
                    a->n_allow > 0 ? "allow" : "deny");
    return request_head(f, x, NULL);
}

const struct filter_type access_filter = {
    .name = "access",
    .make = make,
    .free = free_access,
    .request_head = request_head,
    .explain = explain,
};
