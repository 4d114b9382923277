/* sim_http.h - the far ends' HTTP/1.1, for tests: reads messages bit by bit and checks their
 * payload, which follows a pattern made of a tag. Deliberately plain and not sluice's own. */
#ifndef SLUICE_TESTS_SIM_SIM_HTTP_H
#define SLUICE_TESTS_SIM_SIM_HTTP_H

#include "lb/base/assert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_HEAD_MAX 4096

enum sim_http_event {
    SIM_HTTP_MORE, /* all was used */
    SIM_HTTP_HEAD, /* head[] is complete; go on with the rest */
    SIM_HTTP_DONE, /* the message is complete; the next one begins behind it */
    SIM_HTTP_BAD,  /* not HTTP */
};

struct sim_http {
    char head[SIM_HEAD_MAX + 1];
    uint32_t head_len;
    int state;
    bool request;
    bool no_payload;  /* set before the head is complete: it answers a HEAD */
    bool until_close; /* the payload ends with the stream */
    bool wrong;       /* a payload byte was not that of the pattern */
    bool check;       /* set by the owner when the head is there: payload is the tag's pattern */
    int status;       /* of a response */
    uint64_t left, payload;
    uint64_t tag;
    uint32_t line_len;
    char line[256];
};

void sim_http_begin(struct sim_http *r, bool request);
/* Reads until something is to be told. Returns how many bytes were used. */
size_t sim_http_feed(struct sim_http *r, const char *data, size_t n, enum sim_http_event *out);
/* Nothing of a message has come. */
static inline bool sim_http_fresh(const struct sim_http *r)
{
    return r->state == 0 && r->head_len == 0;
}
/* The value of a field in the head, NULL: none. Ends at a CR. */
const char *sim_http_field(const struct sim_http *r, const char *name);
bool sim_http_field_has(const struct sim_http *r, const char *name, const char *word);

uint8_t sim_pattern(uint64_t tag, uint64_t at);

/* Text that grows. */
struct sim_text {
    char *p;
    size_t len, cap;
};
void sim_text_addf(struct sim_text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sim_text_pattern(struct sim_text *t, uint64_t tag, uint64_t from, size_t n);
void sim_text_free(struct sim_text *t);

#endif
