/* h1_rules.c - what a head means once all its lines are there: where it goes, how its body ends,
 * what becomes of the connection. Ambiguity is refused, never resolved (RFC 9112 section 11.2 on
 * request smuggling); each rule names its section. */
#include "lb/http/byte_class.h"
#include "lb/http/h1_priv.h"
#include "lb/http/uri.h"

#include <errno.h>

#define LENGTH_MAX             INT64_MAX
#define CONNECTION_OPTIONS_MAX 64

static bool has(const struct h1_seen *seen, enum http_field_id id)
{
    return (seen->once & H1_BIT(id)) != 0;
}

static bool repeated(const struct h1_seen *seen, enum http_field_id id)
{
    return (seen->again & H1_BIT(id)) != 0;
}

/* ---- the body ---- */

/* RFC 9110 section 8.6. One field, digits alone: a list of equal values, which the RFC lets us
 * repair, is refused like one of different values, and so is a sign. */
enum h1_result h1_content_length(struct http_head *h, const struct h1_seen *seen)
{
    if (repeated(seen, HTTP_CONTENT_LENGTH))
        return H1_REPEATED_CONTENT_LENGTH;
    struct str value = http_value(h, http_find(h, HTTP_CONTENT_LENGTH, NULL));
    if (str_u64(value, LENGTH_MAX, &h->content_length) != 0)
        return H1_BAD_CONTENT_LENGTH;
    h->has_content_length = true;
    return H1_DONE;
}

/* Why it is not exactly "chunked" (RFC 9112 sections 6.1, 6.3 and 7). A body whose last coding is
 * another one has no end that can be told: 400. Others before it we could pass on only undecoded,
 * which a proxy that frames anew does not do: 501. */
static enum h1_result coding_refused(const struct http_head *h, bool is_repeated)
{
    unsigned chunked = 0, other = 0;
    bool last_is_chunked = false;

    for (struct http_field *f = NULL; (f = http_find(h, HTTP_TRANSFER_ENCODING, f)) != NULL;) {
        struct str list = http_value(h, f), coding;
        while (http_list_next(&list, &coding)) {
            last_is_chunked = str_eq_nocase(coding, STR("chunked"));
            *(last_is_chunked ? &chunked : &other) += 1;
        }
    }
    return chunked == 1 && other > 0 && last_is_chunked && !is_repeated ? H1_UNKNOWN_CODING
                                                                        : H1_BAD_CODING;
}

static enum h1_result transfer_encoding(const struct http_head *h, const struct h1_seen *seen)
{
    bool is_repeated = repeated(seen, HTTP_TRANSFER_ENCODING);
    struct http_field *f = http_find(h, HTTP_TRANSFER_ENCODING, NULL);

    if (has(seen, HTTP_CONTENT_LENGTH)) /* RFC 9112 section 6.3, item 3 */
        return H1_LENGTH_AND_CODING;
    if (h->version < 11) /* section 6.1: its framing is faulty, whatever it says */
        return H1_BAD_CODING;
    if (is_repeated || !str_eq_nocase(http_value(h, f), STR("chunked")))
        return coding_refused(h, is_repeated);
    return H1_DONE;
}

/* Fills body and content_length; otherwise: what a message has that says nothing. */
static enum h1_result framing(struct http_head *h, const struct h1_seen *seen,
                              enum http_body otherwise)
{
    h->body = (uint8_t)otherwise;
    if (has(seen, HTTP_TRANSFER_ENCODING)) {
        h->body = HTTP_BODY_CHUNKED;
        return transfer_encoding(h, seen);
    }
    if (has(seen, HTTP_CONTENT_LENGTH)) {
        h->body = HTTP_BODY_LENGTH;
        return h1_content_length(h, seen);
    }
    return H1_DONE;
}

/* ---- the connection ---- */

/* RFC 9112 section 9.3; RFC 9110 section 7.8: Upgrade counts when Connection names it, and never in
 * HTTP/1.0. */
/* More options than there are fields name nothing, but each costs a search for what it names. */
static bool connection(struct http_head *h, const struct h1_seen *seen)
{
    bool close = false, keep_alive = false, upgrade = false;
    uint32_t n = 0;

    if (has(seen, HTTP_CONNECTION)) {
        for (struct http_field *f = NULL; (f = http_find(h, HTTP_CONNECTION, f)) != NULL;) {
            struct str list = http_value(h, f), option;
            while (http_list_next(&list, &option)) {
                if (++n > CONNECTION_OPTIONS_MAX)
                    return false;
                close |= str_eq_nocase(option, STR("close"));
                keep_alive |= str_eq_nocase(option, STR("keep-alive"));
                upgrade |= str_eq_nocase(option, STR("upgrade"));
            }
        }
    }
    h->keep_alive = !close && (h->version >= 11 || keep_alive);
    h->upgrade = upgrade && h->version >= 11 && has(seen, HTTP_UPGRADE);
    return true;
}

