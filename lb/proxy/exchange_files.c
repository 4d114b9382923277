/* exchange_files.c - a request that files answer: what the route's plan finds is sent, or goes
 * another way.
 *
 * The search and the reading may wait for other threads, and must be joined when the exchange is
 * over before that. So both live in a file_work of their own, which is freed when it is idle and
 * nobody's. */
#include "lb/files/file_find.h"
#include "lb/files/file_reader.h"
#include "lb/files/file_type.h"
#include "lb/http/date.h"
#include "lb/http/uri.h"
#include "lb/proxy/exchange_priv.h"
#include "lb/proxy/request.h"

#include <errno.h>
#include <string.h>

struct file_work {
    struct exchange *x; /* NULL: over; what is armed is waited for */
    struct proxy *proxy;
    struct file_find find;
    struct file_reader reader;
    bool reading; /* the reader is in use */
};

size_t exchange_file_work_size(void)
{
    return sizeof(struct file_work);
}

static void free_when_idle(struct file_work *w)
{
    if (file_find_busy(&w->find) || (w->reading && file_reader_busy(&w->reader)))
        return;
    file_release(&w->find.look.file);
    file_release(&w->find.file);
    if (w->reading)
        file_reader_fini(&w->reader);
    w->proxy->n_file_works--;
    slab_free(&w->proxy->file_works, w);
}

void exchange_files_leave(struct exchange *x)
{
    struct file_work *w = x->file_work;

    x->file_work = NULL;
    if (w == NULL)
        return;
    w->x = NULL;
    if (file_find_busy(&w->find))
        file_look_cancel(&w->find.look);
    if (w->reading && file_reader_busy(&w->reader))
        file_reader_cancel(&w->reader);
    free_when_idle(w);
}

static void no_memory(struct exchange *x)
{
    exchange_fail(x, END_RESOURCE, NULL, -ENOMEM);
}

/* ---- the response ---- */

static void on_read(struct file_reader *r)
{
    struct file_work *w = container_of(r, struct file_work, reader);

    if (w->x == NULL)
        free_when_idle(w);
    else
        exchange_kick(w->x);
}

/* A page that says why not, with what the client needs to do better. */
static void refuse_part(struct exchange *x, const struct file_reply *reply)
{
    char text[RANGE_TEXT_MAX + 1];
    struct header_set_conf range = {(char *)(uintptr_t) "Content-Range", text};
    struct answer a = {.status = reply->status};

    if (reply->status == 416) {
        text[range_text(NULL, reply->size, text)] = '\0';
        a.headers = &range;
        a.n_headers = 1;
    }
    x->reason = reply->status == 416 ? "range-not-satisfiable" : "precondition-failed";
    x->end = END_LOCAL;
    exchange_files_leave(x);
    if (!exchange_answer(x, &a))
        no_memory(x);
}

static bool begin_head(struct exchange *x)
{
    char date[DATE_IMF_LEN + 1];

    x->response = (struct http_head){.version = 11};
    date_imf(io_wall_us(exchange_io(x)) / 1000000, date);
    return http_head_add(&x->response, &x->arena, STR("Date"), (struct str){date, DATE_IMF_LEN}) ==
           0;
}

static void set_status(struct exchange *x, const struct file_reply *reply)
{
    struct http_head *h = &x->response;
    bool bodiless = reply->status == 304 || x->request.method == HTTP_HEAD;

    h->status = reply->status;
    h->body = bodiless ? HTTP_BODY_NONE : HTTP_BODY_LENGTH;
    h->content_length = reply->length;
    h->has_content_length = reply->status != 304;
}

static void answer_method(struct exchange *x)
{
    const struct answer a = {.status = 405, .allow = STR("GET, HEAD")};

    x->reason = "method-not-for-files";
    x->end = END_LOCAL;
    exchange_files_leave(x);
    if (!exchange_answer(x, &a))
        no_memory(x);
}

static void send_file(struct exchange *x)
{
    struct file_work *w = x->file_work;
    struct file_find *f = &w->find;
    struct file_reply reply;

    if (x->request.method != HTTP_GET && x->request.method != HTTP_HEAD) {
        answer_method(x);
        return;
    }
    if (!begin_head(x) || !file_reply_make(&reply, &x->request, f->file, f->type, f->coding,
                                           f->varies, io_wall_us(exchange_io(x)) / 1000000,
                                           rng_next(&x->proxy->rng), &x->response, &x->arena)) {
        no_memory(x);
        return;
    }
    if (reply.status == 412 || reply.status == 416) {
        refuse_part(x, &reply);
        return;
    }
    set_status(x, &reply);
    if (http_head_text(&x->response, &x->arena, str_of(http_reason(reply.status)),
                       &x->response.reason) < 0) {
        no_memory(x);
        return;
    }
    if (x->response.body == HTTP_BODY_NONE)
        reply.n_parts = 0;
    file_reader_init(&w->reader, exchange_io(x), f->file, &reply, on_read);
    file_release(&f->file);
    w->reading = true;
    exchange_drop_payload(x);
    wire_file_open(&x->wire_file, x, &w->reader);
    exchange_own_head(x);
}

/* ---- other ends of the search ---- */

