/* explain.h - `sluice explain`, and the worlds that lb/proxy/explain.h is asked about: a
 * configuration, or the running process. */
#ifndef SLUICE_MAIN_EXPLAIN_H
#define SLUICE_MAIN_EXPLAIN_H

#include "lb/proxy/explain.h"

struct conf;
struct process;

/* `sluice explain [-c FILE | -s SOCKET] METHOD URL ...`; argv[0] is the command's name, config the
 * file that -c before it has named, or NULL. Exit code: 0 a route takes it, 1 it would be refused,
 * 2 usage. */
int explain_main(int argc, char **argv, const char *config);

/* The listeners of a configuration, for explain_new(). conf must outlive it; it was checked, so
 * this can fail only when a file has changed since: false with a line per mistake. */
struct explain_offline {
    struct explain_world world;
    struct http_listener **listeners;
    uint32_t n;
};
bool explain_offline_init(struct explain_offline *o, const struct conf *conf,
                          struct strbuf *errors) WARN_UNUSED;
void explain_offline_fini(struct explain_offline *o);

/* The stats socket's `explain` (admin_ops.h). Control thread. */
int explain_live(struct process *p, const struct str *words, uint32_t n, bool json,
                 struct strbuf *out);

#endif
