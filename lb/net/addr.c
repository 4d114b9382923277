/* addr.c - see addr.h */
#include "lb/net/addr.h"

#include "lb/base/hash.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define UNIX_PATH_MAX_LEN (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)
#define HOST_NAME_LEN_MAX 253
#define LABEL_LEN_MAX     63

static_assert(sizeof(struct addr) <= 120, "kept per session: smaller than a sockaddr_storage");

static int refuse(const char **out_error, const char *why)
{
    *out_error = why;
    return -EINVAL;
}

/* inet_pton for a slice. */
static bool parse_ip(int family, struct str s, void *out)
{
    char text[INET6_ADDRSTRLEN];
    if (s.len == 0 || s.len >= sizeof(text) || memchr(s.p, '\0', s.len) != NULL)
        return false;
    memcpy(text, s.p, s.len);
    text[s.len] = '\0';
    return inet_pton(family, text, out) == 1;
}

static void set_in(struct addr *a, const void *ip, uint16_t port)
{
    *a = (struct addr){.len = sizeof(a->in)};
    a->in.sin_family = AF_INET;
    a->in.sin_port = htons(port);
    memcpy(&a->in.sin_addr, ip, 4);
}

static void set_in6(struct addr *a, const void *ip, uint16_t port)
{
    *a = (struct addr){.len = sizeof(a->in6)};
    a->in6.sin6_family = AF_INET6;
    a->in6.sin6_port = htons(port);
    memcpy(&a->in6.sin6_addr, ip, 16);
}

/* ---- parsing ---- */

static int parse_unix(struct str path, struct addr_spec *out, const char **out_error)
{
    if (path.len == 0)
        return refuse(out_error, "a path is missing after unix:");
    if (memchr(path.p, '\0', path.len) != NULL)
        return refuse(out_error, "a path cannot contain a zero byte");
    if (path.len > UNIX_PATH_MAX_LEN)
        return refuse(out_error, "the path of a unix socket has at most 107 bytes");
    bool abstract = path.p[0] == '@';
    if (abstract && path.len == 1)
        return refuse(out_error, "a name is missing after unix:@");
    if (!abstract && path.p[0] != '/')
        return refuse(out_error,
                      "the path of a unix socket begins with / (or @ for an abstract one)");

    *out = (struct addr_spec){0};
    struct sockaddr_un *un = &out->addr.un;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path.p, path.len);
    if (abstract)
        un->sun_path[0] = '\0'; /* an abstract name has a length instead of a NUL at the end */
    size_t len = offsetof(struct sockaddr_un, sun_path) + path.len + (abstract ? 0 : 1);
    out->addr.len = (socklen_t)len;
    return 0;
}

static int parse_port(struct str text, bool allow_any, uint16_t *out, const char **out_error)
{
    uint64_t port;
    if (text.len == 0)
        return refuse(out_error, "the port is missing");
    if (text.len > 5 || str_u64(text, 65535, &port) != 0)
        return refuse(out_error, "the port is not a number from 1 to 65535");
    if (port == 0 && !allow_any)
        return refuse(out_error, "port 0 is nowhere to connect to");
    *out = (uint16_t)port;
    return 0;
}

static bool all_digits(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    }
    return s.len > 0;
}

static bool label_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

/* A host name, and no mistyped address: NULL, or what is wrong. */
static const char *name_problem(struct str name)
{
    struct str last = {0}, rest = name;
    if (rest.len > 0 && rest.p[rest.len - 1] == '.')
        rest.len--; /* fully qualified */
    if (rest.len == 0)
        return "the host is missing";
    if (rest.len > HOST_NAME_LEN_MAX)
        return "a host name has at most 253 bytes";
    for (size_t at = 0; at <= rest.len; at += last.len + 1) {
        last = (struct str){rest.p + at, 0};
        while (at + last.len < rest.len && label_char(rest.p[at + last.len]))
            last.len++;
        if (at + last.len < rest.len && rest.p[at + last.len] != '.')
            return "a host name has letters, digits, '-', '_' and '.' only";
        if (last.len == 0 || last.len > LABEL_LEN_MAX)
            return "each part of a host name has 1 to 63 bytes";
        if (last.p[0] == '-' || last.p[last.len - 1] == '-')
            return "no part of a host name begins or ends with '-'";
    }
    if (all_digits(last)) /* no top-level domain is a number: this is "10.0.0.256" or "10.1" */
        return "not a correct IPv4 address";
    return NULL;
}

