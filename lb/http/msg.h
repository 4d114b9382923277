/* msg.h - a message's head in a form that no version of HTTP owns: request line or status, fields.
 *
 * Everything textual is a slice (offset, length) of one piece of memory, so a head can be parsed
 * where it was received and moved afterwards. Who parses gives memory and room for fields; edits
 * (http_head_add, _set) append to them and take more from the arena when they run out.
 * A dropped field stays in its place with id HTTP_DROPPED. Pure; 65,535 bytes at most. */
#ifndef SLUICE_HTTP_MSG_H
#define SLUICE_HTTP_MSG_H

#include "lb/base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct arena; /* lb/base/arena.h */

#define HTTP_HEAD_BYTES_MAX 65535u

enum http_method {
    HTTP_OTHER_METHOD, /* an extension method: its text says which */
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_CONNECT,
    HTTP_OPTIONS,
    HTTP_TRACE,
    HTTP_PATCH,
};
bool http_method_is_idempotent(enum http_method m); /* RFC 9110 section 9.2.2 */
bool http_method_is_safe(enum http_method m);       /* section 9.2.1 */
enum http_method http_method_of(struct str text);   /* case-sensitive */

/* Fields that the proxy itself looks at. */
enum http_field_id {
    HTTP_DROPPED, /* was removed: nobody sees it any more */
    HTTP_OTHER,
    HTTP_HOST,
    HTTP_CONNECTION,
    HTTP_CONTENT_LENGTH,
    HTTP_TRANSFER_ENCODING,
    HTTP_TE,
    HTTP_TRAILER,
    HTTP_UPGRADE,
    HTTP_KEEP_ALIVE,
    HTTP_PROXY_CONNECTION,
    HTTP_HTTP2_SETTINGS,
    HTTP_EXPECT,
    HTTP_COOKIE,
    HTTP_SET_COOKIE,
    HTTP_AUTHORIZATION,
    HTTP_USER_AGENT,
    HTTP_REFERER,
    HTTP_FORWARDED,
    HTTP_X_FORWARDED_FOR,
    HTTP_X_FORWARDED_PROTO,
    HTTP_X_FORWARDED_HOST,
    HTTP_X_FORWARDED_PORT,
    HTTP_X_REQUEST_ID,
    HTTP_TRACEPARENT,
    HTTP_DATE,
    HTTP_SERVER,
    HTTP_CONTENT_TYPE,
    HTTP_CONTENT_ENCODING,
    HTTP_ACCEPT_ENCODING,
    HTTP_CACHE_CONTROL,
    HTTP_VARY,
    HTTP_ETAG,
    HTTP_LOCATION,
    HTTP_RANGE,
    HTTP_IF_MODIFIED_SINCE,
    HTTP_IF_NONE_MATCH,
    HTTP_PRIORITY,
    HTTP_FIELD_IDS,
};
/* HTTP_OTHER for a name that is none of them; any case. */
enum http_field_id http_field_id_of(const char *name, size_t len);

struct http_slice {
    uint16_t at, len;
};

struct http_field {
    struct http_slice value; /* without white space at both ends */
    uint16_t name_at;
    uint8_t name_len;
    uint8_t id; /* enum http_field_id */
};
static_assert(sizeof(struct http_field) == 8, "128 of them stand on a stack");

/* How the end of a body is found. */
enum http_body {
    HTTP_BODY_NONE,
    HTTP_BODY_LENGTH,
    HTTP_BODY_CHUNKED,
    HTTP_BODY_CLOSE, /* responses: until the connection ends */
};

enum http_target_form {
    HTTP_FORM_ORIGIN,    /* /path?query */
    HTTP_FORM_ABSOLUTE,  /* http://host/path */
    HTTP_FORM_AUTHORITY, /* host:port, CONNECT only */
    HTTP_FORM_ASTERISK,  /* OPTIONS *, also as OPTIONS http://host (path "/"): send it as * */
};

