/* quick.c - see quick.h
 *
 * It writes what a user would write into a file, one setting a line, so that nothing but this file
 * knows of it, `--print` has something to start from, and a mistake in a line leads back to the
 * word or variable that it came from. */
#include "lb/main/quick.h"

#include "lb/base/alloc.h"
#include "lb/base/suggest.h"
#include "lb/config/conf.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define HTTPS    "https://"
#define PREFIX   "SLUICE_"
#define LISTEN   "SLUICE_LISTEN"
#define BACKENDS "SLUICE_BACKENDS"
#define LISTS    ", \t\n" /* what separates addresses in a variable */

enum key {
    MODE,
    BALANCE,
    HEALTH,
    STATS,
    ADMIN,
    CERT,
    KEY,
    LOG_LEVEL,
    LOG_FORMAT,
    DRAIN_DELAY,
    DRAIN_DEADLINE,
    WORKERS,
    ENGINE,
    MAX_CONNECTIONS,
    N_KEYS,
};

static const struct {
    const char *option, *variable;
} names[N_KEYS] = {
    [MODE] = {"--mode", PREFIX "MODE"},
    [BALANCE] = {"--balance", PREFIX "BALANCE"},
    [HEALTH] = {"--health", PREFIX "HEALTH_PATH"},
    [STATS] = {"--stats", PREFIX "STATS"},
    [ADMIN] = {"--admin", PREFIX "ADMIN"},
    [CERT] = {"--cert", PREFIX "CERT"},
    [KEY] = {"--key", PREFIX "KEY"},
    [LOG_LEVEL] = {"--log-level", PREFIX "LOG_LEVEL"},
    [LOG_FORMAT] = {"--log-format", PREFIX "LOG_FORMAT"},
    [DRAIN_DELAY] = {"--drain-delay", PREFIX "DRAIN_DELAY"},
    [DRAIN_DEADLINE] = {"--drain-deadline", PREFIX "DRAIN_DEADLINE"},
    [WORKERS] = {"--workers", PREFIX "WORKERS"},
    [ENGINE] = {"--io", PREFIX "IO"},
    [MAX_CONNECTIONS] = {"--max-connections", PREFIX "MAX_CONNECTIONS"},
};

/* What was asked for: the values, and by which name each was. */
struct wish {
    const char *value[N_KEYS], *by[N_KEYS];
    struct str *listen, *backends;
    uint32_t n_listen, n_backends;
    const char *listen_by, *backends_by;
};

/* ---- what is asked for ---- */

static const char *variable(char **variables, const char *name)
{
    size_t len = strlen(name);

    for (char **v = variables; *v != NULL; v++)
        if (strncmp(*v, name, len) == 0 && (*v)[len] == '=')
            return (*v)[len + 1] != '\0' ? *v + len + 1 : NULL; /* empty is as good as unset */
    return NULL;
}

bool quick_in(char **variables)
{
    return variable(variables, LISTEN) != NULL || variable(variables, BACKENDS) != NULL;
}

static struct str *split(const char *list, uint32_t *out_n)
{
    struct str rest = str_of(list), *words = xcalloc(rest.len + 1, sizeof(words[0]));

    *out_n = 0;
    for (struct str word; (word = str_word(&rest, LISTS)).len > 0;)
        words[(*out_n)++] = word;
    return words;
}

/* A name of ours that somebody may have meant. Orchestrators put variables of their own beside
 * them (SLUICE_PORT, SLUICE_SERVICE_HOST for a service of that name), so these are no mistakes. */
static void warn_unknown(char **variables, struct strbuf *out)
{
    for (char **v = variables; *v != NULL; v++) {
        struct str name = {*v, strcspn(*v, "=")};
        struct suggest near;
        bool known = str_eq_cstr(name, LISTEN) || str_eq_cstr(name, BACKENDS) ||
                     str_eq_cstr(name, PREFIX "SOCKET");
        if (!str_starts(name, STR(PREFIX)) || str_starts(name, STR(PREFIX "PORT")) ||
            str_starts(name, STR(PREFIX "SERVICE")))
            continue;
        suggest_begin(&near, name);
        suggest_offer(&near, LISTEN);
        suggest_offer(&near, BACKENDS);
        for (int i = 0; i < N_KEYS; i++) {
            known = known || str_eq_cstr(name, names[i].variable);
            suggest_offer(&near, names[i].variable);
        }
        if (!known && suggest_best(&near) != NULL)
            strbuf_addf(out, STR_FMT ": warning: not known, not used (did you mean %s?)\n",
                        STR_ARG(name), suggest_best(&near));
    }
}

