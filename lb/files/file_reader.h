/* file_reader.h - the payload of a file's reply, in buffers, as it is asked for: what is in memory
 * at once, the rest when it has been read by another thread. */
#ifndef SLUICE_FILES_FILE_READER_H
#define SLUICE_FILES_FILE_READER_H

#include "lb/files/file_reply.h"
#include "lb/files/files.h"

struct io_buf;

enum file_read {
    FILE_READ_SOME,  /* *out; more may follow */
    FILE_READ_LATER, /* fn is called when there is more */
    FILE_READ_END,   /* *out may be a last piece */
    FILE_READ_FAILED,
};

struct file_reader {
    struct op op;
    struct io *io;
    struct file *file;  /* held */
    struct io_buf *buf; /* being read into */
    void (*fn)(struct file_reader *r);
    struct file_reply reply;
    uint32_t part; /* at hand */
    uint64_t done; /* of it */
    bool headed;   /* what goes before it was given */
    int error;     /* -errno; -ENODATA: the file has become shorter */
};

/* reply is copied; the file is held. */
void file_reader_init(struct file_reader *r, struct io *io, struct file *file,
                      const struct file_reply *reply, void (*fn)(struct file_reader *r));
enum file_read file_reader_take(struct file_reader *r, struct io_buf **out);
static inline bool file_reader_busy(const struct file_reader *r)
{
    return r->op.armed;
}
/* What comes next, as bytes of the file in one piece that are in memory: where, and how many, 0 for
 * none (ask file_reader_take()); and that n of them were sent past us. */
uint32_t file_reader_peek(struct file_reader *r, uint64_t *out_offset);
void file_reader_skip(struct file_reader *r, uint32_t n);
/* Gives everything back; not while busy: cancel first, fn comes soon. */
void file_reader_fini(struct file_reader *r);
void file_reader_cancel(struct file_reader *r);

#endif
