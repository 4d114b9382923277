/* reload_global.c - see reload_global.h */
#include "lb/main/reload_global.h"

#include "lb/admin/control.h"
#include "lb/config/conf.h"
#include "lb/io/loop.h"
#include "lb/main/process.h"
#include "lb/main/resolve.h"
#include "lb/main/tls_store.h"
#include "lb/net/resolver.h"

static bool prepare_admin(struct process *p, struct reload_global *g, const struct conf *conf,
                          struct strbuf *errors)
{
    struct strbuf lines = {0};

    g->other_admin = !conf_same_setting(p->conf, conf, "admin");
    if (!g->other_admin)
        return true;
    bool good =
        tls_admin_prepare(p->tls, conf, (int64_t)(io_wall_us(p->loop.io) / 1000000), &lines);
    if (!good) /* warnings were told when it was read */
        strbuf_add_str(errors, strbuf_str(&lines));
    strbuf_fini(&lines);
    if (good && !admin_http_prepare(&p->admin_http, conf, &p->binding, p->from, errors)) {
        tls_admin_undo(p->tls);
        good = false;
    }
    return good;
}

static void commit_admin(struct process *p)
{
    const struct addr *addr;

    tls_admin_commit(p->tls);
    admin_http_commit(&p->admin_http, &p->loop, control_env(p->control), tls_store_admin(p->tls),
                      p->takeover == NULL);
    addr = admin_http_addr(&p->admin_http);
    p->binding.admin = addr != NULL ? *addr : (struct addr){0};
}

bool reload_global_prepare(struct process *p, struct reload_global *g, const struct conf *conf,
                           struct strbuf *errors)
{
    const char *why = "";

    *g = (struct reload_global){.other_names = !conf_same_setting(p->conf, conf, "resolver")};
    if (p->resolve != NULL && resolve_prepare(p->resolve, conf, &g->resolver, &why) < 0) {
        strbuf_addf(errors, "%s: error: resolver: names cannot be resolved: %s\n", p->from, why);
        return false;
    }
    if (!stats_sockets_prepare(&p->stats_sockets, conf, &p->privileges, p->from, errors)) {
        resolver_free(&g->resolver);
        return false;
    }
    if (prepare_admin(p, g, conf, errors))
        return true;
    stats_sockets_undo(&p->stats_sockets);
    resolver_free(&g->resolver);
    return false;
}

void reload_global_commit(struct process *p, struct reload_global *g, const struct conf *conf)
{
    stats_sockets_commit(&p->stats_sockets, conf, p->control);
    if (g->other_admin)
        commit_admin(p);
    if (p->resolve != NULL)
        resolve_follow(p->resolve, conf, &g->resolver);
    if (g->other_names)
        tls_store_forget_resolver(p->tls);
}

void reload_global_undo(struct process *p, struct reload_global *g)
{
    if (g->other_admin) {
        tls_admin_undo(p->tls);
        admin_http_undo(&p->admin_http);
    }
    stats_sockets_undo(&p->stats_sockets);
    resolver_free(&g->resolver);
}
