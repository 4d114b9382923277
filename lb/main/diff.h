/* diff.h - `show diff`: where what runs differs from what the file says. Control thread. */
#ifndef SLUICE_MAIN_DIFF_H
#define SLUICE_MAIN_DIFF_H

struct process;
struct strbuf;

/* Appends a line for each difference, with both values: what was changed at run time, then what
 * the file says by now and a reload would change. */
void diff_show(const struct process *p, struct strbuf *out);

#endif
