/* file.c - files: what can be had at once, and who waits for the rest: the engine's own way where
 * it has one, else the pool (file_pool.c). */
#include "lb/base/limits.h"
#include "lb/io/io_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20 /* 5.12 */
#endif

#ifdef SYS_cachestat
#define SYS_cachestat_ SYS_cachestat
#else
#define SYS_cachestat_ 451 /* the same number on all architectures */
#endif

#ifndef EROFS_SUPER_MAGIC_V1
#define EROFS_SUPER_MAGIC_V1 0xE0F5E1E2
#endif
#define ZFS_MAGIC 0x2FC12FC1 /* no header has it */

#define PAGE_BYTES  4096u
#define AHEAD_BYTES (64u << 10)

/* O_NONBLOCK: opening a FIFO would wait for a writer. */
#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

const struct open_how io_open_beneath = {
    .flags = OPEN_FLAGS,
    .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
};

static int openat2_(int dir, const char *path, const struct open_how *how)
{
    int fd = (int)syscall(SYS_openat2, dir, path, how, sizeof(*how));

    return fd < 0 ? -errno : fd;
}

/* ---- without openat2(2): before Linux 5.6, and where a filter forbids it ---- */

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Opens one name after the other. No link is followed, as nothing could say where it leads; of one
 * that is met O_NOFOLLOW says ELOOP, of one on the way ENOTDIR. */
