/* files.c - see files.h
 *
 * Entries are answers: a file, or that there is none; in a hash table and a list by use. The files
 * in them are shared by counts, so an entry can go while its file is being read. Two lookups of the
 * same path at the same time are two: the second answer finds the entry of the first. */
#include "lb/files/files.h"

#include "lb/base/alloc.h"
#include "lb/base/hash.h"
#include "lb/base/limits.h"
#include "lb/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUCKETS        1024 /* power of 2 */
#define SWEEP_MS       5000
#define UNUSED_MS      10000 /* then it is closed: a removed file's space is free again */
#define ROOT_UNUSED_MS 60000
#define WARN_MS        10000

enum look_state { LOOK_ROOT, LOOK_PATH };

struct file_root {
    struct list node;
    uint64_t id; /* new when the directory is another one: what is known of it is void */
    uint64_t device, inode, checked_ms, used_ms, warned_ms;
    int fd;
    uint32_t looks; /* that go on beneath it */
    char path[];
};

struct entry {
    struct entry *next; /* in its bucket */
    struct list node;   /* in files->by_use, last used at the end */
    uint64_t root;      /* id */
    uint64_t checked_ms, stated_ms, used_ms;
    struct file *file; /* NULL: */
    int error;
    uint32_t hash;
    size_t len;
    char path[];
};

struct files {
    struct loop *loop;
    struct list roots, by_use;
    struct entry *buckets[BUCKETS];
    uint32_t n_entries, n_open, n_looks;
    uint64_t next_root;
    struct timer sweep;
};

/* ---- files ---- */

void file_hold(struct file *file)
{
    file->refs++;
}

void file_release(struct file **file)
{
    struct file *f = *file;

    *file = NULL;
    if (f == NULL || --f->refs > 0)
        return;
    if (f->fd >= 0)
        close(f->fd);
    free(f);
}

static void take_facts(struct file *f, const struct stat *st)
{
    f->directory = S_ISDIR(st->st_mode);
    f->size = (uint64_t)st->st_size;
    f->device = st->st_dev;
    f->inode = st->st_ino;
    f->modified_s = st->st_mtim.tv_sec;
    f->modified_ns = (uint32_t)st->st_mtim.tv_nsec;
}

/* What was opened, or NULL: neither file nor directory, or no memory. Takes fd over. */
static struct file *file_of(int fd, int *out_error)
{
    struct stat st;
    struct file *f = NULL;

    *out_error = -ENOENT;
    if (fstat(fd, &st) < 0)
        *out_error = -errno;
    else if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
        f = xcalloc(1, sizeof(*f));
    if (f == NULL) {
        close(fd);
        return NULL;
    }
    f->refs = 1;
    f->fd = fd;
    take_facts(f, &st);
    if (f->directory) { /* that it is one is all that is asked of it */
        close(fd);
        f->fd = -1;
    } else {
        fcntl(fd, F_SETFL, 0); /* O_NONBLOCK was for FIFOs; reads shall wait, elsewhere */
    }
    return f;
}

/* ---- entries ---- */

static struct entry **bucket(struct files *f, uint32_t hash)
{
    return &f->buckets[hash & (BUCKETS - 1)];
}

static void drop(struct files *f, struct entry *e)
{
    struct entry **at = bucket(f, e->hash);

    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    list_remove(&e->node);
    f->n_entries--;
    if (e->file != NULL && e->file->fd >= 0)
        f->n_open--;
    file_release(&e->file);
    free(e);
}

static struct entry *find(struct files *f, const struct file_look *look)
{
    struct entry *e = *bucket(f, look->hash);

    while (e != NULL && (e->hash != look->hash || e->root != look->root->id ||
                         e->len != look->len || memcmp(e->path, look->path, e->len) != 0))
        e = e->next;
    return e;
}

bool files_evict(struct files *f)
{
    list_for_each_safe (node, next, &f->by_use) {
        struct entry *e = list_entry(node, struct entry, node);
        if (e->file == NULL || e->file->fd < 0 || e->file->refs > 1)
            continue;
        drop(f, e);
        return true;
    }
    return false;
}

static struct entry *add(struct files *f, const struct file_look *look)
{
    struct entry *e = malloc(sizeof(*e) + look->len + 1);

