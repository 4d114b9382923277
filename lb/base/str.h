/* str.h - borrowed byte slices and a growable buffer for text.
 * A struct str never owns its bytes and is not NUL terminated. */
#ifndef SLUICE_BASE_STR_H
#define SLUICE_BASE_STR_H

#include "lb/base/assert.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *p;
    size_t len;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
#define STR_FMT      "%.*s"
#define STR_ARG(s)   (int)(s).len, (s).p

static inline struct str str_of(const char *cstr)
{
    return (struct str){cstr, strlen(cstr)};
}
bool str_eq(struct str a, struct str b);
bool str_eq_cstr(struct str a, const char *b);
bool str_starts(struct str s, struct str prefix);
bool str_contains(struct str haystack, struct str needle);
struct str str_trim(struct str s); /* without spaces and tabs at both ends */
/* Cuts the next word (separated by any byte of `seps`) off *s; an empty str when there is none. */
struct str str_word(struct str *s, const char *seps);
/* Whole slice as a decimal number, at most max. 0, or -EINVAL / -ERANGE (out untouched). */
int str_u64(struct str s, uint64_t max, uint64_t *out_value) WARN_UNUSED;

#define STR_U64_MAX 20 /* digits */
/* Decimal; returns the length. */
size_t str_put_u64(uint64_t value, char out[static STR_U64_MAX]);

/* Growable text; zero it to start. Lack of memory ends the process (used off the hot path only). */
struct strbuf {
    char *p; /* NUL terminated once anything was added */
    size_t len, cap;
};
void strbuf_fini(struct strbuf *b);
void strbuf_clear(struct strbuf *b); /* keeps the memory */
void strbuf_add(struct strbuf *b, const void *data, size_t len);
void strbuf_add_str(struct strbuf *b, struct str s);
void strbuf_add_cstr(struct strbuf *b, const char *s);
void strbuf_add_char(struct strbuf *b, char c);
void strbuf_addf(struct strbuf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void strbuf_vaddf(struct strbuf *b, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);
void strbuf_drop_front(struct strbuf *b, size_t n); /* removes the first n bytes */
struct str strbuf_str(const struct strbuf *b);

#endif
