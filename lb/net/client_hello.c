/* client_hello.c - see client_hello.h
 *
 * Two layers. Records are taken off first: client_hello_feed() hands their payload on as it comes.
 * Below it the message is a row of fields (RFC 8446 section 4.1.2): begin() says how long one is
 * and whether that fits into what it lies in, take() reads its bytes, ended() tells which follows.
 */
#include "lb/net/client_hello.h"

#include "lb/base/assert.h"

#define RECORD_HANDSHAKE  22
#define RECORD_MAX        (16u << 10)
#define TYPE_CLIENT_HELLO 1
#define EXT_SERVER_NAME   0
#define EXT_ALPN          16
#define NAME_HOST         0
#define LABEL_MAX         63

enum field {
    TYPE,
    LENGTH,
    VERSION,
    RANDOM,
    SESSION_LEN,
    SESSION,
    CIPHERS_LEN,
    CIPHERS,
    COMPRESSION_LEN,
    COMPRESSION,
    EXTENSIONS_LEN,
    EXT_TYPE,
    EXT_LEN,
    EXT_BODY, /* of no interest */
    NAMES_LEN,
    NAME_TYPE,
    NAME_LEN,
    NAME,
    NAME_OTHER, /* of another type than a host name */
    ALPN_LEN,
    ALPN_NAME_LEN,
    ALPN_NAME,
};

void client_hello_init(struct client_hello *h)
{
    memset(h, 0, sizeof(*h));
    h->field = TYPE;
    h->left = 1;
    h->message_left = 4; /* its header; then what that says */
}

static void refuse(struct client_hello *h, enum hello_result why)
{
    h->result = (uint8_t)why;
}

static bool in_extension(enum field f)
{
    return f >= EXT_BODY;
}

static void ended(struct client_hello *h);

static void begin(struct client_hello *h, enum field f, uint32_t len)
{
    if (len > h->message_left || (in_extension(f) && len > h->inner_left)) {
        refuse(h, HELLO_BAD_LENGTH);
        return;
    }
    h->field = (uint8_t)f;
    h->left = (uint16_t)len;
    h->value = 0;
    if (len == 0)
        ended(h);
}

/* ---- names ---- */

/* Letters, digits, hyphens and (as they are met) underscores in labels of 1 to 63. */
static bool is_host_name(const char *name, size_t len)
{
    size_t label = 0;

    if (len == 0 || len > CLIENT_HELLO_NAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (word ? ++label > LABEL_MAX : (c != '.' || label == 0))
            return false;
        if (!word)
            label = 0;
    }
    return label > 0;
}

static void end_name(struct client_hello *h)
{
    if (h->name_len > 0 && h->name[h->name_len - 1] == '.')
        h->name_len--;
    h->name[h->name_len] = '\0';
    if (!is_host_name(h->name, h->name_len))
        refuse(h, HELLO_BAD_NAME);
}

static void keep_name(struct client_hello *h, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h->name[h->name_len++] = (char)(p[i] >= 'A' && p[i] <= 'Z' ? p[i] | 0x20 : p[i]);
}

/* Only whole names are kept: the length byte goes in when the name is known to fit. */
static bool alpn_fits(struct client_hello *h, uint32_t len)
{
    return h->alpn_len + 1 + len <= CLIENT_HELLO_ALPN_MAX;
}

static void keep_alpn(struct client_hello *h, const uint8_t *p, size_t n)
{
    if (h->alpn_name == 0) /* did not fit */
        return;
    memcpy(h->alpn + h->alpn_len, p, n);
    h->alpn_len = (uint8_t)(h->alpn_len + n);
}

/* ---- what follows a field ---- */

static void next_extension(struct client_hello *h)
{
    if (h->message_left == 0)
        refuse(h, HELLO_DONE);
    else
        begin(h, EXT_TYPE, 2);
}

static void begin_extension(struct client_hello *h, uint32_t len)
{
    if (len > h->message_left) {
        refuse(h, HELLO_BAD_LENGTH);
        return;
    }
    h->inner_left = (uint16_t)len;
    bool *seen = h->extension == EXT_SERVER_NAME ? &h->has_name
                 : h->extension == EXT_ALPN      ? &h->has_alpn
                                                 : NULL;
    if (seen == NULL) {
        begin(h, EXT_BODY, len);
        return;
    }
    if (*seen) {
        refuse(h, HELLO_BAD_EXTENSION);
        return;
    }
    *seen = true;
    begin(h, h->extension == EXT_ALPN ? ALPN_LEN : NAMES_LEN, 2);
}

