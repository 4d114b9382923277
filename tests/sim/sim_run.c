/* sim_run.c - running a test for many seeds, and naming the seed that failed, however it did. */
#include "tests/sim/sim.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t running; /* the seed, 0: none */

/* Also from a signal handler: no stdio. */
static void say_seed(void)
{
    char line[64] = "sim: run again with SIM_SEED=", digits[24];
    size_t at = strlen(line), n = 0;

    if (running == 0)
        return;
    for (uint64_t v = running; v > 0; v /= 10)
        digits[n++] = (char)('0' + v % 10);
    while (n > 0)
        line[at++] = digits[--n];
    line[at++] = '\n';
    (void)!write(STDERR_FILENO, line, at);
    running = 0;
}

static void on_signal(int signo)
{
    say_seed();
    signal(signo, SIG_DFL);
    raise(signo);
}

/* Each sanitizer has a runtime of its own, with a callback of its own. */
static void tell_sanitizers(void)
{
    static const char *const runtimes[] = {NULL, "libasan.so.8", "libubsan.so.1", "libtsan.so.2"};

    for (size_t i = 0; i < ARRAY_LEN(runtimes); i++) {
        void *lib = dlopen(runtimes[i], RTLD_NOW | RTLD_NOLOAD);
        void *fn = lib != NULL ? dlsym(lib, "__sanitizer_set_death_callback") : NULL;
        if (fn != NULL)
            ((void (*)(void (*)(void)))fn)(say_seed);
    }
}

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *v = getenv(name);
    return v != NULL && *v != '\0' ? strtoull(v, NULL, 10) : otherwise;
}

void sim_each_seed(int rounds, void (*fn)(uint64_t seed, void *arg), void *arg)
{
    uint64_t only = number("SIM_SEED", 0), n = number("SIM_ROUNDS", (uint64_t)rounds);
    uint64_t first = only != 0 ? only : 1, last = only != 0 ? only : n;
    void (*before)(int) = signal(SIGABRT, on_signal);

    tell_sanitizers();
    for (uint64_t seed = first; seed <= last; seed++) {
        running = seed;
        fn(seed, arg);
    }
    running = 0;
    signal(SIGABRT, before);
}

int sim_teardown(void **state)
{
    (void)state;
    say_seed();
    return 0;
}
