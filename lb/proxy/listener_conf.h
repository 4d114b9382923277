/* listener_conf.h - a listener of the configuration, as proxy/ takes it. Immutable. */
#ifndef SLUICE_PROXY_LISTENER_CONF_H
#define SLUICE_PROXY_LISTENER_CONF_H

#include "lb/net/addr.h"
#include "lb/net/proxy_proto.h"
#include "lb/net/tls_conf.h"
#include "lb/proxy/http_conf.h"
#include "lb/proxy/sni_conf.h"
#include "lb/upstream/pool_conf.h"

struct listener_conf {
    char *name;
    enum pool_mode mode; /* MODE_HTTP: http, and pool is not used; else pool */
    struct http_listener_conf http;
    struct addr_spec *binds;
    char **bind_texts;
    uint32_t n_binds;
    char *pool_name;             /* NULL with sni: a name that no rule has is refused */
    uint32_t pool;               /* index into conf->pools */
    struct tls_server_conf *tls; /* NULL: none */
    /* Mode tcp: the pool by the ClientHello's name, exact before the longest wildcard. Without tls
     * the hello is looked at and passed on unchanged. No host stands in two rules. */
    struct sni_rule *sni;
    uint32_t n_sni;
    struct {
        uint32_t timeout_ms;         /* of a quiet flow */
        uint32_t responses;          /* to each datagram; 0: not known */
        uint32_t flows;              /* of one socket */
    } udp;                           /* mode udp */
    enum proxy_proto proxy_protocol; /* PROXY_OFF: not accepted */
    struct addr_net *proxy_from;     /* empty: from anybody */
    uint32_t n_proxy_from;
    uint32_t max_connections;      /* 0: none */
    uint32_t max_per_source;       /* 0: none */
    uint32_t handshake_timeout_ms; /* PROXY header */
    uint32_t tunnel_timeout_ms;    /* also of upgraded connections; merged: listener, else its pool,
                                      else global */
    const char *access_target;     /* "stdout", "off", ... */
    char *access_format;           /* "tcplog", "combined", "httplog", "json", template */
    const char *file;
    int line;
};

#endif