struct http_head {
    char *mem; /* all slices are of this */
    uint32_t used, cap;
    struct http_field *fields;
    uint16_t n_fields, max_fields;
    uint8_t version;      /* 10, 11, 20 */
    uint8_t method;       /* enum http_method; requests */
    uint8_t form;         /* enum http_target_form */
    uint8_t body;         /* enum http_body */
    uint16_t status;      /* responses */
    bool keep_alive;      /* as version and Connection say */
    bool upgrade;         /* Connection names it, and an Upgrade field is there */
    bool expect_continue; /* 1.1 and Expect: 100-continue */
    bool te_trailers;
    bool close_delimited_1_0; /* spare for codecs */
    uint64_t content_length;  /* HTTP_BODY_LENGTH; also of a response to HEAD, if it said so */
    bool has_content_length;
    struct http_slice method_text, target, reason;
    struct http_slice authority; /* of the target or of Host, as sent; len 0: none (1.0) */
    struct http_slice path;  /* as sent; "*" for the asterisk form; "/" when absolute and empty */
    struct http_slice query; /* without the question mark */
    bool has_query;
};

static inline struct str http_str(const struct http_head *h, struct http_slice s)
{
    return (struct str){h->mem + s.at, s.len};
}
static inline struct str http_name(const struct http_head *h, const struct http_field *f)
{
    return (struct str){h->mem + f->name_at, f->name_len};
}
static inline struct str http_value(const struct http_head *h, const struct http_field *f)
{
    return http_str(h, f->value);
}

/* The first field after `after` (NULL: from the start) with this id, or NULL. */
struct http_field *http_find(const struct http_head *h, enum http_field_id id,
                             const struct http_field *after);
/* By name, any case; uses the id where the name has one. */
struct http_field *http_find_name(const struct http_head *h, struct str name,
                                  const struct http_field *after);
static inline void http_drop(struct http_field *f)
{
    f->id = HTTP_DROPPED;
}
void http_drop_id(struct http_head *h, enum http_field_id id);
void http_drop_name(struct http_head *h, struct str name);

/* Copies the head (what is used of it) into the arena, with room for some more text and fields.
 * 0 or -ENOMEM (out untouched). */
int http_head_copy(const struct http_head *from, struct arena *a,
                   struct http_head *out) WARN_UNUSED;
/* Appends a field, or text alone. 0, -ENOMEM, or -EMSGSIZE beyond HTTP_HEAD_BYTES_MAX. name and
 * value may be slices of the head itself. */
int http_head_add(struct http_head *h, struct arena *a, struct str name,
                  struct str value) WARN_UNUSED;
int http_head_set(struct http_head *h, struct arena *a, struct str name,
                  struct str value) WARN_UNUSED; /* drops the others of that name */
/* The same for who knows the name's id, or that it has none (HTTP_OTHER). */
int http_head_set_id(struct http_head *h, struct arena *a, enum http_field_id id, struct str name,
                     struct str value) WARN_UNUSED;
int http_head_text(struct http_head *h, struct arena *a, struct str text,
                   struct http_slice *out) WARN_UNUSED;

/* Makes room for that much text and one field more, for who appends to mem and fields himself. As
 * http_head_add(). */
int http_head_reserve(struct http_head *h, struct arena *a, size_t text) WARN_UNUSED;
/* Text behind the rest, where there is room for it. */
struct http_slice http_head_append(struct http_head *h, struct str text);

/* Drops Connection, what it names, Keep-Alive, Proxy-Connection, TE, Transfer-Encoding, Upgrade,
 * HTTP2-Settings; Content-Length too (framing is written anew). RFC 9110 section 7.6.1. Names that
 * Connection may not take away (Host, Cookie, Authorization, Content-*...) stay.
 * keep_upgrade: Upgrade stays (its value is what the writer announces), unless it is h2c. */
void http_strip_hop_by_hop(struct http_head *h, bool keep_upgrade);

/* ---- values ---- */

/* The next element of a comma-separated list, trimmed; empty elements are passed over. False at
 * the end. Knows quoted strings. */
bool http_list_next(struct str *rest, struct str *out_element);
bool http_list_has(struct str list, struct str token); /* any case */
/* Value of a cookie in one Cookie field's value. */
bool http_cookie_find(struct str cookies, struct str name, struct str *out_value);
bool http_is_token(struct str s);       /* RFC 9110 section 5.6.2, not empty */
bool http_is_field_value(struct str s); /* no control bytes but tab; may be empty */
bool str_eq_nocase(struct str a, struct str b);
/* Standard phrase of a status ("Not Found"), "" for one that has none. */
const char *http_reason(unsigned status);

#endif
