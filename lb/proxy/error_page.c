/* error_page.c - responses that sluice makes itself: errors, redirects, fixed answers, those of
 * filters. Bodies are plain and small unless the listener has an error page for the status. */
#include "lb/http/date.h"
#include "lb/proxy/exchange_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct error_page_conf *find_page(const struct exchange *x, uint32_t status)
{
    const struct http_listener_conf *c = exchange_conf(x);

    for (uint32_t i = 0; i < c->n_error_pages; i++)
        if (c->error_pages[i].status == status)
            return &c->error_pages[i];
    return NULL;
}

static bool add(struct exchange *x, struct str name, struct str value)
{
    return http_head_add(&x->response, &x->arena, name, value) == 0;
}

/* RFC 9110 section 6.6.1: who makes a response dates it; section 15.5.6: a 405 says what is
 * allowed. And what the answer asks for. */
static bool add_fields(struct exchange *x, const struct answer *a, struct str type)
{
    char text[16], date[DATE_IMF_LEN + 1];

    date_imf(io_wall_us(exchange_io(x)) / 1000000, date);
    if (!add(x, STR("Date"), (struct str){date, DATE_IMF_LEN}))
        return false;
    if (type.len > 0 && !add(x, STR("Content-Type"), type))
        return false;
    if (a->location.len > 0 && !add(x, STR("Location"), a->location))
        return false;
    if (a->status == 405 &&
        !add(x, STR("Allow"),
             a->allow.len > 0 ? a->allow : STR("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")))
        return false;
    if (a->retry_after_s > 0) {
        int n = snprintf(text, sizeof(text), "%u", a->retry_after_s);
        if (!add(x, STR("Retry-After"), (struct str){text, (size_t)n}))
            return false;
    }
    if (!exchange_add_hsts(x))
        return false;
    for (uint32_t i = 0; i < a->n_headers; i++)
        if (!add(x, str_of(a->headers[i].name), str_of(a->headers[i].value)))
            return false;
    return true;
}

/* What a person can do about it. */
static const char *hint(const struct exchange *x)
{
    if (x->reason != NULL && strcmp(x->reason, HTTP_REASON_PLAIN) == 0)
        return "This port speaks TLS only, and the request came in clear: use https://\n";
    return "";
}

/* The body, and what it is. text: room for a plain one. */
static struct str choose_body(const struct exchange *x, const struct answer *a, struct str *type,
                              char *text, size_t size)
{
    const struct error_page_conf *page = find_page(x, a->status);

    *type = a->type;
    if (a->no_body) {
        *type = STR("");
        return STR("");
    }
    if (a->body.len > 0)
        return a->body;
    if (page != NULL) {
        *type = str_of(page->type);
        return (struct str){page->body, page->body_len};
    }
    *type = STR("text/plain; charset=utf-8");
    int n = snprintf(text, size, "%u %s\n%s", a->status, http_reason(a->status), hint(x));
    return (struct str){text, (size_t)n};
}

static bool send_body(struct exchange *x, struct str body)
{
    if (body.len == 0 || x->request.method == HTTP_HEAD)
        return true;
    struct io_buf *b = io_buf_new(exchange_io(x), (uint32_t)body.len);
    if (b == NULL)
        return false;
    memcpy(b->data, body.p, body.len);
    b->len = (uint32_t)body.len;
    x->out_payload += body.len;
    return x->ops->body(x, b);
}

void exchange_drop_payload(struct exchange *x)
{
    const char *reason = x->reason;
    struct io_buf *chain = NULL;
    enum take t = TAKE_MORE;

    if (x->request_taken)
        return;
    do {
        t = x->ops->take(x, &chain);
        x->in_payload += io_chain_bytes(chain);
        io_buf_put_chain(exchange_io(x), chain);
    } while (t == TAKE_MORE && chain != NULL);
    x->request_taken = t == TAKE_END;
    x->reason = reason;
}

bool exchange_answer(struct exchange *x, const struct answer *a)
{
    char text[128];
    struct str type, body = choose_body(x, a, &type, text, sizeof(text));
    bool bodiless = a->status == 204 || a->status == 304;

    x->response = (struct http_head){.status = a->status, .version = 11};
    if (http_head_text(&x->response, &x->arena, str_of(http_reason(a->status)),
                       &x->response.reason) < 0 ||
        !add_fields(x, a, type))
        return false;
    x->out = (struct out_framing){
        .body = x->request.method == HTTP_HEAD || bodiless ? HTTP_BODY_NONE : HTTP_BODY_LENGTH,
        .length = body.len,
        .has_length = !bodiless,
    };
    exchange_drop_payload(x);
    if (!x->ops->head(x, &x->response, false))
        return false;
    x->status = a->status;
    x->response_begun = true;
    counter_add(&exchange_listener_row(x)->intercepted, x->end == END_LOCAL);
    if (x->pool != NULL)
        counter_add(&x->pool->rows[x->proxy->worker].responses[response_class_of(a->status)], 1);
    if ((!bodiless && !send_body(x, body)) || !x->ops->end(x, NULL))
        return false;
    x->response_done = true;
    exchange_enter(x, X_ANSWER);
    exchange_deadline(x, exchange_conf(x)->body_timeout_ms);
    return true;
}
