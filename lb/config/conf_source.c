/* conf_source.c - see conf_source.h.
 *
 * An include directive is `@include "path"` alone on its line, outside of comments, as libconfig
 * has it. Paths are relative to the folder of the main file, in included files too. */
#include "lb/config/conf_source.h"

#include "lb/base/alloc.h"
#include "lb/base/limits.h"
#include "lb/base/named_file.h"
#include "lb/config/problems.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file being read. */
struct frame {
    const char *file;
    unsigned depth; /* 0: the main file */
};

struct reader {
    struct conf_source *source;
    struct problems *problems;
    const char *dir; /* of the main file, with its slash; NULL: nothing may be included */
    size_t dir_len;
    bool in_comment; /* a block comment reaches over lines and, odd as it is, over files */
};

static bool add_text(struct reader *r, const struct frame *frame, struct str text);

static void begin_line(struct conf_source *s, const char *file, uint32_t line)
{
    if (s->n_places == s->cap) {
        s->cap = s->cap == 0 ? 256 : 2 * s->cap;
        s->places = xrealloc(s->places, s->cap * sizeof(*s->places));
    }
    s->places[s->n_places++] = (struct conf_place){file, line};
}

/* 0 or -errno; -EFBIG for more than a configuration can be. A pipe will do. */
static int read_all(const char *path, struct strbuf *out)
{
    int fd = named_file_open(path, O_NOCTTY);
    struct stat st;
    int err = 0;

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
        err = -EISDIR;
    while (err == 0) {
        char chunk[16384];
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n == 0)
            break;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            err = -errno;
        else if (out->len + (size_t)n > LIMIT_CONFIG_BYTES)
            err = -EFBIG;
        else
            strbuf_add(out, chunk, (size_t)n);
    }
    close(fd);
    return err;
}

/* Follows comments through a line that holds no directive. */
static void follow_comments(struct reader *r, struct str line)
{
    bool in_string = false;

    for (size_t i = 0; i < line.len; i++) {
        char c = line.p[i], next = i + 1 < line.len ? line.p[i + 1] : '\0';
        if (r->in_comment) {
            if (c == '*' && next == '/') {
                r->in_comment = false;
                i++;
            }
        } else if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '#' || (c == '/' && next == '/')) {
            return;
        } else if (c == '/' && next == '*') {
            r->in_comment = true;
            i++;
        }
    }
}

/* Whether the line is a directive; *out_path is what stands in its quotes, empty when malformed. */
static bool is_include(struct str line, struct str *out_path)
{
    struct str rest = str_trim(line), word = STR("@include");

    if (!str_starts(rest, word))
        return false;
    *out_path = (struct str){rest.p, 0};
    rest = str_trim((struct str){rest.p + word.len, rest.len - word.len});
    if (rest.len > 0 && rest.p[rest.len - 1] == '\r')
        rest = str_trim((struct str){rest.p, rest.len - 1});
    if (rest.len < 3 || rest.p[0] != '"')
        return true;
    const char *end = memchr(rest.p + 1, '"', rest.len - 1);
    if (end == NULL)
        return true;
    size_t len = (size_t)(end - rest.p - 1);
    struct str tail = str_trim((struct str){end + 1, rest.len - len - 2});
    if (tail.len == 0 || tail.p[0] == '#' || str_starts(tail, STR("//")))
        *out_path = (struct str){rest.p + 1, len};
    return true;
}

static bool include(struct reader *r, const struct frame *frame, struct str name)
{
    struct conf_source *s = r->source;
    uint32_t line = s->n_places;
    struct strbuf path = {0}, text = {0};
    bool ok = false;

    if (r->dir == NULL) {
        problems_add_quoted(r->problems, line, "@include",
                            "found in a text without a file, where nothing can be included");
        return false;
    }
    if (name.len == 0 || memchr(name.p, '\0', name.len) != NULL) {
        problems_add_quoted(r->problems, line, "@include",
                            "expected @include \"FILE\" alone on its line");
        return false;
    }
    if (frame->depth + 1 == LIMIT_CONFIG_INCLUDES) {
        problems_add_quoted(r->problems, line, "@include",
                            "found files included %u deep, expected at most %u (does a file "
                            "include itself?)",
                            frame->depth + 1, LIMIT_CONFIG_INCLUDES - 1);
        return false;
    }
    if (name.p[0] != '/')
        strbuf_add(&path, r->dir, r->dir_len);
    strbuf_add_str(&path, name);
    int err = read_all(path.p, &text);
    if (err == 0) {
        struct frame inner = {conf_arena_str(s->arena, strbuf_str(&path)), frame->depth + 1};
        ok = add_text(r, &inner, strbuf_str(&text));
    } else {
        problems_add_quoted(r->problems, line, "@include", "%s cannot be read: %s", path.p,
                            strerror(-err));
    }
    strbuf_fini(&path);
    strbuf_fini(&text);
    return ok;
}

