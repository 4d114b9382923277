/* crash.h - the last words of a process that dies by a fault of its own (SEGV, BUS, ABRT, FPE,
 * ILL): which signal, where (version, build id, thread, addresses), the last events, and what the
 * workers remember of slow and failed requests. On the log's file, else on stderr. Then the signal
 * takes its usual course, so that a core is written and the exit status is the truth. */
#ifndef SLUICE_MAIN_CRASH_H
#define SLUICE_MAIN_CRASH_H

struct process;

/* Once, before the first thread. */
void crash_install(void);
/* Whose workers' memories are printed; NULL: nobody's any more. Control thread. */
void crash_watch(const struct process *p);
/* Every thread for itself at its begin: a stack for the handler, as its own may have overflowed. */
void crash_thread_begin(void);
void crash_thread_end(void);

#endif