static int parse_bracketed(struct str text, bool allow_any, struct addr_spec *out,
                           const char **out_error)
{
    struct in6_addr ip;
    uint16_t port;
    const char *end = memchr(text.p, ']', text.len);
    if (end == NULL)
        return refuse(out_error, "the closing ] is missing");
    struct str host = {text.p + 1, (size_t)(end - text.p) - 1};
    struct str rest = {end + 1, text.len - host.len - 2};
    if (memchr(host.p, '%', host.len) != NULL)
        return refuse(out_error, "zones (%) of IPv6 addresses are not supported");
    if (!parse_ip(AF_INET6, host, &ip))
        return refuse(out_error, "not a correct IPv6 address in the brackets");
    if (rest.len == 0 || rest.p[0] != ':')
        return refuse(out_error, "the port is missing");
    rest.p++;
    rest.len--;
    int rc = parse_port(rest, allow_any, &port, out_error);
    if (rc != 0)
        return rc;
    *out = (struct addr_spec){.port = port};
    memcpy(out->host, host.p, host.len);
    set_in6(&out->addr, &ip, port);
    return 0;
}

static int parse_host_port(struct str text, bool allow_name, bool allow_wildcard,
                           struct addr_spec *out, const char **out_error)
{
    uint8_t ip[16];
    uint16_t port;
    const char *colon = text.len > 0 ? memchr(text.p, ':', text.len) : NULL;
    if (colon == NULL)
        return refuse(out_error, "the port is missing");
    struct str host = {text.p, (size_t)(colon - text.p)};
    struct str rest = {colon + 1, text.len - host.len - 1};
    if (rest.len > 0 && memchr(rest.p, ':', rest.len) != NULL)
        return refuse(out_error, parse_ip(AF_INET6, text, ip)
                                     ? "an IPv6 address needs brackets and a port: [::1]:80"
                                     : "more than one colon (an IPv6 address needs brackets)");
    bool wildcard = host.len == 0 || str_eq(host, STR("*"));
    if (wildcard && !allow_wildcard)
        return refuse(out_error, "the host is missing");
    bool literal = !wildcard && parse_ip(AF_INET, host, ip);
    if (!wildcard && !literal) {
        const char *problem = name_problem(host);
        if (problem != NULL)
            return refuse(out_error, problem);
        if (!allow_name)
            return refuse(out_error, "names are not accepted here, only addresses");
    }
    int rc = parse_port(rest, allow_wildcard, &port, out_error);
    if (rc != 0)
        return rc;
    *out = (struct addr_spec){.port = port};
    memcpy(out->host, host.p, host.len); /* checked: at most 254 bytes */
    if (wildcard)
        set_in(&out->addr, &(struct in_addr){INADDR_ANY}, port);
    else if (literal)
        set_in(&out->addr, ip, port);
    return 0;
}

int addr_parse(struct str text, bool allow_name, bool allow_wildcard, struct addr_spec *out,
               const char **out_error)
{
    struct str unix_prefix = STR("unix:");
    if (str_starts(text, unix_prefix))
        return parse_unix((struct str){text.p + unix_prefix.len, text.len - unix_prefix.len}, out,
                          out_error);
    if (text.len > 0 && text.p[0] == '[')
        return parse_bracketed(text, allow_wildcard, out, out_error);
    return parse_host_port(text, allow_name, allow_wildcard, out, out_error);
}

/* ---- text ---- */

/* The name of a unix socket without its prefix, "" for none; what does not print becomes '?'. */
static void format_unix(const struct addr *a, char *buf, size_t size)
{
    size_t n = 0, start = offsetof(struct sockaddr_un, sun_path);
    size_t have = a->len > start ? a->len - start : 0;
    const char *path = a->un.sun_path;
    bool abstract = have > 1 && path[0] == '\0';
    if (!abstract)
        have = strnlen(path, have);
    for (size_t i = 0; i < have && n + 1 < size; i++) {
        unsigned char c = (unsigned char)path[i];
        bool mark = abstract && i == 0;
        buf[n++] = mark ? '@' : c < 0x20 || c >= 0x7f ? '?' : (char)c;
    }
    buf[n] = '\0';
}

/* What inet_ntop() does, at a tenth of its price: applications are told it with every request. */
static const char *format_ipv4(uint32_t ip, char buf[static ADDR_TEXT_MAX])
{
    char *at = buf;
    char digits[STR_U64_MAX];

    for (int shift = 24; shift >= 0; shift -= 8) {
        size_t n = str_put_u64(ip >> shift & 255, digits);
        memcpy(at, digits, n);
        at += n;
        *at++ = shift > 0 ? '.' : '\0';
    }
    return buf;
}

