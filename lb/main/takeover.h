/* takeover.h - `sluice -x SOCKET`: we take the place of the process that answers on this stats
 * socket. It gives us its listening sockets; we start, serve on them, tell it so, and it drains.
 * Whatever goes wrong before that leaves it as it was. handoff.h is its side.
 *
 * Before the threads, then on the control thread. Blocks, for PATIENCE_MS at most at a time. */
#ifndef SLUICE_MAIN_TAKEOVER_H
#define SLUICE_MAIN_TAKEOVER_H

#include "lb/main/handoff_line.h"
#include "lb/main/inherit.h"

#include <sys/types.h>

#define TAKEOVER_ERROR_MAX 512

struct takeover {
    const char *socket; /* the caller's */
    int fd;             /* to the process before; -1: none */
    pid_t pid;          /* its */
    struct inherit inherit;
    struct strbuf state;       /* what it knows of backends; empty: it says nothing of them */
    uint64_t watchdog_usec;    /* of its service; 0: none */
    int tell_fd;               /* told with one byte when we serve; -1: nobody waits */
    char in[HANDOFF_LINE_MAX]; /* received */
    size_t in_len;
    int *fds; /* received, not yet of a line */
    uint32_t n_fds;
};

/* Asks for all of it. 0 or -errno with error in words. */
int takeover_begin(struct takeover *t, const char *socket,
                   char error[static TAKEOVER_ERROR_MAX]) WARN_UNUSED;
/* We serve: it leaves. t->state is what it has to say now. -errno with error: it has not said that
 * it does; that changes nothing for us. */
int takeover_finish(struct takeover *t, char error[static TAKEOVER_ERROR_MAX]) WARN_UNUSED;
/* Who started us with --detach may go. */
void takeover_tell(struct takeover *t);
/* Closes everything that nobody has taken. */
void takeover_fini(struct takeover *t);

#endif
