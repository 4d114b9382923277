/* crash.c - see crash.h
 *
 * The handler uses nothing but write(2) and what it wrote itself: the heap, stdio and locks may be
 * what is broken. It reads others' memory while they may be writing it; every text there has an
 * end. A second thread that faults meanwhile waits for the end of the process. */
#include "lb/main/crash.h"

#include "lb/base/log.h"
#include "lb/main/process.h"
#include "lb/main/worker.h"
#include "lb/obs/events.h"
#include "lb/obs/flight.h"

#include <elf.h>
#include <errno.h>
#include <execinfo.h>
#include <link.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define STACK_BYTES  (64u << 10)
#define FRAMES_MAX   64
#define EVENTS_SHOWN 50
#define FLIGHT_LINES 512 /* of all workers */

static const struct {
    int signo;
    const char *name;
} fatal[] = {
    {SIGSEGV, "SEGV"}, {SIGBUS, "BUS"}, {SIGABRT, "ABRT"}, {SIGFPE, "FPE"}, {SIGILL, "ILL"},
};

static struct {
    struct sigaction before[ARRAY_LEN(fatal)];
    char build_id[2 * 20 + 1];
    _Atomic(const struct process *) process;
    atomic_flag entered;
} crash;

static _Thread_local void *thread_stack;

/* ---- writing without a library ---- */

/* In few pieces, so that lines of the log thread do not come in between. */
struct writer {
    int fd;
    size_t n;
    char buf[64u << 10];
};

static void flush(struct writer *w)
{
    for (size_t done = 0; done < w->n;) {
        ssize_t n = write(w->fd, w->buf + done, w->n - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break; /* nothing can be done about it */
        done += (size_t)n;
    }
    w->n = 0;
}

static void put_bytes(struct writer *w, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (w->n == sizeof(w->buf))
            flush(w);
        w->buf[w->n++] = text[i];
    }
}

static void put(struct writer *w, const char *text)
{
    put_bytes(w, text, strlen(text));
}

/* A text that another thread may be writing: at most the array's size. */
#define put_array(w, array) put_bytes(w, array, strnlen(array, sizeof(array)))

static void put_number(struct writer *w, uint64_t value, unsigned base, unsigned digits)
{
    char text[24];
    size_t n = sizeof(text);

    do
        text[--n] = "0123456789abcdef"[value % base];
    while ((value /= base) > 0 || sizeof(text) - n < digits);
    put_bytes(w, text + n, sizeof(text) - n);
}

static void put_u64(struct writer *w, uint64_t value)
{
    put_number(w, value, 10, 1);
}

/* "2026-11-23T09:20:00.123456Z", from the days since March of the year 0, whose years end with
 * their leap day. */
static void put_time(struct writer *w, uint64_t wall_us)
{
    uint64_t s = wall_us / 1000000, days = s / 86400 + 719468, of_era = days % 146097;
    uint64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    uint64_t month = (5 * of_year + 2) / 153, day = of_year - (153 * month + 2) / 5 + 1;

    put_number(w, year + days / 146097 * 400 + (month >= 10), 10, 4);
    put(w, "-");
    put_number(w, month < 10 ? month + 3 : month - 9, 10, 2);
    put(w, "-");
    put_number(w, day, 10, 2);
    put(w, "T");
    put_number(w, s / 3600 % 24, 10, 2);
    put(w, ":");
    put_number(w, s / 60 % 60, 10, 2);
    put(w, ":");
    put_number(w, s % 60, 10, 2);
    put(w, ".");
    put_number(w, wall_us % 1000000, 10, 6);
    put(w, "Z");
}

/* ---- what is told ---- */

static const char *signal_name(int signo)
{
    for (size_t i = 0; i < ARRAY_LEN(fatal); i++)
        if (fatal[i].signo == signo)
            return fatal[i].name;
    return "?";
}

static void put_head(struct writer *w, int signo, const siginfo_t *info)
{
    char thread[16 + 1] = "";

    prctl(PR_GET_NAME, thread);
    put(w, "sluice " SLUICE_VERSION " has crashed: signal ");
    put(w, signal_name(signo));
    if (info->si_code <= 0) {
        put(w, " sent by process ");
        put_u64(w, (uint64_t)info->si_pid);
    } else if (signo != SIGABRT) {
        put(w, " at address 0x");
        put_number(w, (uint64_t)(uintptr_t)info->si_addr, 16, 1);
    }
    put(w, ", thread ");
    put(w, thread);
    put(w, ", process ");
    put_u64(w, (uint64_t)getpid());
    put(w, ", build ");
    put(w, crash.build_id[0] != '\0' ? crash.build_id : "unknown");
    put(w, "\n");
}

static void put_stack(struct writer *w)
{
    void *frames[FRAMES_MAX];

    put(w, "stack (addr2line -Cfe sluice ADDRESS):\n");
    flush(w);
    /* Both are prepared by crash_install() and allocate nothing any more. */
    int n = backtrace(frames, FRAMES_MAX);
    backtrace_symbols_fd(frames, n, w->fd);
}

static void put_events(struct writer *w)
{
    uint64_t last = events_last();
    struct event e;

    put(w, "events, the latest last:\n");
    for (uint64_t i = last > EVENTS_SHOWN ? last - EVENTS_SHOWN + 1 : 1; i <= last; i++) {
        if (!events_peek(i, &e))
            continue;
        put(w, "  ");
        put_u64(w, e.serial);
        put(w, " ");
        put_time(w, e.wall_us);
        put(w, " ");
        put(w, event_severity_name(e.severity));
        put(w, " ");
        put(w, event_kind_name(e.kind));
        put(w, " ");
        put_array(w, e.text);
        put(w, "\n");
    }
}

