/* save.c - see save.h.
 *
 * The file is replaced as a whole: written beside it, synced, renamed. What it says is then what
 * the configuration says (slot->said), so that only what changes afterwards is a change at run
 * time. */
#include "lb/main/save.h"

#include "lb/base/alloc.h"
#include "lb/config/overlay.h"
#include "lb/main/backends.h"
#include "lb/main/edits.h"
#include "lb/main/process.h"
#include "lb/main/snapshot.h"
#include "lb/obs/events.h"
#include "lb/upstream/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what it says ---- */

/* What runs; text: room for an address. */
static void read_member(const struct pool_member *m, struct backend_conf *out,
                        char text[static ADDR_TEXT_MAX])
{
    backends_running(m, out);
    if (backends_address_set(m))
        out->address_text = (char *)addr_format(atomic_load(&m->slot->address), text);
}

/* False: it runs as the file says. */
static bool differs(const struct backend_conf *file, const struct backend_conf *now,
                    struct overlay_entry *e)
{
    bool any = false;

    if (now->weight != file->weight) {
        e->b.weight = now->weight;
        e->was.weight = file->weight;
        any = true;
    }
    if (now->max_connections != file->max_connections) {
        e->b.max_connections = now->max_connections;
        e->was.max_connections = file->max_connections;
        any = true;
    }
    if (strcmp(now->address_text, file->address_text) != 0) {
        e->b.address_text = now->address_text;
        e->was.address = file->address_text;
        any = true;
    }
    if (now->state != file->state || strcmp(now->reason != NULL ? now->reason : "",
                                            file->reason != NULL ? file->reason : "") != 0) {
        e->b.state = now->state;
        e->b.reason = now->reason;
        e->was.state = file->state;
        any = true;
    }
    return any;
}

static unsigned save_member(const struct process *p, const struct pool *pool,
                            const struct pool_member *m, bool first, struct strbuf *out)
{
    const struct backend_conf *file = edits_of_file(p, pool->name, m->conf->name);
    bool added = edits_find(p, EDIT_ADD, pool->name, m->conf->name) != NULL;
    struct overlay_entry e = {.pool = (char *)pool->name, .added = added};
    struct backend_conf now;
    char text[ADDR_TEXT_MAX];

    overlay_entry_init(&e);
    read_member(m, &now, text);
    e.b.name = now.name;
    if (added) {
        e.b = now;
        if (file != NULL) /* one that was removed in its place */
            e.was.address = file->address_text;
    } else if (file == NULL || !differs(file, &now, &e)) {
        return 0;
    }
    overlay_print_entry(&e, first, out);
    return 1;
}

unsigned save_text(const struct process *p, struct strbuf *out)
{
    unsigned n = 0;

    overlay_print_begin(out);
    for (uint32_t i = 0; i < p->conf->n_pools; i++)
        for (uint32_t k = 0; k < p->pools[i]->n_members; k++)
            n += save_member(p, p->pools[i], &p->pools[i]->members[k], n == 0, out);
    list_for_each (node, &p->edits.list) {
        const struct edit *edit = list_entry(node, struct edit, node);
        struct overlay_entry e = {.pool = edit->pool, .removed = true};
        if (edit->kind != EDIT_REMOVE || edits_find(p, EDIT_ADD, edit->pool, edit->name) != NULL)
            continue;
        overlay_entry_init(&e);
        e.b.name = edit->name;
        e.was.address = edit->was;
        overlay_print_entry(&e, n == 0, out);
        n++;
    }
    overlay_print_end(out);
    return n;
}

/* ---- writing ---- */

static int write_all(int fd, struct str text)
{
    while (text.len > 0) {
        ssize_t n = write(fd, text.p, text.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        text = (struct str){text.p + n, text.len - (size_t)n};
    }
    return fsync(fd) < 0 ? -errno : 0;
}

/* The name is in the folder only when that is on the disk too. Not all file systems can. */
static void sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder =
        xasprintf("%.*s", slash != NULL ? (int)(slash - path) + 1 : 1, slash != NULL ? path : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0) {
        if (fsync(fd) < 0)
            errno = 0;
        close(fd);
    }
    free(folder);
}

static int replace_file(const char *path, struct str text)
{
    char *temp = xasprintf("%s.%d", path, (int)getpid());

    unlink(temp); /* of a dead process that had our number */
    int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int rc = fd < 0 ? -errno : write_all(fd, text);
    if (fd >= 0 && close(fd) < 0 && rc == 0)
        rc = -errno;
    if (rc == 0 && rename(temp, path) < 0)
        rc = -errno;
    if (rc == 0)
        sync_folder(path);
    else if (fd >= 0)
        unlink(temp);
    free(temp);
    return rc;
}

/* ---- save ---- */

/* From here on the overlay says what runs. */
static void note_saved(struct process *p, const char *path, const char *text)
{
    struct strbuf errors = {0};
    struct overlay *o = overlay_load_text(path, text, &errors);

    sl_assert(o != NULL);
    strbuf_fini(&errors);
    overlay_free(&p->edits.overlay);
    p->edits.overlay = o;
    p->edits.broken = false;
    list_for_each (node, &p->edits.list)
        list_entry(node, struct edit, node)->saved = true;
    for (uint32_t i = 0; i < p->conf->n_pools; i++) {
        for (uint32_t k = 0; k < p->pools[i]->n_members; k++) {
            struct backend_conf now;
            char room[ADDR_TEXT_MAX];
            read_member(&p->pools[i]->members[k], &now, room);
            backends_said(p->pools[i]->members[k].slot, &now);
        }
    }
}

bool save(struct process *p, struct strbuf *answer)
{
    const char *path = p->edits.base->conf->overlay;
    struct strbuf text = {0};

    if (path == NULL) {
        strbuf_add_cstr(answer, "No overlay file is configured: overlay = \"/path\".\n");
        return false;
    }
    char *aside = xasprintf("%s.broken", path);
    bool kept = p->edits.broken && rename(path, aside) == 0;
    unsigned n = save_text(p, &text);
    int rc = replace_file(path, strbuf_str(&text));
    if (rc < 0) {
        strbuf_addf(answer, "%s cannot be written: %s\n", path, strerror(-rc));
    } else {
        note_saved(p, path, text.p);
        strbuf_addf(answer, "Saved to %s: %u backend%s.%s%s\n", path, n, n == 1 ? "" : "s",
                    kept ? " What could not be read is now " : "", kept ? aside : "");
    }
    events_log(EVENT_CHANGE, rc < 0 ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, NULL,
               "save over the stats socket: %.*s", (int)answer->len - 1, answer->p);
    free(aside);
    strbuf_fini(&text);
    return rc == 0;
}
