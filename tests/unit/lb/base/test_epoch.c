/* test_epoch.c - reclamation: what is held stays, what is not goes; and under stress, with the
 * sanitizers watching for a use after free (address) or an unordered one (thread). */
#include "lb/base/alloc.h"
#include "lb/base/epoch.h"
#include "lb/base/rand.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static int freed;

static void count_free(void *obj)
{
    (void)obj;
    freed++;
}

struct fixture {
    struct epoch_domain *domain;
    struct epoch_reader a, b;
};

static int setup(void **state)
{
    struct fixture *f = aligned_alloc(CACHE_LINE, sizeof(*f));
    f->domain = epoch_domain_new();
    epoch_reader_register(f->domain, &f->a);
    epoch_reader_register(f->domain, &f->b);
    freed = 0;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    epoch_reader_unregister(&f->a);
    epoch_reader_unregister(&f->b);
    epoch_domain_free(&f->domain);
    assert_null(f->domain);
    free(f);
    return 0;
}

static void with_no_reader_inside_it_goes_at_once(void **state)
{
    struct fixture *f = *state;
    epoch_retire(f->domain, f, count_free);
    assert_int_equal(freed, 0); /* retiring frees nothing: the retirer may still use it */
    assert_int_equal(epoch_collect(f->domain), 0);
    assert_int_equal(freed, 1);
}

static void a_reader_that_was_inside_holds_it(void **state)
{
    struct fixture *f = *state;
    epoch_enter(&f->a);
    epoch_retire(f->domain, f, count_free);
    assert_int_equal(epoch_collect(f->domain), 1);
    assert_int_equal(epoch_collect(f->domain), 1);
    assert_int_equal(freed, 0);
    epoch_leave(&f->a);
    assert_int_equal(epoch_collect(f->domain), 0);
    assert_int_equal(freed, 1);
}

static void entering_anew_is_a_quiescent_point(void **state)
{
    struct fixture *f = *state;
    epoch_enter(&f->a);
    epoch_retire(f->domain, f, count_free);
    epoch_enter(&f->a);
    assert_int_equal(epoch_collect(f->domain), 0);
    assert_int_equal(freed, 1);
    epoch_leave(&f->a);
}

static void a_reader_that_entered_later_holds_nothing_up(void **state)
{
    struct fixture *f = *state;
    epoch_retire(f->domain, f, count_free);
    epoch_enter(&f->b);
    assert_int_equal(epoch_collect(f->domain), 0);
    assert_int_equal(freed, 1);
    epoch_leave(&f->b);
}

static void the_slowest_reader_decides(void **state)
{
    struct fixture *f = *state;
    epoch_enter(&f->a);
    epoch_retire(f->domain, f, count_free);
    epoch_enter(&f->b);
    epoch_retire(f->domain, f, count_free);
    assert_int_equal(epoch_collect(f->domain), 2);
    epoch_enter(&f->a); /* out of reach of the first; b holds the second */
    assert_int_equal(epoch_collect(f->domain), 1);
    assert_int_equal(freed, 1);
    epoch_leave(&f->b);
    assert_int_equal(epoch_collect(f->domain), 0);
    assert_int_equal(freed, 2);
    epoch_leave(&f->a);
}

static void a_reader_that_unregisters_holds_nothing_any_more(void **state)
{
    struct fixture *f = *state;
    epoch_enter(&f->b);
    epoch_retire(f->domain, f, count_free);
    assert_int_equal(epoch_collect(f->domain), 1);
    epoch_reader_unregister(&f->b);
    assert_int_equal(epoch_collect(f->domain), 0);
    epoch_reader_register(f->domain, &f->b);
}

static struct epoch_domain *chain_domain;

static void free_and_retire_next(void *obj)
{
    int *left = obj;
    freed++;
    if (--*left > 0)
        epoch_retire(chain_domain, left, free_and_retire_next);
}

static void freeing_may_retire_more(void **state)
{
    struct fixture *f = *state;
    int left = 3;
    chain_domain = f->domain;
    epoch_retire(f->domain, &left, free_and_retire_next);
    assert_int_equal(epoch_collect(f->domain), 1);
    while (epoch_collect(f->domain) > 0)
        ;
    assert_int_equal(freed, 3);
}

static void the_end_frees_what_was_retired(void **state)
{
    (void)state;
    struct epoch_domain *d = epoch_domain_new();
    int left = 3;
    freed = 0;
    chain_domain = d;
    epoch_retire(d, &left, free_and_retire_next);
    epoch_domain_free(&d);
    assert_int_equal(freed, 3);
}

/* More readers than the table begins with, unregistered in another order. */
static void any_number_of_readers_is_fine(void **state)
{
    struct fixture *f = *state;
    static struct epoch_reader r[40];
    for (size_t i = 0; i < 40; i++)
        epoch_reader_register(f->domain, &r[i]);
    epoch_enter(&r[39]);
    epoch_retire(f->domain, f, count_free);
    for (size_t i = 0; i < 39; i++)
        epoch_reader_unregister(&r[i * 7 % 39]);
    assert_int_equal(epoch_collect(f->domain), 1);
    epoch_leave(&r[39]);
    assert_int_equal(epoch_collect(f->domain), 0);
    epoch_reader_unregister(&r[39]);
}

