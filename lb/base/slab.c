/* slab.c - see slab.h.
 *
 * Objects live in chunks that are aligned to their own size, so an object's address leads to its
 * chunk and an object carries no header. A chunk is in one of three lists: partial (some used),
 * full, empty (a few, kept so that objects that come and go in waves cost no system calls).
 * Free objects form a stack through their first bytes; objects never used yet are not in it, so
 * the pages of a new chunk are touched only as they are needed.
 *
 * Chunks come from mmap. Sanitizer builds take them from the heap instead: the leak checker looks
 * for pointers there, and lost objects show as leaks. Free objects are poisoned there. */
#include "lb/base/slab.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define SLAB_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLAB_ASAN 1
#endif
#endif

#define CHUNK_MAGIC      0x51ab51abu
#define CHUNK_BYTES_MIN  ((size_t)64 << 10)
#define CHUNK_OBJS_MIN   8 /* big objects get bigger chunks */
#define CHUNKS_EMPTY_MAX 4 /* of one slab; the requests of a busy turn fit in them */
#define OBJ_SIZE_MAX     ((size_t)1 << 20)

struct free_obj {
    struct free_obj *next;
};

struct chunk {
    uint32_t magic;
    uint32_t used;
    struct slab *slab;
    struct list node; /* in slab's partial, full or empty */
    struct free_obj *free;
    uint32_t fresh; /* objects from here on were never used */
    uint32_t objs;
};
static_assert(sizeof(struct chunk) <= 64, "the first object starts at the second cache line");

#define CHUNK_HEAD ((size_t)64)

/* ---- memory of chunks ---- */

#ifdef SLAB_ASAN
#include <sanitizer/asan_interface.h>

static void poison(void *p, size_t size)
{
    ASAN_POISON_MEMORY_REGION(p, size);
}

static void unpoison(void *p, size_t size)
{
    ASAN_UNPOISON_MEMORY_REGION(p, size);
}

static bool is_poisoned(void *p, size_t size)
{
    return __asan_region_is_poisoned(p, size) != NULL;
}

static void *chunk_memory(size_t bytes)
{
    return aligned_alloc(bytes, bytes);
}

static void chunk_memory_free(void *p, size_t bytes)
{
    unpoison(p, bytes);
    free(p);
}

#else

static void poison(void *p, size_t size)
{
    (void)p;
    (void)size;
}

static void unpoison(void *p, size_t size)
{
    (void)p;
    (void)size;
}

static bool is_poisoned(void *p, size_t size)
{
    (void)p;
    (void)size;
    return false;
}

static void *map(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p != MAP_FAILED ? p : NULL;
}

/* The kernel puts mappings next to each other, so after the first one most are aligned as they
 * come; otherwise twice the size surely has an aligned part, and the rest is given back. */
static void *chunk_memory(size_t bytes)
{
    char *p = map(bytes);
    if (p == NULL || ((uintptr_t)p & (bytes - 1)) == 0)
        return p;
    munmap(p, bytes);
    p = map(2 * bytes);
    if (p == NULL)
        return NULL;
    size_t before = (0 - (uintptr_t)p) & (bytes - 1);
    if (before > 0)
        munmap(p, before);
    if (before < bytes)
        munmap(p + before + bytes, bytes - before);
    return p + before;
}

static void chunk_memory_free(void *p, size_t bytes)
{
    munmap(p, bytes);
}
#endif

/* ---- chunks ---- */

static size_t chunk_bytes(const struct slab *s)
{
    size_t bytes = CHUNK_BYTES_MIN;
    while (unlikely((bytes - CHUNK_HEAD) / s->size < CHUNK_OBJS_MIN))
        bytes *= 2;
    return bytes;
}

static void *chunk_obj(const struct slab *s, struct chunk *c, uint32_t i)
{
    return (char *)c + CHUNK_HEAD + i * s->size;
}

/* A new chunk in the empty list. */
static struct chunk *chunk_new(struct slab *s)
{
    size_t bytes = chunk_bytes(s);
    struct chunk *c = chunk_memory(bytes);
    if (c == NULL)
        return NULL;
    *c = (struct chunk){
        .magic = CHUNK_MAGIC,
        .slab = s,
        .objs = (uint32_t)((bytes - CHUNK_HEAD) / s->size),
    };
    poison((char *)c + CHUNK_HEAD, bytes - CHUNK_HEAD);
    list_init(&c->node);
    list_push_front(&s->empty, &c->node);
    s->n_empty++;
    counter_add(&s->allocated, c->objs);
    return c;
}