/* A list fills its extension and has a member at least. */
static void begin_list(struct client_hello *h, enum field first, uint32_t width)
{
    if (h->value != h->inner_left || h->value == 0)
        refuse(h, HELLO_BAD_LENGTH);
    else
        begin(h, first, width);
}

static void next_in_list(struct client_hello *h, enum field first)
{
    if (h->result != HELLO_MORE)
        return;
    if (h->inner_left > 0)
        begin(h, first, 1);
    else if (first == NAME_TYPE && h->name_len == 0)
        refuse(h, HELLO_BAD_NAME); /* names of other types only */
    else
        next_extension(h);
}

static void begin_name(struct client_hello *h)
{
    if (h->name_type != NAME_HOST)
        begin(h, NAME_OTHER, h->value);
    else if (h->name_len > 0 || h->value == 0 || h->value > CLIENT_HELLO_NAME_MAX + 1)
        refuse(h, HELLO_BAD_NAME);
    else
        begin(h, NAME, h->value);
}

static void begin_alpn_name(struct client_hello *h)
{
    uint32_t len = h->value;

    if (len == 0) {
        refuse(h, HELLO_BAD_LENGTH);
        return;
    }
    h->alpn_name = 0;
    if (alpn_fits(h, len) && len <= h->inner_left) {
        h->alpn[h->alpn_len++] = (uint8_t)len;
        h->alpn_name = (uint8_t)len;
    }
    begin(h, ALPN_NAME, len);
}

static void begin_message(struct client_hello *h)
{
    if (h->value > CLIENT_HELLO_MAX) {
        refuse(h, HELLO_TOO_LONG);
        return;
    }
    h->message_left = (uint16_t)h->value;
    begin(h, VERSION, 2);
}

/* Before TLS 1.3 a hello may end behind the compression methods. */
static void after_compression(struct client_hello *h)
{
    if (h->message_left == 0)
        refuse(h, HELLO_DONE);
    else
        begin(h, EXTENSIONS_LEN, 2);
}

static void begin_session(struct client_hello *h)
{
    if (h->value > 32)
        refuse(h, HELLO_BAD_LENGTH);
    else
        begin(h, SESSION, h->value);
}

static void begin_ciphers(struct client_hello *h)
{
    if (h->value == 0 || h->value % 2 != 0)
        refuse(h, HELLO_BAD_LENGTH);
    else
        begin(h, CIPHERS, h->value);
}

static void begin_compression(struct client_hello *h)
{
    if (h->value == 0)
        refuse(h, HELLO_BAD_LENGTH);
    else
        begin(h, COMPRESSION, h->value);
}

static void begin_extensions(struct client_hello *h)
{
    if (h->value != h->message_left)
        refuse(h, HELLO_BAD_LENGTH);
    else
        next_extension(h);
}

/* The present field is complete; a number is in `value`. */
static void ended(struct client_hello *h)
{
    switch ((enum field)h->field) {
    case TYPE:
        if (h->value != TYPE_CLIENT_HELLO)
            refuse(h, HELLO_BAD_MESSAGE);
        else
            begin(h, LENGTH, 3);
        return;
    case LENGTH:
        begin_message(h);
        return;
    case VERSION:
        h->version = (uint16_t)h->value;
        begin(h, RANDOM, 32);
        return;
    case RANDOM:
        begin(h, SESSION_LEN, 1);
        return;
    case SESSION_LEN:
        begin_session(h);
        return;
    case SESSION:
        begin(h, CIPHERS_LEN, 2);
        return;
    case CIPHERS_LEN:
        begin_ciphers(h);
        return;
    case CIPHERS:
        begin(h, COMPRESSION_LEN, 1);
        return;
    case COMPRESSION_LEN:
        begin_compression(h);
        return;
    case COMPRESSION:
        after_compression(h);
        return;
    case EXTENSIONS_LEN:
        begin_extensions(h);
        return;
    case EXT_TYPE:
        h->extension = (uint16_t)h->value;
        begin(h, EXT_LEN, 2);
        return;
    case EXT_LEN:
        begin_extension(h, h->value);
        return;
    case EXT_BODY:
        next_extension(h);
        return;
    case NAMES_LEN:
        begin_list(h, NAME_TYPE, 1);
        return;
    case NAME_TYPE:
        h->name_type = (uint8_t)h->value;
        begin(h, NAME_LEN, 2);
        return;
    case NAME_LEN:
        begin_name(h);
        return;
    case NAME:
        end_name(h);
        next_in_list(h, NAME_TYPE);
        return;
    case NAME_OTHER:
        next_in_list(h, NAME_TYPE);
        return;
    case ALPN_LEN:
        begin_list(h, ALPN_NAME_LEN, 1);
        return;
    case ALPN_NAME_LEN:
        begin_alpn_name(h);
        return;
    case ALPN_NAME:
        next_in_list(h, ALPN_NAME_LEN);
        return;
    }
    sl_assert(!"a field without a successor");
}

