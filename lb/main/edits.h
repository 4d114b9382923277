/* edits.h - backends that were added or removed at run time: what lies between the configuration
 * that was read and the one in force. Control thread.
 *
 * A reload applies them to the new file. There the file wins where it has changed in just this:
 * one that was added is in the file now, one that was removed has got another address there. */
#ifndef SLUICE_MAIN_EDITS_H
#define SLUICE_MAIN_EDITS_H

#include "lb/base/list.h"
#include "lb/base/str.h"

struct backend_conf;
struct conf;
struct conf_held;
struct overlay;
struct process;

enum edit_kind { EDIT_ADD, EDIT_REMOVE };

struct edit {
    struct list node;
    enum edit_kind kind;
    char *pool, *name;
    struct conf *memory;                /* of backend */
    const struct backend_conf *backend; /* to add */
    char *was;                          /* of one to remove: its address in the file */
    const char *lapsed; /* why it does not hold with the configuration that is being built */
    bool saved;         /* the overlay has it */
    bool fresh;         /* comes with the overlay that has just been read */
    bool replaced;      /* by a fresh one, or the overlay that was read has it no more */
};

struct edits {
    struct list list;
    struct conf_held *base;         /* what was read; NULL: not yet */
    struct overlay *overlay, *next; /* in force; just read. NULL: none */
    bool reading;                   /* next is to take overlay's place */
    bool broken;                    /* the overlay could not be read at the start */
    struct strbuf notes;            /* what was said of it */
};

/* memory: of backend, which becomes the edit's. */
struct edit *edit_add(const char *pool, struct conf *memory, const struct backend_conf *backend);
/* was: the address that the file has for it, NULL: as it is in edits' base. */
struct edit *edit_remove(const char *pool, const char *name, const char *was);
void edit_free(struct edit **e);

void edits_init(struct process *p);
void edits_fini(struct process *p);
/* At the start: the base, and the overlay where there is one; what is wrong with that does not keep
 * us from starting: the log says it, see edits_tell(). The configuration to start with. */
struct conf_held *edits_start(struct process *p, const struct conf *conf);
void edits_tell(struct process *p);
/* A reload: reads the overlay that conf names. False: one line a mistake is appended to errors.
 * Ended by edits_commit() or edits_rollback(). */
bool edits_read(struct process *p, const struct conf *conf, struct strbuf *errors);
void edits_rollback(struct process *p);
/* base with all edits that still hold, and with more (or NULL); a reference. Nothing changes until
 * edits_commit(). */
struct conf_held *edits_apply(struct process *p, struct conf_held *base, struct edit *more);
/* What was applied last is in force. Takes *more; told gets a line for each that has lapsed. */
void edits_commit(struct process *p, struct conf_held *base, struct edit **more,
                  struct strbuf *told);
/* The backend as the file has it, without the overlay; or NULL. */
const struct backend_conf *edits_of_file(const struct process *p, const char *pool,
                                         const char *name);
/* Whether it may be done now; appends why not, as the stats socket says it. */
bool edits_allowed(const struct process *p, const struct edit *e, struct strbuf *why);
/* The edit of this kind that holds; or NULL. */
struct edit *edits_find(const struct process *p, enum edit_kind kind, const char *pool,
                        const char *name);

#endif