static void chunk_free(struct slab *s, struct chunk *c)
{
    sl_assert(c->used == 0);
    list_remove(&c->node);
    s->n_empty--;
    counter_sub(&s->allocated, c->objs);
    c->magic = 0;
    chunk_memory_free(c, chunk_bytes(s));
}

static void chunk_move(struct chunk *c, struct list *to)
{
    list_remove(&c->node);
    list_push_front(to, &c->node);
}

/* It has only objects that were never used: those of other chunks that were come first, they are in
 * memory already. */
static void chunk_wait(struct slab *s, struct chunk *c)
{
    if (s->partial.prev == &c->node)
        return;
    list_remove(&c->node);
    list_push_back(&s->partial, &c->node);
}

/* The chunk that was freed into last, or an empty one, or NULL. */
static struct chunk *chunk_with_room(struct slab *s)
{
    if (likely(!list_empty(&s->partial)))
        return list_entry(s->partial.next, struct chunk, node);
    if (!list_empty(&s->empty))
        return list_entry(s->empty.next, struct chunk, node);
    return chunk_new(s);
}

/* ---- all slabs ---- */

static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct list all = {&all, &all};

static void join_all(struct slab *s)
{
    pthread_mutex_lock(&all_lock);
    list_push_back(&all, &s->node);
    pthread_mutex_unlock(&all_lock);
}

static void leave_all(struct slab *s)
{
    pthread_mutex_lock(&all_lock);
    list_remove(&s->node);
    pthread_mutex_unlock(&all_lock);
}

void slab_each(void (*fn)(void *arg, const struct slab *s), void *arg)
{
    pthread_mutex_lock(&all_lock);
    list_for_each (it, &all)
        fn(arg, list_entry(it, struct slab, node));
    pthread_mutex_unlock(&all_lock);
}

/* ---- slabs ---- */

void slab_init(struct slab *s, const char *name, size_t size, uint32_t max)
{
    sl_assert(size > 0 && size <= OBJ_SIZE_MAX);
    *s = (struct slab){.name = name, .size = (size + 15) & ~(size_t)15, .max = max};
    list_init(&s->partial);
    list_init(&s->full);
    list_init(&s->empty);
    list_init(&s->node);
    join_all(s);
}

void slab_fini(struct slab *s)
{
    sl_assert(counter_get(&s->used) == 0);
    leave_all(s);
    sl_assert(list_empty(&s->partial) && list_empty(&s->full));
    while (!list_empty(&s->empty))
        chunk_free(s, list_entry(s->empty.next, struct chunk, node));
    sl_assert(counter_get(&s->allocated) == 0);
}

void *slab_alloc_raw(struct slab *s)
{
    struct chunk *c = NULL;
    if (likely(s->max == 0 || counter_get(&s->used) < s->max))
        c = chunk_with_room(s);
    if (unlikely(c == NULL)) {
        counter_add(&s->failed, 1);
        return NULL;
    }
    void *obj;
    if (c->free != NULL) {
        obj = c->free;
        unpoison(obj, s->size);
        c->free = c->free->next;
    } else {
        obj = chunk_obj(s, c, c->fresh++);
        unpoison(obj, s->size);
    }
    counter_add(&s->used, 1);
    if (c->used++ == 0)
        s->n_empty--;
    if (c->used == c->objs)
        chunk_move(c, &s->full);
    else if (c->free == NULL)
        chunk_wait(s, c);
    else if (c->used == 1)
        chunk_move(c, &s->partial);
#ifdef SLUICE_DEBUG
    memset(obj, 0xa5, s->size); /* nobody shall rely on what was there */
#endif
    return obj;
}

void *slab_alloc(struct slab *s)
{
    void *obj = slab_alloc_raw(s);
    return obj != NULL ? memset(obj, 0, s->size) : NULL;
}

void slab_free(struct slab *s, void *obj)
{
    struct chunk *c = (struct chunk *)((uintptr_t)obj & ~(uintptr_t)(chunk_bytes(s) - 1));
    CHECK_MAGIC(c, CHUNK_MAGIC);
    sl_assert(c->slab == s && c->used > 0);
    sl_assert(!is_poisoned(obj, s->size)); /* freed twice, or none of ours */

    struct free_obj *f = obj;
    f->next = c->free;
    c->free = f;
    poison(obj, s->size);
    counter_sub(&s->used, 1);
    if (--c->used == 0) {
        if (s->n_empty >= CHUNKS_EMPTY_MAX)
            chunk_free(s, list_entry(s->empty.next, struct chunk, node));
        chunk_move(c, &s->empty);
        s->n_empty++;
    } else if (s->partial.next != &c->node) {
        chunk_move(c, &s->partial); /* what was used last is in the cache: it goes first */
    }
}
