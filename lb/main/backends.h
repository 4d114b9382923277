/* backends.h - what a configuration says of backends, made so: in the table, to the checker, and to
 * who looks names up. Control thread. */
#ifndef SLUICE_MAIN_BACKENDS_H
#define SLUICE_MAIN_BACKENDS_H

#include "lb/upstream/pool_conf.h"

struct agent_pool;
struct agent_set;
struct backend_slot;
struct backends_later;
struct pool_member;
struct process;
struct snapshot;
struct strbuf;

/* Whether names of this snapshot can be looked up, where it has any. 0 or -errno, with a line in
 * errors. */
int backends_prepare(struct process *p, const struct snapshot *s,
                     struct strbuf *errors) WARN_UNUSED;
/* At the start, with the first snapshot in force: names, then, when threads run, checks. */
void backends_name(struct process *p);
/* Asks for the names that a snapshot brings: answers are there when it comes into force. */
void backends_name_ahead(struct process *p, const struct snapshot *s);
void backends_check(struct process *p);

/* The state that a configuration gives a backend. Changes nothing else of its admin bits. */
void backends_set_state(struct backend_slot *s, enum admin_state state, const char *reason);
/* The state that it has, whoever set it. */
enum admin_state backends_state(const struct backend_slot *s);
/* What runs, in place of what was read, but for its address. What it points to is the member's. */
void backends_running(const struct pool_member *m, struct backend_conf *out);
/* Whether it has another literal address than it was read with, set at run time. */
bool backends_address_set(const struct pool_member *m);
const char *backends_state_name(enum admin_state state); /* as in a file */

/* Notes what the configuration says of a backend by now, whatever is in force. */
void backends_said(struct backend_slot *s, const struct backend_conf *b);

struct backends_changes {
    uint32_t added, removed, changed;
    struct strbuf *told;          /* a line for each that people may want to know */
    struct backends_later *later; /* of a reload */
};
/* One number of a backend: what was set at run time stays, unless the file has changed the same
 * value since. was, is: the file's, then and now; now: as it is in force. What is said of it is
 * told. *out_set: the file's is to be put in force. */
void backends_settle(struct backends_changes *out, const struct backend_slot *s, const char *name,
                     uint32_t was, uint32_t is, uint32_t now, bool *out_set);
/* Likewise what was set of its agent, while its pool said so: what of it stays is put in force, but
 * the checker is not told. is: NULL: nobody is asked any more. */
void backends_settle_agent(struct backends_changes *out, struct backend_slot *s,
                           const struct agent_set *set, const struct agent_pool *said,
                           const struct agent_conf *is);
/* Logs it as a change of this backend, and tells it. */
void backends_tell(struct backends_changes *out, const struct backend_slot *s, const char *what);
/* A reload: from old to the snapshot in force. What was changed at run time stays, but where the
 * file says something else of that very value than it did. What takes a backend out is left to
 * out->later. */
void backends_change(struct process *p, const struct snapshot *old, struct backends_changes *out);

#endif
