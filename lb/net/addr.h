/* addr.h - socket addresses: what users write, what the kernel wants, networks for matching. */
#ifndef SLUICE_NET_ADDR_H
#define SLUICE_NET_ADDR_H

#include "lb/base/assert.h"
#include "lb/base/str.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Big enough for every family we speak, smaller than sockaddr_storage where it matters. */
struct addr {
    socklen_t len; /* 0: no address (yet) */
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    };
};

#define ADDR_TEXT_MAX 128 /* bytes of addr_format's output with NUL */

/* An address as configured, before resolution: either literal (addr set) or host and port. */
struct addr_spec {
    struct addr addr; /* len 0 when host is a name */
    char host[256];   /* as written, without brackets; "" for unix */
    uint16_t port;
};

/* "1.2.3.4:80", "[::1]:80", "*:80" and ":80" (only with allow_wildcard; IPv4 any), "name:80" (only
 * with allow_name), "unix:/path", "unix:@abstract". Port 0 (any free one) only with allow_wildcard,
 * as one cannot connect to it. 0, or -EINVAL with *out_error in words (static). */
int addr_parse(struct str text, bool allow_name, bool allow_wildcard, struct addr_spec *out,
               const char **out_error) WARN_UNUSED;
/* Text as a user would write it; always NUL terminated; returns buf. */
const char *addr_format(const struct addr *a, char buf[static ADDR_TEXT_MAX]);
/* Host part only: "1.2.3.4", "::1", or "unix". */
const char *addr_format_host(const struct addr *a, char buf[static ADDR_TEXT_MAX]);
uint16_t addr_port(const struct addr *a); /* 0 for unix */
void addr_set_port(struct addr *a, uint16_t port);
bool addr_eq(const struct addr *a, const struct addr *b);
/* 0.0.0.0 or [::], whatever the port. */
bool addr_is_any(const struct addr *a);
/* Two addresses that differ, of one family and port, of which one is that of all. */
bool addr_overlaps(const struct addr *a, const struct addr *b);
int addr_family(const struct addr *a);
bool addr_is_loopback(const struct addr *a); /* only this host reaches it; unix too */
void addr_from_sockaddr(struct addr *out, const struct sockaddr *sa, socklen_t len);
/* Hash of the host without the port; IPv4-mapped IPv6 equals IPv4. */
uint64_t addr_hash_host(const struct addr *a);

/* A network for matching source addresses. */
struct addr_net {
    int family;
    uint8_t bytes[16];
    uint8_t bits;
};
/* "10.0.0.0/8", "::1", "unix" (any unix peer). 0 or -EINVAL with *out_error. */
int addr_net_parse(struct str text, struct addr_net *out, const char **out_error) WARN_UNUSED;
const char *addr_net_format(const struct addr_net *net, char buf[static ADDR_TEXT_MAX]);
bool addr_net_contains(const struct addr_net *net, const struct addr *a); /* maps v4-in-v6 */

#endif
