/* admin_http.c - see admin_http.h */
#include "lb/main/admin_http.h"

#include "lb/base/alloc.h"
#include "lb/base/log.h"
#include "lb/config/conf.h"
#include "lb/main/binding.h"
#include "lb/main/inherit.h"
#include "lb/main/levels.h"
#include "lb/net/listener.h"

#include <stdlib.h>
#include <unistd.h>

#define BACKLOG 128

/* ---- settings ---- */

static struct admin_settings *settings_new(const struct admin_conf *conf, const struct addr *addr)
{
    struct admin_settings *s = xcalloc(1, sizeof(*s));

    s->hosts = xcalloc(conf->n_hosts + 1, sizeof(s->hosts[0]));
    for (uint32_t i = 0; i < conf->n_hosts; i++)
        s->hosts[i] = xstrdup(conf->hosts[i]);
    s->token = conf->token != NULL ? xstrdup(conf->token) : NULL;
    s->addr = *addr;
    s->tls = conf->tls != NULL;
    s->conf = (struct http_server_conf){.level = control_level_of(conf->level),
                                        .hosts = (const char *const *)s->hosts,
                                        .n_hosts = conf->n_hosts,
                                        .token = s->token};
    return s;
}

static void settings_free(struct admin_settings **settings)
{
    struct admin_settings *s = *settings;

    *settings = NULL;
    if (s == NULL)
        return;
    http_server_free(&s->server);
    for (uint32_t i = 0; i < s->conf.n_hosts; i++)
        free(s->hosts[i]);
    free(s->hosts);
    free(s->token);
    free(s);
}

void admin_http_init(struct admin_http *a)
{
    *a = (struct admin_http){.fd = -1, .next_fd = -1};
    list_init(&a->retiring);
}

/* ---- the start ---- */

static int take_or_bind(const struct addr *addr, struct inherit *inherited, int *out_fd,
                        const char **out_why)
{
    const struct listener_bind_opts opts = {.sockets = 1, .backlog = BACKLOG};
    struct inherit_row *row = inherit_find(inherited, addr, false, "admin");

    if (row == NULL || row->used || row->n != 1)
        return listener_bind(addr, &opts, out_fd, out_why);
    *out_fd = row->fds[0];
    row->used = true;
    return 0;
}

int admin_http_bind(struct admin_http *a, const struct conf *conf, struct inherit *inherited)
{
    struct addr_spec spec;
    const char *why = "";

    if (conf->admin == NULL)
        return 0;
    int rc = addr_parse(str_of(conf->admin->bind), false, true, &spec, &why);
    if (rc == 0)
        rc = take_or_bind(&spec.addr, inherited, &a->fd, &why);
    if (rc < 0) {
        log_error("admin: cannot listen on %s: %s", conf->admin->bind, why);
        return rc;
    }
    a->settings = settings_new(conf->admin, &spec.addr);
    return 0;
}

void admin_http_start(struct admin_http *a, struct loop *loop, const struct command_env *env,
                      struct tls_server *tls)
{
    if (a->fd < 0)
        return;
    a->server = http_server_new(loop, env, &a->settings->conf);
    http_server_use_tls(a->server, tls);
    http_server_listen(a->server, a->fd);
    a->fd = -1;
}

/* ---- a reload ---- */

static bool same_address(const struct admin_http *a, const struct addr *addr)
{
    return a->settings != NULL && addr_eq(&a->settings->addr, addr);
}

bool admin_http_prepare(struct admin_http *a, const struct conf *conf, const struct binding *others,
                        const char *file, struct strbuf *errors)
{
    struct addr_spec spec;
    const char *why = "";
    int rc;

    if (conf->admin == NULL)
        return true;
    rc = addr_parse(str_of(conf->admin->bind), false, true, &spec, &why);
    if (rc == 0 && !same_address(a, &spec.addr)) {
        const struct listener_bind_opts opts = {
            .sockets = 1,
            .backlog = BACKLOG,
            .beside = binding_is_beside(others, &spec.addr, false),
        };
        rc = listener_bind(&spec.addr, &opts, &a->next_fd, &why);
    }
    if (rc < 0) {
        a->next_fd = -1;
        strbuf_addf(errors, "%s: error: admin.bind: cannot listen on %s: %s\n", file,
                    conf->admin->bind, why);
        return false;
    }
    a->next = settings_new(conf->admin, &spec.addr);
    return true;
}

/* At another address, or at none. */
static void retire(struct admin_http *a)
{
    if (a->fd >= 0)
        close(a->fd);
    a->fd = -1;
    if (a->server == NULL) {
        settings_free(&a->settings);
        return;
    }
    http_server_retire(a->server);
    a->settings->server = a->server;
    list_push_back(&a->retiring, &a->settings->node);
    a->server = NULL;
    a->settings = NULL;
}

void admin_http_commit(struct admin_http *a, struct loop *loop, const struct command_env *env,
                       struct tls_server *tls, bool serve)
{
    if (a->next == NULL || a->next_fd >= 0) {
        if (a->settings != NULL)
            retire(a);
        a->settings = a->next;
        a->fd = a->next_fd;
        if (serve)
            admin_http_start(a, loop, env, tls);
    } else {
        if (a->server != NULL) {
            http_server_use_tls(a->server, tls);
            http_server_change(a->server, &a->next->conf, a->next->tls || a->settings->tls);
        }
        settings_free(&a->settings);
        a->settings = a->next;
    }
    a->next = NULL;
    a->next_fd = -1;
}

void admin_http_undo(struct admin_http *a)
{
    if (a->next_fd >= 0)
        close(a->next_fd);
    a->next_fd = -1;
    settings_free(&a->next);
}

void admin_http_tick(struct admin_http *a)
{
    list_for_each_safe (it, tmp, &a->retiring) {
        struct admin_settings *s = list_entry(it, struct admin_settings, node);
        if (!http_server_retired(s->server))
            continue;
        http_server_stop(s->server);
        list_remove(&s->node);
        settings_free(&s);
    }
}

const struct addr *admin_http_addr(const struct admin_http *a)
{
    return a->settings != NULL ? &a->settings->addr : NULL;
}

/* ---- while it is served, and the end ---- */

void admin_http_use_tls(struct admin_http *a, struct tls_server *tls)
{
    if (a->server != NULL)
        http_server_use_tls(a->server, tls);
}

int admin_http_socket(const struct admin_http *a)
{
    return a->server != NULL ? http_server_socket(a->server) : -1;
}

void admin_http_leave(struct admin_http *a)
{
    if (a->server != NULL)
        http_server_leave(a->server);
}

void admin_http_stop(struct admin_http *a)
{
    if (a->server != NULL)
        http_server_stop(a->server);
    list_for_each (it, &a->retiring)
        http_server_stop(list_entry(it, struct admin_settings, node)->server);
}

bool admin_http_stopped(const struct admin_http *a)
{
    list_for_each (it, &a->retiring)
        if (!http_server_stopped(list_entry(it, struct admin_settings, node)->server))
            return false;
    return a->server == NULL || http_server_stopped(a->server);
}

void admin_http_fini(struct admin_http *a)
{
    struct list *node;

    http_server_free(&a->server);
    while ((node = list_pop_front(&a->retiring)) != NULL) {
        struct admin_settings *s = list_entry(node, struct admin_settings, node);
        settings_free(&s);
    }
    if (a->fd >= 0)
        close(a->fd);
    settings_free(&a->settings);
    admin_http_init(a);
}
