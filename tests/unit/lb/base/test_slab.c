/* test_slab.c - slabs: examples, both sides of each bound, and a random life against a model. */
#include "lb/base/rand.h"
#include "lb/base/slab.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static bool is_zero(const void *p, size_t size)
{
    const unsigned char *b = p;
    while (size > 0 && b[size - 1] == 0)
        size--;
    return size == 0;
}

static void objects_are_zeroed_also_when_reused(void **state)
{
    (void)state;
    struct slab s;
    slab_init(&s, "test", 100, 0);
    assert_int_equal(s.size, 112);
    void *p = slab_alloc(&s);
    assert_true(is_zero(p, s.size));
    memset(p, 0xff, s.size);
    slab_free(&s, p);
    assert_ptr_equal(slab_alloc(&s), p);
    assert_true(is_zero(p, s.size));
    slab_free(&s, p);
    slab_fini(&s);
}

static void the_last_freed_is_the_first_reused(void **state)
{
    (void)state;
    struct slab s;
    void *p[3000]; /* several chunks */
    slab_init(&s, "test", 64, 0);
    for (size_t i = 0; i < ARRAY_LEN(p); i++)
        p[i] = slab_alloc(&s);
    for (size_t i = 0; i < ARRAY_LEN(p); i += 7) /* in all chunks, none becomes empty */
        slab_free(&s, p[i]);
    for (size_t i = (ARRAY_LEN(p) - 1) / 7 * 7; i > 0; i -= 7)
        assert_ptr_equal(slab_alloc(&s), p[i]);
    assert_ptr_equal(slab_alloc(&s), p[0]);
    for (size_t i = 0; i < ARRAY_LEN(p); i++)
        slab_free(&s, p[i]);
    slab_fini(&s);
}

static void objects_of_whole_lines_are_on_lines(void **state)
{
    static const size_t sizes[] = {16, 48, 64, 128, 192, 320, 8128, 65536};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct slab s;
        void *p[20];
        slab_init(&s, "test", sizes[i], 0);
        for (size_t j = 0; j < ARRAY_LEN(p); j++) {
            p[j] = slab_alloc(&s);
            assert_int_equal((uintptr_t)p[j] % (sizes[i] % 64 == 0 ? 64 : 16), 0);
            memset(p[j], 0xaa, s.size);
        }
        for (size_t j = 0; j < ARRAY_LEN(p); j++)
            slab_free(&s, p[j]);
        slab_fini(&s);
    }
}

static void the_limit_refuses_and_counts(void **state)
{
    (void)state;
    struct slab s;
    slab_init(&s, "test", 32, 3);
    void *p[3];
    for (size_t i = 0; i < ARRAY_LEN(p); i++)
        assert_non_null(p[i] = slab_alloc(&s));
    assert_int_equal(s.failed, 0);
    assert_null(slab_alloc(&s));
    assert_int_equal(s.failed, 1);
    slab_free(&s, p[1]);
    assert_non_null(p[1] = slab_alloc(&s));
    assert_int_equal(s.used, 3);
    for (size_t i = 0; i < ARRAY_LEN(p); i++)
        slab_free(&s, p[i]);
    slab_fini(&s);
}

static void empty_chunks_go_back_but_for_a_few(void **state)
{
    (void)state;
    struct slab s;
    slab_init(&s, "test", 1024, 0);
    void *p[640];
    for (size_t i = 0; i < ARRAY_LEN(p); i++)
        p[i] = slab_alloc(&s);
    uint32_t most = s.allocated;
    assert_true(most >= ARRAY_LEN(p));
    for (size_t i = 0; i < ARRAY_LEN(p); i++)
        slab_free(&s, p[i]);
    assert_int_equal(s.used, 0);
    assert_int_equal(s.allocated, 4 * 63); /* (64 KiB - 64) / 1 KiB in each chunk */
    p[0] = slab_alloc(&s);
    assert_int_equal(s.allocated, 4 * 63); /* the kept ones are used first */
    slab_free(&s, p[0]);
    slab_fini(&s);
    assert_int_equal(s.allocated, 0);
}

static void an_object_has_no_overhead(void **state)
{
    (void)state;
    struct slab s;
    slab_init(&s, "test", 256, 0);
    void *p = slab_alloc(&s);
    /* The chunk's header is the only loss: a line, rounded up to an object. */
    assert_int_equal(s.allocated, 65536 / 256 - 1);
    slab_free(&s, p);
    slab_fini(&s);
}

static void freeing_into_another_slab_aborts(void **state)
{
    (void)state;
    struct slab a, b;
    int status;
    slab_init(&a, "a", 64, 0);
    slab_init(&b, "b", 64, 0);
    void *p = slab_alloc(&a);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        slab_free(&b, p);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    slab_free(&a, p);
    slab_fini(&a);
    slab_fini(&b);
}

/* A random life against a model: live objects never overlap (each keeps a pattern of its own until
 * it is freed), counts are true, and free memory stays within what is used. */
static void a_random_life_agrees_with_the_model(void **state)
{
    enum { MOST = 4000, STEPS = 60000 };
    static const size_t sizes[] = {1, 16, 40, 64, 200, 256, 1000, 5000};
    struct rng rng;
    uint64_t seed = 20261122;
    (void)state;
    rng_seed(&rng, seed);
    for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
        struct slab s;
        unsigned char **live = calloc(MOST, sizeof(*live));
        uint32_t n = 0, growing = 1;
        slab_init(&s, "test", sizes[k], MOST);
        for (int step = 0; step < STEPS / (int)ARRAY_LEN(sizes); step++) {
            if (rng_below(&rng, 500) == 0)
                growing = rng_below(&rng, 4); /* waves, so that chunks fill and empty */
            if (rng_below(&rng, 4) < growing) {
                unsigned char *p = slab_alloc(&s);
                if (n == MOST) {
                    assert_null(p);
                    continue;
                }
                assert_non_null(p);
                assert_true(is_zero(p, s.size));
                memset(p, (int)((uintptr_t)p >> 4) & 0xff, s.size);
                live[n++] = p;
            } else if (n > 0) {
                uint32_t i = rng_below(&rng, n);
                unsigned char *p = live[i], mark = (unsigned char)((uintptr_t)p >> 4);
                for (size_t j = 0; j<s.size; j += s.size> 64 ? s.size - 1 : 1)
                    assert_int_equal(p[j], mark);
                slab_free(&s, p);
                live[i] = live[--n];
            }
            assert_int_equal(s.used, n);
            assert_true(s.allocated >= n);
        }
        while (n > 0)
            slab_free(&s, live[--n]);
        slab_fini(&s);
        assert_int_equal(s.allocated, 0);
        free(live);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_zeroed_also_when_reused),
        cmocka_unit_test(the_last_freed_is_the_first_reused),
        cmocka_unit_test(objects_of_whole_lines_are_on_lines),
        cmocka_unit_test(the_limit_refuses_and_counts),
        cmocka_unit_test(empty_chunks_go_back_but_for_a_few),
        cmocka_unit_test(an_object_has_no_overhead),
        cmocka_unit_test(freeing_into_another_slab_aborts),
        cmocka_unit_test(a_random_life_agrees_with_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
