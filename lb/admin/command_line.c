/* command_line.c - see command_line.h */
#include "lb/admin/command_line.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_escape(struct str s, size_t i)
{
    return s.p[i] == '\\' && i + 1 < s.len &&
           (s.p[i + 1] == ';' || s.p[i + 1] == '\\' || is_blank(s.p[i + 1]));
}

/* str_trim() would take the blank that a last backslash protects. */
static struct str trim(struct str s)
{
    while (s.len > 0 && is_blank(s.p[0])) {
        s.p++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.p[s.len - 1]) && !(s.len > 1 && s.p[s.len - 2] == '\\'))
        s.len--;
    return s;
}

bool command_line_next(struct str *line, struct str *out_command)
{
    size_t i = 0;

    if (line->len == 0)
        return false;
    while (i < line->len && line->p[i] != ';')
        i += is_escape(*line, i) ? 2 : 1;
    *out_command = trim((struct str){line->p, i});
    if (i < line->len)
        i++;
    line->p += i;
    line->len -= i;
    return true;
}

uint32_t command_line_words(struct str command, char *buf, struct str *words, uint32_t max)
{
    uint32_t n = 0;
    size_t i = 0;

    while (n < max) {
        while (i < command.len && is_blank(command.p[i]))
            i++;
        if (i == command.len)
            break;
        words[n] = (struct str){buf, 0};
        while (i < command.len && !is_blank(command.p[i])) {
            i += is_escape(command, i);
            *buf++ = command.p[i++];
            words[n].len++;
        }
        n++;
    }
    return n;
}

bool command_line_payload(struct str *line, struct str *out_mark)
{
    size_t i = line->len;

    while (i > 0 && !is_blank(line->p[i - 1]))
        i--;
    struct str last = {line->p + i, line->len - i};
    if (i == 0 || last.len < 2 || last.len > 2 + COMMAND_PAYLOAD_END_MAX || last.p[0] != '<' ||
        last.p[1] != '<')
        return false;
    *out_mark = (struct str){last.p + 2, last.len - 2};
    *line = trim((struct str){line->p, i});
    return true;
}
