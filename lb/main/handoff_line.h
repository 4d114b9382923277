/* handoff_line.h - what two processes say to each other when one takes the other's place: lines of
 * words, some with descriptors beside them. Pure.
 *
 * The new one asks on the stats socket: `_handoff 1`. The old one answers, each line in a message
 * with its descriptors:
 *     sluice-handoff 1 PID     our version, who it is
 *     watchdog USEC            how often systemd wants to hear of us, 0: not at all
 *     state                    1 descriptor: what is known of backends (state_text.h), as a file
 *     listen N                 N descriptors: listening sockets of one address
 *     end
 * When the new one serves on these it says `serving PID`; the old one answers `state` (what has
 * changed since), `leaving`, and drains. Either may say `refused WHY` instead, or just close: then
 * all stays as it was. Words behind those that are known, and lines that begin with others, are for
 * versions to come. */
#ifndef SLUICE_MAIN_HANDOFF_LINE_H
#define SLUICE_MAIN_HANDOFF_LINE_H

#include "lb/base/assert.h"
#include "lb/base/str.h"

#define HANDOFF_VERSION     1
#define HANDOFF_LINE_MAX    256 /* bytes, with its newline */
#define HANDOFF_FDS_MAX     200 /* of one line; the kernel takes 253 in a message */
#define HANDOFF_FDS_ALL_MAX 65536

enum handoff_word {
    HANDOFF_UNKNOWN,
    HANDOFF_HELLO,    /* number: version; pid */
    HANDOFF_WATCHDOG, /* number: microseconds */
    HANDOFF_STATE,    /* fds: 1 */
    HANDOFF_LISTEN,   /* fds: as said */
    HANDOFF_END,
    HANDOFF_SERVING, /* pid */
    HANDOFF_LEAVING,
    HANDOFF_REFUSED, /* text */
};

struct handoff_line {
    enum handoff_word word;
    uint64_t number;
    int pid;
    uint32_t fds; /* how many go with it */
    struct str text;
};

/* A line without its newline. 0, or -EINVAL: a known word, and not what belongs to it. */
int handoff_line_parse(struct str line, struct handoff_line *out) WARN_UNUSED;

#endif
