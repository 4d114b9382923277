/* explain_files.c - what a route with files would find: the same search, on an engine of its own
 * that is waited for. */
#include "lb/base/alloc.h"
#include "lb/files/file_find.h"
#include "lb/files/file_type.h"
#include "lb/proxy/explain_priv.h"

#include <errno.h>
#include <stdlib.h>

#define WAIT_MS 2000 /* for the disk */

struct search {
    struct explain_work *w;
    struct loop loop;
    struct files *files;
    struct file_find find;
    bool waited; /* an answer has come */
};

static void add_file(struct explain_work *w, const char *name, const char *what)
{
    struct explanation *e = w->e;

    struct explain_file *all = xcalloc(e->n_files + 1u, sizeof(*all));
    if (e->n_files > 0)
        memcpy(all, e->files, e->n_files * sizeof(*all));
    all[e->n_files++] = (struct explain_file){explain_str(w, str_of(name)), what};
    e->files = explain_keep(w, all);
}

static void on_name(void *arg, const char *name, const char *what)
{
    add_file(arg, name, what);
}

static void on_found(struct file_find *f)
{
    container_of(f, struct search, find)->waited = true;
}

static enum file_found go_on(struct search *s)
{
    enum file_found found = file_find_go_on(&s->find);
    uint64_t until = loop_now_ms(&s->loop) + WAIT_MS;

    while (found == FILE_FOUND_LATER && loop_now_ms(&s->loop) < until) {
        loop_turn(&s->loop, 100);
        if (s->waited)
            found = file_find_go_on(&s->find);
        s->waited = false;
    }
    return found;
}

static bool begin(struct search *s, struct explain_work *w, struct str path,
                  const struct http_vars *vars)
{
    const struct io_conf conf = {.engine = IO_EPOLL};
    struct io *io;
    int error;

    io = io_new(&conf, &error);
    if (io == NULL || loop_init(&s->loop, io, NULL) < 0)
        return false;
    s->w = w;
    s->files = files_new(&s->loop);
    s->find.files = s->files;
    s->find.plan = w->e->route->files;
    s->find.url_path = path;
    s->find.vars = vars;
    s->find.codings = http_codings_of(&w->head);
    s->find.fn = on_found;
    s->find.trace = on_name;
    s->find.trace_arg = w;
    file_find_start(&s->find);
    return true;
}

static void end(struct search *s)
{
    if (file_find_busy(&s->find))
        file_look_cancel(&s->find.look);
    while (file_find_busy(&s->find))
        loop_turn(&s->loop, -1);
    file_release(&s->find.look.file);
    file_release(&s->find.file);
    files_free(&s->files);
    loop_fini(&s->loop);
}

static void found_file(struct explain_work *w, const struct file_find *f)
{
    w->e->status = 200;
    w->e->words =
        explain_note(w, "%s, %llu bytes%s%s", f->type->type, (unsigned long long)f->file->size,
                     f->coding != 0 ? ", " : "", f->coding != 0 ? http_coding_name(f->coding) : "");
}

/* What the search came to. True: *out_path is for the routes to look at. */
static bool conclude(struct explain_work *w, struct search *s, enum file_found found,
                     struct str *out_path)
{
    struct file_find *f = &s->find;

    switch (found) {
    case FILE_FOUND:
        found_file(w, f);
        return false;
    case FILE_FOUND_DIRECTORY:
        w->e->status = 301;
        w->e->location = explain_note(w, "%.*s/", STR_ARG(w->path.text));
        return false;
    case FILE_FOUND_PATH:
        *out_path = str_of(explain_str(w, f->path));
        return true;
    case FILE_FOUND_STATUS:
        explain_refuse(w, (uint16_t)f->status, "no-file", "nothing was found");
        return false;
    case FILE_FOUND_POOL:
        w->to_pool = true;
        return false;
    case FILE_FOUND_NONE:
        explain_refuse(w,
                       f->error == -EACCES ? 403
                       : f->error != 0     ? 500
                                           : 404,
                       f->reason, "no file is sent for it");
        return false;
    case FILE_FOUND_LATER:
        explain_refuse(w, 504, "file-timeout", "the disk does not answer");
        return false;
    }
    return false;
}

void explain_files(struct explain_work *w, struct str path, const struct http_vars *vars)
{
    struct search *s = xcalloc(1, sizeof(*s));
    struct str other;

    if (!begin(s, w, path, vars)) {
        explain_refuse(w, 500, "out-of-resources", "no engine to look for files with");
        free(s);
        return;
    }
    while (conclude(w, s, go_on(s), &other)) {
        if (!explain_reroute(w, other))
            continue;
        add_file(w, explain_str(w, other), explain_note(w, "goes to route %s", w->e->route->name));
        break;
    }
    end(s);
    free(s);
}
