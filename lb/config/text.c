/* text.c - see text.h. User and group names are looked up in the system's database: a start as root
 * would fail without them, so a check must. */
#include "lb/config/text.h"

#include "lb/net/addr.h"
#include "lb/obs/access_log.h"

#include <ctype.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/un.h>

/* Every byte alphanumeric or one of more. */
static bool consists_of(struct str s, const char *more)
{
    for (size_t i = 0; i < s.len; i++)
        if (!isalnum((unsigned char)s.p[i]) && (s.p[i] == '\0' || strchr(more, s.p[i]) == NULL))
            return false;
    return true;
}

/* No blanks, no control bytes, nothing beyond ASCII: safe within a request. */
static bool is_visible(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.p[i] <= 0x20 || (unsigned char)s.p[i] >= 0x7f)
            return false;
    return true;
}

bool text_is_name(struct str s, struct strbuf *why)
{
    (void)why;
    return consists_of(s, "_-.:");
}

bool text_is_backend_name(struct str s, struct strbuf *why)
{
    if (str_eq_cstr(s, "FRONTEND") || str_eq_cstr(s, "BACKEND")) {
        strbuf_add_cstr(why, "the stats socket uses this word for whole listeners and pools");
        return false;
    }
    return consists_of(s, "_-.:");
}

bool text_is_user(struct str s, struct strbuf *why)
{
    (void)why;
    char *name = strndup(s.p, s.len);
    bool known = name != NULL && strlen(name) == s.len && getpwnam(name) != NULL;
    free(name);
    return known;
}

bool text_is_group(struct str s, struct strbuf *why)
{
    (void)why;
    char *name = strndup(s.p, s.len);
    bool known = name != NULL && strlen(name) == s.len && getgrnam(name) != NULL;
    free(name);
    return known;
}

bool text_has_no_nul(struct str s, struct strbuf *why)
{
    (void)why;
    return memchr(s.p, '\0', s.len) == NULL;
}

static bool is_path(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return false;
    return s.len > 1 && s.p[0] == '/' && s.p[s.len - 1] != '/';
}

bool text_is_socket_path(struct str s, struct strbuf *why)
{
    struct sockaddr_un un;

    if (s.len >= sizeof(un.sun_path)) {
        strbuf_addf(why, "it has %zu bytes, the system takes %zu", s.len, sizeof(un.sun_path) - 1);
        return false;
    }
    return is_path(s);
}

/* As lb/base/log_syslog.c takes it: unix:/path, or an address with or without a port. */
static bool is_syslog_address(struct str s)
{
    struct strbuf attempt = {0};
    bool good = false;

    if (s.len == 0 || !is_visible(s))
        return false;
    for (int form = 0; form < 3 && !good; form++) {
        struct addr_spec spec;
        const char *ignored;
        strbuf_clear(&attempt);
        strbuf_addf(&attempt, "%s" STR_FMT "%s", form == 2 ? "[" : "", STR_ARG(s),
                    form == 0   ? ""
                    : form == 1 ? ":514"
                                : "]:514");
        good = addr_parse(strbuf_str(&attempt), false, false, &spec, &ignored) == 0;
    }
    strbuf_fini(&attempt);
    return good;
}

bool text_is_log_target(struct str s, struct strbuf *why)
{
    struct str syslog = STR("syslog:");

    if (str_eq_cstr(s, "stdout") || str_eq_cstr(s, "stderr") || str_eq_cstr(s, "off"))
        return true;
    if (!str_starts(s, syslog))
        return is_path(s);
    if (is_syslog_address((struct str){s.p + syslog.len, s.len - syslog.len}))
        return true;
    strbuf_add_cstr(why, "ADDRESS is IP, IP:PORT or unix:/path");
    return false;
}

bool text_is_log_format(struct str s, struct strbuf *why)
{
    const char *error = NULL;

    if (!str_eq_cstr(s, "tcplog") && !str_eq_cstr(s, "json") && memchr(s.p, '$', s.len) == NULL)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] == '\0' || s.p[i] == '\n' || s.p[i] == '\r') {
            strbuf_add_cstr(why, "a line of the log has no line break in it");
            return false;
        }
    char *text = strndup(s.p, s.len);
    struct access_format *format = text != NULL ? access_format_compile(text, &error) : NULL;
    free(text);
    if (format == NULL) {
        strbuf_add_cstr(why, error != NULL ? error : "out of memory");
        return false;
    }
    access_format_free(&format);
    return true;
}

bool text_is_method(struct str s, struct strbuf *why)
{
    (void)why;
    for (size_t i = 0; i < s.len; i++)
        if (!isupper((unsigned char)s.p[i]))
            return false;
    return true;
}

bool text_is_uri_path(struct str s, struct strbuf *why)
{
    (void)why;
    return s.len > 0 && s.p[0] == '/' && is_visible(s) && memchr(s.p, '#', s.len) == NULL;
}

bool text_is_host(struct str s, struct strbuf *why)
{
    (void)why;
    return is_visible(s) && consists_of(s, "-._:[]%~");
}