/* ---- stress ---- */

enum { READERS = 3, WRITERS = 2, CELLS = 4, SWAPS = 4000, OBJ_MAGIC = 0x600d };

struct object {
    unsigned magic;
    uint64_t serial; /* plain: only the epoch orders its reads before the free */
};

struct arena {
    struct epoch_domain *domain;
    _Atomic(struct object *) cells[CELLS];
    _Atomic uint64_t made, gone, turns;
    _Atomic bool stop;
    _Atomic unsigned bad;
};

static struct arena arena;

static void object_free(void *obj)
{
    struct object *o = obj;
    if (o->magic != OBJ_MAGIC)
        atomic_fetch_add(&arena.bad, 1);
    o->magic = 0xdead;
    atomic_fetch_add(&arena.gone, 1);
    free(o);
}

static void *read_all_the_time(void *arg)
{
    struct epoch_reader *r = arg;
    struct rng rng;
    rng_seed(&rng, (uint64_t)(uintptr_t)r);
    while (!atomic_load(&arena.stop)) {
        epoch_enter(r);
        for (unsigned n = rng_below(&rng, 8); n > 0; n--) {
            struct object *o =
                atomic_load_explicit(&arena.cells[rng_below(&rng, CELLS)], memory_order_acquire);
            uint64_t serial = o->serial;
            for (volatile unsigned spin = rng_below(&rng, 30); spin > 0; spin--)
                ;
            if (o->magic != OBJ_MAGIC || o->serial != serial)
                atomic_fetch_add(&arena.bad, 1);
        }
        if (rng_below(&rng, 4) > 0) /* else the next turn enters while inside */
            epoch_leave(r);
        atomic_fetch_add_explicit(&arena.turns, 1, memory_order_relaxed);
    }
    epoch_leave(r);
    return NULL;
}

static struct object *object_new(void)
{
    struct object *o = xmalloc(sizeof(*o));
    *o = (struct object){OBJ_MAGIC, atomic_fetch_add(&arena.made, 1)};
    return o;
}

static void *swap_all_the_time(void *arg)
{
    struct rng rng;
    rng_seed(&rng, (uint64_t)(uintptr_t)arg);
    for (int i = 0; i < SWAPS; i++) {
        struct object *old = atomic_exchange_explicit(&arena.cells[rng_below(&rng, CELLS)],
                                                      object_new(), memory_order_acq_rel);
        epoch_retire(arena.domain, old, object_free);
        if (rng_below(&rng, 3) == 0)
            epoch_collect(arena.domain);
    }
    return NULL;
}

static void readers_never_see_what_was_freed(void **state)
{
    (void)state;
    static struct epoch_reader readers[READERS];
    pthread_t r[READERS], w[WRITERS];
    arena.domain = epoch_domain_new();
    for (int i = 0; i < CELLS; i++)
        atomic_store(&arena.cells[i], object_new());
    for (int i = 0; i < READERS; i++) {
        epoch_reader_register(arena.domain, &readers[i]);
        assert_int_equal(pthread_create(&r[i], NULL, read_all_the_time, &readers[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&w[i], NULL, swap_all_the_time, &arena.cells[i]), 0);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(w[i], NULL);
    while (epoch_collect(arena.domain) > 0) /* nobody stays inside for ever */
        ;
    assert_int_equal(atomic_load(&arena.gone), atomic_load(&arena.made) - CELLS);
    atomic_store(&arena.stop, true);
    for (int i = 0; i < READERS; i++) {
        pthread_join(r[i], NULL);
        epoch_reader_unregister(&readers[i]);
    }
    assert_int_equal(atomic_load(&arena.bad), 0);
    assert_true(atomic_load(&arena.turns) > 0);
    for (int i = 0; i < CELLS; i++)
        epoch_retire(arena.domain, atomic_load(&arena.cells[i]), object_free);
    epoch_domain_free(&arena.domain);
    assert_int_equal(atomic_load(&arena.gone), atomic_load(&arena.made));
}

#define WITH_TWO_READERS(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TWO_READERS(with_no_reader_inside_it_goes_at_once),
        WITH_TWO_READERS(a_reader_that_was_inside_holds_it),
        WITH_TWO_READERS(entering_anew_is_a_quiescent_point),
        WITH_TWO_READERS(a_reader_that_entered_later_holds_nothing_up),
        WITH_TWO_READERS(the_slowest_reader_decides),
        WITH_TWO_READERS(a_reader_that_unregisters_holds_nothing_any_more),
        WITH_TWO_READERS(freeing_may_retire_more),
        WITH_TWO_READERS(any_number_of_readers_is_fine),
        cmocka_unit_test(the_end_frees_what_was_retired),
        cmocka_unit_test(readers_never_see_what_was_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
