/* keeper_priv.h - what the keeper and the process that it helps say to each other: records over a
 * socket pair, one answer for each question. The keeper believes nothing of what it is sent. */
#ifndef SLUICE_MAIN_KEEPER_PRIV_H
#define SLUICE_MAIN_KEEPER_PRIV_H

#include "lb/main/keeper.h"
#include "lb/net/addr.h"

#include <limits.h>
#include <stdalign.h>

enum keeper_word {
    KEEPER_OPEN,    /* a file to read: its descriptor */
    KEEPER_APPEND,  /* a log: its descriptor */
    KEEPER_BIND,    /* the socket that comes along, to this address */
    KEEPER_REFRESH, /* read the configuration; an error comes with a text */
    KEEPER_COMMIT,
};

struct keeper_request {
    uint32_t serial; /* an answer has its question's */
    uint32_t word;
    struct addr addr;
    char path[PATH_MAX];
};

struct keeper_reply {
    uint32_t serial;
    int32_t rc; /* 0 or -errno */
    char text[KEEPER_TEXT_MAX];
};

/* One record with a descriptor, or -1. 0 or -errno. */
int keeper_send(int fd, const void *record, size_t size, int pass) WARN_UNUSED;
/* The same: *out_fd is the receiver's, or -1. 0; -EPROTO for one of another size; -EPIPE: the other
 * end is closed. */
int keeper_receive(int fd, void *record, size_t size, int *out_fd) WARN_UNUSED;

/* The keeper's life, from its fork on. Never returns. */
_Noreturn void keeper_serve(int fd, const struct conf *conf, const char *from);

#endif
