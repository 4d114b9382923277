/* advice.h - settings of the machine that hold a load balancer back: found at start, said once in
 * the log, each with what to set. Reads, never changes; what cannot be read is taken to be fine. */
#ifndef SLUICE_MAIN_ADVICE_H
#define SLUICE_MAIN_ADVICE_H

#include "lb/base/str.h"

#include <stdint.h>

struct advice_about {
    uint64_t files;           /* open files that the process may have */
    uint32_t max_connections; /* derived from them and others */
    bool files_suffice;       /* for as many as the configuration asks for */
    bool tcp_listeners, tcp_backends;
};

/* One line each, for people; nothing where all is well. proc stands below root ("" in earnest). */
void advice_collect(const char *root, const struct advice_about *about, struct strbuf *out);

#endif