static int walk(int dir, const char *path)
{
    char name[256];
    int at = dir;

    for (;;) {
        size_t len = strcspn(path, "/");
        const char *rest = path + len + strspn(path + len, "/");
        bool last = *rest == '\0';
        if (len >= sizeof(name)) {
            errno = ENAMETOOLONG;
            break;
        }
        memcpy(name, path, len);
        name[len] = '\0';
        if (len == 0 || (is_dots(name) && !(last && strcmp(name, ".") == 0))) {
            errno = EXDEV;
            break;
        }
        int fd =
            openat(at, name, O_NOFOLLOW | (last ? OPEN_FLAGS : O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (at != dir)
            close(at);
        if (fd < 0 || last)
            return fd < 0 ? -errno : fd;
        at = fd;
        path = rest;
    }
    int error = errno;
    if (at != dir)
        close(at);
    return -error;
}

static int open_beneath(int dir, const char *path)
{
    int fd = openat2_(dir, path, &io_open_beneath);

    return fd == -ENOSYS || fd == -EPERM ? walk(dir, path) : fd;
}

int io_file_do(const struct op *op)
{
    if (op->kind == OP_FILE_READ) {
        ssize_t n;
        do {
            n = pread(op->fd, op->read.data, op->read.len, (off_t)op->read.offset);
        } while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : (int)n;
    }
    if (op->open.dir != IO_FILE_ANYWHERE)
        return open_beneath(op->open.dir, op->open.path);
    int fd = open(op->open.path, IO_OPEN_DIR_FLAGS);
    return fd < 0 ? -errno : fd;
}

/* ---- at once ---- */

int io_file_open_now(struct io *io, int dir, const char *path)
{
    struct open_how how = io_open_beneath;

    if (dir == IO_FILE_ANYWHERE)
        how = (struct open_how){.flags = IO_OPEN_DIR_FLAGS};
    how.resolve |= RESOLVE_CACHED;
    counter_add(&io->stats.syscalls, 1);
    int fd = openat2_(dir, path, &how);
    /* Those that do not know this way of asking are asked by the other one. */
    return fd == -ENOSYS || fd == -EPERM || fd == -EINVAL ? -EAGAIN : fd;
}

/* ---- what is in memory ---- */

enum way {
    WAY_ASK,    /* with preadv2(2), or cachestat(2) */
    WAY_ALL,    /* all of it is: the file system is in memory itself */
    WAY_LEARN,  /* what was read, for as long as the file stays open */
    WAY_CANNOT, /* say: a file system behind a network, for one, may wait whatever is cached */
};

static enum way way_of(int fd)
{
    struct statfs fs;

    if (fstatfs(fd, &fs) < 0)
        return WAY_CANNOT;
    switch ((uint32_t)fs.f_type) {
    case TMPFS_MAGIC:
    case RAMFS_MAGIC:
        return WAY_ALL;
    case OVERLAYFS_SUPER_MAGIC:
    case SQUASHFS_MAGIC:
    case EROFS_SUPER_MAGIC_V1:
    case ZFS_MAGIC:
        return WAY_LEARN;
    default:
        return WAY_CANNOT;
    }
}

static bool known(const struct io_file_memory *m, uint64_t offset, uint32_t len)
{
    return m->way == WAY_ALL || (m->way == WAY_LEARN && offset >= m->from && offset + len <= m->to);
}

/* One stretch is remembered, and not more of it than will hardly have been dropped since. */
void io_file_was_read(struct io_file_memory *m, uint64_t offset, uint32_t len)
{
    uint64_t end = offset + len;

    if (m->way != WAY_LEARN)
        return;
    if (offset > m->to || end < m->from) {
        m->from = offset;
        m->to = end;
        return;
    }
    if (offset < m->from)
        m->from = offset;
    if (end > m->to)
        m->to = end;
    if (m->to - m->from <= LIMIT_FILE_KNOWN)
        return;
    if (end == m->to)
        m->from = m->to - LIMIT_FILE_KNOWN;
    else
        m->to = m->from + LIMIT_FILE_KNOWN;
}

/* flags: of preadv2(2). */
static int read_some(struct io *io, int fd, void *data, uint32_t len, uint64_t offset, int flags)
{
    struct iovec iov = {data, len};
    ssize_t n;

    do {
        n = preadv2(fd, &iov, 1, (off_t)offset, flags);
        counter_add(&io->stats.syscalls, 1);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : (int)n;
}

int io_file_read_now(struct io *io, int fd, struct io_file_memory *m, void *data, uint32_t len,
                     uint64_t offset)
{
    if (m->way == WAY_ASK) {
        int n = read_some(io, fd, data, len, offset, RWF_NOWAIT);
        if (n != -EOPNOTSUPP && n != -ENOSYS && n != -EINVAL)
            return n;
        m->way = (uint8_t)way_of(fd);
    }
    return known(m, offset, len) ? read_some(io, fd, data, len, offset, 0) : -EAGAIN;
}

/* How much of a range is in memory is a system call since 6.5. */
static int ask_cached(int fd, uint64_t offset, uint32_t len, bool *out)
{
    struct {
        uint64_t at, len;
    } range = {offset, len};
    struct {
        uint64_t cached, dirty, writeback, evicted, recently_evicted;
    } found;

    if (syscall(SYS_cachestat_, fd, &range, &found, 0) < 0)
        return -errno;
    uint64_t pages = (offset + len - 1) / PAGE_BYTES - offset / PAGE_BYTES + 1;
    *out = found.cached >= pages;
    return 0;
}

bool io_file_in_memory(struct io *io, int fd, struct io_file_memory *m, uint64_t offset,
                       uint32_t len)
{
    static _Atomic bool cannot_ask;
    bool cached = false;
    char byte;

    if (known(m, offset, len))
        return true;
    if (m->way == WAY_LEARN) /* pages of an overlay are those of the file beneath: it shows none */
        return false;
    if (!atomic_load_explicit(&cannot_ask, memory_order_relaxed)) {
        counter_add(&io->stats.syscalls, 1);
        if (ask_cached(fd, offset, len, &cached) == 0)
            return cached;
        atomic_store_explicit(&cannot_ask, true, memory_order_relaxed);
    }
    /* Files are read ahead by such pieces: where both ends are, the middle is too. */
    for (uint64_t at = offset; at < offset + len; at += AHEAD_BYTES)
        if (io_file_read_now(io, fd, m, &byte, 1, at) != 1)
            return false;
    return io_file_read_now(io, fd, m, &byte, 1, offset + len - 1) == 1;
}

/* ---- past us ---- */

int io_send_file_step(struct io *io, struct op *op)
{
    while (op->send_file.done < op->send_file.total) {
        if (op->send_file.file < 0)
            return -ECANCELED;
        off_t at = (off_t)op->send_file.offset;
        ssize_t n =
            sendfile(op->fd, op->send_file.file, &at, op->send_file.total - op->send_file.done);
        counter_add(&io->stats.syscalls, 1);
        if (n == 0)
            return -ENODATA;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 0 : -errno;
        op->send_file.offset += (uint64_t)n;
        op->send_file.done += (uint32_t)n;
    }
    return 1;
}

/* ---- later ---- */

void io_file_start(struct io *io, struct op *op)
{
    counter_add(&io->stats.file_waits, 1);
    if (io->engine->file != NULL) {
        io->engine->file(io, op);
        return;
    }
    if (io->files == NULL)
        io->files = file_pool_new(io);
    if (io->files == NULL)
        io_note(io, op, -ENOMEM);
    else
        file_pool_add(io->files, op);
}
