/* buffers.c - receive buffers: see struct io_bufs in io_priv.h.
 *
 * Grown by chunks when needed, never shrunk: the number that a worker needs at once is small
 * (buffers are held only while bytes wait to be sent). In sanitizer builds a free buffer is
 * poisoned, so that reading it after it was given back is caught. */
#include "lb/base/alloc.h"
#include "lb/base/limits.h"
#include "lb/io/io_priv.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

#define CHUNK_BUFS 16
/* A stride that is no multiple of 4 KiB spreads the buffers' first lines, the only ones that small
 * messages touch, over all sets of the first-level cache. */
#define STRIDE     (LIMIT_BUF_SIZE + 3 * CACHE_LINE)

struct chunk {
    struct io_buf bufs[CHUNK_BUFS];
};

static uint8_t *chunk_bytes(const struct io_bufs *b, uint32_t id)
{
    return (uint8_t *)b->chunks[id / CHUNK_BUFS] + (size_t)(id % CHUNK_BUFS) * STRIDE;
}

uint8_t *io_buf_base(const struct io_bufs *b, const struct io_buf *buf)
{
    return chunk_bytes(b, buf->id);
}

void io_bufs_init(struct io_bufs *b, uint32_t max)
{
    *b = (struct io_bufs){.max = (max + CHUNK_BUFS - 1) / CHUNK_BUFS * CHUNK_BUFS};
    b->by_id = xcalloc(b->max, sizeof(*b->by_id));
    b->chunks = xcalloc(b->max / CHUNK_BUFS, sizeof(*b->chunks));
}

void io_bufs_fini(struct io_bufs *b)
{
    sl_assert(b->used == 0);
    for (uint32_t i = 0; i < b->n_chunks; i++) {
        UNPOISON(b->chunks[i], (size_t)CHUNK_BUFS * STRIDE);
        munmap(b->chunks[i], (size_t)CHUNK_BUFS * STRIDE);
        free(container_of(b->by_id[i * CHUNK_BUFS], struct chunk, bufs[0]));
    }
    free(b->by_id);
    free(b->chunks);
}

static bool grow(struct io_bufs *b)
{
    if (b->total >= b->max)
        return false;
    void *bytes = mmap(NULL, (size_t)CHUNK_BUFS * STRIDE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED)
        return false;
    struct chunk *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        munmap(bytes, (size_t)CHUNK_BUFS * STRIDE);
        return false;
    }
    b->chunks[b->n_chunks++] = bytes;
    POISON(bytes, (size_t)CHUNK_BUFS * STRIDE);
    for (uint32_t i = CHUNK_BUFS; i-- > 0;) { /* backwards: the first is on top of the list */
        struct io_buf *buf = &c->bufs[i];
        buf->id = (uint16_t)(b->total + i);
        b->by_id[buf->id] = buf;
        buf->next = b->free;
        b->free = buf;
    }
    b->total += CHUNK_BUFS;
    return true;
}

struct io_buf *io_bufs_take(struct io_bufs *b)
{
    if (b->free == NULL && !grow(b))
        return NULL;
    struct io_buf *buf = b->free;
    b->free = buf->next;
    b->used++;
    buf->next = NULL;
    buf->data = io_buf_base(b, buf);
    buf->len = 0;
    buf->refs = 0;
    UNPOISON(buf->data, LIMIT_BUF_SIZE);
    return buf;
}

void io_bufs_give(struct io_bufs *b, struct io_buf *buf)
{
    sl_assert(b->used > 0);
    POISON(io_buf_base(b, buf), LIMIT_BUF_SIZE);
    b->used--;
    buf->next = b->free;
    b->free = buf;
}

/* ---- kept ones ---- */

#define KEPT_ROOM                                                                                  \
    512 /* bytes at least, so that a client that dribbles fills them before the next */

struct kept_buf {
    struct io_buf buf;
    uint32_t capacity;
    uint8_t bytes[];
};

struct io_buf *io_bufs_new(uint32_t room)
{
    struct kept_buf *k = malloc(sizeof(*k) + room);

    if (k == NULL)
        return NULL;
    k->capacity = room;
    k->buf = (struct io_buf){.data = k->bytes, .id = IO_BUF_KEPT};
    return &k->buf;
}

struct io_buf *io_bufs_new_kept(const struct io_buf *buf)
{
    struct io_buf *kept = io_bufs_new(buf->len < KEPT_ROOM ? KEPT_ROOM : buf->len);

    if (kept == NULL)
        return NULL;
    kept->next = buf->next;
    kept->len = buf->len;
    memcpy(kept->data, buf->data, buf->len);
    return kept;
}

void io_bufs_free_kept(struct io_buf *buf)
{
    free(container_of(buf, struct kept_buf, buf));
}

uint32_t io_buf_room(const struct io *io, const struct io_buf *buf)
{
    const uint8_t *end;

    if (buf->id == IO_BUF_KEPT) {
        const struct kept_buf *k =
            (const struct kept_buf *)(const void *)((const char *)buf -
                                                    offsetof(struct kept_buf, buf));
        end = k->bytes + k->capacity;
    } else {
        end = io_buf_base(&io->bufs, buf) + LIMIT_BUF_SIZE;
    }
    return (uint32_t)(end - (buf->data + buf->len));
}