/* Bytes of the present field: kept, counted together, or passed over. */
static void take(struct client_hello *h, const uint8_t *p, uint16_t n)
{
    if (h->field == NAME)
        keep_name(h, p, n);
    else if (h->field == ALPN_NAME)
        keep_alpn(h, p, n);
    else if (h->left <= 3)
        for (uint16_t i = 0; i < n; i++)
            h->value = h->value << 8 | p[i];
    h->left = (uint16_t)(h->left - n);
    h->message_left = (uint16_t)(h->message_left - n);
    if (in_extension(h->field))
        h->inner_left = (uint16_t)(h->inner_left - n);
    if (h->left == 0)
        ended(h);
}

/* ---- records ---- */

/* One byte of a record's header. The first two tell TLS from other protocols. */
static void take_header(struct client_hello *h, uint8_t byte)
{
    static const uint8_t expected[2] = {RECORD_HANDSHAKE, 3}; /* 3.x: every version since SSL 3 */
    uint8_t at = h->record_at++;
    bool first = h->eaten <= 2;

    h->record[at] = byte;
    if (at < 2 && byte != expected[at])
        refuse(h, first ? HELLO_NOT_TLS : HELLO_BAD_RECORD);
    if (at < 4)
        return;
    h->record_left = (uint16_t)(h->record[3] << 8 | h->record[4]);
    if (h->record_left == 0 || h->record_left > RECORD_MAX)
        refuse(h, HELLO_BAD_RECORD);
}

enum hello_result client_hello_feed(struct client_hello *h, const void *data, size_t len)
{
    const uint8_t *p = data, *end = p + len;

    while (p < end && h->result == HELLO_MORE) {
        if (h->eaten >= CLIENT_HELLO_MAX) {
            refuse(h, HELLO_TOO_LONG);
        } else if (h->record_left == 0) {
            h->eaten++;
            take_header(h, *p++);
        } else {
            size_t n = (size_t)(end - p);
            n = n < h->record_left ? n : h->record_left;
            n = n < h->left ? n : h->left;
            n = n < CLIENT_HELLO_MAX - h->eaten ? n : CLIENT_HELLO_MAX - h->eaten;
            h->eaten += (uint32_t)n;
            h->record_left = (uint16_t)(h->record_left - n);
            if (h->record_left == 0)
                h->record_at = 0;
            take(h, p, (uint16_t)n);
            p += n;
        }
    }
    return h->result;
}

/* ---- words and alerts ---- */

const char *client_hello_text(enum hello_result r)
{
    switch (r) {
    case HELLO_MORE:
        return "the ClientHello is incomplete";
    case HELLO_DONE:
        return "a ClientHello";
    case HELLO_NOT_TLS:
        return "this is not TLS";
    case HELLO_BAD_RECORD:
        return "a malformed TLS record";
    case HELLO_BAD_MESSAGE:
        return "no ClientHello comes first";
    case HELLO_BAD_LENGTH:
        return "a length in the ClientHello is wrong";
    case HELLO_BAD_EXTENSION:
        return "an extension stands twice in the ClientHello";
    case HELLO_BAD_NAME:
        return "the server name is no host name";
    case HELLO_TOO_LONG:
        return "the ClientHello is too long";
    }
    return "?";
}

size_t tls_alert_write(enum tls_alert alert, uint8_t out[static TLS_ALERT_BYTES])
{
    const uint8_t record[TLS_ALERT_BYTES] = {21, 3, 3, 0, 2, 2 /* fatal */, (uint8_t)alert};

    memcpy(out, record, sizeof(record));
    return sizeof(record);
}

enum tls_alert client_hello_alert(enum hello_result r)
{
    switch (r) {
    case HELLO_BAD_RECORD:
    case HELLO_BAD_MESSAGE:
        return TLS_ALERT_UNEXPECTED_MESSAGE;
    case HELLO_BAD_LENGTH:
    case HELLO_TOO_LONG:
        return TLS_ALERT_DECODE_ERROR;
    case HELLO_BAD_EXTENSION:
    case HELLO_BAD_NAME:
        return TLS_ALERT_ILLEGAL_PARAMETER;
    case HELLO_MORE:
    case HELLO_DONE:
    case HELLO_NOT_TLS:
        break;
    }
    return 0;
}
