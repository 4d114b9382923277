/* route_regex.h - regular expressions on what clients send, which no request can make run for long.
 *
 * A compiled one is immutable and shared; matching takes its memory from the thread's scratch. */
#ifndef SLUICE_ROUTE_ROUTE_REGEX_H
#define SLUICE_ROUTE_ROUTE_REGEX_H

#include "lb/route/route.h"

struct route_regex; /* opaque */

/* Bytes; nothing matches a longer text. The second: without machine code (MemoryDenyWriteExecute=)
 * and where the pattern may begin anywhere. */
#define ROUTE_REGEX_SUBJECT_MAX      4096
#define ROUTE_REGEX_SUBJECT_SLOW_MAX 1024

/* Load time. NULL with the mistake and its place in error. */
struct route_regex *route_regex_new(const char *pattern, struct strbuf *error);
void route_regex_free(struct route_regex **r);

/* Whether it matches somewhere in the subject; one that takes too many steps counts as no match.
 * out may be NULL; its captures are slices of subject. */
bool route_regex_match(const struct route_regex *r, struct route_scratch *s, struct str subject,
                       struct route_match *out);

/* The path that each match begins with, up to and with its last slash ("^/users/([0-9]+)" gives
 * "/users/"), or "" when that cannot be said. */
struct str route_regex_literal(const char *pattern);

#endif
