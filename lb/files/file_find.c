/* file_find.c - see file_find.h */
#include "lb/files/file_find.h"

#include "lb/files/file_type.h"
#include "lb/http/coding.h"
#include "lb/http/template.h"

#include <errno.h>
#include <string.h>

enum state {
    NEXT_TRY,
    LOOK_AT_TRY,
    LOOK_AT_INDEX,
    LOOK_AT_SIBLING,
};

static const struct sibling {
    const char *ending;
    enum http_coding coding;
} siblings[] = {{".br", HTTP_CODING_BR}, {".gz", HTTP_CODING_GZIP}};

/* ---- steps ---- */

static void on_look(struct file_look *look)
{
    struct file_find *f = container_of(look, struct file_find, look);

    f->fn(f);
}

static bool look(struct file_find *f, enum state state)
{
    f->state = (uint8_t)state;
    return files_look(f->files, &f->look, f->plan->conf->root, f->name, on_look);
}

static void none(struct file_find *f, const char *reason, int error)
{
    f->reason = reason;
    f->error = error;
}

static void tell(const struct file_find *f, const char *what)
{
    if (f->trace != NULL)
        f->trace(f->trace_arg, f->name, what);
}

/* What the system says of a name that names nothing we may send. */
static void lookup_failed(struct file_find *f, int error)
{
    switch (error) {
    case -ENOENT:
    case -ENOTDIR:
    case -ENAMETOOLONG:
    case -EINVAL:
        none(f, "no-file", 0);
        break;
    case -EXDEV:
    case -ELOOP:
        none(f, "file-outside-root", 0);
        break;
    case -EACCES:
    case -EPERM:
        none(f, "file-forbidden", -EACCES);
        break;
    default:
        none(f, "file-error", error);
        break;
    }
    tell(f, f->reason);
}

/* False: no memory for the path, or it can be none. */
static bool expand(struct file_find *f, const struct file_try *t)
{
    if (t->path == NULL) {
        if (f->url_path.len >= sizeof(f->url))
            return false;
        memcpy(f->url, f->url_path.p, f->url_path.len);
        f->path = (struct str){f->url, f->url_path.len};
        return true;
    }
    int n = http_template_expand_for(t->path, f->vars, HTTP_FOR_PATH, f->url, sizeof(f->url));
    f->path = (struct str){f->url, n > 0 ? (size_t)n : 0};
    return n > 0;
}

/* Names the try's file. False: it can be none that is sent. */
static bool name_try(struct file_find *f)
{
    switch (file_path_of(f->path, f->name, &f->len, &f->slash)) {
    case FILE_PATH_BAD:
        none(f, "bad-file-path", 0);
        break;
    case FILE_PATH_HIDDEN:
        none(f, "hidden-file", 0);
        break;
    case FILE_PATH_GOOD:
        f->reason = NULL;
        break;
    }
    if (f->reason != NULL) {
        f->name[0] = '\0'; /* it may be anything */
        tell(f, f->reason);
        return false;
    }
    f->tried_len = strcmp(f->name, ".") == 0 ? 0 : f->len;
    f->own = str_eq(f->path, f->url_path);
    return true;
}

static bool is_refused(struct file_find *f)
{
    if (!file_path_ends((struct str){f->name, f->len}, f->plan->conf->refuse,
                        f->plan->conf->n_refuse))
        return false;
    none(f, "refused-file", 0);
    tell(f, f->reason);
    return true;
}

/* Appends to the name that was tried; false: too long. */
static bool append(struct file_find *f, size_t from, const char *slash, const char *text)
{
    size_t a = strlen(slash), b = strlen(text);

    if (from + a + b >= FILE_PATH_MAX)
        return false;
    memcpy(f->name + from, slash, a);
    memcpy(f->name + from + a, text, b + 1);
    return true;
}

static void found(struct file_find *f)
{
    tell(f, "found");
    f->file = f->look.file;
    f->look.file = NULL;
    f->type = file_type_of((struct str){f->name, f->len});
    f->varies = f->plan->conf->precompressed && f->type->shrinks;
    f->sibling = 0;
}

/* A sibling that is older was forgotten when the file was changed. */
static bool fits(const struct file_find *f, const struct file *sibling)
{
    return !sibling->directory && sibling->modified_s >= f->file->modified_s;
}

/* It is taken: sent in place of the file. */
static bool take_sibling(struct file_find *f)
{
    struct file *sibling = f->look.file;

    if (sibling == NULL)
        return false;
    if (!fits(f, sibling)) {
        tell(f, "older than the file");
        file_release(&f->look.file);
        return false;
    }
    tell(f, "found");
    file_release(&f->file);
    f->file = sibling;
    f->look.file = NULL;
    return true;
}

static enum file_found look_at_siblings(struct file_find *f)
{
    uint8_t left = f->varies ? f->codings.accepted : 0;
    uint8_t n = 0;

