/* http_server.h - the admin address: HTTP/1.1 on the control thread's loop, for probes, metrics,
 * the API and the dashboard. What there is to ask stands in http_routes.c. */
#ifndef SLUICE_ADMIN_HTTP_SERVER_H
#define SLUICE_ADMIN_HTTP_SERVER_H

#include "lb/admin/control.h"

struct command_env;
struct dash;
struct dash_page;
struct http_server;
struct loop;
struct tls_server;

struct http_server_conf {
    enum control_level level; /* what clients may do */
    const char *const *hosts; /* names that a Host field may have, beside addresses and localhost */
    uint32_t n_hosts;
    const char *token; /* NULL: none is asked for */
};

/* env, conf and its texts must outlive it. */
struct http_server *http_server_new(struct loop *loop, const struct command_env *env,
                                    const struct http_server_conf *conf);
const struct http_server_conf *http_server_conf(const struct http_server *s);
/* For handlers. */
struct dash *http_server_dash(const struct http_server *s);
const struct dash_page *http_server_page(const struct http_server *s);
/* Who connects from now on speaks TLS (NULL: does not); a reference is kept. */
void http_server_use_tls(struct http_server *s, struct tls_server *tls);
/* A listening socket; taken over. */
void http_server_listen(struct http_server *s, int fd);
/* The same one, for another process to listen on; -1: none. */
int http_server_socket(const struct http_server *s);
/* Accepts no more; who is connected is served on. */
void http_server_leave(struct http_server *s);
/* Other settings, for requests from now on. Streams end, so that who looks on asks again. wire: who
 * is connected comes again too. */
void http_server_change(struct http_server *s, const struct http_server_conf *conf, bool wire);
/* Its address is gone: as leave, and who is connected gets the answer to what was asked. */
void http_server_retire(struct http_server *s);
bool http_server_retired(const struct http_server *s); /* nobody is left */
void http_server_stop(struct http_server *s);
bool http_server_stopped(const struct http_server *s);
void http_server_free(struct http_server **s);

#endif
