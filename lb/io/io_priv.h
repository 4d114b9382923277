/* io_priv.h - shared by the engines and io.c; nobody else includes it (the simulated engine of the
 * tests does).
 *
 * How a turn goes: the engine's `turn` submits, waits and *reaps*: it only notes results in ops
 * (io_note_*) and links them into the ready list. Then io_turn() *runs*: it delivers the ready
 * list. So no callback ever runs while an engine walks its own structures. */
#ifndef SLUICE_IO_IO_PRIV_H
#define SLUICE_IO_IO_PRIV_H

#include "lb/base/list.h"
#include "lb/base/rand.h"
#include "lb/io/io.h"

#define RECV_OPEN 1 /* op->recv.end while the stream has not ended */

struct io_engine {
    const char *name;
    enum io_engine_kind kind;
    void (*free)(struct io *io); /* the engine's part; then io.c frees the rest */
    /* Submits, reaps; waits at most timeout_ms (-1: forever, 0: not at all) for something to reap.
     * Must call io_clock_update() after the wait. 0 or -errno. */
    int (*turn)(struct io *io, int timeout_ms, const struct io_turn_hooks *hooks);
    /* op->kind, fd and the union are set, op->armed is true already. */
    void (*accept)(struct io *io, struct op *op);
    void (*connect)(struct io *io, struct op *op);
    void (*recv)(struct io *io, struct op *op);
    void (*recv_into)(struct io *io, struct op *op);
    void (*send)(struct io *io, struct op *op);
    void (*poll)(struct io *io, struct op *op);
    void (*splice)(struct io *io, struct op *op);
    void (*watch)(struct io *io, struct op *op);
    void (*send_file)(struct io *io, struct op *op); /* NULL: cannot */
    /* Opening and reading; NULL: the pool of threads does them (file.c). */
    void (*file)(struct io *io, struct op *op);
    void (*cancel)(struct io *io, struct op *op); /* op->stopping is set already */
    void (*buf_returned)(struct io *io,
                         struct io_buf *buf); /* to post it again; NULL: nothing to do */
    /* NULL: the kernel's (io.c). The simulation replaces them. */
    int (*socket)(struct io *io, int family, const struct io_sock_opts *opts);
    int (*accept_now)(struct io *io, int fd);
    int (*shutdown)(struct io *io, int fd, int how);
    void (*close)(struct io *io, int fd, bool reset);
    int (*sock_name)(struct io *io, int fd, bool peer, struct sockaddr_storage *out,
                     socklen_t *out_len);
    int (*dgram_connect)(struct io *io, const struct sockaddr *addr, socklen_t len);
    int (*dgrams_recv)(struct io *io, int fd, struct io_dgram *d, int n, uint32_t room, bool from);
    int (*dgrams_send)(struct io *io, int fd, const struct io_dgram *d, int n, bool to);
    struct io_pipe *(*pipe_take)(struct io *io);
    void (*pipe_give)(struct io *io, struct io_pipe *pipe);
    uint64_t (*random)(struct io *io);
    void (*clock)(struct io *io); /* sets now_us and wall_us */
};

/* A connection accepted but not yet delivered. */
struct io_accepted {
    struct op *op;
    int fd;
};

/* Receive buffers: descriptors in one array, their bytes in chunks; a LIFO free list so that the
 * next receive gets the memory that is hottest in cache. Shared by all engines (buffers.c). */
struct io_bufs {
    struct io_buf *free;
    struct io_buf **by_id; /* index: io_buf.id */
    void **chunks;
    uint32_t n_chunks, total, used, max;
    uint32_t lent; /* of `used`: held by the kernel, empty */
};
#define IO_BUF_KEPT UINT16_MAX /* id of a buffer of io_buf_keep(): not the engine's */
void io_bufs_init(struct io_bufs *b, uint32_t max);
void io_bufs_fini(struct io_bufs *b);           /* none may be out */
struct io_buf *io_bufs_take(struct io_bufs *b); /* NULL: max reached or no memory */
void io_bufs_give(struct io_bufs *b, struct io_buf *buf);
/* A quarter is out: what is kept longer goes elsewhere. */
static inline bool io_bufs_short(const struct io_bufs *b)
{
    return b->used - b->lent > b->max / 4;
}
struct io_buf *io_bufs_new_kept(const struct io_buf *buf); /* a copy on the heap, or NULL */
struct io_buf *io_bufs_new(uint32_t room);                 /* an empty one on the heap, or NULL */
void io_bufs_free_kept(struct io_buf *buf);
uint8_t *io_buf_base(const struct io_bufs *b, const struct io_buf *buf); /* start of its memory */

