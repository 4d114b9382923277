/* file_reply.c - see file_reply.h */
#include "lb/files/file_reply.h"

#include "lb/base/arena.h"
#include "lb/files/file_type.h"
#include "lb/files/files.h"
#include "lb/http/date.h"
#include "lb/http/msg.h"
#include "lb/http/precondition.h"

#include <inttypes.h>
#include <stdio.h>

/* Time and size tell one state of a file from another, to the nanosecond: a strong validator as
 * long as files are not changed twice at the same instant. */
size_t file_etag(const struct file *file, enum http_coding coding, char out[static FILE_ETAG_MAX])
{
    int n = snprintf(out, FILE_ETAG_MAX, "\"%" PRIx64 ".%x-%" PRIx64 "%s%s\"",
                     (uint64_t)file->modified_s, file->modified_ns, file->size,
                     coding != 0 ? "-" : "", coding != 0 ? http_coding_name(coding) : "");
    return (size_t)n;
}

size_t file_reply_part_head(const struct file_reply *r, uint32_t i,
                            char out[static FILE_PART_HEAD_MAX])
{
    char range[RANGE_TEXT_MAX];
    int n;

    if (i == r->n_parts) {
        n = snprintf(out, FILE_PART_HEAD_MAX, "\r\n--%016" PRIx64 "--\r\n", r->boundary);
    } else {
        size_t len = range_text(&r->parts[i], r->size, range);
        n = snprintf(out, FILE_PART_HEAD_MAX,
                     "%s--%016" PRIx64 "\r\nContent-Type: %s\r\nContent-Range: %.*s\r\n\r\n",
                     i > 0 ? "\r\n" : "", r->boundary, r->type, (int)len, range);
    }
    return (size_t)n;
}

static uint64_t multipart_length(const struct file_reply *r)
{
    char head[FILE_PART_HEAD_MAX];
    uint64_t sum = file_reply_part_head(r, r->n_parts, head);

    for (uint32_t i = 0; i < r->n_parts; i++)
        sum += file_reply_part_head(r, i, head) + r->parts[i].len;
    return sum;
}

static void whole(struct file_reply *r)
{
    r->status = 200;
    r->length = r->size;
    r->parts[0] = (struct range_part){0, r->size};
    r->n_parts = r->size > 0;
}

/* Of a GET only (RFC 9110 section 14.2). */
static void choose_parts(struct file_reply *r, const struct http_head *request,
                         const struct representation *rep, uint64_t now_s)
{
    const struct http_field *range = http_find(request, HTTP_RANGE, NULL);
    struct range_part parts[RANGE_PARTS_MAX];
    uint32_t n = 0;

    whole(r);
    if (range == NULL || request->method != HTTP_GET ||
        http_find(request, HTTP_RANGE, range) != NULL || !precondition_range(request, rep, now_s))
        return;
    switch (range_parse(http_value(request, range), r->size, parts, &n)) {
    case RANGE_WHOLE:
        return;
    case RANGE_UNSATISFIABLE:
        r->status = 416;
        return;
    case RANGE_PARTS:
        r->status = 206;
        memcpy(r->parts, parts, n * sizeof(parts[0]));
        r->n_parts = n;
        r->length = r->n_parts > 1 ? multipart_length(r) : r->parts[0].len;
        return;
    }
}

struct fields {
    struct http_head *head;
    struct arena *arena;
    bool failed;
};

static void add(struct fields *f, struct str name, struct str value)
{
    f->failed = f->failed || http_head_add(f->head, f->arena, name, value) < 0;
}

static void add_type(struct fields *f, const struct file_reply *r)
{
    char text[64];

    if (r->status == 206 && r->n_parts > 1) {
        int n =
            snprintf(text, sizeof(text), "multipart/byteranges; boundary=%016" PRIx64, r->boundary);
        add(f, STR("Content-Type"), (struct str){text, (size_t)n});
    } else {
        add(f, STR("Content-Type"), str_of(r->type));
    }
}

static void add_range(struct fields *f, const struct file_reply *r)
{
    char text[RANGE_TEXT_MAX];

    if (r->status == 416 || (r->status == 206 && r->n_parts == 1)) {
        size_t n = range_text(r->status == 206 ? &r->parts[0] : NULL, r->size, text);
        add(f, STR("Content-Range"), (struct str){text, n});
    }
}

bool file_reply_make(struct file_reply *r, const struct http_head *request, const struct file *file,
                     const struct file_type *type, enum http_coding coding, bool varies,
                     uint64_t now_s, uint64_t random, struct http_head *response,
                     struct arena *arena)
{
    struct fields f = {response, arena, false};
    char etag[FILE_ETAG_MAX], modified[DATE_IMF_LEN + 1];
    uint64_t modified_s = file->modified_s > 0 ? (uint64_t)file->modified_s : 0;

    *r = (struct file_reply){.size = file->size, .type = type->type, .boundary = random};
    if (modified_s > now_s) /* section 8.8.2.1: no date later than that of the response */
        modified_s = now_s;
    const struct representation rep = {{etag, file_etag(file, coding, etag)}, modified_s};
    switch (precondition_check(request, &rep, now_s)) {
    case PRECONDITION_PASSED:
        choose_parts(r, request, &rep, now_s);
        break;
    case PRECONDITION_NOT_MODIFIED:
        r->status = 304;
        break;
    case PRECONDITION_FAILED:
        r->status = 412;
        break;
    }
    if (r->status == 200 || r->status == 206)
        add_type(&f, r);
    add_range(&f, r);
    if (r->status == 412 || r->status == 416)
        return !f.failed;
    if (coding != 0 && r->status != 304)
        add(&f, STR("Content-Encoding"), str_of(http_coding_name(coding)));
    if (varies)
        add(&f, STR("Vary"), STR("Accept-Encoding"));
    date_imf(modified_s, modified);
    add(&f, STR("Last-Modified"), (struct str){modified, DATE_IMF_LEN});
    add(&f, STR("ETag"), rep.etag);
    if (r->status == 200)
        add(&f, STR("Accept-Ranges"), STR("bytes"));
    return !f.failed;
}