    if (e == NULL)
        return NULL;
    if (f->n_entries >= LIMIT_FILE_ENTRIES)
        drop(f, list_entry(f->by_use.next, struct entry, node));
    *e = (struct entry){.root = look->root->id, .hash = look->hash, .len = look->len};
    memcpy(e->path, look->path, look->len + 1);
    e->next = *bucket(f, e->hash);
    *bucket(f, e->hash) = e;
    list_push_back(&f->by_use, &e->node);
    f->n_entries++;
    if (!timer_pending(&f->sweep))
        timer_start(&f->loop->timers, &f->sweep, loop_now_ms(f->loop) + SWEEP_MS);
    return e;
}

/* Nothing that hangs on the moment is kept. */
static bool lasts(int error)
{
    return error == -ENOENT || error == -ENOTDIR || error == -EXDEV || error == -ELOOP ||
           error == -EACCES || error == -ENAMETOOLONG;
}

/* What opening it brought, for the entry and the asker. */
static void answer(struct files *f, struct file_look *look, int fd)
{
    struct entry *e = find(f, look);
    uint64_t now = loop_now_ms(f->loop);
    struct file *file = NULL;
    int error = fd;

    if (fd >= 0)
        file = file_of(fd, &error);
    look->file = file;
    look->error = file != NULL ? 0 : error;
    if (e == NULL && (file != NULL || lasts(error)))
        e = add(f, look);
    if (e == NULL)
        return;
    if (file != NULL && e->file != NULL && e->file->device == file->device &&
        e->file->inode == file->inode && e->file->directory == file->directory) {
        e->file->size = file->size; /* the same: those who read it share one descriptor */
        e->file->modified_s = file->modified_s;
        e->file->modified_ns = file->modified_ns;
        file_release(&file);
        look->file = e->file;
    } else {
        f->n_open -= e->file != NULL && e->file->fd >= 0;
        file_release(&e->file);
        e->file = file;
        f->n_open += file != NULL && file->fd >= 0;
    }
    e->error = look->error;
    e->checked_ms = e->stated_ms = e->used_ms = now;
    list_remove(&e->node);
    list_push_back(&f->by_use, &e->node);
    if (look->file != NULL)
        file_hold(look->file);
    while (f->n_open > LIMIT_FILES_OPEN && files_evict(f))
        ;
}

/* False: it must be looked at anew. */
static bool known(struct files *f, struct file_look *look)
{
    struct entry *e = find(f, look);
    uint64_t now = loop_now_ms(f->loop);
    struct stat st;

    if (e == NULL || now - e->checked_ms >= LIMIT_FILE_FRESH_MS)
        return false;
    if (e->file != NULL && e->file->fd >= 0 && e->stated_ms != now) {
        if (fstat(e->file->fd, &st) < 0 || st.st_nlink == 0)
            return false;
        take_facts(e->file, &st);
        e->stated_ms = now;
    }
    e->used_ms = now;
    list_remove(&e->node);
    list_push_back(&f->by_use, &e->node);
    look->error = e->error;
    look->file = e->file;
    if (look->file != NULL)
        file_hold(look->file);
    return true;
}

/* ---- roots ---- */

static struct file_root *root_of(struct files *f, const char *path)
{
    list_for_each (node, &f->roots) {
        struct file_root *r = list_entry(node, struct file_root, node);
        if (strcmp(r->path, path) == 0)
            return r;
    }
    struct file_root *r = xcalloc(1, sizeof(*r) + strlen(path) + 1);
    memcpy(r->path, path, strlen(path) + 1);
    r->fd = -1;
    list_push_back(&f->roots, &r->node);
    return r;
}

static void root_free(struct file_root *r)
{
    list_remove(&r->node);
    if (r->fd >= 0)
        close(r->fd);
    free(r);
}

static bool root_is_fresh(const struct files *f, const struct file_root *r)
{
    return r->fd >= 0 && loop_now_ms(f->loop) - r->checked_ms < LIMIT_FILE_FRESH_MS;
}

/* Takes fd over. 0 or -errno. */
static int root_opened(struct files *f, struct file_root *r, int fd)
{
    struct stat st;

    if (fd >= 0 && fstat(fd, &st) < 0) {
        close(fd);
        fd = -errno;
    }
    uint64_t now = loop_now_ms(f->loop);
    if (fd < 0) {
        if (r->warned_ms == 0 || now - r->warned_ms >= WARN_MS)
            log_warn("files: root %s: %s", r->path, strerror(-fd));
        r->warned_ms = now;
        return fd;
    }
    r->checked_ms = now;
    if (r->fd >= 0 && r->device == st.st_dev && r->inode == st.st_ino) {
        close(fd);
        return 0;
    }
    if (r->fd >= 0 && r->looks <= 1) /* else somebody opens beneath it now */
        close(r->fd);
    else if (r->fd >= 0) {
        close(fd);
        r->checked_ms = 0;
        return 0;
    }
    r->fd = fd;
    r->id = ++f->next_root;
    r->device = st.st_dev;
    r->inode = st.st_ino;
    return 0;
}