struct io {
    const struct io_engine *engine;
    uint64_t now_us, wall_us;
    struct op *ready_first, *ready_last;
    struct io_accepted *accepted; /* FIFO: accepted_at .. accepted_n */
    uint32_t accepted_at, accepted_n, accepted_cap;
    struct io_bufs bufs;
    struct op *starved_first,
        *starved_last; /* receives that wait for a buffer (recv.next_starved) */
    struct io_stats stats;
    struct rng rng;
    struct list pipes_idle;
    uint32_t n_pipes_idle;
    bool no_pipes;           /* the system refused one lately */
    struct file_pool *files; /* NULL: none was needed yet */
};

/* For engines: the io's common part (called first by each engine's constructor). */
void io_common_init(struct io *io, const struct io_engine *engine, const struct io_conf *conf);
void io_common_fini(struct io *io);
struct io *io_uring_engine_new(const struct io_conf *conf, int *out_error);
struct io *io_epoll_engine_new(const struct io_conf *conf, int *out_error);
void io_uring_probe(struct io_probe *out);

void io_clock_update(struct io *io);

/* Whether an errno of accept concerns one client only (accept(2), "error handling"): go on. EAGAIN,
 * "nobody waits", is none of these. */
bool io_accept_passes(int error);

/* Notes for the run pass. io_note: a one-shot op, or the end of a stream, with its result. */
void io_note(struct io *io, struct op *op, int res);
void io_note_accepted(struct io *io, struct op *op, int fd);
void io_note_buf(struct io *io, struct op *op, struct io_buf *buf); /* a stream receive got it */
void io_note_moved(struct io *io, struct op *op, uint32_t bytes);   /* a splice moved bytes */
void io_note_shows(struct io *io, struct op *op); /* a watch: there is something */
static inline bool io_has_ready(const struct io *io)
{
    return io->ready_first != NULL || io->accepted_at != io->accepted_n;
}

/* Files, common to the kernel engines (file.c, file_pool.c). */
struct open_how;
extern const struct open_how io_open_beneath;
#define IO_OPEN_DIR_FLAGS (O_PATH | O_DIRECTORY | O_CLOEXEC) /* with IO_FILE_ANYWHERE */
/* Sends what there is room for: 1 when that was the last of it, 0 when the socket is full, -errno.
 */
int io_send_file_step(struct io *io, struct op *op);
void io_file_start(struct io *io, struct op *op);
int io_file_do(const struct op *op); /* waits, as long as it takes; any thread */
struct file_pool *file_pool_new(struct io *io);
void file_pool_free(struct file_pool **pool); /* nothing may be armed */
void file_pool_add(struct file_pool *pool, struct op *op);
void file_pool_cancel(struct file_pool *pool, struct op *op);

/* Splicing, common to the kernel engines (splice.c). */
struct io_pipe {
    struct list node; /* in pipes_idle */
    int rd, wr;
    uint32_t size, fill;
    uint32_t moved; /* not yet reported */
    uint64_t left;  /* bytes that may still be taken from `in` */
    int end;        /* 1: open, 0: `in` ended, -errno */
    bool noted;     /* the end is to be delivered: the kernel holds nothing of the op any more */
    bool error_on_in;
};
enum splice_wait { SPLICE_WAIT_IN, SPLICE_WAIT_OUT, SPLICE_AGAIN, SPLICE_END };
/* Moves what can be moved without waiting, up to LIMIT_TURN_SPLICE; notes moved bytes.
 * SPLICE_AGAIN: the budget is used up, come back next turn; SPLICE_END: pipe->end says why. */
enum splice_wait io_splice_step(struct io *io, struct op *op);

#endif
