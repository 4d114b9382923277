/* hardening.h - what the process gives up when it has what it needs, so that who breaks into it
 * gets little: new privileges, being looked into, descriptors of its parent, files. Each part
 * stands alone: one that cannot be had is told in one line, and fails the start only where the
 * configuration requires it. */
#ifndef SLUICE_MAIN_HARDENING_H
#define SLUICE_MAIN_HARDENING_H

#include "lb/base/str.h"
#include "lb/config/conf.h"
#include "lb/main/places.h"

#include <stdio.h>
#include <sys/types.h>

struct hardening {
    struct places places; /* under Landlock: all that there is */
    uint32_t landlock;    /* version; 0: it is off */
    bool no_new_privileges, keeper;
    struct strbuf text; /* what is on, for the log and for `show info` */
};

/* A part that cannot be had: 0 where that is nothing to stop for, told as that; else error, told as
 * one. */
int hardening_without(enum hardening_wish wish, const char *setting, const char *why,
                      int error) WARN_UNUSED;
/* There is one (keeper.h); files: which opens those for us that we cannot. */
void hardening_has_keeper(struct hardening *h, pid_t pid, bool files);
/* Before the first thread, after all that needs more: as the user that we stay, with logs, keys and
 * listeners open. 0, or -errno with what is required and cannot be had in the log. */
int hardening_confine(struct hardening *h, const struct conf *conf) WARN_UNUSED;
/* When all rings and threads are there. 0 or -errno likewise. */
int hardening_filter(struct hardening *h, const struct conf *conf) WARN_UNUSED;
/* Whether all that this configuration names can be reached; else false, with lines in errors. */
bool hardening_allows(const struct hardening *h, const struct conf *conf, const char *file,
                      struct strbuf *errors);
/* A sentence for who cannot open a file any more; "": nothing is forbidden. Static text. */
const char *hardening_hint(const struct hardening *h);
void hardening_fini(struct hardening *h);
/* What this machine offers, for -V. */
void hardening_print(FILE *out);

#endif