/* Adds the lines of one file, replacing each directive by what it names. Every line, the last one
 * too, ends with a newline, so that files do not run into each other. */
static bool add_text(struct reader *r, const struct frame *frame, struct str text)
{
    struct conf_source *s = r->source;
    uint32_t number = 0;

    while (text.len > 0) {
        const char *newline = memchr(text.p, '\n', text.len);
        size_t len = newline != NULL ? (size_t)(newline - text.p) : text.len;
        struct str line = {text.p, len}, path;

        text.p += newline != NULL ? len + 1 : len;
        text.len -= newline != NULL ? len + 1 : len;
        begin_line(s, frame->file, ++number);
        if (s->text.len + len > LIMIT_CONFIG_BYTES) {
            problems_add(r->problems, PROBLEM_ERROR, s->n_places, "configuration",
                         "found more than %u MiB", LIMIT_CONFIG_BYTES >> 20);
            return false;
        }
        if (memchr(line.p, '\0', line.len) != NULL) {
            problems_add(r->problems, PROBLEM_ERROR, s->n_places, "syntax",
                         "found a NUL byte, expected text (within a string it is written \\x00)");
            return false;
        }
        size_t at = s->text.len + (size_t)(str_trim(line).p - line.p);
        bool directive = !r->in_comment && is_include(line, &path);
        if (!directive)
            follow_comments(r, line);
        strbuf_add_str(&s->text, line);
        strbuf_add_char(&s->text, '\n');
        if (!directive)
            continue;
        s->text.p[at] = '#'; /* libconfig sees a comment */
        if (!include(r, frame, path)) {
            s->text.p[at] = '@'; /* the message shows the line */
            return false;
        }
    }
    return true;
}

/* Even an empty text has a line to point at, and a NUL behind it. */
static void finish(struct conf_source *s, const char *file)
{
    if (s->n_places == 0) {
        begin_line(s, file, 1);
        strbuf_add_char(&s->text, '\n');
    }
}

bool conf_source_read(struct conf_source *s, const char *path, struct problems *problems)
{
    struct strbuf text = {0};
    const char *slash = strrchr(path, '/');
    struct frame frame = {conf_arena_str(s->arena, str_of(path)), 0};
    struct reader r = {.source = s,
                       .problems = problems,
                       .dir = path,
                       .dir_len = slash != NULL ? (size_t)(slash - path) + 1 : 0};
    int err = read_all(path, &text);
    bool ok = false;

    if (err != 0)
        problems_add_file(problems, path, "cannot be read: %s", strerror(-err));
    else
        ok = add_text(&r, &frame, strbuf_str(&text));
    finish(s, frame.file);
    strbuf_fini(&text);
    return ok;
}

bool conf_source_set(struct conf_source *s, const char *name, struct str text,
                     struct problems *problems)
{
    struct frame frame = {conf_arena_str(s->arena, str_of(name)), 0};
    struct reader r = {.source = s, .problems = problems};
    bool ok = add_text(&r, &frame, text);

    finish(s, frame.file);
    return ok;
}

void conf_source_fini(struct conf_source *s)
{
    strbuf_fini(&s->text);
    free(s->places);
    *s = (struct conf_source){0};
}

struct conf_place conf_source_place(const struct conf_source *s, uint32_t line)
{
    if (line == 0)
        return (struct conf_place){s->places[0].file, 0};
    return s->places[(line < s->n_places ? line : s->n_places) - 1];
}

struct str conf_source_line(const struct conf_source *s, uint32_t line)
{
    struct str rest = strbuf_str(&s->text), text = {rest.p, 0};

    for (uint32_t i = 0; i < line && rest.len > 0; i++) {
        const char *newline = memchr(rest.p, '\n', rest.len);
        text = (struct str){rest.p, newline != NULL ? (size_t)(newline - rest.p) : rest.len};
        size_t used = newline != NULL ? text.len + 1 : text.len;
        rest = (struct str){rest.p + used, rest.len - used};
    }
    return text;
}
