/* assert.h - assertions that stay on in production, object magics, container_of.
 *
 * sl_assert is for our own mistakes; what a peer or an operator can cause is an error, not an
 * assertion. Every object that travels through a `void *` or a completion's user data begins with
 * (or contains) a `magic` word that CHECK_MAGIC verifies. */
#ifndef SLUICE_BASE_ASSERT_H
#define SLUICE_BASE_ASSERT_H

#include <assert.h> /* static_assert */
#include <stddef.h>

/* Prints the place, the condition and the last message of assert_note() on stderr, then aborts. */
_Noreturn void assert_fail(const char *file, int line, const char *func, const char *cond);

#define sl_assert(cond)                                                                            \
    (__builtin_expect(!(cond), 0) ? assert_fail(__FILE__, __LINE__, __func__, #cond) : (void)0)

#define CHECK_MAGIC(ptr, value) sl_assert((ptr) != NULL && (ptr)->magic == (value))

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define ARRAY_LEN(a)           (sizeof(a) / sizeof((a)[0]))
#define likely(x)              __builtin_expect(!!(x), 1)
#define unlikely(x)            __builtin_expect(!!(x), 0)
#define WARN_UNUSED            __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

#endif
