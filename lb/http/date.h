/* date.h - dates as HTTP writes and reads them. Pure; whoever writes many keeps the text for a
 * second. */
#ifndef SLUICE_HTTP_DATE_H
#define SLUICE_HTTP_DATE_H

#include "lb/base/str.h"

#include <stdint.h>

#define DATE_IMF_LEN 29 /* "Sun, 06 Nov 1994 08:49:37 GMT" */

/* IMF-fixdate (RFC 9110 section 5.6.7) of a time in seconds since 1970, up to the year 9999 (later
 * ones are written as its last second). NUL terminated. */
void date_imf(uint64_t unix_s, char out[static DATE_IMF_LEN + 1]);

/* All of text as a date, in any of the three forms of RFC 9110 section 5.6.7: seconds since 1970, 0
 * for one before that. now_s says which century a year of two digits means. False: it is none, and
 * out is untouched. The day of the week is read, not believed. */
bool date_parse(struct str text, uint64_t now_s, uint64_t *out_unix_s) WARN_UNUSED;

#endif