const char *addr_format_host(const struct addr *a, char buf[static ADDR_TEXT_MAX])
{
    const char *text = NULL;
    switch (addr_family(a)) {
    case AF_INET:
        return format_ipv4(ntohl(a->in.sin_addr.s_addr), buf);
    case AF_INET6:
        text = inet_ntop(AF_INET6, &a->in6.sin6_addr, buf, ADDR_TEXT_MAX);
        break;
    case AF_UNIX:
        return strcpy(buf, "unix");
    default:
        break;
    }
    return text != NULL ? text : strcpy(buf, "-");
}

const char *addr_format(const struct addr *a, char buf[static ADDR_TEXT_MAX])
{
    char host[ADDR_TEXT_MAX];
    switch (addr_family(a)) {
    case AF_INET:
        snprintf(buf, ADDR_TEXT_MAX, "%s:%u", addr_format_host(a, host), addr_port(a));
        break;
    case AF_INET6:
        snprintf(buf, ADDR_TEXT_MAX, "[%s]:%u", addr_format_host(a, host), addr_port(a));
        break;
    case AF_UNIX:
        strcpy(buf, "unix:");
        format_unix(a, buf + 5, ADDR_TEXT_MAX - 5);
        if (buf[5] == '\0')
            buf[4] = '\0'; /* a client's socket has no name */
        break;
    default:
        strcpy(buf, "-");
        break;
    }
    return buf;
}

/* ---- access ---- */

bool addr_is_loopback(const struct addr *a)
{
    switch (addr_family(a)) {
    case AF_INET:
        return (ntohl(a->in.sin_addr.s_addr) >> 24) == 127;
    case AF_INET6:
        return IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr) && a->in6.sin6_addr.s6_addr[12] == 127);
    default:
        return addr_family(a) == AF_UNIX;
    }
}

int addr_family(const struct addr *a)
{
    return a->len >= sizeof(a->sa.sa_family) ? a->sa.sa_family : AF_UNSPEC;
}

uint16_t addr_port(const struct addr *a)
{
    switch (addr_family(a)) {
    case AF_INET:
        return ntohs(a->in.sin_port);
    case AF_INET6:
        return ntohs(a->in6.sin6_port);
    default:
        return 0;
    }
}

void addr_set_port(struct addr *a, uint16_t port)
{
    if (addr_family(a) == AF_INET)
        a->in.sin_port = htons(port);
    else if (addr_family(a) == AF_INET6)
        a->in6.sin6_port = htons(port);
}

bool addr_is_any(const struct addr *a)
{
    if (addr_family(a) == AF_INET)
        return a->in.sin_addr.s_addr == htonl(INADDR_ANY);
    return addr_family(a) == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
}

bool addr_overlaps(const struct addr *a, const struct addr *b)
{
    return addr_family(a) == addr_family(b) && addr_port(a) == addr_port(b) &&
           addr_is_any(a) != addr_is_any(b);
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
    if (addr_family(a) != addr_family(b))
        return false;
    switch (addr_family(a)) {
    case AF_INET:
        return a->in.sin_port == b->in.sin_port && a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
    case AF_INET6:
        return a->in6.sin6_port == b->in6.sin6_port &&
               a->in6.sin6_scope_id == b->in6.sin6_scope_id &&
               memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, 16) == 0;
    case AF_UNIX:
        return a->len == b->len && memcmp(&a->un, &b->un, a->len) == 0;
    default:
        return true; /* both none */
    }
}

/* The kernel may count the NUL of a path or not, and an unnamed socket has no path: one form for
 * each, so that equal addresses are equal bytes. */
static void trim_unix(struct addr *a)
{
    size_t start = offsetof(struct sockaddr_un, sun_path);
    size_t have = a->len > start ? a->len - start : 0;
    if (have > 0 && a->un.sun_path[0] != '\0') {
        size_t len = strnlen(a->un.sun_path, have);
        a->len = (socklen_t)(start + len + (len < sizeof(a->un.sun_path) ? 1 : 0));
    } else if (have <= 1) {
        a->len = (socklen_t)start;
    }
}

void addr_from_sockaddr(struct addr *out, const struct sockaddr *sa, socklen_t len)
{
    struct addr a = {0};
    sa_family_t family = AF_UNSPEC;
    if (len >= sizeof(family))
        memcpy(&family, &sa->sa_family, sizeof(family));
    if (family == AF_INET && len >= sizeof(a.in)) {
        a.len = sizeof(a.in);
    } else if (family == AF_INET6 && len >= sizeof(a.in6)) {
        a.len = sizeof(a.in6);
    } else if (family == AF_UNIX) {
        a.len = len < sizeof(a.un) ? len : (socklen_t)sizeof(a.un);
    }
    if (a.len > 0)
        memcpy(&a.sa, sa, a.len);
    if (family == AF_UNIX)
        trim_unix(&a);
    *out = a;
}

