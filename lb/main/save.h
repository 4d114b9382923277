/* save.h - `save`: what was changed at run time, written to the overlay file, so that the next
 * start and reload know it. Control thread. */
#ifndef SLUICE_MAIN_SAVE_H
#define SLUICE_MAIN_SAVE_H

#include <stdbool.h>

struct process;
struct strbuf;

/* Where what runs differs from what the configuration says, without its overlay, as the text of an
 * overlay; returns how many backends differ. */
unsigned save_text(const struct process *p, struct strbuf *out);
/* Writes it. answer: one line, what was done or why not. */
bool save(struct process *p, struct strbuf *answer);

#endif