/* RFC 9110 section 10.1.1. An HTTP/1.0 client cannot understand a 100, so it is not asked for. */
enum h1_result h1_expect(struct http_head *h)
{
    for (struct http_field *f = NULL; (f = http_find(h, HTTP_EXPECT, f)) != NULL;) {
        struct str list = http_value(h, f), expectation;
        while (http_list_next(&list, &expectation)) {
            if (!str_eq_nocase(expectation, STR("100-continue")))
                return H1_BAD_EXPECT;
            h->expect_continue = h->version >= 11;
        }
    }
    return H1_DONE;
}

static void te(struct http_head *h)
{
    for (struct http_field *f = NULL; (f = http_find(h, HTTP_TE, f)) != NULL;)
        h->te_trailers |= http_list_has(http_value(h, f), STR("trailers"));
}

/* ---- the target ---- */

static struct http_slice slice_of(const struct http_head *h, struct str s)
{
    return (struct http_slice){(uint16_t)(s.p - h->mem), (uint16_t)s.len};
}

/* Length of "http://" or "https://" (any case) that begins s, 0: neither. */
static size_t scheme_len(struct str s)
{
    if (s.len >= 7 && str_eq_nocase((struct str){s.p, 7}, STR("http://")))
        return 7;
    if (s.len >= 8 && str_eq_nocase((struct str){s.p, 8}, STR("https://")))
        return 8;
    return 0;
}

/* RFC 9112 section 3.2.2. Here h->path is the target up to its query. An empty path is that of the
 * root: the slice is then the scheme's first slash. OPTIONS without path and query is meant for the
 * server itself (section 3.2.4): the asterisk form. */
static enum h1_result absolute_form(struct http_head *h)
{
    struct str all = http_str(h, h->path), host, port;
    size_t scheme = scheme_len(all);
    if (scheme == 0)
        return H1_BAD_TARGET;
    const char *start = all.p + scheme, *end = all.p + all.len;
    const char *slash = memchr(start, '/', (size_t)(end - start));
    struct str authority = {start, (size_t)((slash != NULL ? slash : end) - start)};

    if (!uri_authority(authority, &host, &port))
        return H1_BAD_TARGET;
    h->form = HTTP_FORM_ABSOLUTE;
    h->authority = slice_of(h, authority);
    h->path = slash != NULL ? slice_of(h, (struct str){slash, (size_t)(end - slash)})
                            : slice_of(h, (struct str){start - 1, 1});
    if (slash == NULL && !h->has_query && h->method == HTTP_OPTIONS)
        h->form = HTTP_FORM_ASTERISK;
    return H1_DONE;
}

/* Section 3.2.3: host and port, both of them. */
static enum h1_result authority_form(struct http_head *h)
{
    struct str host, port;
    if (!uri_authority(http_str(h, h->target), &host, &port) || port.len == 0)
        return H1_BAD_TARGET;
    h->form = HTTP_FORM_AUTHORITY;
    h->authority = h->target;
    h->path.len = 0;
    return H1_DONE;
}

/* RFC 9112 section 3.2: which form a target has depends on the method. */
static enum h1_result target(struct http_head *h)
{
    if (h->method == HTTP_CONNECT)
        return authority_form(h);
    if (h->mem[h->target.at] == '/')
        return H1_DONE; /* origin form, as h stands */
    if (!str_eq(http_str(h, h->target), STR("*")))
        return absolute_form(h);
    h->form = HTTP_FORM_ASTERISK;
    return h->method == HTTP_OPTIONS ? H1_DONE : H1_BAD_TARGET;
}

/* The port that is meant, where none is written. */
static bool same_port(struct str a, struct str b, struct str otherwise)
{
    uint64_t na = 0, nb = 0;
    return str_u64(a.len > 0 ? a : otherwise, UINT16_MAX, &na) == 0 &&
           str_u64(b.len > 0 ? b : otherwise, UINT16_MAX, &nb) == 0 && na == nb;
}

/* Whether Host says what the target says (RFC 9112 section 3.2.2 lets us ignore Host then, but who
 * reads it nevertheless would route elsewhere). */
bool h1_same_authority(const struct http_head *h, struct str host, struct str port,
                       struct str otherwise)
{
    struct str target_host, target_port;
    if (!uri_authority(http_str(h, h->authority), &target_host, &target_port))
        return false;
    return str_eq_nocase(host, target_host) && same_port(port, target_port, otherwise);
}

