/* signals.h - signals as events on a loop (signalfd). */
#ifndef SLUICE_MAIN_SIGNALS_H
#define SLUICE_MAIN_SIGNALS_H

#include "lb/io/io.h"

struct loop;
struct signals;
typedef void signals_fn(void *arg, int signo);

struct signals {
    struct op op;
    struct loop *loop;
    signals_fn *fn;
    void *arg;
    int fd;
    bool stopping;
};

/* Blocks TERM, INT, QUIT, HUP, USR1, USR2 in the calling thread and those it will start, and
 * ignores PIPE. To be called before any thread exists. */
void signals_block(void);
/* Delivers each blocked signal to fn on the loop. 0 or -errno. */
int signals_start(struct signals *s, struct loop *loop, signals_fn *fn, void *arg) WARN_UNUSED;
void signals_stop(struct signals *s);          /* asks */
bool signals_stopped(const struct signals *s); /* then signals_fini() may be called */
void signals_fini(struct signals *s);

#endif
