/* top_term.h - the terminal of `sluice top`: raw mode and the other screen, left as it was found
 * whatever ends the program; keys out of bytes. One terminal per process. */
#ifndef SLUICE_MAIN_TOP_TERM_H
#define SLUICE_MAIN_TOP_TERM_H

#include "lb/base/str.h"

#include <signal.h>

/* Switches stdin and stdout over. -errno: they are no terminal. */
int top_term_enter(void) WARN_UNUSED;
void top_term_leave(void); /* no effect when not entered */

/* Signals that are noted from now on, and only delivered during top_term_wait's mask. */
struct top_signals {
    bool resized, ended, continued;
};
void top_term_catch(sigset_t *out_wait_mask);
struct top_signals top_term_signals(void); /* since the last call */
/* As Ctrl-Z: gives the terminal back, stops, takes it again when continued. */
void top_term_suspend(void);

/* 80x24 where the terminal does not say. */
void top_term_size(uint32_t *out_width, uint32_t *out_height);
/* Draws over what is there, in one write. False: the terminal is gone. */
bool top_term_draw(struct str lines) WARN_UNUSED;

/* Cuts the first key off what one read has brought (not empty): a character or enum top_key.
 * TOP_KEY_NONE: a sequence that means nothing here. Pure. */
uint32_t top_term_key(struct str *in);

#endif
