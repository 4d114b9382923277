/* io.h - the one interface to sockets: operations complete, they are never "ready".
 *
 * A struct io belongs to one thread, and so do all ops on it. Three engines stand behind it:
 * io_uring (uring.c), epoll (epoll.c) and the simulated one of the tests (tests/sim). They behave
 * alike; where they may differ it is said here. An engine never calls a completion from inside
 * io_*(): completions run from io_turn() only, so a caller finishes its thought before anything
 * happens to it. Descriptors are ints; in the simulation they are not the kernel's. */
#ifndef SLUICE_IO_IO_H
#define SLUICE_IO_IO_H

#include "lb/base/counter.h"
#include "lb/io/op.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct io;

enum io_engine_kind { IO_AUTO, IO_URING, IO_EPOLL, IO_SIM };

/* Counters an engine keeps; any thread may read them with counter_get(). */
struct io_stats {
    counter turns, syscalls, completions, recvs, sends, sends_blocked, accepts, connects;
    counter dgrams_in, dgrams_out;
    counter file_waits; /* files that were not in memory: another thread opened or read them */
    counter no_buffers; /* receives that had to wait for a buffer */
    counter cq_overflows, bytes_spliced, batch_max;
    counter bufs_total, bufs_used, pipes_open, pipes_used;
};

struct io_conf {
    enum io_engine_kind engine; /* IO_AUTO: io_uring where it works, else epoll */
    uint32_t bufs_max;          /* receive buffers at most; 0: LIMIT_BUFS */
    bool recv_unbounded;        /* io_uring: do as on a kernel before 6.17; for tests */
};

/* What the machine can do, found once by io_probe(); `why` says in words why a thing is missing. */
struct io_probe {
    bool uring;          /* an io_uring good enough for the data plane can be set up */
    bool defer_taskrun;  /* 6.1 */
    bool multishot_recv; /* 6.0 */
    char why[160];       /* "" or why not, e.g. "io_uring_setup: Operation not permitted (...)" */
    char features[256];  /* "multishot-accept multishot-recv buffer-ring defer-taskrun ..." */
};
void io_probe(struct io_probe *out_probe);

/* To be called in the thread that will run it. NULL and *out_error = -errno on failure. */
struct io *io_new(const struct io_conf *conf, int *out_error);
void io_free(struct io **io); /* no op may be armed, no buffer out */
enum io_engine_kind io_engine(const struct io *io);
const char *io_engine_name(const struct io *io); /* "io_uring", "epoll", "sim" */
const struct io_stats *io_stats(const struct io *io);

/* One turn: submits what was armed, waits for at least one completion or until timeout_ms is over
 * (0: do not wait, -1: forever), and delivers what is there, at most LIMIT_TURN_EVENTS.
 * before_wait and after_wait (may be NULL) are called around a wait that may block: epochs.
 * Returns the number of deliveries, 0 on time-out, or -errno when the engine itself is broken. */
struct io_turn_hooks {
    void (*before_wait)(void *arg);
    void (*after_wait)(void *arg);
    void *arg;
};
int io_turn(struct io *io, int timeout_ms, const struct io_turn_hooks *hooks);

/* Time, monotonic; read once a turn, so all of a turn happens at one time. */
uint64_t io_now_us(const struct io *io);
static inline uint64_t io_now_ms(const struct io *io)
{
    return io_now_us(io) / 1000;
}
uint64_t io_wall_us(const struct io *io); /* since 1970, for logs; read once a turn too */
uint64_t io_random(struct io *io);        /* seeded in the simulation */

/* ---- operations: op must be idle, op->fn set; fn is called once or as said ---- */

/* Stream: fn(op, fd >= 0) for each connection (non-blocking, close-on-exec), and once
 * fn(op, -errno) at the end: -ECANCELED after io_cancel, -EMFILE, -ENFILE, -ENOBUFS, -ENOMEM when
 * resources are short (the owner pauses and arms it again later), others for a broken socket.
 * Transient errors of single connections (-ECONNABORTED) are swallowed by the engine. */
void io_accept(struct io *io, struct op *op, int fd);

/* fn(op, 0 | -errno). The address must stay until then. */
void io_connect(struct io *io, struct op *op, int fd, const struct sockaddr *addr, socklen_t len);

/* Stream receive: fn(op, n > 0) with n bytes in buffers that the callback must take with
 * op_take_bufs(); the last call is fn(op, 0) at end of stream or fn(op, -errno): -ECANCELED after
 * io_cancel. Nothing that arrived is lost by a cancel: data calls come before the -ECANCELED call.
 * Uses no memory while nothing arrives. When buffers run out it waits for some, silently. */
