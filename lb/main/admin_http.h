/* admin_http.h - the admin address of the process: bound with the other sockets, served from when
 * the control thread serves, changed by reloads. Control thread. */
#ifndef SLUICE_MAIN_ADMIN_HTTP_H
#define SLUICE_MAIN_ADMIN_HTTP_H

#include "lb/admin/http_server.h"
#include "lb/base/list.h"
#include "lb/net/addr.h"

struct binding;
struct conf;
struct inherit;
struct strbuf;

/* Copies: configurations come and go. */
struct admin_settings {
    struct list node; /* while its server retires */
    struct http_server *server;
    struct http_server_conf conf;
    struct addr addr;
    char **hosts;
    char *token;
    bool tls;
};

struct admin_http {
    struct admin_settings *settings; /* NULL: there is no address */
    int fd;                          /* bound, not served yet; -1: none */
    struct http_server *server;      /* NULL: not served yet, or no address */
    struct list retiring;            /* settings of addresses that are gone, with their servers */
    struct admin_settings *next;     /* of a reload that is being prepared */
    int next_fd;                     /* -1: it stays where it is */
};

void admin_http_init(struct admin_http *a);
/* Binds, where the configuration has an address, or takes the socket of it that was passed. 0 or
 * -errno; what failed was logged. */
int admin_http_bind(struct admin_http *a, const struct conf *conf,
                    struct inherit *inherited) WARN_UNUSED;
/* A reload has other settings. Binds, where the address is another one. False with lines in errors:
 * nothing has changed. */
bool admin_http_prepare(struct admin_http *a, const struct conf *conf, const struct binding *others,
                        const char *file, struct strbuf *errors) WARN_UNUSED;
/* They are in force. serve: or else admin_http_start() comes later. */
void admin_http_commit(struct admin_http *a, struct loop *loop, const struct command_env *env,
                       struct tls_server *tls, bool serve);
void admin_http_undo(struct admin_http *a); /* in place of it */
/* Now and then: frees what has retired. */
void admin_http_tick(struct admin_http *a);
/* Where it is; NULL: there is none. */
const struct addr *admin_http_addr(const struct admin_http *a);
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
