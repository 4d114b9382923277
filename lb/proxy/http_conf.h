/* http_conf.h - what listeners of mode http are configured with beyond listener_conf.h. Immutable.
 */
#ifndef SLUICE_PROXY_HTTP_CONF_H
#define SLUICE_PROXY_HTTP_CONF_H

#include "lb/filter/filter_conf.h"
#include "lb/route/route_conf.h"

/* One rule: what it matches and does, and the filters on its way. */
struct http_route_conf {
    struct route_conf route;
    struct filters_conf filters;
};

struct error_page_conf {
    uint32_t status;
    char *file; /* its name */
    char *body; /* its content, read at load */
    uint32_t body_len;
    const char
        *type; /* by the name's ending: text/html; charset=utf-8, text/plain, application/json */
};

/* Strict-Transport-Security, on connections with TLS. */
struct hsts_conf {
    uint32_t max_age_s;
    bool subdomains, preload;
};

struct http_listener_conf {
    struct http_route_conf *routes;
    uint32_t n_routes;
    struct addr_net *trusted_proxies; /* whose X-Forwarded-* and Forwarded are kept and added to */
    uint32_t n_trusted_proxies;
    struct error_page_conf *error_pages;
    uint32_t n_error_pages;
    bool half_close;         /* a client that ends its stream with a request in flight is waiting */
    bool keep_encoded_slash; /* encoded_slash = "keep" */
    bool forwarded;          /* also write RFC 7239's Forwarded; default false */
    /* Requests that no route takes (there may be none) are answered 308 to this port of https; 0:
     * they are not. */
    uint16_t redirect_https;
    bool h2_cleartext;                /* clients without TLS may begin with HTTP/2's preface */
    uint32_t h2_max_streams;          /* of a connection; what SETTINGS say */
    struct hsts_conf *hsts;           /* NULL: none */
    uint32_t head_bytes;              /* limits.header_bytes */
    uint32_t fields;                  /* limits.headers */
    uint64_t body_bytes;              /* limits.body_bytes; 0: no limit */
    uint32_t request_head_timeout_ms; /* from its first byte, or from accept */
    uint32_t body_timeout_ms;         /* without progress, either direction */
    uint32_t
        response_head_timeout_ms; /* from the request's last byte, or its head if that is later */
    uint32_t idle_timeout_ms;     /* keep-alive, between requests */
};

#endif