void io_recv(struct io *io, struct op *op, int fd);
void io_buf_put(struct io *io, struct io_buf *buf); /* any buffer taken from a receive */
/* An empty buffer to write into, with room for `room` bytes, or NULL without memory. */
struct io_buf *io_buf_new(struct io *io, uint32_t room);
/* For bytes that will be kept for a while (their receiver is slow, or not there yet): the same
 * bytes in a buffer of their own size when the engine's are getting short, else buf itself. So
 * those who wait cannot starve those who would let them go on. */
struct io_buf *io_buf_keep(struct io *io, struct io_buf *buf);
/* Bytes that can be appended behind buf->data + buf->len. */
uint32_t io_buf_room(const struct io *io, const struct io_buf *buf);
/* As op_take_bufs(), put back all at once (for data that nobody wants). */
void io_buf_put_chain(struct io *io, struct io_buf *first);

/* One receive into the owner's memory: fn(op, n > 0 | 0 at end of stream | -errno). */
void io_recv_into(struct io *io, struct op *op, int fd, void *data, size_t len);

/* Sends all of it: fn(op, n = total) or fn(op, -errno) (op->send.done tells how much went before).
 * At most one send is armed per descriptor. The bytes, and the vector, stay the op's until fn;
 * it may edit the vector.
 * io_send accepts 1 to 2^30 bytes; io_sendv 1 to LIMIT_IOV slices. */
void io_send(struct io *io, struct op *op, int fd, const void *data, size_t len);
void io_sendv(struct io *io, struct op *op, int fd, struct iovec *iov, int n);

/* Once: fn(op, revents > 0 | -errno) when any of POLLIN, POLLOUT, POLLRDHUP in events, or an error
 * or hang-up (always included), shows. On sockets that also have other ops armed, use it only with
 * events == 0, "tell me about an error", or POLLRDHUP: "or when the peer ends its stream". */
void io_poll(struct io *io, struct op *op, int fd, uint32_t events);

/* Stream: moves bytes from `in` to `out` through the pipe with splice(2).
 * fn(op, n > 0): n bytes reached `out` since the last call (calls are rationed, so that others get
 * turns); last call: fn(op, 0) when `in` ended and the pipe is empty; fn(op, -errno) on an error,
 * of `in` when io_pipe_error_on_in() says so, else of `out`; -EINVAL where the descriptors cannot
 * splice, or cannot any more (urgent data): then the pipe is empty; -ECANCELED after io_cancel: the
 * pipe may hold bytes (io_pipe_fill), which the owner sends on by arming again, or discards. While
 * it waits for `out`, an error or hang-up on `in` is still seen. */
void io_splice(struct io *io, struct op *op, int in, int out, struct io_pipe *pipe);
/* The same for the next n > 0 bytes only, those in the pipe included: the last call is fn(op, 0)
 * when they have reached `out` too; nothing behind them is taken from `in`. */
void io_splice_n(struct io *io, struct op *op, int in, int out, struct io_pipe *pipe, uint64_t n);
struct io_pipe *io_pipe_take(struct io *io);             /* NULL: none to be had, copy instead */
void io_pipe_give(struct io *io, struct io_pipe **pipe); /* a pipe with bytes in it is closed */
uint32_t io_pipe_fill(const struct io_pipe *pipe);       /* bytes inside */
bool io_pipe_error_on_in(const struct io_pipe *pipe);
/* Of those n bytes, how many were not taken from `in`: none, or it has ended before. */
uint64_t io_pipe_left(const struct io_pipe *pipe);

/* Asks an armed op to end: its last fn call comes from a later turn, with -ECANCELED or with what
 * happened before. No effect on an idle or stopping op. A cancelled send may have sent a part. */
void io_cancel(struct io *io, struct op *op);

/* ---- datagrams ---- */

/* Stream, on a datagram socket on which nothing else is armed: fn(op, 1) when some, or an error,
 * may have come since the last time; last call fn(op, -errno): -ECANCELED after io_cancel. Whoever
 * does not take all then says so by io_watch_again(), and is called in the next turn. */
void io_watch(struct io *io, struct op *op, int fd);
void io_watch_again(struct io *io, struct op *op); /* armed; not from inside fn */

struct io_dgram_addr {
    socklen_t len;
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    };
};

/* One datagram, or several of one size from one sender to one receiver that the kernel has joined
 * (or is to split): `segment` bytes each, the last one may be shorter. */
struct io_dgram {
    uint8_t *data;
    uint32_t len;     /* bytes; may be 0 */
    uint16_t segment; /* 0: one datagram */
    bool cut;         /* received: it was longer than its memory, the rest is lost */
    /* The other end, and the own one, without a port (family AF_UNSPEC: the socket's). Not used on
     * connected sockets. */
    struct io_dgram_addr peer, local;
};
#define IO_DGRAMS_MAX 32 /* in one call */

