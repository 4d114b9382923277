/* origin_words.h - the command line of `sluice origin`. */
#ifndef SLUICE_MAIN_ORIGIN_WORDS_H
#define SLUICE_MAIN_ORIGIN_WORDS_H

#include "lb/base/assert.h"
#include "lb/net/addr.h"

struct origin_conf {
    const char *name;
    struct addr_spec listen;
    uint64_t bytes; /* of a body; 0: "hello from NAME" */
    bool has_bytes;
    uint32_t delay_ms;
    uint32_t fail_permille;
    bool udp; /* datagrams are echoed; nothing else */
};

/* EXIT_DONE, or EXIT_USAGE: what is wrong was printed. The texts are argv's. */
int origin_words_read(int argc, char **argv, struct origin_conf *out) WARN_UNUSED;

#endif
