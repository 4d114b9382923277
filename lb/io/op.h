/* op.h - one asynchronous operation, embedded in its owner.
 *
 * Life of an op: idle -> armed (io_*() was called) -> idle again when the last completion is
 * *delivered*, that is, when fn is called with op->armed already false. While armed, the engine
 * (and the kernel) owns the op, its buffers and the descriptor's validity: the owner must not free
 * the op, change it, or close the fd. To get it back early: io_cancel(), then wait for that last
 * call. Stream operations (accept, stream receive, splice) call fn several times; op->armed tells
 * whether the present call is the last one. The callback may free the op when it is not armed. */
#ifndef SLUICE_IO_OP_H
#define SLUICE_IO_OP_H

#include "lb/base/assert.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct op;
struct io_buf;
struct io_pipe;

/* res: what the operation says, or -errno; its meaning per operation stands in io.h. */
typedef void op_fn(struct op *op, int res);

enum op_kind {
    OP_NONE,
    OP_ACCEPT,
    OP_CONNECT,
    OP_RECV,      /* stream receive into engine buffers */
    OP_RECV_INTO, /* one receive into the owner's memory */
    OP_SEND,
    OP_POLL,
    OP_SPLICE,
    OP_WATCH,
    OP_FILE_OPEN,
    OP_FILE_READ,
    OP_SEND_FILE,
};

struct op {
    op_fn *fn;
    struct op *next_ready; /* engine: list of ops with something to deliver */
    int fd;
    int res;      /* engine: result to deliver */
    uint8_t kind; /* enum op_kind while armed */
    bool armed;
    bool stopping;      /* engine: io_cancel() was asked */
    bool ready;         /* engine: is in the ready list */
    uint8_t state;      /* engine's own */
    bool fresh : 1;     /* hint by the owner: a receive will most likely find nothing yet, or a
                         * send will be taken whole; engines may ignore it */
    bool piecemeal : 1; /* engine: the socket refuses to take a send as a whole */
    uint16_t aux;       /* engine's own */
    union {
        struct {
            struct io_buf *first, *last; /* received, not yet taken by op_take_bufs() */
            int end;                     /* engine: 1 for none, else 0 or -errno to deliver last */
            struct op *next_starved;     /* engine */
        } recv;
        struct {
            struct iovec
                *iov; /* what is unsent: a vector (the op may edit it while armed), or &one */
            struct iovec one;
            uint32_t done,
                total; /* bytes; `done` may be read while armed: progress (engines set it) */
        } send;
        struct {
            uint64_t offset; /* in the file, of what is unsent */
            uint32_t done, total;
            int file;
        } send_file;
        struct {
            void *data;
            uint32_t len;
        } into;
        struct {
            const void *addr;
            uint32_t len;
        } connect;
        struct {
            uint32_t events;
        } poll;
        struct {
            struct io_pipe *pipe;
            int out;
            struct op *next_again; /* engine */
        } splice;
        struct {
            const char *path;
            int dir;
        } open;
        struct {
            void *data;
            uint32_t len;
            uint64_t offset;
        } read;
    };
};

static inline void op_init(struct op *op, op_fn *fn)
{
    *op = (struct op){.fn = fn, .fd = -1};
}

/* Received buffers: see io_recv(). The receiver owns the buffers that it takes and gives each back
 * with io_buf_put(), in any order. */
struct io_buf {
    struct io_buf *next; /* free for the owner's lists */
    uint8_t *data;       /* first unread byte; the owner may advance it */
    uint32_t len;        /* unread bytes; the owner may lower it */
    uint16_t id;         /* engine's own */
    uint16_t refs;       /* free for the owner */
};

/* Takes the chain of buffers that a receive delivered (NULL: none). */
static inline struct io_buf *op_take_bufs(struct op *op)
{
    struct io_buf *b = op->recv.first;
    op->recv.first = op->recv.last = NULL;
    return b;
}

#endif