/* To the same path with a slash. Never to "//host", which would be another site. */
static void add_slash(struct exchange *x)
{
    struct str path = x->path, query = request_query(&x->request);
    char *to = x->proxy->text;

    while (path.len > 1 && path.p[1] == '/') {
        path.p++;
        path.len--;
    }
    exchange_files_leave(x);
    if (path.len + query.len + 3 > ROUTE_TEXT_MAX) {
        exchange_refuse(x, 414, "target-too-long", END_BAD_REQUEST);
        return;
    }
    memcpy(to, path.p, path.len);
    size_t n = path.len;
    to[n++] = '/';
    if (x->request.has_query) {
        to[n++] = '?';
        memcpy(to + n, query.p, query.len);
        n += query.len;
    }
    const struct answer a = {.status = 301, .location = {to, n}};
    x->end = END_LOCAL;
    if (!exchange_answer(x, &a))
        no_memory(x);
}

static void found_none(struct exchange *x)
{
    struct file_find *f = &x->file_work->find;
    const char *reason = f->reason;
    uint16_t status = 404;
    int why = f->error;

    exchange_files_leave(x);
    if (why == -EACCES)
        status = 403;
    else if (why == -EMFILE || why == -ENFILE || why == -ENOMEM)
        status = 503;
    else if (why != 0)
        status = 500;
    if (status == 503)
        proxy_evict(x->proxy); /* the next one may be luckier */
    if (status >= 500)
        x->error = why;
    exchange_refuse(x, status, status == 503 ? "out-of-resources" : reason,
                    status >= 500 ? END_INTERNAL : END_LOCAL);
}

/* True: another route has what the last try names, and goes on with it. */
static bool reroute(struct exchange *x, struct str path)
{
    struct uri_path normal;
    char *copy = arena_copy(&x->arena, path.p, path.len);
    char *buf = arena_alloc(&x->arena, path.len + 1);

    if (copy == NULL || buf == NULL) {
        exchange_files_leave(x);
        no_memory(x);
        return true;
    }
    return uri_normalise((struct str){copy, path.len}, exchange_conf(x)->keep_encoded_slash, buf,
                         &normal) == URI_OK &&
           exchange_reroute(x, normal.text);
}

static void step(struct exchange *x)
{
    uint16_t status;

    for (;;) {
        struct file_find *f = &x->file_work->find;

        switch (file_find_go_on(f)) {
        case FILE_FOUND_LATER:
            if (x->state != X_FILES) {
                exchange_enter(x, X_FILES);
                exchange_deadline(x, exchange_conf(x)->response_head_timeout_ms);
            }
            return;
        case FILE_FOUND:
            send_file(x);
            return;
        case FILE_FOUND_DIRECTORY:
            if (x->request.method == HTTP_GET || x->request.method == HTTP_HEAD)
                add_slash(x);
            else
                answer_method(x);
            return;
        case FILE_FOUND_PATH:
            if (reroute(x, f->path))
                return;
            continue;
        case FILE_FOUND_STATUS:
            status = (uint16_t)f->status;
            exchange_files_leave(x);
            exchange_refuse(x, status, "no-file", END_LOCAL);
            return;
        case FILE_FOUND_POOL:
            exchange_files_leave(x);
            exchange_to_pool(x, x->route->pool);
            return;
        case FILE_FOUND_NONE:
            found_none(x);
            return;
        }
    }
}

static void on_found(struct file_find *f)
{
    struct file_work *w = container_of(f, struct file_work, find);
    struct exchange *x = w->x;

    if (x == NULL) {
        free_when_idle(w);
        return;
    }
    x->in_step = true; /* over() not from inside */
    step(x);
    x->in_step = false;
    exchange_kick(x);
}

/* ---- the search ---- */

/* What templates of the plan look at; NULL: none does. */
static bool find_vars(struct exchange *x, struct str path, const struct http_vars **out)
{
    const struct file_plan *plan = x->route->files;
    struct http_vars *vars;

    *out = NULL;
    for (uint32_t i = 0; i < plan->n_tries; i++) {
        if (plan->tries[i].path == NULL)
            continue;
        vars = arena_alloc(&x->arena, sizeof(*vars));
        if (vars == NULL)
            return false;
        exchange_vars(x, vars);
        vars->path = path;
        *out = vars;
        return exchange_complete_vars(x, vars);
    }
    return true;
}

void exchange_files(struct exchange *x, struct str path)
{
    struct file_work *w = slab_alloc(&x->proxy->file_works);
    const struct http_vars *vars;

    if (w == NULL || !find_vars(x, path, &vars)) {
        if (w != NULL)
            slab_free(&x->proxy->file_works, w);
        no_memory(x);
        return;
    }
    x->proxy->n_file_works++;
    w->x = x;
    w->proxy = x->proxy;
    w->reading = false;
    w->find.files = x->proxy->files;
    w->find.plan = x->route->files;
    w->find.url_path = path;
    w->find.vars = vars;
    w->find.codings =
        w->find.plan->conf->precompressed ? http_codings_of(&x->request) : (struct http_codings){0};
    w->find.fn = on_found;
    w->find.trace = NULL;
    file_find_start(&w->find);
    x->file_work = w;
    step(x);
}
