/* syscalls.h - the system calls that a started process can still make, by a seccomp filter over all
 * of its threads. What is forbidden answers EPERM, what nobody has heard of ENOSYS, so that
 * libraries that try newer calls fall back to older ones. Operations of io_uring pass by it: the
 * engine restricts its rings itself. */
#ifndef SLUICE_MAIN_SYSCALLS_H
#define SLUICE_MAIN_SYSCALLS_H

#include "lb/base/assert.h"

#include <stdint.h>

/* 0: filters can be had here; else -errno. */
int syscalls_available(void);
/* In words, for -errno. Static text. */
const char *syscalls_why(int error);

/* Rings exist (no more can be made), threads may; PR_SET_NO_NEW_PRIVS is set. 0 with the number of
 * calls that are left, or -errno: nothing has changed. */
int syscalls_restrict(uint32_t *out_calls) WARN_UNUSED;

#endif
