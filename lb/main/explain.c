/* explain.c - see explain.h */
#include "lb/main/explain.h"

#include "lb/base/alloc.h"
#include "lb/config/conf.h"
#include "lb/main/ctl.h"
#include "lb/main/options.h"
#include "lb/main/process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- worlds ---- */

bool explain_offline_init(struct explain_offline *o, const struct conf *conf, struct strbuf *errors)
{
    *o = (struct explain_offline){
        .listeners = xcalloc(conf->n_listeners + 1, sizeof(struct http_listener *))};

    for (uint32_t i = 0; i < conf->n_listeners; i++) {
        if (conf->listeners[i].mode != MODE_HTTP)
            continue;
        struct http_listener *l = http_listener_new(&conf->listeners[i], NULL, errors);
        if (l == NULL) {
            explain_offline_fini(o);
            return false;
        }
        o->listeners[o->n++] = l;
    }
    o->world = (struct explain_world){
        .listeners = o->listeners,
        .n_listeners = o->n,
        .pools = conf->pools,
        .wall_us = (uint64_t)time(NULL) * 1000000,
    };
    return true;
}

void explain_offline_fini(struct explain_offline *o)
{
    for (uint32_t i = 0; i < o->n; i++)
        http_listener_free(&o->listeners[i]);
    free(o->listeners);
    *o = (struct explain_offline){0};
}

/* 0 a route takes it, 1 it would be refused, -EINVAL with words in out. */
static int answer(const struct explain_world *world, const struct str *words, uint32_t n,
                  bool joined, bool json, struct strbuf *out)
{
    struct explain_words asked;
    struct strbuf error = {0};
    struct explanation *e = NULL;
    int rc = explain_words(words, n, joined, &asked, &error);

    if (rc == 0)
        e = explain_new(world, &asked.question, &error);
    if (e == NULL) {
        strbuf_add_str(out, strbuf_str(&error));
    } else if (json || asked.json) {
        explain_json(e, out);
    } else {
        explain_text(e, out);
    }
    rc = e == NULL ? -EINVAL : e->taken ? 0 : 1;
    explain_free(&e);
    explain_words_fini(&asked);
    strbuf_fini(&error);
    return rc;
}

int explain_live(struct process *p, const struct str *words, uint32_t n, bool json,
                 struct strbuf *out)
{
    struct http_listener **listeners =
        xcalloc(p->conf->n_listeners + 1, sizeof(struct http_listener *));
    struct explain_world world = {
        .listeners = listeners,
        .pools = p->conf->pools,
        .live = p->pools,
        .wall_us = io_wall_us(p->loop.io),
    };

    for (uint32_t i = 0; i < p->conf->n_listeners; i++)
        if (p->proxy_listeners[i]->http != NULL)
            listeners[world.n_listeners++] = p->proxy_listeners[i]->http;
    int rc = answer(&world, words, n, true, json, out);
    free(listeners);
    return rc;
}

/* ---- the command ---- */

static int usage(const char *error)
{
    fprintf(stderr, "sluice explain: %s\nusage: sluice explain [-c FILE | -s SOCKET] %s\n", error,
            EXPLAIN_USAGE);
    return EXIT_USAGE;
}

static int on_file(const char *path, const struct str *words, uint32_t n)
{
    struct strbuf problems = {0}, out = {0};
    struct explain_offline offline = {0};
    struct conf *conf = conf_load(path, &problems);
    int rc = EXIT_FAILED;

    if (conf != NULL && explain_offline_init(&offline, conf, &problems)) {
        rc = answer(&offline.world, words, n, false, false, &out);
        explain_offline_fini(&offline);
    } else {
        fputs(problems.p != NULL ? problems.p : "", stderr);
        rc = EXIT_USAGE; /* nothing can be said of the request */
    }
    if (rc == -EINVAL)
        rc = usage(out.p != NULL ? out.p : "");
    else if (out.p != NULL)
        fputs(out.p, stdout);
    conf_free(&conf);
    strbuf_fini(&problems);
    strbuf_fini(&out);
    return fflush(stdout) == 0 ? rc : EXIT_FAILED;
}

/* A word as the stats socket reads it back. */
static void add_word(struct strbuf *line, struct str word)
{
    strbuf_add_char(line, ' ');
    for (size_t i = 0; i < word.len; i++) {
        if (word.p[i] == ' ' || word.p[i] == '\t' || word.p[i] == ';' || word.p[i] == '\\')
            strbuf_add_char(line, '\\');
        strbuf_add_char(line, word.p[i]);
    }
}

/* The answer is data where a route takes it, a warning where it would be refused, else an error. */
static int over_socket(const char *path, const struct str *words, uint32_t n)
{
    struct strbuf line = {0}, out = {0};
    int severity = 0, rc = EXIT_USAGE;

    strbuf_add_cstr(&line, "set severity-output number;explain");
    for (uint32_t i = 0; i < n; i++)
        add_word(&line, words[i]);
    strbuf_add_char(&line, '\n');
    if (ctl_ask_one("sluice explain", path, strbuf_str(&line), &out, &severity) == 0) {
        if (severity > 0 && severity <= 3)
            fprintf(stderr, "sluice explain: %s", out.p);
        else
            fputs(out.p != NULL ? out.p : "", stdout);
        rc = severity == 0 ? EXIT_DONE : severity <= 3 ? EXIT_USAGE : EXIT_FAILED;
    }
    strbuf_fini(&line);
    strbuf_fini(&out);
    return fflush(stdout) == 0 ? rc : EXIT_FAILED;
}

/* Takes -c and -s out of the words. NULL, or what is wrong. */
static const char *take_options(int argc, char **argv, struct str *words, uint32_t *n,
                                const char **config, const char **socket)
{
    for (int i = 1; i < argc; i++) {
        struct str word = str_of(argv[i]);
        const char **value = str_eq(word, STR("-c")) || str_eq(word, STR("--config"))   ? config
                             : str_eq(word, STR("-s")) || str_eq(word, STR("--socket")) ? socket
                                                                                        : NULL;
        if (value == NULL) {
            words[(*n)++] = word;
            continue;
        }
        if (++i == argc)
            return value == config ? "-c needs a value" : "-s needs a value";
        *value = argv[i];
    }
    return *config != NULL && *socket != NULL ? "-c and -s do not go together" : NULL;
}

int explain_main(int argc, char **argv, const char *config)
{
    struct str *words = xcalloc((size_t)argc + 1, sizeof(*words));
    struct strbuf error = {0};
    struct explain_words asked = {0};
    const char *socket = NULL;
    uint32_t n = 0;
    int rc;

    const char *wrong = take_options(argc, argv, words, &n, &config, &socket);
    if (wrong == NULL && explain_words(words, n, false, &asked, &error) < 0)
        wrong = error.p;
    if (wrong != NULL)
        rc = usage(wrong);
    else if (socket != NULL)
        rc = over_socket(socket, words, n);
    else
        rc = on_file(config != NULL ? config : OPTIONS_DEFAULT_CONFIG, words, n);
    explain_words_fini(&asked);
    strbuf_fini(&error);
    free(words);
    return rc;
}
