/* access_priv.h - what the files of the access log's formats share: a line being written, and the
 * variables of templates. */
#ifndef SLUICE_OBS_ACCESS_PRIV_H
#define SLUICE_OBS_ACCESS_PRIV_H

#include "lb/http/msg.h"
#include "lb/net/addr.h"
#include "lb/obs/access_log.h"

/* Output bytes that one text may take, so that lines of the fixed formats are never cut. */
#define TEXT_MAX_URI    3072
#define TEXT_MAX_AGENT  1024 /* Referer and User-Agent */
#define TEXT_MAX_OTHER  256
#define TEXT_MAX_METHOD 64

struct writer {
    char *p, *end; /* a byte for the newline is left behind end; what goes beyond is cut */
    bool haproxy;  /* escapes are #HH, else \xHH */
};

static inline void put(struct writer *w, const char *p, size_t len)
{
    size_t room = (size_t)(w->end - w->p);

    if (len > room)
        len = room;
    memcpy(w->p, p, len);
    w->p += len;
}

static inline void put_char(struct writer *w, char c)
{
    if (w->p < w->end)
        *w->p++ = c;
}

static inline void put_cstr(struct writer *w, const char *s)
{
    put(w, s, strlen(s));
}

#define PUT(w, literal) put(w, literal, sizeof(literal) - 1)

/* access_text.c */
void put_u64(struct writer *w, uint64_t v);
void put_padded(struct writer *w, uint32_t v, int width);
void put_hex(struct writer *w, uint64_t v); /* 0x and 16 digits */
/* An IPv4 address, without and with its port; false (nothing written) when it is another one. */
bool put_ip4_host(struct writer *w, const struct addr *a);
bool put_ip4_addr(struct writer *w, const struct addr *a);
/* Text from outside, escaped, at most max bytes of output. "-" when it is empty. */
void put_text(struct writer *w, struct str s, size_t max);
void put_escaped(struct writer *w, struct str s, size_t max); /* nothing when it is empty */
/* How much of s is printable ASCII without quotes and backslashes: needs no escape in JSON. */
size_t plain_len(struct str s);
/* The wall clock time of a record, kept per thread for the second it is in. */
struct stamp {
    uint64_t second;
    char haproxy[32]; /* 06/Feb/2009:12:14:14 local */
    char common[32];  /* 06/Feb/2009:12:14:14 +0100 local */
    char iso[32];     /* 2009-02-06T11:14:14 UTC */
};
const struct stamp *stamp_of(const struct access_record *r);

/* access_vars.c */
typedef void access_write_fn(struct writer *w, const struct access_record *r, struct str arg);
struct access_variable {
    const char *name; /* ends with _ where a name of the user's follows, which is arg */
    access_write_fn *write;
    bool http; /* mode http only */
    uint8_t needs;
};
/* NULL: none is called so, and *out_near is the most similar one or NULL. */
const struct access_variable *access_variable_find(struct str name, struct str *out_arg,
                                                   const char **out_near);
/* Of the record, else of the head that it has; p NULL or len 0: there is none. */
struct str access_method(const struct access_http *h);
struct str access_uri(const struct access_http *h);
struct str access_host(const struct access_http *h);
struct str access_user_agent(const struct access_http *h);
struct str access_referer(const struct access_http *h);
const char *access_protocol(const struct access_http *h); /* NULL: unknown */
const char *access_scheme(const struct access_http *h);
void access_end_state(const struct access_record *r, char out[static 5]);

/* access_json.c */
void access_json_write(struct writer *w, const struct access_record *r);

/* An IP address whose port nobody told: a client named by X-Forwarded-For or Forwarded. */
static inline bool access_addr_portless(const struct addr *a)
{
    return a != NULL && a->len > 0 && addr_family(a) != AF_UNIX && addr_port(a) == 0;
}

#endif
