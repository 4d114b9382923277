/* admin_http.c - see admin_http.h */
#include "lb/main/admin_http.h"

#include "lb/base/alloc.h"
#include "lb/base/log.h"
#include "lb/config/conf.h"
#include "lb/main/inherit.h"
#include "lb/main/levels.h"
#include "lb/net/listener.h"

#include <stdlib.h>
#include <unistd.h>

#define BACKLOG 128

static void copy_conf(struct admin_http *a, const struct admin_conf *conf)
{
    a->hosts = xcalloc(conf->n_hosts + 1, sizeof(a->hosts[0]));
    for (uint32_t i = 0; i < conf->n_hosts; i++)
        a->hosts[i] = xstrdup(conf->hosts[i]);
    a->token = conf->token != NULL ? xstrdup(conf->token) : NULL;
    a->conf = (struct http_server_conf){.level = control_level_of(conf->level),
                                        .hosts = (const char *const *)a->hosts,
                                        .n_hosts = conf->n_hosts,
                                        .token = a->token};
}

void admin_http_init(struct admin_http *a)
{
    *a = (struct admin_http){.fd = -1};
}

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
    copy_conf(a, conf->admin);
    return 0;
}

void admin_http_start(struct admin_http *a, struct loop *loop, const struct command_env *env,
                      struct tls_server *tls)
{
    if (a->fd < 0)
        return;
    a->server = http_server_new(loop, env, &a->conf);
    if (tls != NULL)
        http_server_use_tls(a->server, tls);
    http_server_listen(a->server, a->fd);
    a->fd = -1;
}

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
}

bool admin_http_stopped(const struct admin_http *a)
{
    return a->server == NULL || http_server_stopped(a->server);
}

void admin_http_fini(struct admin_http *a)
{
    http_server_free(&a->server);
    if (a->fd >= 0)
        close(a->fd);
    a->fd = -1;
    for (uint32_t i = 0; i < a->conf.n_hosts; i++)
        free(a->hosts[i]);
    free(a->hosts);
    free(a->token);
    *a = (struct admin_http){.fd = -1};
}
