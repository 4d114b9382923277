/* sni_table.h - the pool that a name leads to: the sni rules of a listener, looked up without
 * looking at all of them. Made at load, shared by the workers, immutable. */
#ifndef SLUICE_PROXY_SNI_TABLE_H
#define SLUICE_PROXY_SNI_TABLE_H

#include "lb/base/str.h"

struct pool;
struct sni_rule;
struct sni_table;

/* pools: by index, as the configuration has them. A host that stands in two rules is the first's.
 */
struct sni_table *sni_table_new(const struct sni_rule *rules, uint32_t n, struct pool **pools);
void sni_table_free(struct sni_table **t);
/* The exact name's, else that of the longest wildcard above it, else that of "*"; NULL: no rule.
 * name: as client_hello.h normalises it; empty: only "*" takes it. */
struct pool *sni_table_find(const struct sni_table *t, struct str name);

#endif
