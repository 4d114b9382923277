/* stream_tls_stub.c - lets everything link until stream_tls.c is here: no handshake ever begins.
 * To be removed with the first version of it. */
#include "lb/net/stream_tls.h"

#define WEAK __attribute__((weak))

WEAK bool stream_tls_connect(struct stream *s, struct tls_client *t, uint32_t member,
                             struct str name, struct str alpn)
{
    (void)s, (void)t, (void)member, (void)name, (void)alpn;
    return false;
}

WEAK bool stream_tls_ready(const struct stream *s)
{
    (void)s;
    return true;
}

WEAK const char *stream_tls_reason(const struct stream *s)
{
    (void)s;
    return "";
}

WEAK struct str stream_tls_alpn(const struct stream *s)
{
    (void)s;
    return STR("");
}

WEAK bool stream_tls_facts(struct stream *s, struct tls_facts *out)
{
    (void)s, (void)out;
    return false;
}