static int from_environment(struct wish *w, char **variables, char error[static ARGS_ERROR_MAX])
{
    const char *listen = variable(variables, LISTEN), *backends = variable(variables, BACKENDS);

    for (int i = 0; i < N_KEYS; i++) {
        if (w->value[i] != NULL)
            continue;
        w->value[i] = variable(variables, names[i].variable);
        w->by[i] = names[i].variable;
    }
    w->listen = split(listen != NULL ? listen : "", &w->n_listen);
    w->backends = split(backends != NULL ? backends : "", &w->n_backends);
    w->listen_by = LISTEN;
    w->backends_by = BACKENDS;
    if (w->n_listen > 0 && w->n_backends > 0)
        return 0;
    if (!quick_in(variables))
        snprintf(error, ARGS_ERROR_MAX,
                 "quick needs an address to listen on and backends: sluice "
                 "quick LISTEN BACKEND..., or " LISTEN " and " BACKENDS " in the environment");
    else
        snprintf(error, ARGS_ERROR_MAX, "%s",
                 w->n_listen == 0 ? LISTEN " is not set: quick needs an address to listen on"
                                  : BACKENDS " is not set: quick needs a backend");
    return -EINVAL;
}

static int from_words(struct wish *w, int words, char **argv, char error[static ARGS_ERROR_MAX])
{
    if (words < 2) {
        snprintf(error, ARGS_ERROR_MAX,
                 "quick needs a backend: sluice quick [OPTION]... LISTEN BACKEND...");
        return -EINVAL;
    }
    w->listen = xcalloc(1, sizeof(w->listen[0]));
    w->listen[0] = str_of(argv[0]);
    w->n_listen = 1;
    w->n_backends = (uint32_t)(words - 1);
    w->backends = xcalloc(w->n_backends, sizeof(w->backends[0]));
    for (uint32_t i = 0; i < w->n_backends; i++)
        w->backends[i] = str_of(argv[1 + i]);
    w->listen_by = "LISTEN";
    w->backends_by = "BACKEND";
    return 0;
}

/* ---- the text ---- */

/* Begins a line; whoever is named gets the mistakes that are found in it. */
static struct strbuf *line(struct quick *q, const char *by)
{
    if (q->n_lines == q->cap_lines) {
        q->cap_lines = q->cap_lines * 2 + 32;
        q->asked = xrealloc(q->asked, q->cap_lines * sizeof(q->asked[0]));
    }
    if (q->n_lines > 0)
        strbuf_add_char(&q->text, '\n');
    q->asked[q->n_lines++] = by;
    return &q->text;
}

/* A string of the configuration language; a dollar of the user is no substitution. */
static void add_string(struct strbuf *out, struct str text)
{
    strbuf_add_char(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c == '"' || c == '\\')
            strbuf_addf(out, "\\%c", c);
        else if (c == '$')
            strbuf_add_cstr(out, "$$");
        else if (c < ' ' || c == 0x7f)
            strbuf_addf(out, "\\x%02x", c);
        else
            strbuf_add_char(out, (char)c);
    }
    strbuf_add_char(out, '"');
}

/* `name = "value";` on a line of its own, where it was asked for. */
static void add_setting(struct quick *q, const struct wish *w, enum key key, const char *before,
                        const char *name, const char *after)
{
    if (w->value[key] == NULL)
        return;
    strbuf_addf(line(q, w->by[key]), "%s%s = ", before, name);
    add_string(&q->text, str_of(w->value[key]));
    strbuf_addf(&q->text, ";%s", after);
}

/* What is no number stands in quotes: the schema says then what it wants. */
static void add_number(struct strbuf *out, const char *text)
{
    uint64_t number;

    if (str_u64(str_of(text), INT32_MAX, &number) == 0)
        strbuf_addf(out, "%llu", (unsigned long long)number);
    else
        add_string(out, str_of(text));
}

/* A port alone: all IPv4 addresses where we listen, this machine where we connect to. */
static void add_address(struct strbuf *out, struct str word, const char *host)
{
    char text[64];
    uint64_t port;

    if (str_u64(word, 65535, &port) == 0) {
        snprintf(text, sizeof(text), "%s:" STR_FMT, host, STR_ARG(word));
        word = str_of(text);
    }
    add_string(out, word);
}

static bool is_https(struct str word)
{
    return str_starts(word, STR(HTTPS));
}

