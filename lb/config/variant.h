/* variant.h - a configuration that is another one but for its backends: what was added and removed
 * at run time, or set to other values (show config). */
#ifndef SLUICE_CONFIG_VARIANT_H
#define SLUICE_CONFIG_VARIANT_H

#include "lb/config/conf.h"

/* The backends of a pool. NULL: as they are. */
struct backend_list {
    const struct backend_conf *items;
    uint32_t n;
};

/* lists: one per pool of base. Everything that they hold is copied; the rest is base's, which must
 * outlive the result. The caller's: conf_free(). */
struct conf *conf_with_backends(const struct conf *base, const struct backend_list *lists);

/* One backend alone: its settings as they stand between its braces; what is missing has its
 * default. name stands in the messages. *out_backend is in the result, which is good for nothing
 * else. NULL: one line per mistake is appended to errors. */
struct conf *conf_load_backend(const char *name, const char *text,
                               const struct backend_conf **out_backend, struct strbuf *errors);

#endif
