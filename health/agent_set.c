/* agent_set.c - see agent_set.h */
#include "health/agent_set.h"

#include "lb/base/alloc.h"
#include "lb/base/hash.h"

#include "health/table.h"

#include <stdlib.h>
#include <string.h>

static uint32_t port_of(const struct agent_conf *conf)
{
    if (conf->port != 0 || conf->address.len == 0)
        return conf->port;
    return addr_port(&conf->address);
}

void agent_set_merge(const struct agent_conf *conf, const struct agent_set *set,
                     struct agent_conf *out)
{
    *out = *conf;
    out->port = port_of(conf);
    if (set == NULL)
        return;
    if (set->address.len > 0)
        out->address = set->address;
    if (set->port != 0)
        out->port = set->port;
    if (set->has_send) {
        out->send = set->send;
        out->send_len = set->send_len;
    }
}

/* But for the port. */
static bool same_host(const struct addr *a, const struct addr *b)
{
    struct addr x = *a, y = *b;

    if (x.len == 0 || y.len == 0)
        return false;
    addr_set_port(&x, 0);
    addr_set_port(&y, 0);
    return addr_eq(&x, &y);
}

void agent_set_reduce(struct agent_set *set, const struct agent_conf *conf)
{
    if (same_host(&set->address, &conf->address))
        set->address.len = 0;
    if (set->port == port_of(conf))
        set->port = 0;
    if (set->has_send && set->send_len == conf->send_len &&
        (set->send_len == 0 || memcmp(set->send, conf->send, set->send_len) == 0))
        set->has_send = false;
}

struct agent_pool agent_set_pool(const struct agent_conf *conf)
{
    char host[ADDR_TEXT_MAX] = "";

    if (conf->address.len > 0)
        addr_format_host(&conf->address, host);
    return (struct agent_pool){
        .address = hash_bytes(host, strlen(host), 0),
        .port = port_of(conf),
        .send = hash_bytes(conf->send_len > 0 ? conf->send : "", conf->send_len, 0),
    };
}

bool agent_set_yield(struct agent_set *set, const struct agent_pool *was,
                     const struct agent_conf *is)
{
    const struct agent_set before = *set;
    struct agent_pool now;

    if (is == NULL) {
        *set = (struct agent_set){0};
        return !agent_set_is_empty(&before);
    }
    now = agent_set_pool(is);
    if (was->address != now.address)
        set->address.len = 0;
    if (was->port != now.port)
        set->port = 0;
    if (was->send != now.send)
        set->has_send = false;
    return set->address.len != before.address.len || set->port != before.port ||
           set->has_send != before.has_send;
}

bool agent_set_is_empty(const struct agent_set *set)
{
    return set->address.len == 0 && set->port == 0 && !set->has_send;
}

bool agent_set_eq(const struct agent_set *a, const struct agent_set *b)
{
    if (a->address.len != b->address.len || a->port != b->port || a->has_send != b->has_send)
        return false;
    if (a->address.len > 0 && !addr_eq(&a->address, &b->address))
        return false;
    return !a->has_send ||
           (a->send_len == b->send_len && memcmp(a->send, b->send, a->send_len) == 0);
}

void agent_set_put(struct backend_slot *s, const struct agent_set *set)
{
    struct agent_set *copy = NULL;

    if (set != NULL && !agent_set_is_empty(set)) {
        copy = xmalloc(sizeof(*copy));
        *copy = *set;
    }
    free(s->agent_set);
    s->agent_set = copy;
}
