/* test_websocket.c - the handshake's key and proof, against RFC 6455 and openssl. */
#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>

#include <cmocka.h>

#include "lb/http/websocket.h"

#include <string.h>

static void a_key_is_16_bytes_in_base64(void **state)
{
    char key[WEBSOCKET_KEY_LEN];

    (void)state;
    websocket_key((const uint8_t *)"the sample nonce", key);
    assert_memory_equal(key, "dGhlIHNhbXBsZSBub25jZQ==", sizeof(key));
}

static void the_proof_is_that_of_the_specification(void **state)
{
    char accept[WEBSOCKET_ACCEPT_LEN];

    (void)state;
    websocket_accept(STR("dGhlIHNhbXBsZSBub25jZQ=="), accept); /* RFC 6455 section 1.3 */
    assert_memory_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", sizeof(accept));
}

/* Whatever a client sends as key; lengths around a block of SHA-1. */
static void keys_of_any_length_have_a_proof(void **state)
{
    static const struct {
        size_t len;
        const char *accept;
    } of[] = {{0, "Kfh9QIsMVZcl6xEPYxPHzW8SZ8w="},  {1, "FtgH8qqfEKHvZKEZYEWkYDhlXNY="},
              {18, "5Ave8ujWOAIJFSnGl1SCdSULUzg="}, {19, "yzaGyu0mcUukN7CdsSwa30tnCpc="},
              {20, "dUYRM7bOMwDmbriNIPr11x+r3E0="}, {27, "NCEiOv6lMC9mC8oEZnneqRdJ4DU="},
              {28, "xMWmCBqYJY4uXzUs8PNU1t+Pzro="}, {29, "m8kT+K/C9sp8j44+NnEexy4o+Tg="},
              {92, "QozTWdJkJ6Mr6+QwqAHt8yNpBdc="}, {128, "fF2cei3n15eZTLsjamG+VUM3i6k="}};
    char key[128], accept[WEBSOCKET_ACCEPT_LEN];

    (void)state;
    memset(key, 'a', sizeof(key));
    for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
        websocket_accept((struct str){key, of[i].len}, accept);
        assert_memory_equal(accept, of[i].accept, sizeof(accept));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_16_bytes_in_base64),
        cmocka_unit_test(the_proof_is_that_of_the_specification),
        cmocka_unit_test(keys_of_any_length_have_a_proof),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
