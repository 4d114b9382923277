/* sni_conf.h - a rule of a listener of mode tcp: which pool a connection goes to by the name that
 * its ClientHello asks for. Immutable. */
#ifndef SLUICE_PROXY_SNI_CONF_H
#define SLUICE_PROXY_SNI_CONF_H

#include <stdint.h>

struct sni_rule {
    char **hosts; /* any of them: "a.example", "*.example" (one or more labels more) */
    uint32_t n_hosts;
    char *pool_name;
    uint32_t pool;    /* index into conf->pools */
    const char *file; /* where it was defined */
    int line;
};

#endif
