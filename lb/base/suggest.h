/* suggest.h - "did you mean": the offered word that is nearest to what was written. */
#ifndef SLUICE_BASE_SUGGEST_H
#define SLUICE_BASE_SUGGEST_H

#include "lb/base/str.h"

struct suggest {
    struct str word;
    const char *best; /* borrowed from the caller */
    unsigned distance;
};

void suggest_begin(struct suggest *s, struct str word);
void suggest_offer(struct suggest *s, const char *candidate);
/* NULL when nothing offered is near enough to be what was meant. */
const char *suggest_best(const struct suggest *s);
/* Appends ` (did you mean "best"?)`, or nothing. */
void suggest_print(const struct suggest *s, struct strbuf *out);

#endif
