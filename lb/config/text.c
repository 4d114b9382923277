/* text.c - see text.h. User and group names are looked up in the system's database: a start as root
 * would fail without them, so a check must. */
#include "lb/config/text.h"

#include "lb/http/template.h"
#include "lb/net/addr.h"
#include "lb/obs/access_log.h"

#include <ctype.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <strings.h>
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

bool text_is_reason(struct str s, struct strbuf *why)
{
    (void)why;
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return false;
    return true;
}

static bool is_path(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return false;
    return s.len > 1 && s.p[0] == '/' && s.p[s.len - 1] != '/';
}

bool text_is_absolute_path(struct str s, struct strbuf *why)
{
    (void)why;
    return is_path(s);
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

bool text_is_bind(struct str s, struct strbuf *why)
{
    struct addr_spec spec;
    const char *error;

    if (addr_parse(s, false, true, &spec, &error) < 0) {
        strbuf_add_cstr(why, error);
        return false;
    }
    return addr_family(&spec.addr) != AF_UNIX;
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

    if (!str_eq_cstr(s, "tcplog") && !str_eq_cstr(s, "httplog") && !str_eq_cstr(s, "combined") &&
        !str_eq_cstr(s, "json") && memchr(s.p, '$', s.len) == NULL)
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

bool text_is_visible(struct str s, struct strbuf *why)
{
    (void)why;
    return is_visible(s);
}

bool text_is_host(struct str s, struct strbuf *why)
{
    (void)why;
    return is_visible(s) && consists_of(s, "-._:[]%~");
}

/* ---- mode http ---- */

/* RFC 9110, 5.6.2. */
bool text_is_token(struct str s, struct strbuf *why)
{
    (void)why;
    return s.len > 0 && consists_of(s, "!#$%&'*+-.^_`|~");
}

static bool is_word(struct str s, const char *word)
{
    return s.len == strlen(word) && strncasecmp(s.p, word, s.len) == 0;
}

/* Headers that say where a message ends or belong to one connection are written by sluice alone. */
bool text_is_header_name(struct str s, struct strbuf *why)
{
    static const char *const ours[] = {"Connection", "Content-Length",    "HTTP2-Settings",
                                       "Keep-Alive", "Proxy-Connection",  "TE",
                                       "Trailer",    "Transfer-Encoding", "Upgrade"};

    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        if (is_word(s, ours[i])) {
            strbuf_add_cstr(why, "it belongs to the connection, so sluice writes it itself");
            return false;
        }
    if (is_word(s, "Host")) {
        strbuf_add_cstr(why, "use set_host for it");
        return false;
    }
    return text_is_token(s, why);
}

bool text_is_header_pattern(struct str s, struct strbuf *why)
{
    if (s.len > 1 && s.p[s.len - 1] == '*')
        return text_is_token((struct str){s.p, s.len - 1}, why);
    if (memchr(s.p, '*', s.len) != NULL) {
        strbuf_add_cstr(why, "a * stands at the end, behind the begin of a name");
        return false;
    }
    return text_is_header_name(s, why);
}

bool text_is_query_name(struct str s, struct strbuf *why)
{
    (void)why;
    return text_has_no_nul(s, why) && memchr(s.p, '=', s.len) == NULL &&
           memchr(s.p, '&', s.len) == NULL;
}

bool text_is_header_line(struct str s, struct strbuf *why)
{
    const char *colon = memchr(s.p, ':', s.len);

    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return false;
    return colon != NULL && text_is_token((struct str){s.p, (size_t)(colon - s.p)}, why);
}

/* "*", "*.example.com", "example.com", "[::1]": without a port. */
bool text_is_host_pattern(struct str s, struct strbuf *why)
{
    struct str rest = s;
    struct addr_spec spec;
    const char *ignored;

    if (str_eq_cstr(s, "*"))
        return true;
    if (rest.len > 0 && rest.p[0] == '[') {
        struct strbuf text = {0};
        strbuf_addf(&text, STR_FMT ":1", STR_ARG(s));
        bool good = memchr(s.p, '\0', s.len) == NULL && s.p[s.len - 1] == ']' &&
                    addr_parse(strbuf_str(&text), false, false, &spec, &ignored) == 0;
        strbuf_fini(&text);
        return good;
    }
    if (memchr(rest.p, ':', rest.len) != NULL) {
        strbuf_add_cstr(why, "a host is matched without its port");
        return false;
    }
    if (str_starts(rest, STR("*.")))
        rest = (struct str){s.p + 2, s.len - 2};
    if (rest.len > 0 && rest.p[0] == '.') {
        strbuf_addf(why, "for every host below it: \"*" STR_FMT "\"", STR_ARG(rest));
        return false;
    }
    if (memchr(rest.p, '*', rest.len) != NULL) {
        strbuf_add_cstr(why, "a * stands for whole labels at the begin: \"*.example.com\"");
        return false;
    }
    return rest.len > 0 && rest.len <= 253 && consists_of(rest, "-._") &&
           !str_contains(rest, STR(".."));
}

bool text_is_path_pattern(struct str s, struct strbuf *why)
{
    bool regex = s.len > 1 && s.p[0] == '~', exact = s.len > 1 && s.p[0] == '=';
    struct str path = {s.p + exact, s.len - exact};

    if (regex)
        return text_has_no_nul(s, why);
    if (path.len > 0 && memchr(path.p, '?', path.len) != NULL) {
        strbuf_add_cstr(why, "a path has no query; `query` matches that");
        return false;
    }
    for (size_t i = 0; i < path.len; i++)
        if ((unsigned char)path.p[i] <= 0x20 || path.p[i] == 0x7f || path.p[i] == '#')
            return false;
    return path.len > 0 && path.p[0] == '/';
}

bool text_is_prefix(struct str s, struct strbuf *why)
{
    return text_is_uri_path(s, why) && memchr(s.p, '?', s.len) == NULL;
}

bool text_is_folder(struct str s, struct strbuf *why)
{
    (void)why;
    return is_path(s);
}

bool text_has_no_slash(struct str s, struct strbuf *why)
{
    return text_has_no_nul(s, why) && memchr(s.p, '/', s.len) == NULL;
}

static bool is_template(struct str s, bool line, struct strbuf *why)
{
    const char *error = NULL;
    struct http_template *t = http_template_compile(s, &error);

    if (t == NULL) {
        strbuf_add_cstr(why, error != NULL ? error : "not a template");
        return false;
    }
    bool good = !line || http_template_is_line(t);
    if (!good)
        strbuf_add_cstr(why, "it holds control bytes");
    http_template_free(&t);
    return good;
}

bool text_is_template(struct str s, struct strbuf *why)
{
    return is_template(s, false, why);
}

bool text_is_line_template(struct str s, struct strbuf *why)
{
    return is_template(s, true, why);
}

bool text_is_path_template(struct str s, struct strbuf *why)
{
    return (s.p[0] == '/' || s.p[0] == '$') && is_template(s, true, why);
}

bool text_is_location(struct str s, struct strbuf *why)
{
    bool absolute = str_starts(s, STR("http://")) || str_starts(s, STR("https://"));

    return (s.p[0] == '/' || s.p[0] == '$' || absolute) && memchr(s.p, ' ', s.len) == NULL &&
           is_template(s, true, why);
}

bool text_is_media_type(struct str s, struct strbuf *why)
{
    const char *slash = memchr(s.p, '/', s.len);
    const char *end = memchr(s.p, ';', s.len);

    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.p[i] < 0x20 || (unsigned char)s.p[i] >= 0x7f)
            return false;
    if (end == NULL)
        end = s.p + s.len;
    if (slash == NULL || slash > end)
        return false;
    return text_is_token((struct str){s.p, (size_t)(slash - s.p)}, why) &&
           text_is_token(str_trim((struct str){slash + 1, (size_t)(end - slash - 1)}), why);
}

bool text_is_realm(struct str s, struct strbuf *why)
{
    (void)why;
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.p[i] < 0x20 || (unsigned char)s.p[i] >= 0x7f || s.p[i] == '"' ||
            s.p[i] == '\\')
            return false;
    return true;
}

