/* fuzz_files.c - a request for a file: its path, and the fields that choose what is sent of it.
 *
 * Lines: a path; then the values of Range, If-None-Match, If-Modified-Since, If-Range and
 * Accept-Encoding, each as far as there is a line. A name never leaves its root; parts lie within
 * the file, none is empty, and together they are at most the whole; what several parts cost in
 * payload is what is promised. */
#include "lb/base/arena.h"
#include "lb/base/assert.h"
#include "lb/files/file_path.h"
#include "lb/files/file_reply.h"
#include "lb/files/file_type.h"
#include "lb/files/files.h"
#include "lb/http/msg.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct str next_line(struct str *rest)
{
    const char *end = memchr(rest->p, '\n', rest->len);
    struct str line = {rest->p, end != NULL ? (size_t)(end - rest->p) : rest->len};
    size_t used = line.len + (end != NULL);

    rest->p += used;
    rest->len -= used;
    return line;
}

static void check_name(struct str path)
{
    static char out[FILE_PATH_MAX];
    bool directory;
    size_t len;

    if (file_path_of(path, out, &len, &directory) != FILE_PATH_GOOD)
        return;
    sl_assert(len > 0 && len < FILE_PATH_MAX && out[len] == '\0' && strlen(out) == len);
    sl_assert(out[0] != '/' && out[len - 1] != '/' && strstr(out, "//") == NULL);
    sl_assert(strcmp(out, "..") != 0 && strncmp(out, "../", 3) != 0 && strstr(out, "/..") == NULL);
    sl_assert(file_type_of((struct str){out, len}) != NULL);
}

static void check_reply(const struct file_reply *r, uint64_t size)
{
    char head[FILE_PART_HEAD_MAX];
    uint64_t sum = 0, promised = 0;

    for (uint32_t i = 0; i < r->n_parts; i++) {
        sl_assert(r->parts[i].len > 0 && r->parts[i].first < size);
        sl_assert(r->parts[i].len <= size - r->parts[i].first);
        sum += r->parts[i].len;
    }
    sl_assert(sum <= size);
    if (r->status == 206 && r->n_parts > 1) {
        for (uint32_t i = 0; i <= r->n_parts; i++) {
            size_t n = file_reply_part_head(r, i, head);
            sl_assert(n < FILE_PART_HEAD_MAX);
            promised += n;
        }
    }
    if (r->status == 200 || r->status == 206)
        sl_assert(r->length == sum + promised);
    else
        sl_assert(r->status == 304 || r->status == 412 || r->status == 416);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"Range", "If-None-Match", "If-Modified-Since", "If-Range",
                                        "Accept-Encoding"};
    const struct file file = {
        .size = size % 7 == 0 ? 0 : 1000, .modified_s = 784111777, .modified_ns = 5};
    struct str rest = {(const char *)data, size};
    struct http_head request = {.version = 11, .method = HTTP_GET}, response = {.version = 11};
    struct arena_pool pool;
    struct arena arena;
    struct file_reply reply;

    if (size > 8192)
        return 0;
    arena_pool_init(&pool);
    arena_init(&arena, &pool);
    check_name(next_line(&rest));
    for (size_t i = 0; i < ARRAY_LEN(names) && rest.len > 0; i++) {
        struct str value = next_line(&rest);
        if (http_is_field_value(value))
            sl_assert(http_head_add(&request, &arena, str_of(names[i]), value) == 0);
    }
    struct http_codings c = http_codings_of(&request);
    sl_assert((c.preferred & ~c.accepted) == 0);
    sl_assert(file_reply_make(&reply, &request, &file, file_type_of(STR("x.txt")),
                              (enum http_coding)c.preferred, true, 784121777, 42, &response,
                              &arena));
    check_reply(&reply, file.size);
    arena_fini(&arena);
    arena_pool_fini(&pool);
    return 0;
}