/* A non-blocking datagram socket that is connected to addr, or -errno. */
int io_dgram_connect(struct io *io, const struct sockaddr *addr, socklen_t len);
/* Up to n <= IO_DGRAMS_MAX that wait; room: bytes at each one's data. How many; or -errno: -EAGAIN
 * when none waits, of a connected socket also what became of one sent before (-ECONNREFUSED). With
 * from, peers and local addresses are asked for. */
int io_dgrams_recv(struct io *io, int fd, struct io_dgram *d, int n, uint32_t room, bool from);
/* How many of n <= IO_DGRAMS_MAX the kernel has taken, or why not even the first: -EAGAIN when the
 * socket's buffer is full; -EINVAL, -EMSGSIZE, -EIO and others may mean that it cannot split. to:
 * they have addresses. */
int io_dgrams_send(struct io *io, int fd, const struct io_dgram *d, int n, bool to);

/* ---- files: never waited for; by other threads (the kernel's with io_uring, else a few of ours)
 */

#define IO_FILE_ANYWHERE (-100) /* AT_FDCWD */

/* Opens what the path names, for reading: fn(op, fd | -errno). Close it with close(2). Beneath the
 * directory `dir` only: a path or link that leads out of it is -EXDEV. With IO_FILE_ANYWHERE the
 * path must be a directory's, of which a handle comes, to be used as `dir`. The path stays until
 * fn; after io_cancel() it may be opened all the same. Never waits for a FIFO. */
void io_file_open(struct io *io, struct op *op, int dir, const char *path);
/* Reads from that place in the file: fn(op, n > 0 | 0 at its end | -errno); n may be less than len.
 * After io_cancel() memory is written to until fn. */
void io_file_read(struct io *io, struct op *op, int fd, void *data, uint32_t len, uint64_t offset);
/* Sends len <= LIMIT_TURN_SPLICE bytes of a file to a socket, out of the system's memory and past
 * ours: fn as of io_send(); -ENODATA: the file has become shorter. What of it is not in memory is
 * waited for: see io_file_in_memory(). The file stays open, or is dropped: then the op is cancelled
 * and the descriptor is not looked at again. False: this engine cannot. */
bool io_send_file(struct io *io, struct op *op, int fd, int file, uint64_t offset,
                  uint32_t len) WARN_UNUSED;
void io_send_file_drop(struct io *io, struct op *op);
/* How to find out what of an open file is in memory; all zero when it is opened. Most file systems
 * can be asked. Where not (overlay: all files of a container's image), what was read lately is. */
struct io_file_memory {
    uint8_t way;       /* file.c */
    uint64_t from, to; /* was read */
};
/* Whether the system has those bytes of a file in memory. A good guess where it cannot be asked. */
bool io_file_in_memory(struct io *io, int fd, struct io_file_memory *m, uint64_t offset,
                       uint32_t len);
/* io_file_read() has read those bytes. */
void io_file_was_read(struct io_file_memory *m, uint64_t offset, uint32_t len);
/* The same at once, as far as the system has all that is needed in memory; else -EAGAIN. */
int io_file_open_now(struct io *io, int dir, const char *path);
int io_file_read_now(struct io *io, int fd, struct io_file_memory *m, void *data, uint32_t len,
                     uint64_t offset);

/* ---- immediate calls ---- */

struct io_sock_opts {
    bool nodelay;
    bool dgram;     /* a datagram socket instead: to be connected, then used like a stream */
    bool defer_ack; /* the first acknowledgement rides on data where possible */
};
/* A non-blocking, close-on-exec stream socket, or -errno. Options that the family lacks are
 * skipped. */
int io_socket(struct io *io, int family, const struct io_sock_opts *opts);
/* A connection that waits already, as io_accept() would deliver it; -EAGAIN: none does. Only while
 * no accept is armed on fd: for the last ones before a listening socket is closed. */
int io_accept_now(struct io *io, int fd);
/* For a connection that lives on: a peer that is gone is noticed by probes, and after
 * unacknowledged_ms without an acknowledgement of what was sent. Not for io_socket(): short
 * connections never need it. */
void io_keep_alive(struct io *io, int fd, uint32_t unacknowledged_ms);
/* Takes defer_ack back: acknowledgements go out as the kernel sees fit. */
void io_quick_ack(struct io *io, int fd);
int io_shutdown(struct io *io, int fd, int how); /* 0 or -errno; at once */
/* No op may be armed on fd. close: as close(2). reset: the peer sees a reset (TCP). */
void io_close(struct io *io, int fd);
void io_reset(struct io *io, int fd);
/* 0 or -errno. The peer's is known also after it has reset the connection (TCP; not simulated). */
int io_peer_name(struct io *io, int fd, struct sockaddr_storage *out_addr, socklen_t *out_len);
int io_local_name(struct io *io, int fd, struct sockaddr_storage *out_addr, socklen_t *out_len);

#endif
