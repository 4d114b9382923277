/* file_reader.c - see file_reader.h */
#include "lb/files/file_reader.h"

#include "lb/base/limits.h"

#include <errno.h>
#include <string.h>

static bool several(const struct file_reader *r)
{
    return r->reply.n_parts > 1;
}

/* Of the part at hand, at most a piece. */
static uint32_t wanted(const struct file_reader *r)
{
    uint64_t left = r->reply.parts[r->part].len - r->done;

    return left < LIMIT_FILE_READ ? (uint32_t)left : LIMIT_FILE_READ;
}

/* Where in the file. */
static uint64_t next_at(const struct file_reader *r)
{
    return r->reply.parts[r->part].first + r->done;
}

static void drop_buf(struct file_reader *r)
{
    if (r->buf != NULL)
        io_buf_put(r->io, r->buf);
    r->buf = NULL;
}

static enum file_read fail(struct file_reader *r, int error)
{
    drop_buf(r);
    r->error = error;
    return FILE_READ_FAILED;
}

static void go_on(struct file_reader *r, uint32_t n)
{
    r->done += n;
    if (r->done < r->reply.parts[r->part].len)
        return;
    r->part++;
    r->done = 0;
    r->headed = false;
}

uint32_t file_reader_peek(struct file_reader *r, uint64_t *out_offset)
{
    if (r->op.armed || r->buf != NULL || r->error != 0 || r->part == r->reply.n_parts ||
        (several(r) && !r->headed))
        return 0;
    uint64_t left = r->reply.parts[r->part].len - r->done;
    uint32_t n = left < LIMIT_FILE_DIRECT ? (uint32_t)left : LIMIT_FILE_DIRECT;
    *out_offset = next_at(r);
    return io_file_in_memory(r->io, r->file->fd, &r->file->memory, *out_offset, n) ? n : 0;
}

void file_reader_skip(struct file_reader *r, uint32_t n)
{
    go_on(r, n);
}

/* n bytes are in the buffer. */
static enum file_read got(struct file_reader *r, int n, struct io_buf **out)
{
    if (n == 0)
        return fail(r, -ENODATA);
    if (n < 0)
        return fail(r, n);
    r->buf->len = (uint32_t)n;
    *out = r->buf;
    r->buf = NULL;
    go_on(r, (uint32_t)n);
    return r->part == r->reply.n_parts && !several(r) ? FILE_READ_END : FILE_READ_SOME;
}

static void on_read(struct op *op, int res)
{
    struct file_reader *r = container_of(op, struct file_reader, op);

    if (res > 0)
        io_file_was_read(&r->file->memory, next_at(r), (uint32_t)res);
    r->error = res; /* until it is taken */
    r->fn(r);
}

/* What stands between parts. */
static enum file_read give_head(struct file_reader *r, struct io_buf **out)
{
    struct io_buf *b = io_buf_new(r->io, FILE_PART_HEAD_MAX);

    if (b == NULL)
        return fail(r, -ENOMEM);
    b->len = (uint32_t)file_reply_part_head(&r->reply, r->part, (char *)b->data);
    r->headed = true;
    *out = b;
    return r->part == r->reply.n_parts ? FILE_READ_END : FILE_READ_SOME;
}

enum file_read file_reader_take(struct file_reader *r, struct io_buf **out)
{
    *out = NULL;
    if (r->op.armed)
        return FILE_READ_LATER;
    if (r->buf != NULL) { /* was waited for */
        int res = r->error;
        r->error = 0;
        return got(r, res, out);
    }
    if (r->error != 0)
        return FILE_READ_FAILED;
    if (several(r) && !r->headed)
        return give_head(r, out);
    if (r->part == r->reply.n_parts)
        return FILE_READ_END;
    uint64_t at = next_at(r);
    uint32_t n = wanted(r);
    r->buf = io_buf_new(r->io, n);
    if (r->buf == NULL)
        return fail(r, -ENOMEM);
    int res = io_file_read_now(r->io, r->file->fd, &r->file->memory, r->buf->data, n, at);
    if (res != -EAGAIN)
        return got(r, res, out);
    io_file_read(r->io, &r->op, r->file->fd, r->buf->data, n, at);
    return FILE_READ_LATER;
}

void file_reader_init(struct file_reader *r, struct io *io, struct file *file,
                      const struct file_reply *reply, void (*fn)(struct file_reader *r))
{
    op_init(&r->op, on_read);
    r->io = io;
    r->file = file;
    file_hold(file);
    r->buf = NULL;
    r->fn = fn;
    r->reply = *reply;
    r->part = 0;
    r->done = 0;
    r->headed = false;
    r->error = 0;
}

void file_reader_cancel(struct file_reader *r)
{
    io_cancel(r->io, &r->op);
}

void file_reader_fini(struct file_reader *r)
{
    drop_buf(r);
    file_release(&r->file);
}