/* ---- looking ---- */

static void over(struct file_look *look)
{
    look->root->looks--;
    look->files->n_looks--;
    look->root = NULL;
}

/* A step that can be done at once: true, and *out_fd; or it is under way. */
static bool open_step(struct file_look *look, int dir, const char *path, int *out_fd)
{
    struct io *io = look->files->loop->io;

    *out_fd = io_file_open_now(io, dir, path);
    if (*out_fd != -EAGAIN)
        return true;
    io_file_open(io, &look->op, dir, path);
    return false;
}

/* True: answered. */
static bool look_beneath(struct file_look *look)
{
    struct files *f = look->files;
    int fd;

    look->state = LOOK_PATH;
    if (!known(f, look)) {
        if (!open_step(look, look->root->fd, look->path, &fd))
            return false;
        answer(f, look, fd);
    }
    over(look);
    return true;
}

static bool root_step(struct file_look *look, int fd)
{
    int error = root_opened(look->files, look->root, fd);

    if (error == 0)
        return look_beneath(look);
    look->error = error;
    over(look);
    return true;
}

static void on_opened(struct op *op, int res)
{
    struct file_look *look = container_of(op, struct file_look, op);
    bool answered = true;

    if (look->state == LOOK_ROOT) {
        answered = root_step(look, res);
    } else {
        answer(look->files, look, res);
        over(look);
    }
    if (answered)
        look->fn(look);
}

bool files_look(struct files *f, struct file_look *look, const char *root, const char *path,
                void (*fn)(struct file_look *look))
{
    int fd;

    op_init(&look->op, on_opened);
    look->files = f;
    look->root = root_of(f, root);
    look->root->used_ms = loop_now_ms(f->loop);
    look->root->looks++;
    f->n_looks++;
    look->path = path;
    look->len = strlen(path);
    look->hash = (uint32_t)hash_bytes(path, look->len, 0);
    look->fn = fn;
    look->file = NULL;
    look->error = 0;
    look->state = LOOK_ROOT;
    if (root_is_fresh(f, look->root))
        return look_beneath(look);
    if (!open_step(look, IO_FILE_ANYWHERE, look->root->path, &fd))
        return false;
    return root_step(look, fd);
}

void file_look_cancel(struct file_look *look)
{
    io_cancel(look->files->loop->io, &look->op);
}

/* ---- life ---- */

static void on_sweep(struct timer *timer)
{
    struct files *f = container_of(timer, struct files, sweep);
    uint64_t now = loop_now_ms(f->loop);

    while (!list_empty(&f->by_use)) {
        struct entry *e = list_entry(f->by_use.next, struct entry, node);
        if (now - e->used_ms < UNUSED_MS)
            break;
        drop(f, e);
    }
    list_for_each_safe (node, next, &f->roots) {
        struct file_root *r = list_entry(node, struct file_root, node);
        if (r->looks == 0 && now - r->used_ms >= ROOT_UNUSED_MS)
            root_free(r);
    }
    if (f->n_entries > 0 || !list_empty(&f->roots))
        timer_start(&f->loop->timers, timer, now + SWEEP_MS);
}

struct files *files_new(struct loop *loop)
{
    struct files *f = xcalloc(1, sizeof(*f));

    f->loop = loop;
    list_init(&f->roots);
    list_init(&f->by_use);
    timer_init(&f->sweep, on_sweep);
    return f;
}

void files_free(struct files **files)
{
    struct files *f = *files;

    *files = NULL;
    if (f == NULL)
        return;
    sl_assert(files_quiet(f));
    timer_stop(&f->loop->timers, &f->sweep);
    while (!list_empty(&f->by_use))
        drop(f, list_entry(f->by_use.next, struct entry, node));
    list_for_each_safe (node, next, &f->roots)
        root_free(list_entry(node, struct file_root, node));
    free(f);
}

bool files_quiet(const struct files *f)
{
    return f->n_looks == 0;
}

uint32_t files_open(const struct files *f)
{
    return f->n_open;
}
