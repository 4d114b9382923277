/* quick.c - see quick.h
 *
 * It writes what a user would write into a file, so that nothing but this file knows of it. */
#include "lb/main/quick.h"

#include "lb/base/alloc.h"
#include "lb/base/str.h"
#include "lb/config/conf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define USAGE                                                                                      \
    "usage: sluice quick [--mode http|tcp] [--balance A] [--health PATH] [--stats SOCKET] "        \
    "[--cert FILE [--key FILE]] LISTEN BACKEND..."
#define HTTPS "https://"

/* A string of the configuration language; a dollar of the user is no substitution. */
static void add_string(struct strbuf *out, const char *text)
{
    strbuf_add_char(out, '"');
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\')
            strbuf_addf(out, "\\%c", *p);
        else if (*p == '$')
            strbuf_add_cstr(out, "$$");
        else if (*p < ' ' || *p == 0x7f)
            strbuf_addf(out, "\\x%02x", *p);
        else
            strbuf_add_char(out, (char)*p);
    }
    strbuf_add_char(out, '"');
}

static void add_setting(struct strbuf *out, const char *name, const char *value)
{
    strbuf_addf(out, " %s = ", name);
    add_string(out, value);
    strbuf_add_char(out, ';');
}

static bool is_port(const char *word)
{
    uint64_t port;

    return str_u64(str_of(word), 65535, &port) == 0;
}

/* A port alone: all IPv4 addresses where we listen, this machine where we connect to. */
static void add_address(struct strbuf *out, const char *name, const char *word, const char *host)
{
    char text[64];

    if (is_port(word)) {
        snprintf(text, sizeof(text), "%s:%s", host, word);
        word = text;
    }
    add_setting(out, name, word);
}

static bool is_https(const char *word)
{
    return strncmp(word, HTTPS, strlen(HTTPS)) == 0;
}

/* The part behind https://, with its port. */
static void add_https(struct strbuf *out, const char *word)
{
    const char *host = word + strlen(HTTPS), *bracket = strchr(host, ']');
    size_t len = strcspn(host, "/");
    bool port = memchr(bracket != NULL ? bracket : host, ':',
                       len - (bracket != NULL ? (size_t)(bracket - host) : 0)) != NULL;
    char *address = xasprintf("%.*s%s%s", (int)len, host, port ? "" : ":443",
                              strcmp(host + len, "/") == 0 ? "" : host + len);

    add_setting(out, "address", address);
    free(address);
}

/* TLS goes for all backends: they are one pool. -EINVAL with error where some are without. */
static int backends_tls(char **words, int n, bool *out_tls, char error[static ARGS_ERROR_MAX])
{
    *out_tls = is_https(words[0]);
    for (int i = 1; i < n; i++)
        if (is_https(words[i]) != *out_tls) {
            snprintf(error, ARGS_ERROR_MAX, "backends with and without " HTTPS ": %.60s, %.60s",
                     words[0], words[i]);
            return -EINVAL;
        }
    return 0;
}

int quick_text(int argc, char **argv, struct strbuf *out, char error[static ARGS_ERROR_MAX])
{
    const char *mode = "tcp", *balance = NULL, *health = NULL, *stats = NULL;
    const char *cert = NULL, *key = NULL;
    bool tls;
    const struct arg_row rows[] = {
        {"--mode", 0, &mode, NULL},     {"--balance", 0, &balance, NULL},
        {"--health", 0, &health, NULL}, {"--stats", 0, &stats, NULL},
        {"--cert", 0, &cert, NULL},     {"--key", 0, &key, NULL},
    };
    int words;
    int rc = args_parse(rows, ARRAY_LEN(rows), ARGS_MIXED, argc - 1, argv + 1, &words, error);

    if (rc < 0)
        return rc;
    if (words < 2) {
        snprintf(error, ARGS_ERROR_MAX, "%s: %s",
                 words == 0 ? "quick needs an address to listen on" : "quick needs a backend",
                 USAGE);
        return -EINVAL;
    }
    if (key != NULL && cert == NULL) {
        snprintf(error, ARGS_ERROR_MAX, "--key without --cert: " USAGE);
        return -EINVAL;
    }
    rc = backends_tls(argv + 2, words - 1, &tls, error);
    if (rc < 0)
        return rc;
    if (stats != NULL) {
        strbuf_add_cstr(out, "stats = {");
        add_setting(out, "socket", stats);
        strbuf_add_cstr(out, " level = \"admin\"; };\n");
    }
    strbuf_add_cstr(out, "pools = ( { name = \"app\";");
    add_setting(out, "mode", mode);
    if (balance != NULL)
        add_setting(out, "balance", balance);
    if (health != NULL) {
        strbuf_add_cstr(out, " health = { type = \"http\";");
        add_setting(out, "path", health);
        strbuf_add_cstr(out, " };");
    }
    if (tls)
        strbuf_add_cstr(out, " tls = true;");
    strbuf_add_cstr(out, " backends = (");
    for (int i = 1; i < words; i++) {
        strbuf_addf(out, "%s\n  { name = \"b%d\";", i == 1 ? "" : ",", i);
        if (tls)
            add_https(out, argv[1 + i]);
        else
            add_address(out, "address", argv[1 + i], "127.0.0.1");
        strbuf_add_cstr(out, " }");
    }
    strbuf_add_cstr(out, " ); } );\nlisteners = ( { name = \"quick\";");
    add_setting(out, "mode", mode);
    add_address(out, "bind", argv[1], "0.0.0.0");
    if (cert != NULL) {
        strbuf_add_cstr(out, " tls = { certificates = {");
        add_setting(out, "cert", cert);
        add_setting(out, "key", key != NULL ? key : cert);
        strbuf_add_cstr(out, " }; };");
    }
    strbuf_add_cstr(out, " pool = \"app\"; } );\n");
    return 0;
}

struct conf *quick_conf(int argc, char **argv, struct strbuf *errors,
                        char error[static ARGS_ERROR_MAX])
{
    struct strbuf text = {0};
    struct conf *conf = NULL;

    if (quick_text(argc, argv, &text, error) == 0)
        conf = conf_load_made("quick", text.p, errors);
    strbuf_fini(&text);
    return conf;
}
