/* registry.c - which filters there are, and in which order they stand: who may not come in at all
 * goes first and costs least, guesses of passwords are limited before they are looked at; headers
 * are changed last, on requests that will be forwarded. */
#include "lb/filter/filter_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

const struct filter_type *const filter_types[] = {
    &access_filter,          &ratelimit_filter,        &basic_auth_filter,
    &request_headers_filter, &response_headers_filter, NULL,
};
static_assert(ARRAY_LEN(filter_types) - 1 <= FILTER_CHAIN_MAX, "a chain holds every filter once");

const char *filter_error(const char *fmt, ...)
{
    static _Thread_local char text[640];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return text;
}

void filter_secret(void *out, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = getrandom((char *)out + done, len - done, 0);
        if (n < 0 && errno != EINTR) {
            perror("sluice: getrandom");
            abort();
        }
        done += n > 0 ? (size_t)n : 0;
    }
}
