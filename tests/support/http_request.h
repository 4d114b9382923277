/* http_request.h - a request's head for tests that need no parser: put together field by field. */
#ifndef SLUICE_TESTS_HTTP_REQUEST_H
#define SLUICE_TESTS_HTTP_REQUEST_H

#include "lb/http/msg.h"

struct http_request {
    struct http_head head;
    char mem[4096];
    struct http_field fields[32];
};

static inline struct http_slice http_request_text(struct http_request *r, const char *text)
{
    struct http_slice s = {(uint16_t)r->head.used, (uint16_t)strlen(text)};

    sl_assert(r->head.used + s.len <= sizeof(r->mem));
    memcpy(r->mem + s.at, text, s.len);
    r->head.used += s.len;
    return s;
}

static inline void http_request_field(struct http_request *r, const char *name, const char *value)
{
    struct http_slice n = http_request_text(r, name);
    struct http_field *f = &r->head.fields[r->head.n_fields];

    sl_assert(r->head.n_fields < r->head.max_fields);
    r->head.n_fields++;
    *f = (struct http_field){.name_at = n.at, .name_len = (uint8_t)n.len};
    f->id = (uint8_t)http_field_id_of(name, n.len);
    f->value = http_request_text(r, value);
}

/* The head points into r: r must not move. */
static inline void http_request_init(struct http_request *r, const char *method)
{
    r->head = (struct http_head){.mem = r->mem,
                                 .cap = sizeof(r->mem),
                                 .fields = r->fields,
                                 .max_fields = ARRAY_LEN(r->fields),
                                 .version = 11};
    r->head.method_text = http_request_text(r, method);
    r->head.method = (uint8_t)http_method_of(str_of(method));
}

#endif
