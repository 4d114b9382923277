/* reload.h - another configuration for the running process, and how the workers come to it.
 *
 * The file is read, checked and built on the control thread; what is wrong with it changes nothing.
 * Then the new snapshot is published: each worker adopts it between two turns. Connections live on
 * with what they have begun with (proxy_adopt()). Control thread. */
#ifndef SLUICE_MAIN_RELOAD_H
#define SLUICE_MAIN_RELOAD_H

#include <stdbool.h>

struct edit;
struct process;
struct strbuf;

/* text: lines of what has changed, or of what is wrong; valid during the call. */
typedef void reload_done_fn(void *arg, bool good, const char *text);

/* by: who wants it, for the log ("signal HUP"). done (may be NULL) follows, now or later. While one
 * is under way the next waits, and several that wait become one. */
void reload_request(struct process *p, const char *by, reload_done_fn *done, void *arg);
/* A backend comes or goes (edits.h): the configuration that was read stays, what is in force is
 * another one. Waits as a reload does. Takes the edit. text: what is wrong, or the answer. */
void reload_edit(struct process *p, struct edit **edit, reload_done_fn *done, void *arg);
bool reload_idle(const struct process *p);
void reload_init(struct process *p);
/* At the start: workers listen. */
void reload_begin(struct process *p);
/* At the start, in place of it: they do not yet, and reloads wait until they do. */
void reload_hold(struct process *p);
bool reload_held(const struct process *p);
void reload_fini(struct process *p); /* no thread is left */

#endif
