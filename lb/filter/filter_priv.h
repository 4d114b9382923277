/* filter_priv.h - what the files of this folder share: the filters themselves, error texts. */
#ifndef SLUICE_FILTER_FILTER_PRIV_H
#define SLUICE_FILTER_FILTER_PRIV_H

#include "lb/filter/filter.h"

extern const struct filter_type access_filter;
extern const struct filter_type basic_auth_filter;
extern const struct filter_type ratelimit_filter;
extern const struct filter_type request_headers_filter;
extern const struct filter_type response_headers_filter;

/* Text for an *out_error: thread-local, valid until the next one. */
const char *filter_error(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Ends the process when the system has no random bytes: load time only. */
void filter_secret(void *out, size_t len);

/* Answers with one more header; value lives as long as the exchange. */
static inline void filter_answer_header(struct filter_answer *a, const char *name,
                                        const char *value)
{
    sl_assert(a->n_headers < ARRAY_LEN(a->headers));
    a->headers[a->n_headers++] = (struct header_set_conf){(char *)name, (char *)value};
}

#endif
