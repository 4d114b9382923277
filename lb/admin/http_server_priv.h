/* http_server_priv.h - what the files of the admin address share: http_server.c accepts,
 * http_client.c is one connection, http_call.c finds who answers a request. */
#ifndef SLUICE_ADMIN_HTTP_SERVER_PRIV_H
#define SLUICE_ADMIN_HTTP_SERVER_PRIV_H

#include "lb/admin/dash_page.h"
#include "lb/admin/http_server.h"
#include "lb/base/list.h"
#include "lb/io/op.h"
#include "lb/io/timer.h"
#include "lb/net/stream.h"

struct http_call;

#define HTTP_CLIENTS_MAX 128
#define HTTP_HEAD_MAX    (16u << 10) /* bytes of a request's head */

struct http_server {
    struct loop *loop;
    const struct command_env *env;
    const struct http_server_conf *conf;
    struct stream_env wires;
    struct tls_server *tls; /* NULL: in clear */
    struct list clients;
    uint32_t n_clients;
    struct dash *dash;
    struct dash_page page;
    struct op accept;
    struct timer retry;
    int fd; /* -1: none */
    bool leaving, stopping;
    bool retiring; /* its address is gone */
};

/* A connection that was accepted; fd is taken over, also when there are HTTP_CLIENTS_MAX (then it
 * is closed). It is in s->clients until it has ended. */
void http_client_new(struct http_server *s, int fd);
/* Its end, of one in s->clients: an answer that is on its way is sent. May free it. */
void http_client_stop(struct list *node);

/* It ends with the answer to what it has asked, or at once where it has asked nothing. May free it.
 */
void http_client_retire(struct list *node);

/* Answers the request: call has head, body, server and peer. */
void http_call_run(struct http_call *call);

#endif