    /* What the client prefers first, then in our order. */
    for (uint32_t i = 0; i < 2 * ARRAY_LEN(siblings); i++) {
        const struct sibling *s = &siblings[i % ARRAY_LEN(siblings)];
        bool first = i < ARRAY_LEN(siblings);
        if (!(left & s->coding) || first != (f->codings.preferred == s->coding))
            continue;
        if (n++ < f->sibling)
            continue;
        f->sibling++;
        if (!append(f, f->len, "", s->ending))
            continue;
        f->coding = s->coding;
        if (!look(f, LOOK_AT_SIBLING))
            return FILE_FOUND_LATER;
        if (take_sibling(f))
            return FILE_FOUND;
    }
    f->coding = 0;
    return FILE_FOUND;
}

/* ---- the machine ---- */

/* What was looked for is here, or not. True: *out is the end of it. */
static bool tried(struct file_find *f, enum file_found *out)
{
    struct file *file = f->look.file;

    if (file == NULL) {
        lookup_failed(f, f->look.error);
        f->state = NEXT_TRY;
        return false;
    }
    if (file->directory) {
        file_release(&f->look.file);
        tell(f, "a directory");
        none(f, "no-index", 0);
        f->index = 0;
        f->state = LOOK_AT_INDEX;
        return false;
    }
    if (f->slash) {
        file_release(&f->look.file);
        none(f, "no-file", 0);
        tell(f, "a file, not a directory");
        f->state = NEXT_TRY;
        return false;
    }
    found(f);
    *out = look_at_siblings(f);
    return true;
}

static bool index_tried(struct file_find *f, enum file_found *out)
{
    struct file *file = f->look.file;

    if (file == NULL || file->directory) {
        tell(f, "no-index");
        file_release(&f->look.file);
        f->index++;
        return false;
    }
    if (f->own && !f->slash) {
        tell(f, "found, but the path lacks its slash");
        file_release(&f->look.file);
        *out = FILE_FOUND_DIRECTORY;
        return true;
    }
    f->len = strlen(f->name);
    found(f);
    *out = look_at_siblings(f);
    return true;
}

static bool next_index(struct file_find *f, enum file_found *out)
{
    const struct files_conf *c = f->plan->conf;

    while (f->index < c->n_index) {
        f->len = f->tried_len;
        if (!append(f, f->len, f->len > 0 ? "/" : "", c->index[f->index])) {
            f->index++;
            continue;
        }
        if (file_path_ends(str_of(f->name), c->refuse, c->n_refuse)) {
            f->index++;
            continue;
        }
        if (!look(f, LOOK_AT_INDEX)) {
            *out = FILE_FOUND_LATER;
            return true;
        }
        if (index_tried(f, out))
            return true;
    }
    f->state = NEXT_TRY;
    return false;
}

static bool next_try(struct file_find *f, enum file_found *out)
{
    const struct file_plan *p = f->plan;

    if (f->at == p->n_tries) {
        *out = FILE_FOUND_NONE;
        return true;
    }
    const struct file_try *t = &p->tries[f->at];
    bool last = f->at + 1 == p->n_tries && f->at > 0;
    if (t->kind != FILE_TRY_PATH) {
        f->status = t->status;
        f->pool = t->pool;
        *out = t->kind == FILE_TRY_STATUS ? FILE_FOUND_STATUS : FILE_FOUND_POOL;
        return true;
    }
    if (!f->asked && !expand(f, t)) {
        none(f, "bad-file-path", 0);
        f->at++;
        return false;
    }
    if (last && !f->asked) {
        f->asked = true;
        *out = FILE_FOUND_PATH;
        return true;
    }
    f->asked = false;
    f->at++;
    if (!name_try(f) || is_refused(f))
        return false;
    if (!look(f, LOOK_AT_TRY)) {
        *out = FILE_FOUND_LATER;
        return true;
    }
    return tried(f, out);
}

void file_find_start(struct file_find *f)
{
    op_init(&f->look.op, NULL);
    f->look.file = f->file = NULL;
    f->type = NULL;
    f->coding = 0;
    f->varies = f->asked = false;
    f->at = 0;
    f->state = NEXT_TRY;
    f->status = 0;
    f->pool = NULL;
    none(f, "no-file", 0);
}

enum file_found file_find_go_on(struct file_find *f)
{
    enum file_found out = FILE_FOUND_LATER;
    bool answered = f->state != NEXT_TRY; /* it was waited for */

    for (;;) {
        bool over;
        switch ((enum state)f->state) {
        case LOOK_AT_TRY:
            over = tried(f, &out);
            break;
        case LOOK_AT_INDEX:
            over = (answered && index_tried(f, &out)) || next_index(f, &out);
            break;
        case LOOK_AT_SIBLING:
            return take_sibling(f) ? FILE_FOUND : look_at_siblings(f);
        default:
            over = next_try(f, &out);
            break;
        }
        answered = false;
        if (over)
            return out;
    }
}
