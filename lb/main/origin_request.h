/* origin_request.h - what `sluice origin` wants to know of a request's head; pure. */
#ifndef SLUICE_MAIN_ORIGIN_REQUEST_H
#define SLUICE_MAIN_ORIGIN_REQUEST_H

#include "lb/base/str.h"

#include <stdbool.h>
#include <stdint.h>

/* One request's framing, as far as we care. */
struct origin_request {
    bool head, close, healthz, bad;
    uint64_t body;
};

/* A head with its empty line. */
void origin_request_parse(struct str head, struct origin_request *r);

#endif
