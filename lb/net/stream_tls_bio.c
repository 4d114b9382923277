/* stream_tls_bio.c - OpenSSL's view of a stream: it reads from the chain of buffers that the engine
 * has received (`wire`), and writes to a chain of buffers to be sent (`sealed`). Nothing is
 * between: the one copy on either side is the one from or to OpenSSL's record buffer. */
#include "lb/net/stream_tls_kernel.h"

#include <string.h>

/* OpenSSL names it in no header that is installed; BIO_get_ktls_send() is next to it. */
#define CTRL_SET_KTLS 72

#define SEALED_MAX (32u << 10) /* bytes of one buffer to be sent */

void stream_tls_add_wire(struct stream_tls *t, struct io_buf *chain)
{
    while (chain != NULL) {
        struct io_buf *b = chain;
        chain = b->next;
        b->next = NULL;
        t->wire_bytes += b->len;
        if (t->wire_last != NULL)
            t->wire_last->next = b;
        else
            t->wire = b;
        t->wire_last = b;
    }
}

void stream_tls_drop_sealed(struct stream_tls *t, uint32_t n)
{
    for (; n > 0; n--) {
        struct io_buf *b = t->sealed;
        t->sealed = b->next;
        t->n_sealed--;
        io_buf_put(stream_tls_io(t), b);
    }
    if (t->sealed == NULL) {
        t->sealed_last = NULL;
        t->provoked = 0;
    }
}

static int bio_read(BIO *bio, char *out, size_t len, size_t *done)
{
    struct stream_tls *t = BIO_get_data(bio);
    size_t n = 0;

    BIO_clear_retry_flags(bio);
    while (n < len && t->wire != NULL) {
        struct io_buf *b = t->wire;
        size_t part = b->len < len - n ? b->len : len - n;
        memcpy(out + n, b->data, part);
        b->data += part;
        b->len -= (uint32_t)part;
        n += part;
        if (b->len > 0)
            break;
        t->wire = b->next;
        if (t->wire == NULL)
            t->wire_last = NULL;
        io_buf_put(stream_tls_io(t), b);
    }
    t->wire_bytes -= (uint32_t)n;
    *done = n;
    if (n > 0)
        return 1;
    if (!t->wire_end)
        BIO_set_retry_read(bio);
    return 0;
}

static bool new_sealed(struct stream_tls *t, size_t room)
{
    struct io_buf *b = io_buf_new(stream_tls_io(t), (uint32_t)room);

    if (b == NULL)
        return false;
    if (t->sealed_last != NULL)
        t->sealed_last->next = b;
    else
        t->sealed = b;
    t->sealed_last = b;
    t->n_sealed++;
    return true;
}

/* Records are not split between buffers if that can be helped. */
static size_t room_for(const struct stream_tls *t, size_t len)
{
    size_t want = t->to_come > len ? t->to_come : len;

    return (want < SEALED_MAX ? want : SEALED_MAX) + TLS_RECORD_OVERHEAD;
}

static int bio_write(BIO *bio, const char *data, size_t len, size_t *done)
{
    struct stream_tls *t = BIO_get_data(bio);
    size_t n = 0;

    BIO_clear_retry_flags(bio);
    if (t->stream->kernel_seals) { /* its numbers are not ours any more */
        t->swallowed = true;
        *done = len;
        return 1;
    }
    stream_tls_kernel_count(t, (const uint8_t *)data, len);
    if (t->reading)
        t->provoked += (uint32_t)len;
    while (n < len) {
        bool open = t->sealed_last != NULL && t->n_sealed > t->sending;
        size_t room = open ? io_buf_room(stream_tls_io(t), t->sealed_last) : 0;
        if (room == 0) {
            if (!new_sealed(t, room_for(t, len - n)))
                return 0; /* no memory: the connection ends */
            continue;
        }
        size_t part = room < len - n ? room : len - n;
        memcpy(t->sealed_last->data + t->sealed_last->len, data + n, part);
        t->sealed_last->len += (uint32_t)part;
        n += part;
    }
    t->to_come -= t->to_come < len ? t->to_come : (uint32_t)len;
    *done = n;
    return 1;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    struct stream_tls *t = BIO_get_data(bio);

    /* "No": OpenSSL goes on by itself. */
    if (cmd == CTRL_SET_KTLS && num != 0 && t != NULL && !t->stream->kernel_seals)
        stream_tls_kernel_keys(t, ptr);
    return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_DUP;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

BIO_METHOD *stream_tls_bio(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sluice stream");

    if (m == NULL)
        return NULL;
    BIO_meth_set_read_ex(m, bio_read);
    BIO_meth_set_write_ex(m, bio_write);
    BIO_meth_set_ctrl(m, bio_ctrl);
    BIO_meth_set_create(m, bio_create);
    return m;
}
