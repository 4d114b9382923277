/* inherit.h - listening sockets that we did not open ourselves: systemd passed them when it started
 * us (LISTEN_FDS), or the process whose place we take did (takeover.h). binding.c takes those that
 * the configuration asks for. Control thread, before the workers. */
#ifndef SLUICE_MAIN_INHERIT_H
#define SLUICE_MAIN_INHERIT_H

#include "lb/base/limits.h"
#include "lb/net/addr.h"

struct strbuf;

/* Sockets of one address: several where they form a group (SO_REUSEPORT). */
struct inherit_row {
    struct addr addr;
    char name[LIMIT_NAME_LEN + 1]; /* LISTEN_FDNAMES; "": none */
    int *fds;
    uint32_t n;
    bool dgram;      /* datagrams; a stream of that address is another row */
    bool used;       /* fds are their taker's */
    bool dual_stack; /* an IPv6 socket that takes IPv4 too */
};

struct inherit {
    struct inherit_row *rows;
    uint32_t n;
};

/* Takes fd over, whatever comes of it: 0, or -EINVAL with *out_error (static) when it is no
 * listening stream socket, nor one of UDP; then it is closed. */
int inherit_add(struct inherit *in, int fd, const char *name, const char **out_error) WARN_UNUSED;
/* Takes what systemd passed to this very process, and forgets the variables that say so. What will
 * not do is a line in errors. */
void inherit_from_systemd(struct inherit *in, struct strbuf *errors);
/* For an address of the listener of this name: its sockets, else those that were passed under the
 * listener's name and that nobody uses. NULL: there are none. */
struct inherit_row *inherit_find(struct inherit *in, const struct addr *addr, bool dgram,
                                 const char *name);
/* Forgets those that were taken: their takers may close them. */
void inherit_forget_used(struct inherit *in);
/* Closes what nobody has taken. */
void inherit_fini(struct inherit *in);

#endif