/* RFC 9112 section 3.2: exactly one Host in HTTP/1.1. It may be empty: that is how a client says
 * that its target has no authority, and how we pass on what an HTTP/1.0 client did not say. */
static enum h1_result host(struct http_head *h, const struct h1_seen *seen)
{
    if (repeated(seen, HTTP_HOST))
        return H1_REPEATED_HOST;
    if (!has(seen, HTTP_HOST))
        return h->version >= 11 ? H1_NO_HOST : H1_DONE;
    struct http_field *f = http_find(h, HTTP_HOST, NULL);
    struct str name = STR(""), port = STR("");
    if (f->value.len > 0 && !uri_authority(http_value(h, f), &name, &port))
        return H1_BAD_HOST;
    if (h->authority.len == 0) {
        h->authority = f->value;
        return H1_DONE;
    }
    struct str otherwise = STR("");
    if (h->form != HTTP_FORM_AUTHORITY)
        otherwise = scheme_len(http_str(h, h->target)) == 8 ? STR("443") : STR("80");
    return h1_same_authority(h, name, port, otherwise) ? H1_DONE : H1_HOST_MISMATCH;
}

/* ---- together ---- */

enum h1_result h1_request_rules(struct http_head *h, const struct h1_seen *seen)
{
    enum h1_result r;

    h->method = (uint8_t)http_method_of(http_str(h, h->method_text));
    if ((r = target(h)) != H1_DONE || (r = host(h, seen)) != H1_DONE)
        return r;
    if ((r = framing(h, seen, HTTP_BODY_NONE)) != H1_DONE)
        return r;
    if (!connection(h, seen))
        return H1_TOO_MANY_FIELDS;
    if (has(seen, HTTP_TE))
        te(h);
    return has(seen, HTTP_EXPECT) ? h1_expect(h) : H1_DONE;
}

/* RFC 9112 section 6.3, items 1 and 2. What these say about a length is no framing; to HEAD and
 * with 304 it is news about the resource, with 1xx and 204 it must not be there (RFC 9110
 * section 8.6) and is forgotten. */
bool h1_has_no_body(const struct http_head *h, enum http_method to)
{
    return to == HTTP_HEAD || h->status < 200 || h->status == 204 || h->status == 304 ||
           (to == HTTP_CONNECT && h->status < 300);
}

enum h1_result h1_response_rules(struct http_head *h, const struct h1_seen *seen,
                                 enum http_method to)
{
    enum h1_result r = framing(h, seen, HTTP_BODY_CLOSE);

    if (r != H1_DONE)
        return r;
    if (!connection(h, seen))
        return H1_TOO_MANY_FIELDS;
    if (h1_has_no_body(h, to)) {
        h->body = HTTP_BODY_NONE;
        if (h->status < 200 || h->status == 204)
            h->has_content_length = false;
    } else if (h->body == HTTP_BODY_CLOSE) {
        h->keep_alive = false;
    }
    return H1_DONE;
}

/* ---- trailers ---- */

/* RFC 9110 section 6.5.1: what frames, routes, authenticates, or says how content is to be read
 * would come too late to count, and must not be merged by someone who did not look. */
void h1_drop_forbidden_trailers(struct http_head *h)
{
    static const uint64_t allowed = H1_BIT(HTTP_DROPPED) | H1_BIT(HTTP_OTHER) | H1_BIT(HTTP_ETAG) |
                                    H1_BIT(HTTP_DATE) | H1_BIT(HTTP_SERVER) |
                                    H1_BIT(HTTP_X_REQUEST_ID) | H1_BIT(HTTP_PRIORITY);
    static const struct str forbidden[] = {
        STR("accept"),
        STR("accept-charset"),
        STR("accept-language"),
        STR("age"),
        STR("content-disposition"),
        STR("content-language"),
        STR("content-location"),
        STR("content-range"),
        STR("expires"),
        STR("if-match"),
        STR("if-range"),
        STR("if-unmodified-since"),
        STR("max-forwards"),
        STR("pragma"),
        STR("proxy-authenticate"),
        STR("proxy-authorization"),
        STR("retry-after"),
        STR("tracestate"),
        STR("via"),
        STR("warning"),
        STR("www-authenticate"),
    };
    for (uint16_t i = 0; i < h->n_fields; i++) {
        struct http_field *f = &h->fields[i];
        if ((allowed & H1_BIT(f->id)) == 0)
            http_drop(f);
        for (size_t k = 0; k < ARRAY_LEN(forbidden) && f->id == HTTP_OTHER; k++) {
            if (str_eq_nocase(http_name(h, f), forbidden[k]))
                http_drop(f);
        }
    }
}
