/* basic_auth_priv.h - the parts of basic authentication that stand alone: the file of users, the
 * Authorization header. Pure. */
#ifndef SLUICE_FILTER_BASIC_AUTH_PRIV_H
#define SLUICE_FILTER_BASIC_AUTH_PRIV_H

#include "lb/base/str.h"

#define BASIC_AUTH_CREDENTIALS_MAX                                                                 \
    512                          /* bytes of user:password; sha-crypt is slow on long ones         \
                                  */
#define BASIC_AUTH_HASH_MAX  128 /* with NUL; the longest sha-crypt hash has 123 */
#define BASIC_AUTH_USERS_MAX 100000

struct basic_auth_user {
    char *name;
    char hash[BASIC_AUTH_HASH_MAX];
};

struct basic_auth_users {
    struct basic_auth_user *users; /* by name */
    uint32_t n;
};

/* Lines USER:HASH, comments with #, empty ones. 0 or -EINVAL with *out_error (file:line: what). */
int basic_auth_users_parse(struct str text, const char *file, struct basic_auth_users *out,
                           const char **out_error) WARN_UNUSED;
void basic_auth_users_fini(struct basic_auth_users *users);
const struct basic_auth_user *basic_auth_users_find(const struct basic_auth_users *users,
                                                    const char *name);

struct basic_auth_credentials {
    char text[BASIC_AUTH_CREDENTIALS_MAX + 1]; /* user NUL password NUL */
    const char *user, *password;               /* into text */
    size_t len;                                /* of both with the byte between them */
};
/* The value of an Authorization header: base64 with padding and nothing after it, no control
 * bytes, a colon. False: it is not that, *out is undefined. */
bool basic_auth_header_parse(struct str value, struct basic_auth_credentials *out);

#endif
