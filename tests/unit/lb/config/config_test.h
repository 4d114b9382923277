/* config_test.h - what the tests of lb/config share: load a text, look at what it says. */
#ifndef SLUICE_TESTS_CONFIG_TEST_H
#define SLUICE_TESTS_CONFIG_TEST_H

#include "lb/config/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* A sound pool and listener; the line that is tested goes before or between. */
#define POOL                                                                                       \
    "pools = ( { name = \"app\"; mode = \"tcp\"; backends = ( { name = \"a\"; address = "          \
    "\"127.0.0.1:3001\"; } ); } );\n"
#define LISTENER                                                                                   \
    "listeners = ( { name = \"web\"; mode = \"tcp\"; bind = \"127.0.0.1:8080\"; pool = "           \
    "\"app\"; } );\n"
/* The same with room for settings of the pool, its backend, the listener. */
#define POOL_WITH(settings)                                                                        \
    "pools = ( { name = \"app\"; mode = \"tcp\"; backends = ( { name = \"a\"; address = "          \
    "\"127.0.0.1:3001\"; } );\n" settings "\n} );\n"
#define BACKEND_WITH(settings)                                                                     \
    "pools = ( { name = \"app\"; mode = \"tcp\"; backends = ( { name = \"a\";\n" settings          \
    "\n} ); } );\n"
#define LISTENER_WITH(settings)                                                                    \
    "listeners = ( { name = \"web\"; mode = \"tcp\"; pool = \"app\";\n" settings "\n} );\n"

/* The same of mode http. */
#define HTTP_POOL                                                                                  \
    "pools = ( { name = \"app\"; mode = \"http\"; backends = ( { name = \"a\"; address = "         \
    "\"127.0.0.1:3001\"; } ); } );\n"
#define HTTP_LISTENER                                                                              \
    "listeners = ( { name = \"web\"; mode = \"http\"; bind = \"127.0.0.1:8080\"; pool = "          \
    "\"app\"; } );\n"
#define HTTP_POOL_WITH(settings)                                                                   \
    "pools = ( { name = \"app\"; mode = \"http\"; backends = ( { name = \"a\"; address = "         \
    "\"127.0.0.1:3001\"; } );\n" settings "\n} );\n"
#define HTTP_LISTENER_WITH(settings)                                                               \
    "listeners = ( { name = \"web\"; mode = \"http\"; bind = \"127.0.0.1:8080\";\n" settings       \
    "\n} );\n"
/* Routes with the bracket that ends them; the first is on line 4. */
#define ROUTES(routes) HTTP_POOL HTTP_LISTENER_WITH("routes = (\n" routes ";")

/* Loads a text that has neither mistakes nor warnings. */
static inline struct conf *load_good(const char *text)
{
    struct strbuf errors = {0};
    struct conf *conf = conf_load_text("t.conf", text, &errors);

    assert_string_equal(errors.p != NULL ? errors.p : "", "");
    assert_non_null(conf);
    strbuf_fini(&errors);
    return conf;
}

/* The configuration as -T prints it; to be freed. */
static inline char *dumped(const struct conf *conf)
{
    struct strbuf out = {0};

    conf_dump(conf, &out);
    return out.p;
}

/* Asserts that the text is refused, or loads, with exactly these lines. */
static inline void assert_says(const char *text, bool loads, const char *expected)
{
    struct strbuf errors = {0};
    struct conf *conf = conf_load_text("t.conf", text, &errors);

    assert_string_equal(errors.p != NULL ? errors.p : "", expected);
    assert_int_equal(conf != NULL, loads);
    conf_free(&conf);
    strbuf_fini(&errors);
}

#endif