/* The four bytes of an IPv4 or IPv4-mapped IPv6 address, else NULL. */
static const uint8_t *ipv4_bytes(const struct addr *a)
{
    if (addr_family(a) == AF_INET)
        return (const uint8_t *)&a->in.sin_addr;
    if (addr_family(a) == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
        return a->in6.sin6_addr.s6_addr + 12;
    return NULL;
}

uint64_t addr_hash_host(const struct addr *a)
{
    const uint8_t *v4 = ipv4_bytes(a);
    if (v4 != NULL)
        return hash_bytes(v4, 4, AF_INET);
    if (addr_family(a) == AF_INET6)
        return hash_bytes(&a->in6.sin6_addr, 16, AF_INET6);
    if (addr_family(a) == AF_UNIX && a->len > offsetof(struct sockaddr_un, sun_path))
        return hash_bytes(a->un.sun_path, a->len - offsetof(struct sockaddr_un, sun_path), AF_UNIX);
    return hash_u64(AF_UNIX);
}

/* ---- networks ---- */

static void clear_bits_from(uint8_t *bytes, size_t n_bytes, unsigned bits)
{
    for (size_t i = 0; i < n_bytes; i++) {
        unsigned keep = bits > 8 * i ? bits - 8 * (unsigned)i : 0;
        if (keep < 8)
            bytes[i] &= (uint8_t)(0xff00u >> keep);
    }
}

int addr_net_parse(struct str text, struct addr_net *out, const char **out_error)
{
    struct addr_net net = {0};
    if (str_eq(text, STR("unix"))) {
        *out = (struct addr_net){.family = AF_UNIX};
        return 0;
    }
    const char *slash = text.len > 0 ? memchr(text.p, '/', text.len) : NULL;
    struct str host = {text.p, slash != NULL ? (size_t)(slash - text.p) : text.len};
    if (parse_ip(AF_INET, host, net.bytes))
        net.family = AF_INET;
    else if (parse_ip(AF_INET6, host, net.bytes))
        net.family = AF_INET6;
    else
        return refuse(out_error,
                      "expected an IPv4 or IPv6 address, a network like 10.0.0.0/8, or unix");

    uint64_t max = net.family == AF_INET ? 32 : 128, bits = max;
    if (slash != NULL) {
        struct str tail = {slash + 1, text.len - host.len - 1};
        if (tail.len > 3 || str_u64(tail, max, &bits) != 0)
            return refuse(out_error, net.family == AF_INET
                                         ? "the prefix length is not a number from 0 to 32"
                                         : "the prefix length is not a number from 0 to 128");
    }
    if (net.family == AF_INET6 && bits >= 96 &&
        IN6_IS_ADDR_V4MAPPED((struct in6_addr *)net.bytes)) {
        net.family = AF_INET; /* ::ffff:10.0.0.0/104 */
        memmove(net.bytes, net.bytes + 12, 4);
        memset(net.bytes + 4, 0, 12);
        bits -= 96;
    }
    net.bits = (uint8_t)bits;
    clear_bits_from(net.bytes, sizeof(net.bytes), net.bits); /* 10.1.2.3/8 is 10.0.0.0/8 */
    *out = net;
    return 0;
}

static bool prefix_eq(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || ((a[whole] ^ b[whole]) & (0xff00u >> rest) & 0xff) == 0;
}

const char *addr_net_format(const struct addr_net *net, char buf[static ADDR_TEXT_MAX])
{
    unsigned whole = net->family == AF_INET ? 32 : 128;
    struct addr a = {0};

    if (net->family == AF_UNIX)
        return strcpy(buf, "unix");
    if (net->family == AF_INET) {
        a.len = sizeof(a.in);
        a.in.sin_family = AF_INET;
        memcpy(&a.in.sin_addr, net->bytes, 4);
    } else {
        a.len = sizeof(a.in6);
        a.in6.sin6_family = AF_INET6;
        memcpy(&a.in6.sin6_addr, net->bytes, 16);
    }
    addr_format_host(&a, buf);
    if (net->bits < whole) {
        size_t n = strlen(buf);
        snprintf(buf + n, ADDR_TEXT_MAX - n, "/%u", net->bits);
    }
    return buf;
}

bool addr_net_contains(const struct addr_net *net, const struct addr *a)
{
    if (net->family == AF_INET) {
        const uint8_t *v4 = ipv4_bytes(a);
        return v4 != NULL && prefix_eq(net->bytes, v4, net->bits);
    }
    if (net->family == AF_INET6)
        return addr_family(a) == AF_INET6 &&
               prefix_eq(net->bytes, a->in6.sin6_addr.s6_addr, net->bits);
    return net->family == AF_UNIX && addr_family(a) == AF_UNIX;
}
