/* test_basic_auth.c - users files, the header, and exchanges that wait for the crypt thread. */
#include "lb/filter/basic_auth_priv.h"
#include "tests/unit/lb/filter/filter_test.h"

#include <crypt.h>
#include <unistd.h>

#define EVE_SECRET "Basic ZXZlOnNlY3JldA==" /* eve:secret */
#define EVE_WRONG  "Basic ZXZlOndyb25n"     /* eve:wrong */
#define BOB_SECRET "Basic Ym9iOnNlY3JldA==" /* bob:secret */

static struct filter_chain chain_with(const char *prefix)
{
    char salt[CRYPT_GENSALT_OUTPUT_SIZE], path[] = "/tmp/sluice-users-XXXXXX";
    int fd = mkstemp(path);

    assert_non_null(
        crypt_gensalt_rn(prefix, prefix[1] == '2' ? 4 : 1000, NULL, 0, salt, sizeof(salt)));
    dprintf(fd, "# users\n\neve:%s\n", crypt("secret", salt));
    struct basic_auth_conf bc = {path, (char *)"a \"realm\""};
    struct filter_chain c = filter_test_chain(&(struct filters_conf){.basic_auth = &bc});
    close(fd);
    unlink(path);
    return c;
}

/* The verdict of a new exchange with this header; waits for the crypt thread. */
static enum filter_verdict ask(struct filter_test *t, const struct filter_chain *c,
                               const char *header, bool *out_paused)
{
    uint32_t at = 0;

    http_request_init(&t->request, "GET");
    http_request_field(&t->request, "Authorization", header);
    t->resumed = 0;
    enum filter_verdict v = filter_chain_request_head(c, &t->x, &at);
    *out_paused = v == FILTER_PAUSE;
    while (v == FILTER_PAUSE) {
        while (t->resumed == 0)
            loop_turn(&t->loop, 100);
        v = filter_chain_request_head(c, &t->x, &at);
    }
    filter_chain_end(c, &t->x);
    return v;
}

static void hashes_of_both_kinds_are_verified_and_successes_remembered(void **state)
{
    static const char *const prefixes[] = {"$2b$", "$2y$", "$2a$", "$5$", "$6$"};
    struct filter_test *t = *state;
    bool paused;

    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        struct filter_chain c = chain_with(prefixes[i]);
        assert_int_equal(ask(t, &c, EVE_WRONG, &paused), FILTER_ANSWER);
        assert_true(paused);
        assert_int_equal(ask(t, &c, EVE_SECRET, &paused), FILTER_PASS);
        assert_true(paused);
        assert_int_equal(ask(t, &c, EVE_SECRET, &paused), FILTER_PASS);
        assert_false(paused);
        assert_int_equal(ask(t, &c, EVE_WRONG, &paused), FILTER_ANSWER);
        assert_true(paused);
        filter_chain_fini(&c);
    }
}

static void an_unknown_user_is_verified_too_and_refused(void **state)
{
    struct filter_test *t = *state;
    struct filter_chain c = chain_with("$2b$");
    bool paused;

    assert_int_equal(ask(t, &c, BOB_SECRET, &paused), FILTER_ANSWER);
    assert_true(paused);
    assert_int_equal(t->x.answer.status, 401);
    assert_string_equal(t->x.answer.headers[0].value,
                        "Basic realm=\"a \\\"realm\\\"\", charset=\"UTF-8\"");
    filter_chain_fini(&c);
}

static void an_exchange_may_end_while_it_waits(void **state)
{
    struct filter_test *t = *state;
    struct filter_chain c = chain_with("$2b$");
    bool paused;

    http_request_field(&t->request, "Authorization", EVE_WRONG);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(filter_test_request(t, &c), FILTER_PAUSE);
        filter_chain_end(&c, &t->x);
    }
    t->resumed = 0;
    assert_int_equal(ask(t, &c, EVE_SECRET, &paused), FILTER_PASS);
    assert_int_equal(t->resumed, 1);
    filter_chain_fini(&c);
}

static void headers_that_are_not_exact_are_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "Basic",
                                      "Basic =",
                                      "Basic YTpi=",
                                      "Basic YTp",
                                      "Basic YTpi====",
                                      "Bearer YTpi",
                                      "Basic YWI=",
                                      "Basic YTpiAA==",
                                      "Basic YTpj=A==",
                                      "Basic YTp1c=="};
    struct basic_auth_credentials c;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (basic_auth_header_parse(str_of(bad[i]), &c))
            fail_msg("%s was accepted", bad[i]);
    assert_true(basic_auth_header_parse(STR("bAsIc  YTpiOmM="), &c));
    assert_string_equal(c.user, "a");
    assert_string_equal(c.password, "b:c");
}

static void weak_or_damaged_lines_are_named_by_file_and_line(void **state)
{
    static const struct {
        const char *line, *word;
    } bad[] = {{"eve:secret", "plain"},
               {"eve:$apr1$a$b", "MD5"},
               {"eve:{SHA}x=", "SHA-1"},
               {"eve", "USER:HASH"},
               {":x", "USER:HASH"},
               {"eve:$2b$04$x", "damaged"},
               {"eve:$9$x", "unknown"},
               {"eve:$6$x$y", "damaged"},
               {"eve:$5$rounds=99999999$x$y", "rounds"}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct basic_auth_users users;
        const char *error = NULL;
        char text[128];
        snprintf(text, sizeof(text), "# c\n%s\n", bad[i].line);
        assert_int_equal(basic_auth_users_parse(str_of(text), "f", &users, &error), -EINVAL);
        if (strstr(error, "f:2: ") == NULL || strstr(error, bad[i].word) == NULL)
            fail_msg("%s: %s", bad[i].line, error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILTER_TEST(hashes_of_both_kinds_are_verified_and_successes_remembered),
        FILTER_TEST(an_unknown_user_is_verified_too_and_refused),
        FILTER_TEST(an_exchange_may_end_while_it_waits),
        cmocka_unit_test(headers_that_are_not_exact_are_refused),
        cmocka_unit_test(weak_or_damaged_lines_are_named_by_file_and_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
