/* reload_global.c - see reload_global.h */
#include "lb/main/reload_global.h"

#include "lb/config/conf.h"
#include "lb/main/process.h"
#include "lb/main/resolve.h"
#include "lb/main/tls_store.h"
#include "lb/net/resolver.h"

bool reload_global_prepare(struct process *p, struct reload_global *g, const struct conf *conf,
                           struct strbuf *errors)
{
    const char *why = "";

    *g = (struct reload_global){.other_names = !conf_same_setting(p->conf, conf, "resolver")};
    if (p->resolve != NULL && resolve_prepare(p->resolve, conf, &g->resolver, &why) < 0) {
        strbuf_addf(errors, "%s: error: resolver: names cannot be resolved: %s\n", p->from, why);
        return false;
    }
    if (stats_sockets_prepare(&p->stats_sockets, conf, &p->privileges, p->from, errors))
        return true;
    resolver_free(&g->resolver);
    return false;
}

void reload_global_commit(struct process *p, struct reload_global *g, const struct conf *conf)
{
    stats_sockets_commit(&p->stats_sockets, conf, p->control);
    if (p->resolve != NULL)
        resolve_follow(p->resolve, conf, &g->resolver);
    if (g->other_names)
        tls_store_forget_resolver(p->tls);
}

void reload_global_undo(struct process *p, struct reload_global *g)
{
    stats_sockets_undo(&p->stats_sockets);
    resolver_free(&g->resolver);
}
