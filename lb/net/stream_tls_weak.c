/* stream_tls_weak.c - stands in for stream_tls.c until that is there: no stream has TLS. */
#include "lb/net/stream_tls.h"

__attribute__((weak)) bool stream_tls_accept(struct stream *s, struct tls_server *t)
{
    (void)s;
    (void)t;
    return false;
}

__attribute__((weak)) bool stream_tls_ready(const struct stream *s)
{
    (void)s;
    return true;
}

__attribute__((weak)) const char *stream_tls_reason(const struct stream *s)
{
    (void)s;
    return "";
}

__attribute__((weak)) struct str stream_tls_alpn(const struct stream *s)
{
    (void)s;
    return (struct str){0};
}

__attribute__((weak)) bool stream_tls_resumed(const struct stream *s)
{
    (void)s;
    return false;
}

__attribute__((weak)) bool stream_tls_facts(struct stream *s, struct tls_facts *out)
{
    (void)s;
    (void)out;
    return false;
}

__attribute__((weak)) bool stream_tls_early(const struct stream *s)
{
    (void)s;
    return false;
}