static void put_phase(struct writer *w, const char *name, int64_t us)
{
    put(w, name);
    if (us < 0)
        put(w, "-");
    else
        put_u64(w, (uint64_t)us);
}

static void put_record(struct writer *w, const char *list, const struct flight_record *r)
{
    put(w, list);
    put_time(w, r->wall_us);
    put(w, " 0x");
    put_number(w, r->id, 16, 16);
    put(w, "/");
    put_u64(w, r->sequence);
    put(w, " client=");
    put_array(w, r->client);
    put(w, " listener=");
    put_array(w, r->listener);
    put(w, " pool=");
    put_array(w, r->pool);
    put(w, " backend=");
    put_array(w, r->backend);
    put_phase(w, " total_us=", (int64_t)r->total_us);
    put_phase(w, " queue_us=", r->queue_us);
    put_phase(w, " connect_us=", r->connect_us);
    put_phase(w, " first_us=", r->first_us);
    put(w, " status=");
    put_u64(w, r->status);
    put(w, " end=");
    put(w, (unsigned)r->end < N_SESSION_ENDS ? session_end_code(r->end) : "?");
    put(w, " ");
    put_array(w, r->method);
    put(w, " ");
    put_array(w, r->target);
    put(w, " ");
    put_array(w, r->why);
    put(w, "\n");
}

static void put_flight(struct writer *w)
{
    const struct process *p = atomic_load_explicit(&crash.process, memory_order_acquire);
    uint32_t left = FLIGHT_LINES;

    put(w, "slow and failed requests:\n");
    for (uint32_t i = 0; p != NULL && i < p->n_started; i++) {
        const struct flight *f =
            p->workers[i].proxy != NULL ? proxy_flight(p->workers[i].proxy) : NULL;
        for (uint32_t j = 0; f != NULL && j < FLIGHT_MAX && left > 0; j++) {
            const struct flight_record *r = flight_raw(f, j);
            if (r == NULL)
                continue;
            put_record(w, j < FLIGHT_SLOW ? "  slow " : "  failed ", r);
            left--;
        }
    }
    put(w, "end of the crash report\n");
    flush(w);
}

/* ---- the handler ---- */

static void on_fatal(int signo, siginfo_t *info, void *context)
{
    static struct writer w; /* the first thread's */

    (void)context;
    if (atomic_flag_test_and_set(&crash.entered))
        for (;;)
            pause(); /* another thread is telling already, and ends us all */
    w.fd = log_crash_fd();
    put_head(&w, signo, info);
    put_stack(&w);
    put_events(&w);
    put_flight(&w);
    for (size_t i = 0; i < ARRAY_LEN(fatal); i++)
        sigaction(fatal[i].signo, &crash.before[i], NULL);
    if (info->si_code <= 0 || signo == SIGABRT)
        raise(signo); /* waits until we return; a fault comes again by itself */
}

/* ---- life ---- */

static int find_build_id(struct dl_phdr_info *info, size_t size, void *arg)
{
    char *out = arg;

    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        const char *at = (const char *)(info->dlpi_addr + ph->p_vaddr), *end = at + ph->p_memsz;
        while (ph->p_type == PT_NOTE && at + sizeof(ElfW(Nhdr)) <= end) {
            const ElfW(Nhdr) *note = (const void *)at;
            const unsigned char *id =
                (const unsigned char *)at + sizeof(*note) + ((note->n_namesz + 3u) & ~3u);
            if (note->n_type == NT_GNU_BUILD_ID && note->n_descsz <= 20)
                for (uint32_t j = 0; j < note->n_descsz; j++) {
                    out[2 * j] = "0123456789abcdef"[id[j] >> 4];
                    out[2 * j + 1] = "0123456789abcdef"[id[j] & 15];
                }
            at = (const char *)id + ((note->n_descsz + 3u) & ~3u);
        }
    }
    return 1; /* the first one is the program */
}

void crash_install(void)
{
    struct sigaction act = {.sa_sigaction = on_fatal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    void *frame;

    backtrace(&frame, 1); /* loads what it needs */
    dl_iterate_phdr(find_build_id, crash.build_id);
    atomic_flag_clear(&crash.entered);
    sigfillset(&act.sa_mask); /* a fault of the handler's ends the process at once */
    for (size_t i = 0; i < ARRAY_LEN(fatal); i++)
        sigaction(fatal[i].signo, &act, &crash.before[i]);
}

void crash_watch(const struct process *p)
{
    atomic_store_explicit(&crash.process, p, memory_order_release);
}

void crash_thread_begin(void)
{
    stack_t is, ours = {.ss_size = STACK_BYTES};

    if (sigaltstack(NULL, &is) < 0 || (is.ss_flags & SS_DISABLE) == 0)
        return; /* a sanitizer has seen to it */
    ours.ss_sp =
        mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ours.ss_sp == MAP_FAILED)
        return; /* then an overflow of the stack is not told */
    thread_stack = ours.ss_sp;
    sigaltstack(&ours, NULL);
}

void crash_thread_end(void)
{
    const stack_t none = {.ss_flags = SS_DISABLE};

    if (thread_stack == NULL)
        return;
    sigaltstack(&none, NULL);
    munmap(thread_stack, STACK_BYTES);
    thread_stack = NULL;
}
