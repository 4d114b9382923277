/* check_kinds.c - the kinds of checks by their type. */
#include "health/check.h"

const struct check_kind *check_kind_of(enum check_type type)
{
    switch (type) {
    case CHECK_TYPE_TCP:
        return &check_kind_tcp;
    case CHECK_TYPE_TLS:
        return &check_kind_tls;
    case CHECK_TYPE_HTTP:
        return &check_kind_http;
    case CHECK_TYPE_FASTCGI:
        return &check_kind_fastcgi;
    case CHECK_TYPE_UWSGI:
        return &check_kind_uwsgi;
    case CHECK_TYPE_SCGI:
        return &check_kind_scgi;
    case CHECK_TYPE_POSTGRES:
        return &check_kind_postgres;
    case CHECK_TYPE_MYSQL:
        return &check_kind_mysql;
    case CHECK_TYPE_REDIS:
        return &check_kind_redis;
    case CHECK_TYPE_SMTP:
        return &check_kind_smtp;
    case CHECK_TYPE_UDP:
        return &check_kind_udp;
    case CHECK_TYPE_DNS:
        return &check_kind_dns;
    case CHECK_TYPE_GRPC:
        return &check_kind_grpc;
    case CHECK_TYPE_EXEC:
        return &check_kind_exec;
    case CHECK_TYPE_AGENT:
        return &check_kind_agent;
    case CHECK_TYPE_NONE:
        break;
    }
    return NULL;
}