/* The part behind https://, with its port. */
static void add_https(struct strbuf *out, struct str word)
{
    struct strbuf address = {0};
    struct str host = {word.p + strlen(HTTPS), word.len - strlen(HTTPS)};
    const char *slash = memchr(host.p, '/', host.len);
    size_t len = slash != NULL ? (size_t)(slash - host.p) : host.len;
    const char *bracket = memchr(host.p, ']', len);
    size_t from = bracket != NULL ? (size_t)(bracket - host.p) : 0;

    strbuf_add(&address, host.p, len);
    if (len == 0 || memchr(host.p + from, ':', len - from) == NULL)
        strbuf_add_cstr(&address, ":443");
    if (host.len > len + 1) /* a path is a mistake; let the schema say so */
        strbuf_add(&address, slash, host.len - len);
    add_string(out, strbuf_str(&address));
    strbuf_fini(&address);
}

static void add_top(struct quick *q, const struct wish *w)
{
    bool log = w->value[LOG_LEVEL] != NULL || w->value[LOG_FORMAT] != NULL;
    bool drain = w->value[DRAIN_DELAY] != NULL || w->value[DRAIN_DEADLINE] != NULL;

    if (w->value[WORKERS] != NULL) {
        strbuf_add_cstr(line(q, w->by[WORKERS]), "workers = ");
        add_number(&q->text, w->value[WORKERS]);
        strbuf_add_char(&q->text, ';');
    }
    add_setting(q, w, ENGINE, "", "io", "");
    add_setting(q, w, STATS, "stats = { ", "socket", " level = \"admin\"; };");
    add_setting(q, w, ADMIN, "admin = { ", "bind", " };");
    if (log) {
        strbuf_add_cstr(line(q, NULL), "log = {");
        add_setting(q, w, LOG_LEVEL, "  ", "level", "");
        add_setting(q, w, LOG_FORMAT, "  ", "format", "");
        strbuf_add_cstr(line(q, NULL), "};");
    }
    if (drain) {
        strbuf_add_cstr(line(q, NULL), "drain = {");
        add_setting(q, w, DRAIN_DELAY, "  ", "delay", "");
        add_setting(q, w, DRAIN_DEADLINE, "  ", "deadline", "");
        strbuf_add_cstr(line(q, NULL), "};");
    }
}

static void add_backend(struct quick *q, const struct wish *w, uint32_t i)
{
    strbuf_addf(line(q, w->backends_by), "      { name = \"b%u\"; address = ", i + 1);
    if (is_https(w->backends[i]))
        add_https(&q->text, w->backends[i]);
    else
        add_address(&q->text, w->backends[i], "127.0.0.1");
    strbuf_add_char(&q->text, ';');
    if (w->value[MAX_CONNECTIONS] != NULL) {
        strbuf_add_cstr(line(q, w->by[MAX_CONNECTIONS]), "        max_connections = ");
        add_number(&q->text, w->value[MAX_CONNECTIONS]);
        strbuf_add_char(&q->text, ';');
    }
    strbuf_addf(&q->text, " }%s", i + 1 < w->n_backends ? "," : "");
}

static void add_pool(struct quick *q, const struct wish *w)
{
    strbuf_add_cstr(line(q, NULL), "pools = (");
    strbuf_add_cstr(line(q, NULL), "  { name = \"app\";");
    add_setting(q, w, MODE, "    ", "mode", "");
    add_setting(q, w, BALANCE, "    ", "balance", "");
    add_setting(q, w, HEALTH, "    health = { type = \"http\"; ", "path", " };");
    if (is_https(w->backends[0])) /* goes for all: they are one pool */
        strbuf_add_cstr(line(q, w->backends_by), "    tls = true;");
    strbuf_add_cstr(line(q, NULL), "    backends = (");
    for (uint32_t i = 0; i < w->n_backends; i++)
        add_backend(q, w, i);
    strbuf_add_cstr(line(q, NULL), "    ); }");
    strbuf_add_cstr(line(q, NULL), ");");
}

static void add_listener(struct quick *q, const struct wish *w)
{
    strbuf_add_cstr(line(q, NULL), "listeners = (");
    strbuf_add_cstr(line(q, NULL), "  { name = \"quick\";");
    strbuf_add_cstr(line(q, NULL), "    mode = "); /* a mistake in it was said of the pool's */
    add_string(&q->text, str_of(w->value[MODE]));
    strbuf_add_cstr(&q->text, ";");
    strbuf_add_cstr(line(q, w->listen_by), "    bind = ");
    for (uint32_t i = 0; i < w->n_listen; i++) {
        strbuf_add_cstr(&q->text, i > 0 ? ", " : w->n_listen > 1 ? "[ " : "");
        add_address(&q->text, w->listen[i], "0.0.0.0");
    }
    strbuf_add_cstr(&q->text, w->n_listen > 1 ? " ];" : ";");
    if (w->value[CERT] != NULL) {
        strbuf_add_cstr(line(q, NULL), "    tls = { certificates = {");
        add_setting(q, w, CERT, "      ", "cert", "");
        strbuf_add_cstr(line(q, w->by[w->value[KEY] != NULL ? KEY : CERT]), "      key = ");
        add_string(&q->text, str_of(w->value[w->value[KEY] != NULL ? KEY : CERT]));
        strbuf_add_cstr(&q->text, "; }; };");
    }
    strbuf_add_cstr(line(q, NULL), "    pool = \"app\"; }");
    strbuf_add_cstr(line(q, NULL), ");\n");
}

