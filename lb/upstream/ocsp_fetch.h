/* ocsp_fetch.h - one question to an OCSP responder over http (RFC 6960 appendix A.1): name,
 * connect, send, receive, within a time and a size. On the loop of whoever asks; a few at a time.
 */
#ifndef SLUICE_UPSTREAM_OCSP_FETCH_H
#define SLUICE_UPSTREAM_OCSP_FETCH_H

#include "lb/base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct ocsp_fetch;
struct resolver;

struct ocsp_fetch_conf {
    const char *host, *path; /* copied */
    uint16_t port;
    struct str request; /* DER; copied */
    uint32_t *live;     /* how many have not been freed yet, this one too */
};

/* Once, from a turn of the loop, when nothing is armed any more. error NULL: answer is what was
 * received (DER, for the call only); else why there is none, in words. The fetch is freed behind
 * it. Not called when it was stopped. */
typedef void ocsp_fetch_fn(void *arg, struct str answer, const char *error);

struct ocsp_fetch *ocsp_fetch_start(struct loop *loop, struct resolver *resolver,
                                    const struct ocsp_fetch_conf *conf, ocsp_fetch_fn *done,
                                    void *arg);
/* It ends in the next turns of the loop, which must come: see *live. */
void ocsp_fetch_stop(struct ocsp_fetch **f);

#endif
