/* state_file.c - see state_file.h */
#include "lb/main/state_file.h"

#include "lb/base/alloc.h"
#include "lb/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct state_file {
    char *path, *temp, *folder;
    pthread_t thread;
    bool running; /* the thread is to be joined */
    _Atomic bool done;
    struct strbuf text;
    int rc;
};

int state_file_read(const char *path, struct strbuf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), rc = 0;
    char part[16384];
    struct stat st;
    ssize_t n = 0;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0)
        rc = -errno;
    else if (!S_ISREG(st.st_mode))
        rc = -EINVAL;
    else if (st.st_size > STATE_BYTES_MAX)
        rc = -EFBIG;
    while (rc == 0 && out->len <= STATE_BYTES_MAX && (n = read(fd, part, sizeof(part))) > 0)
        strbuf_add(out, part, (size_t)n);
    if (n < 0)
        rc = -errno;
    close(fd);
    if (rc < 0)
        strbuf_fini(out);
    return rc;
}

struct state_file *state_file_new(const char *path)
{
    struct state_file *f = xcalloc(1, sizeof(*f));
    char *copy = xstrdup(path);

    f->path = xstrdup(path);
    f->temp = xasprintf("%s.new", path);
    f->folder = xstrdup(dirname(copy));
    free(copy);
    return f;
}

void state_file_free(struct state_file **file)
{
    struct state_file *f = *file;

    if (f == NULL)
        return;
    sl_assert(!f->running);
    strbuf_fini(&f->text);
    free(f->path);
    free(f->temp);
    free(f->folder);
    free(f);
    *file = NULL;
}

/* ---- on the thread ---- */

static int write_all(int fd, const char *p, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        p += n;
        len -= (size_t)n;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

/* The new name is there after a power failure too. */
static int sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return 0; /* it may be writable and not readable: as well as can be */
    int rc = fsync(fd) < 0 && errno != EINVAL ? -errno : 0;
    close(fd);
    return rc;
}

static int replace(const struct state_file *f)
{
    int fd = open(f->temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return -errno;
    int rc = write_all(fd, f->text.p, f->text.len);
    if (close(fd) < 0 && rc == 0)
        rc = -errno;
    if (rc == 0 && rename(f->temp, f->path) < 0)
        rc = -errno;
    if (rc < 0)
        unlink(f->temp);
    return rc == 0 ? sync_folder(f->folder) : rc;
}

static void *thread_main(void *arg)
{
    struct state_file *f = arg;

    pthread_setname_np(pthread_self(), "sluice-state");
    f->rc = replace(f);
    atomic_store_explicit(&f->done, true, memory_order_release);
    return NULL;
}

/* ---- on the control thread ---- */

void state_file_write(struct state_file *f, struct strbuf *text)
{
    sl_assert(!f->running);
    strbuf_fini(&f->text);
    f->text = *text;
    *text = (struct strbuf){0};
    atomic_store(&f->done, false);
    int rc = pthread_create(&f->thread, NULL, thread_main, f);
    f->running = rc == 0;
    if (rc != 0) /* else the thread sets it */
        f->rc = -rc;
}

int state_file_wait(struct state_file *f)
{
    if (f->running)
        pthread_join(f->thread, NULL);
    f->running = false;
    return f->rc;
}

bool state_file_idle(struct state_file *f, int *out_rc)
{
    if (f->running && !atomic_load_explicit(&f->done, memory_order_acquire))
        return false;
    *out_rc = state_file_wait(f);
    return true;
}
