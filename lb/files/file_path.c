/* file_path.c - see file_path.h */
#include "lb/files/file_path.h"

#include "lb/http/msg.h"

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Appends a segment, decoded. False: it can be no name. */
static bool add_segment(struct str segment, char *out, size_t *len)
{
    for (size_t i = 0; i < segment.len; i++) {
        char c = segment.p[i];
        if (c == '%') {
            int high = i + 2 < segment.len ? hex(segment.p[i + 1]) : -1;
            int low = high >= 0 ? hex(segment.p[i + 2]) : -1;
            if (low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == '\0' || c == '/' || *len + 1 >= FILE_PATH_MAX)
            return false;
        out[(*len)++] = c;
    }
    return true;
}

static bool is_dots(struct str name)
{
    return str_eq_cstr(name, ".") || str_eq_cstr(name, "..");
}

/* Who asks for certificates or says how to be reached has its files there. */
static bool is_hidden(struct str name, bool first, bool more)
{
    return name.p[0] == '.' && !(first && more && str_eq_cstr(name, ".well-known"));
}

enum file_path file_path_of(struct str path, char out[static FILE_PATH_MAX], size_t *out_len,
                            bool *out_directory)
{
    bool hidden = false;
    size_t len = 0;

    if (path.len == 0 || path.p[0] != '/')
        return FILE_PATH_BAD;
    *out_directory = path.p[path.len - 1] == '/';
    for (size_t i = 0; i < path.len;) {
        const char *at = path.p + i;
        const char *slash = memchr(at, '/', path.len - i);
        size_t n = slash != NULL ? (size_t)(slash - at) : path.len - i;
        size_t from = len > 0 ? len + 1 : 0;
        bool more = slash != NULL && i + n + 1 < path.len;

        i += n + 1;
        if (n == 0)
            continue;
        if (len > 0)
            out[len++] = '/';
        if (!add_segment((struct str){at, n}, out, &len))
            return FILE_PATH_BAD;
        struct str name = {out + from, len - from};
        if (is_dots(name))
            return FILE_PATH_BAD;
        hidden = hidden || is_hidden(name, from == 0, more);
    }
    if (len == 0)
        out[len++] = '.';
    out[len] = '\0';
    *out_len = len;
    return hidden ? FILE_PATH_HIDDEN : FILE_PATH_GOOD;
}

bool file_path_ends(struct str path, char *const *endings, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct str ending = str_of(endings[i]);
        if (path.len >= ending.len &&
            str_eq_nocase((struct str){path.p + path.len - ending.len, ending.len}, ending))
            return true;
    }
    return false;
}
