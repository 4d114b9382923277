/* fuzz_basic_auth.c - the Authorization header and the file of users. What is accepted keeps the
 * promises of basic_auth_priv.h. */
#include "lb/base/assert.h"
#include "lb/filter/basic_auth_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {size > 0 ? (const char *)data : "", size};
    struct basic_auth_credentials c;
    struct basic_auth_users users;
    const char *error = NULL;

    if (basic_auth_header_parse(text, &c))
        sl_assert(strlen(c.user) + 1 + strlen(c.password) == c.len &&
                  c.len <= BASIC_AUTH_CREDENTIALS_MAX);
    if (basic_auth_users_parse(text, "users", &users, &error) != 0) {
        sl_assert(error != NULL && error[0] != '\0');
        return 0;
    }
    sl_assert(users.n > 0);
    for (uint32_t i = 0; i < users.n; i++)
        sl_assert(basic_auth_users_find(&users, users.users[i].name) == &users.users[i]);
    basic_auth_users_fini(&users);
    return 0;
}
