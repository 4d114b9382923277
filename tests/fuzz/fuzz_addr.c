/* fuzz_addr.c - addresses and networks as users write them. First byte: what is allowed. What is
 * accepted can be printed, and the printed form means the same. */
#include "lb/base/assert.h"
#include "lb/net/addr.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_spec(struct str text, bool allow_name, bool allow_wildcard)
{
    struct addr_spec spec, again;
    const char *error = NULL;
    char buf[ADDR_TEXT_MAX], host[ADDR_TEXT_MAX];
    int rc = addr_parse(text, allow_name, allow_wildcard, &spec, &error);
    if (rc != 0) {
        sl_assert(error != NULL && error[0] != '\0');
        return;
    }
    sl_assert(memchr(spec.host, '\0', sizeof(spec.host)) != NULL);
    if (spec.addr.len == 0) {
        sl_assert(allow_name && spec.host[0] != '\0' && (spec.port != 0 || allow_wildcard));
        return;
    }
    addr_format(&spec.addr, buf);
    sl_assert(strlen(buf) < sizeof(buf) && strlen(addr_format_host(&spec.addr, host)) > 0);
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.p[i] < 0x20 || (unsigned char)text.p[i] >= 0x7f)
            return; /* a path that does not print as it is */
    }
    sl_assert(addr_parse(str_of(buf), false, true, &again, &error) == 0);
    sl_assert(addr_eq(&spec.addr, &again.addr));
    sl_assert(addr_hash_host(&spec.addr) == addr_hash_host(&again.addr));
    sl_assert(addr_port(&again.addr) == spec.port);
}

static void check_net(struct str text)
{
    struct addr_net net;
    struct addr a = {0};
    const char *error = NULL;
    if (addr_net_parse(text, &net, &error) != 0) {
        sl_assert(error != NULL && error[0] != '\0');
        return;
    }
    /* A network contains its own first address. */
    if (net.family == AF_INET) {
        a.len = sizeof(a.in);
        a.in.sin_family = AF_INET;
        memcpy(&a.in.sin_addr, net.bytes, 4);
        sl_assert(net.bits <= 32);
    } else if (net.family == AF_INET6) {
        a.len = sizeof(a.in6);
        a.in6.sin6_family = AF_INET6;
        memcpy(&a.in6.sin6_addr, net.bytes, 16);
        sl_assert(net.bits <= 128);
    } else {
        a.len = sizeof(sa_family_t);
        a.sa.sa_family = AF_UNIX;
    }
    sl_assert(addr_net_contains(&net, &a));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct str text = {size > 1 ? (const char *)data + 1 : "", size - 1};
    check_spec(text, (data[0] & 1) != 0, (data[0] & 2) != 0);
    check_net(text);
    return 0;
}
