/* admin_http.h - the admin address of the process: bound with the other sockets, served from when
 * the control thread serves. */
#ifndef SLUICE_MAIN_ADMIN_HTTP_H
#define SLUICE_MAIN_ADMIN_HTTP_H

#include "lb/admin/http_server.h"

struct conf;
struct inherit;

struct admin_http {
    struct http_server_conf conf; /* its texts are copies: configurations come and go */
    char **hosts;
    char *token;
    int fd; /* bound, not served yet; -1: none */
    struct http_server *server;
};

void admin_http_init(struct admin_http *a);
/* Binds, where the configuration has an address, or takes the socket of it that was passed. 0 or
 * -errno; what failed was logged. */
int admin_http_bind(struct admin_http *a, const struct conf *conf,
                    struct inherit *inherited) WARN_UNUSED;
/* As http_server_use_tls(); no effect before it is started. */
void admin_http_use_tls(struct admin_http *a, struct tls_server *tls);
/* For the process that takes our place; -1: none. */
int admin_http_socket(const struct admin_http *a);
/* tls: NULL: in clear. */
void admin_http_start(struct admin_http *a, struct loop *loop, const struct command_env *env,
                      struct tls_server *tls);
/* Another process has our place: who comes now is its. */
void admin_http_leave(struct admin_http *a);
void admin_http_stop(struct admin_http *a);
bool admin_http_stopped(const struct admin_http *a);
void admin_http_fini(struct admin_http *a);

#endif
