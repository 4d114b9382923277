/* overlay.h - the overlay: what was changed at run time and saved, in a file of its own that is
 * read behind the configuration. `save` writes it; people may too.
 *
 *     backends = (
 *         { pool = "app"; name = "a"; weight = 5; state = "maint"; reason = "new disk";
 *           was = { weight = 10; state = "ready"; }; },
 *         { pool = "app"; name = "b"; removed = true; was = { address = "10.0.0.2:80"; }; },
 *         { pool = "app"; name = "c"; added = true; address = "10.0.0.3:80"; }
 *     );
 *
 * `was` is what the configuration said then: where it says something else by now it has been
 * changed since, and wins. A value without holds whatever the configuration says. */
#ifndef SLUICE_CONFIG_OVERLAY_H
#define SLUICE_CONFIG_OVERLAY_H

#include "lb/config/conf.h"

#define OVERLAY_NO_NUMBER UINT32_MAX
#define OVERLAY_NO_STATE  ((enum admin_state)3)

struct overlay_entry {
    struct backend_conf b; /* numbers, state, address_text (NULL): as far as they are said */
    char *pool;
    bool added, removed;
    struct {
        uint32_t weight, max_connections;
        enum admin_state state;
        char *address;
    } was;
};

struct overlay {
    struct overlay_entry *entries;
    uint32_t n;
    struct conf *memory;
};

/* NULL: one line per mistake is appended to errors; of a file that is not there nothing is. */
struct overlay *overlay_load(const char *path, struct strbuf *errors);
/* The same from memory; name stands in the messages. */
struct overlay *overlay_load_text(const char *name, const char *text, struct strbuf *errors);
void overlay_free(struct overlay **o);
/* The entry of this backend; o may be NULL. */
const struct overlay_entry *overlay_find(const struct overlay *o, const char *pool,
                                         const char *name);

/* Appends an entry, with a comma behind the one before it where there is one. */
void overlay_print_entry(const struct overlay_entry *e, bool first, struct strbuf *out);
/* Appends the settings of one that was added, as they stand in the braces of a backend. */
void overlay_print_backend(const struct overlay_entry *e, struct strbuf *out);
void overlay_print_begin(struct strbuf *out);
void overlay_print_end(struct strbuf *out);

/* Sets what e says of the backend b of the configuration, where that has not changed since; told
 * gets a line for each value of e that does not hold any more. */
void overlay_apply(const struct overlay_entry *e, struct backend_conf *b, struct strbuf *told);

/* load.c's: the settings of a file or a text whose groups are those of the overlay. */
struct conf *overlay_read(const char *path, const char *text, struct overlay *out,
                          struct strbuf *errors);
/* An entry that says nothing yet. */
void overlay_entry_init(struct overlay_entry *e);

#endif