bool text_is_secret(struct str s, struct strbuf *why)
{
    if (s.len < 16)
        strbuf_addf(why, "%zu bytes can be guessed", s.len);
    return s.len >= 16 && text_has_no_nul(s, why);
}

bool text_is_file(struct str s, struct strbuf *why)
{
    (void)why;
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return false;
    return s.len > 0 && s.p[s.len - 1] != '/';
}

bool text_is_directory(struct str s, struct strbuf *why)
{
    while (s.len > 1 && s.p[s.len - 1] == '/')
        s.len--;
    return (s.len == 1 && s.p[0] == '/') || text_is_file(s, why);
}

bool text_is_file_name(struct str s, struct strbuf *why)
{
    return s.len < 256 && text_is_file(s, why) && memchr(s.p, '/', s.len) == NULL;
}

bool text_is_sni_host(struct str s, struct strbuf *why)
{
    if (str_eq_cstr(s, "*")) {
        strbuf_add_cstr(why, "the listener's pool takes what no rule has");
        return false;
    }
    return s.len > 0 && s.p[0] != '[' && text_is_host_pattern(s, why);
}

bool text_is_server_name(struct str s, struct strbuf *why)
{
    if (s.len > 0 && (s.p[s.len - 1] == '.' || s.p[0] == '.')) {
        strbuf_add_cstr(why, "a dot at its end");
        return false;
    }
    return s.len > 0 && s.len <= 253 && consists_of(s, "-._") && !str_contains(s, STR(".."));
}

/* RFC 7301, section 3.1: any bytes, but names that are written are visible ones. */
bool text_is_alpn(struct str s, struct strbuf *why)
{
    (void)why;
    return s.len > 0 && s.len <= 255 && is_visible(s);
}

bool text_is_ratelimit_key(struct str s, struct strbuf *why)
{
    static const char *const prefixes[] = {"header:", "cookie:"};

    if (str_eq_cstr(s, "source") || str_eq_cstr(s, "path") || str_eq_cstr(s, "route"))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        size_t len = strlen(prefixes[i]);
        if (str_starts(s, str_of(prefixes[i])))
            return text_is_token((struct str){s.p + len, s.len - len}, why);
    }
    return false;
}

bool text_is_redirect_status(struct str s, struct strbuf *why)
{
    (void)why;
    return str_eq_cstr(s, "301") || str_eq_cstr(s, "302") || str_eq_cstr(s, "303") ||
           str_eq_cstr(s, "307") || str_eq_cstr(s, "308");
}

/* METHOD, one blank, an absolute URL of http or https. */
bool text_is_request(struct str s, struct strbuf *why)
{
    const char *blank = memchr(s.p, ' ', s.len);

    if (blank == NULL || !text_is_token((struct str){s.p, (size_t)(blank - s.p)}, why))
        return false;
    struct str url = {blank + 1, (size_t)(s.p + s.len - blank - 1)};
    struct str scheme = str_starts(url, STR("http://")) ? STR("http://") : STR("https://");
    if (!str_starts(url, scheme) || !is_visible(url))
        return false;
    return url.len > scheme.len && url.p[scheme.len] != '/' && url.p[scheme.len] != '?';
}
