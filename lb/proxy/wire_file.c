/* wire_file.c - see wire_file.h */
#include "lb/proxy/wire_file.h"

#include "lb/files/file_reader.h"
#include "lb/proxy/exchange_priv.h"

#include <errno.h>

static struct wire_file *of(struct wire *w)
{
    return container_of(w, struct wire_file, wire);
}

static struct file_reader *reader_of(const struct wire *w)
{
    return container_of(w, const struct wire_file, wire)->reader;
}

/* ---- the request: nobody is there to take it ---- */

static bool send_head(struct wire *w, const struct wire_request *r)
{
    (void)w;
    (void)r;
    return true;
}

static bool send_body(struct wire *w, struct io_buf *chain)
{
    io_buf_put_chain(exchange_io(w->exchange), chain);
    return true;
}

static bool send_end(struct wire *w, const struct http_head *trailers)
{
    (void)w;
    (void)trailers;
    return true;
}

static void flush(struct wire *w)
{
    (void)w;
}

static bool blocked(struct wire *w)
{
    (void)w;
    return false;
}

static bool takes(const struct wire *w)
{
    (void)w;
    return false;
}

static uint64_t no_bytes(const struct wire *w)
{
    (void)w;
    return 0;
}

static bool maybe_seen(const struct wire *w)
{
    (void)w;
    return true;
}

/* ---- the response ---- */

static enum wire_read read_head(struct wire *w, enum http_method to, struct http_field *fields,
                                uint16_t max_fields, struct http_head *out, const char **out_reason)
{
    (void)w;
    (void)to;
    (void)fields;
    (void)max_fields;
    (void)out;
    (void)out_reason;
    return WIRE_MORE;
}

static void head_taken(struct wire *w, const struct http_head *h)
{
    (void)w;
    (void)h;
}

static enum take take(struct wire *w, struct arena *arena, struct io_buf **out,
                      struct http_head **out_trailers, const char **out_reason)
{
    (void)arena;
    (void)out_trailers;
    (void)out_reason;
    switch (file_reader_take(reader_of(w), out)) {
    case FILE_READ_SOME:
    case FILE_READ_LATER:
        break;
    case FILE_READ_END:
        w->in_bytes += io_chain_bytes(*out);
        return TAKE_END;
    case FILE_READ_FAILED:
        return TAKE_LOST;
    }
    w->in_bytes += io_chain_bytes(*out);
    return TAKE_MORE;
}

static void pull(struct wire *w, bool want)
{
    (void)w;
    (void)want;
}

static int error(const struct wire *w)
{
    return reader_of(w)->error;
}

static const char *reason(const struct wire *w)
{
    int e = reader_of(w)->error;

    return e == -ENODATA || e == 0 ? "file-became-shorter"
                                   : "file-error"; /* 0: when sent past us */
}

static const char *why(const struct wire *w)
{
    (void)w;
    return "";
}

static struct stream *raw(struct wire *w)
{
    (void)w;
    return NULL;
}

static void spliced(struct wire *w, uint64_t n)
{
    (void)w;
    (void)n;
}

static uint32_t file(struct wire *w, int *out_fd, uint64_t *out_offset)
{
    *out_fd = reader_of(w)->file->fd;
    return file_reader_peek(reader_of(w), out_offset);
}

static void file_sent(struct wire *w, uint32_t n)
{
    w->in_bytes += n;
    file_reader_skip(reader_of(w), n);
}

static void upgrade(struct wire *w)
{
    (void)w;
}

static void close_(struct wire *w, bool reset)
{
    (void)reset;
    of(w)->reader = NULL;
}

static const struct wire_ops ops = {
    .send_head = send_head,
    .send_body = send_body,
    .send_end = send_end,
    .flush = flush,
    .blocked = blocked,
    .takes = takes,
    .progress = no_bytes,
    .out_bytes = no_bytes,
    .maybe_seen = maybe_seen,
    .read_head = read_head,
    .head_taken = head_taken,
    .take = take,
    .pull = pull,
    .error = error,
    .reason = reason,
    .why = why,
    .raw = raw,
    .spliceable = no_bytes,
    .spliced = spliced,
    .file = file,
    .file_sent = file_sent,
    .upgrade = upgrade,
    .close = close_,
};

void wire_file_open(struct wire_file *w, struct exchange *x, struct file_reader *reader)
{
    *w = (struct wire_file){.wire = {.ops = &ops, .exchange = x, .head_begun = true},
                            .reader = reader};
}
