/* test_scram.c - SCRAM-SHA-256: a conversation that was computed by other means (Python's hashlib).
 */
#include "health/scram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define NONCE        "rOprNGfwEbeRWgbNEkqO"
#define SERVER_NONCE NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define SALT         "W22ZaJ0SNY7soEsUEjb6gQ=="

static void it_proves_the_password_and_wants_a_proof(void **state)
{
    char text[SCRAM_TEXT_MAX];
    struct scram s;

    (void)state;
    size_t n = scram_first(&s, NONCE, text);
    assert_int_equal(n, strlen(text));
    assert_string_equal(text, "n,,n=,r=" NONCE);
    n = scram_final(&s, "pencil", STR("r=" SERVER_NONCE ",s=" SALT ",i=4096"), text);
    assert_int_equal(n, strlen(text));
    assert_string_equal(text,
                        "c=biws,r=" SERVER_NONCE ",p=qvT2SWdEH5Q06albL+hjSYuUhCG7VndFyzIb7CK4n9k=");
    assert_true(scram_verify(&s, STR("v=3HO6Qt1M4MKJrmlKaoOqLAI0/0TV0HZe7J9H3MBtSOg=")));
    assert_false(scram_verify(&s, STR("v=4HO6Qt1M4MKJrmlKaoOqLAI0/0TV0HZe7J9H3MBtSOg=")));
    assert_false(scram_verify(&s, STR("v=3HO6Qt1M4MKJrmlKaoOq")));
    assert_false(scram_verify(&s, STR("e=invalid-proof")));
    assert_false(scram_verify(&s, STR("")));
}

static void messages_that_will_not_do_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "r=" SERVER_NONCE,
        "r=" SERVER_NONCE ",s=" SALT,
        "r=" SERVER_NONCE ",s=" SALT ",i=0",
        "r=" SERVER_NONCE ",s=" SALT ",i=-1",
        "r=" SERVER_NONCE ",s=" SALT ",i=9999999999",
        "r=" SERVER_NONCE ",s=,i=4096",
        "r=" SERVER_NONCE ",s=abc,i=4096",
        "r=" NONCE ",s=" SALT ",i=4096", /* nothing of the server's own */
        "r=somebody-elses-nonce-altogether,s=" SALT ",i=4096",
        "s=" SALT ",i=4096,r=" SERVER_NONCE,
    };
    char text[SCRAM_TEXT_MAX];
    struct scram s;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        scram_first(&s, NONCE, text);
        assert_int_equal(scram_final(&s, "pencil", str_of(bad[i]), text), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_proves_the_password_and_wants_a_proof),
        cmocka_unit_test(messages_that_will_not_do_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
