/* top_text.h - text of `sluice top`: numbers for people, and columns on a terminal. Pure. */
#ifndef SLUICE_MAIN_TOP_TEXT_H
#define SLUICE_MAIN_TOP_TEXT_H

#include "lb/base/str.h"

#define TOP_TEXT_MAX 16 /* bytes of a number's text with its NUL */

/* At most five columns: "7s", "59m", "3h07m", "12d", "999d", then years: "12y". */
const char *top_duration(uint64_t seconds, char out[static TOP_TEXT_MAX]);
/* At most five columns, k = 1000: "0", "999", "1.2k", "123k", "4.5M". */
const char *top_count(uint64_t n, char out[static TOP_TEXT_MAX]);
/* At most six columns, k = 1024: "0", "512", "1.5k", "1023k", "3.2M". */
const char *top_bytes(uint64_t n, char out[static TOP_TEXT_MAX]);
/* Microseconds, at most five columns: "41u", "1.2ms", "234ms", "5.6s", "120s". */
const char *top_latency(uint64_t us, char out[static TOP_TEXT_MAX]);

/* Columns that the text takes on a terminal, in the locale's character set. What cannot be shown
 * (control bytes, broken sequences) takes one, as it becomes '?'. */
uint32_t top_width(struct str text);
/* Appends the text on exactly `columns` columns: cut (its last column is then '~'), or filled with
 * blanks behind it (in front: right). Nothing in it steers the terminal. */
void top_pad(struct strbuf *out, struct str text, uint32_t columns, bool right);

#endif