/* What the schema cannot see. */
static int check(const struct wish *w, char error[static ARGS_ERROR_MAX])
{
    if (w->value[KEY] != NULL && w->value[CERT] == NULL) {
        snprintf(error, ARGS_ERROR_MAX, "%s without %s", w->by[KEY],
                 w->by[KEY] == names[KEY].option ? names[CERT].option : names[CERT].variable);
        return -EINVAL;
    }
    for (uint32_t i = 1; i < w->n_backends; i++)
        if (is_https(w->backends[i]) != is_https(w->backends[0])) {
            snprintf(error, ARGS_ERROR_MAX,
                     "%s: backends with and without " HTTPS ": " STR_FMT ", " STR_FMT,
                     w->backends_by, STR_ARG(w->backends[0]), STR_ARG(w->backends[i]));
            return -EINVAL;
        }
    return 0;
}

int quick_make(int argc, char **argv, char **variables, struct quick *out,
               char error[static ARGS_ERROR_MAX])
{
    struct wish w = {0};
    struct arg_row rows[N_KEYS + 1];
    int words;

    *out = (struct quick){.name = "the command line"};
    for (int i = 0; i < N_KEYS; i++) {
        rows[i] = (struct arg_row){names[i].option, 0, &w.value[i], NULL};
        w.by[i] = names[i].option;
    }
    rows[N_KEYS] = (struct arg_row){"--print", 0, NULL, &out->print};
    int rc = args_parse(rows, ARRAY_LEN(rows), ARGS_MIXED, argc - 1, argv + 1, &words, error);
    if (rc < 0)
        return rc;
    if (words == 0) {
        out->name = "the environment";
        warn_unknown(variables, &out->warnings);
        rc = from_environment(&w, variables, error);
    } else {
        rc = from_words(&w, words, argv + 1, error);
    }
    if (rc == 0)
        rc = check(&w, error);
    if (rc == 0) {
        if (w.value[MODE] == NULL)
            w.value[MODE] = "tcp";
        add_top(out, &w);
        add_pool(out, &w);
        add_listener(out, &w);
    }
    free(w.listen);
    free(w.backends);
    return rc;
}

/* ---- loading ---- */

/* One message, `NAME:LINE: error: …`: the place becomes the word or variable that asked for it. Of
 * the lines that nobody asked for only the listener's mode can be wrong, and it is the pool's. */
static void add_problem(const struct quick *q, struct str text, struct strbuf *out)
{
    struct str name = str_of(q->name), rest = text;
    uint64_t number;

    if (str_starts(text, name) && text.len > name.len && text.p[name.len] == ':') {
        rest.p += name.len + 1;
        rest.len -= name.len + 1;
        struct str digits = {rest.p, 0};
        while (digits.len < rest.len && isdigit((unsigned char)rest.p[digits.len]))
            digits.len++;
        if (str_u64(digits, q->n_lines, &number) == 0 && number > 0) {
            const char *by = q->asked[number - 1];
            if (by == NULL && out->len > 0)
                return;
            if (by != NULL) {
                strbuf_addf(out, "%s" STR_FMT "\n", by, (int)(rest.len - digits.len),
                            rest.p + digits.len);
                return;
            }
        }
    }
    strbuf_addf(out, STR_FMT "\n", STR_ARG(text));
}

struct conf *quick_load(const struct quick *q, struct strbuf *problems)
{
    struct strbuf found = {0};
    struct conf *conf = conf_load_made(q->name, q->text.p, &found);
    struct str rest = strbuf_str(&found);

    for (struct str text; (text = str_word(&rest, "\n")).len > 0;)
        add_problem(q, text, problems);
    strbuf_fini(&found);
    return conf;
}

void quick_fini(struct quick *q)
{
    strbuf_fini(&q->text);
    strbuf_fini(&q->warnings);
    free(q->asked);
    *q = (struct quick){0};
}
