/* keeper_priv.h - what the keeper and the process that it helps say to each other: records over a
 * socket pair, one answer for each question. The keeper believes nothing of what it is sent. */
#ifndef SLUICE_MAIN_KEEPER_PRIV_H
#define SLUICE_MAIN_KEEPER_PRIV_H

#include "lb/base/limits.h"
#include "lb/base/str.h"
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

#define KEEPER_BROKEN                                                                              \
    "the configuration has mistakes, so no file that is new in it is opened: what cannot be read " \
    "here may be in order; `sluice -t` as root tells them all"

struct keeper_reply {
    uint32_t serial;
    int32_t rc; /* 0 or -errno */
    char text[KEEPER_TEXT_MAX];
};

/* What has no answer but over the stream that comes along: a line, see keeper_program.c. */
struct keeper_run {
    struct addr addr;
    char pool[LIMIT_NAME_LEN + 1];
    char backend[LIMIT_NAME_LEN + 1];
};

struct keeper_program {
    char *pool;
    char **argv; /* ends with NULL */
    uint32_t timeout_ms;
};

#define KEEPER_PROGRAMS_MAX 64 /* at the same time */

/* In a process of its own: runs it as that user, watches it, says over fd how it ended. It is
 * killed when fd's other end is closed, too. */
_Noreturn void keeper_program_run(const struct keeper_program *p, const struct keeper_run *q,
                                  const struct privileges *user, int fd);
/* A line of an answer; what there is no room for is lost. */
void keeper_program_say(int fd, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* One record with a descriptor, or -1. 0 or -errno. */
int keeper_send(int fd, const void *record, size_t size, int pass) WARN_UNUSED;
/* The same: *out_fd is the receiver's, or -1. 0; -EPROTO for one of another size; -EPIPE: the other
 * end is closed. */
int keeper_receive(int fd, void *record, size_t size, int *out_fd) WARN_UNUSED;

/* The keeper's life, from its fork on. Never returns. */
struct keeper_task {
    int fd, programs_fd; /* programs_fd: -1: none are run */
    const struct conf *conf;
    const char *from;
    const struct privileges *user;
    bool files;
};
_Noreturn void keeper_serve(const struct keeper_task *task);

/* What it knows, and the answer to what has come over its end of a pair; tests feed them. */
struct keeper_self;
struct keeper_self *keeper_self_new(const struct keeper_task *task);
void keeper_self_free(struct keeper_self **self);
/* False: the other end is closed, or this is none. */
bool keeper_serve_question(struct keeper_self *self, int fd);
void keeper_serve_program(struct keeper_self *self, int fd);

#endif
