/* basic_auth_users.c - the file of users. What could not be verified later, or is not worth being
 * called a hash, is refused when it is read. */
#include "lb/base/alloc.h"
#include "lb/filter/basic_auth_priv.h"
#include "lb/filter/filter_priv.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#define COST_MAX   16      /* bcrypt: 4 s a login; more is a mistake */
#define ROUNDS_MAX 1000000 /* sha-crypt: about the same */

static bool is_crypt64(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!isalnum((unsigned char)s.p[i]) && s.p[i] != '.' && s.p[i] != '/')
            return false;
    return true;
}

static struct str after(struct str s, size_t n)
{
    return (struct str){s.p + n, s.len - n};
}

/* $2b$12$, 22 characters of salt, 31 of hash. */
static const char *bcrypt_error(struct str h)
{
    if (h.len != 60 || h.p[3] != '$' || h.p[6] != '$' || !isdigit((unsigned char)h.p[4]) ||
        !isdigit((unsigned char)h.p[5]) || !is_crypt64(after(h, 7)))
        return "this bcrypt hash is damaged: expected $2y$COST$ and 53 characters";
    int cost = (h.p[4] - '0') * 10 + (h.p[5] - '0');
    return cost >= 4 && cost <= COST_MAX ? NULL : "the cost of a bcrypt hash must be 4 to 16";
}

/* $5$ or $6$, perhaps rounds=N$, salt, $, hash. */
static const char *sha_error(struct str h, size_t hash_len)
{
    struct str rest = after(h, 3);
    uint64_t rounds;

    if (str_starts(rest, STR("rounds="))) {
        rest = after(rest, 7);
        const char *end = memchr(rest.p, '$', rest.len);
        if (end == NULL)
            return "this sha-crypt hash is damaged: no $ after rounds=";
        size_t len = (size_t)(end - rest.p);
        if (str_u64((struct str){rest.p, len}, ROUNDS_MAX, &rounds) != 0 || rounds < 1000 ||
            rest.p[0] == '0')
            return "rounds of a sha-crypt hash must be 1000 to 1000000";
        rest = after(rest, len + 1);
    }
    const char *dollar = memchr(rest.p, '$', rest.len);
    size_t salt = dollar != NULL ? (size_t)(dollar - rest.p) : 0;
    if (salt == 0 || salt > 16 || rest.len - salt - 1 != hash_len ||
        !is_crypt64((struct str){rest.p, salt}) || !is_crypt64(after(rest, salt + 1)))
        return "this sha-crypt hash is damaged: expected a salt, $ and the hash";
    return NULL;
}

/* NULL, or why it cannot be used. The hash itself is never shown. */
static const char *hash_error(struct str h)
{
    if (str_starts(h, STR("$2a$")) || str_starts(h, STR("$2b$")) || str_starts(h, STR("$2y$")))
        return bcrypt_error(h);
    if (str_starts(h, STR("$5$")))
        return sha_error(h, 43);
    if (str_starts(h, STR("$6$")))
        return sha_error(h, 86);
    if (str_starts(h, STR("$apr1$")) || str_starts(h, STR("$1$")))
        return "MD5 hashes are guessed in no time: make a bcrypt one (htpasswd -B)";
    if (str_starts(h, STR("{SHA}")))
        return "SHA-1 without salt is guessed in no time: make a bcrypt hash (htpasswd -B)";
    if (str_starts(h, STR("$")))
        return "unknown kind of hash: expected bcrypt ($2y$) or sha-crypt ($5$, $6$)";
    return "plain text or an old DES hash: make a bcrypt one (htpasswd -B)";
}

static const char *line_error(struct str line, struct basic_auth_user *out)
{
    const char *colon = memchr(line.p, ':', line.len);

    for (size_t i = 0; i < line.len; i++)
        if ((unsigned char)line.p[i] < 0x20 || line.p[i] == 0x7f)
            return "control bytes cannot stand here";
    if (colon == NULL || colon == line.p)
        return "expected USER:HASH";
    struct str hash = after(line, (size_t)(colon + 1 - line.p));
    if (memchr(hash.p, ':', hash.len) != NULL)
        return "expected USER:HASH and nothing more";
    const char *why = hash_error(hash);
    if (why != NULL)
        return why;
    sl_assert(hash.len < sizeof(out->hash));
    out->name = xstrndup(line.p, (size_t)(colon - line.p));
    memcpy(out->hash, hash.p, hash.len);
    out->hash[hash.len] = '\0';
    return NULL;
}

static int by_name(const void *a, const void *b)
{
    const struct basic_auth_user *ua = a, *ub = b;

    return strcmp(ua->name, ub->name);
}

static const char *twice(const struct basic_auth_users *users)
{
    for (uint32_t i = 1; i < users->n; i++)
        if (strcmp(users->users[i - 1].name, users->users[i].name) == 0)
            return users->users[i].name;
    return NULL;
}

static struct str next_line(struct str *rest)
{
    const char *end = memchr(rest->p, '\n', rest->len);
    struct str line = {rest->p, end != NULL ? (size_t)(end - rest->p) : rest->len};

    *rest = after(*rest, line.len + (end != NULL));
    if (line.len > 0 && line.p[line.len - 1] == '\r')
        line.len--;
    return line;
}

int basic_auth_users_parse(struct str text, const char *file, struct basic_auth_users *out,
                           const char **out_error)
{
    struct basic_auth_users users = {0};
    const char *why = NULL, *name;
    uint32_t cap = 0, number = 0;

    while (text.len > 0 && why == NULL) {
        struct str line = next_line(&text);
        number++;
        if (str_trim(line).len == 0 || line.p[0] == '#')
            continue;
        if (users.n == cap) {
            cap = cap > 0 ? cap * 2 : 16;
            users.users = xrealloc(users.users, cap * sizeof(*users.users));
        }
        why = users.n == BASIC_AUTH_USERS_MAX ? "too many users"
                                              : line_error(line, &users.users[users.n]);
        users.n += why == NULL;
    }
    if (users.n > 0)
        qsort(users.users, users.n, sizeof(*users.users), by_name);
    if (why != NULL)
        *out_error = filter_error("%s:%u: %s", file, number, why);
    else if ((name = twice(&users)) != NULL)
        *out_error = filter_error("%s: user \"%.80s\" is there twice", file, name);
    else if (users.n == 0)
        *out_error = filter_error("%s: no user in it, so nobody could pass", file);
    else {
        *out = users;
        return 0;
    }
    basic_auth_users_fini(&users);
    return -EINVAL;
}

void basic_auth_users_fini(struct basic_auth_users *users)
{
    for (uint32_t i = 0; i < users->n; i++)
        free(users->users[i].name);
    free(users->users);
    *users = (struct basic_auth_users){0};
}

const struct basic_auth_user *basic_auth_users_find(const struct basic_auth_users *users,
                                                    const char *name)
{
    const struct basic_auth_user key = {.name = (char *)name};

    return bsearch(&key, users->users, users->n, sizeof(*users->users), by_name);
}
