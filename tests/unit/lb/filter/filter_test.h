/* filter_test.h - an exchange for filters, on a real loop, and a host that counts resumes. */
#ifndef SLUICE_TESTS_FILTER_TEST_H
#define SLUICE_TESTS_FILTER_TEST_H

#include "lb/filter/filter_priv.h"
#include "lb/io/loop.h"
#include "tests/support/http_request.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct filter_test {
    struct loop loop;
    struct arena_pool pool;
    struct arena arena;
    struct http_request request, response;
    struct addr client;
    struct filter_exchange x;
    int resumed;
};

static void filter_test_resume(struct filter_exchange *x)
{
    ((struct filter_test *)x->owner)->resumed++;
}

static inline void filter_test_client(struct filter_test *t, const char *text)
{
    struct addr_spec spec;
    const char *error;

    assert_int_equal(addr_parse(str_of(text), false, false, &spec, &error), 0);
    t->client = spec.addr;
}

static inline int filter_test_setup(void **state)
{
    static const struct filter_host host = {.resume = filter_test_resume};
    struct filter_test *t = calloc(1, sizeof(*t));
    int error = 0;
    struct io *io = io_new(&(struct io_conf){.engine = IO_EPOLL}, &error);

    assert_non_null(io);
    assert_int_equal(loop_init(&t->loop, io, t), 0);
    arena_pool_init(&t->pool);
    arena_init(&t->arena, &t->pool);
    http_request_init(&t->request, "GET");
    http_request_init(&t->response, "");
    filter_test_client(t, "192.0.2.7:4000");
    t->x = (struct filter_exchange){.request = &t->request.head,
                                    .response = &t->response.head,
                                    .arena = &t->arena,
                                    .client = &t->client,
                                    .io = io,
                                    .loop = &t->loop,
                                    .owner = t,
                                    .host = &host};
    t->x.vars.request = &t->request.head;
    t->x.vars.client_ip = STR("192.0.2.7");
    *state = t;
    return 0;
}

static inline int filter_test_teardown(void **state)
{
    struct filter_test *t = *state;

    arena_fini(&t->arena);
    arena_pool_fini(&t->pool);
    loop_fini(&t->loop);
    free(t);
    return 0;
}

static inline struct filter_chain filter_test_chain(const struct filters_conf *conf)
{
    struct filter_chain c;
    const char *error = "";

    if (filter_chain_make(conf, &c, &error) != 0)
        fail_msg("%s", error);
    return c;
}

static inline enum filter_verdict filter_test_request(struct filter_test *t,
                                                      const struct filter_chain *c)
{
    uint32_t at = 0;

    return filter_chain_request_head(c, &t->x, &at);
}

#define FILTER_TEST(fn) cmocka_unit_test_setup_teardown(fn, filter_test_setup, filter_test_teardown)

#endif
