/* sni_table.c - see sni_table.h
 *
 * One open table. A wildcard's key is what follows its star, with the dot: ".example.com"; names
 * have no dot in front, so the two cannot be mistaken. A name of n labels is found in at most n + 1
 * looks. Nobody but the configuration puts keys in, so their distribution is not hostile. */
#include "lb/proxy/sni_table.h"

#include "lb/base/alloc.h"
#include "lb/base/hash.h"
#include "lb/proxy/sni_conf.h"

#include <stdlib.h>

struct entry {
    struct pool *pool; /* NULL: free */
    char *key;
    uint32_t len;
    uint32_t hash;
};

struct sni_table {
    struct entry *entries;
    uint32_t mask;
};

static struct entry *look(const struct sni_table *t, struct str key)
{
    uint32_t hash = (uint32_t)hash_bytes(key.p, key.len, 0);

    for (uint32_t i = hash & t->mask;; i = (i + 1) & t->mask) {
        struct entry *e = &t->entries[i];
        if (e->pool == NULL ||
            (e->hash == hash && e->len == key.len && memcmp(e->key, key.p, key.len) == 0))
            return e;
    }
}

static void add(struct sni_table *t, const char *host, struct pool *pool)
{
    char *key = xstrdup(host[0] == '*' ? host + 1 : host);
    size_t len = strlen(key);

    if (len > 0 && key[len - 1] == '.')
        key[--len] = '\0';
    for (size_t i = 0; i < len; i++)
        if (key[i] >= 'A' && key[i] <= 'Z')
            key[i] |= 0x20;
    struct entry *e = look(t, (struct str){key, len});
    if (e->pool != NULL) {
        free(key);
        return;
    }
    *e = (struct entry){pool, key, (uint32_t)len, (uint32_t)hash_bytes(key, len, 0)};
}

struct sni_table *sni_table_new(const struct sni_rule *rules, uint32_t n, struct pool **pools)
{
    struct sni_table *t = xcalloc(1, sizeof(*t));
    uint32_t hosts = 0, size = 4;

    for (uint32_t i = 0; i < n; i++)
        hosts += rules[i].n_hosts;
    while (size < 2 * hosts) /* never more than half full */
        size *= 2;
    t->mask = size - 1;
    t->entries = xcalloc(size, sizeof(*t->entries));
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t h = 0; h < rules[i].n_hosts; h++)
            add(t, rules[i].hosts[h], pools[rules[i].pool]);
    return t;
}

void sni_table_free(struct sni_table **table)
{
    struct sni_table *t = *table;

    if (t == NULL)
        return;
    for (uint32_t i = 0; i <= t->mask; i++)
        free(t->entries[i].key);
    free(t->entries);
    free(t);
    *table = NULL;
}

struct pool *sni_table_find(const struct sni_table *t, struct str name)
{
    struct pool *pool = look(t, name)->pool;

    if (name.len == 0)
        return pool;
    for (size_t at = 0; pool == NULL && at < name.len; at++)
        if (name.p[at] == '.')
            pool = look(t, (struct str){name.p + at, name.len - at})->pool;
    return pool != NULL ? pool : look(t, (struct str){"", 0})->pool;
}
