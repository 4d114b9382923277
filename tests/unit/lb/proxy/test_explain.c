/* test_explain.c - what would happen to a request: the questions, the way, the backends. */
#include "lb/proxy/explain.h"

#include "lb/base/alloc.h"
#include "lb/base/epoch.h"
#include "lb/config/conf.h"
#include "lb/main/explain.h"
#include "lb/upstream/pool.h"
#include "lb/upstream/stick.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define BACKENDS                                                                                   \
    "backends = ( { name = \"a\"; address = \"10.0.0.1:1\"; max_connections = 1; }, { name = "     \
    "\"b\"; address = \"10.0.0.2:1\"; }, { name = \"c\"; address = \"10.0.0.3:1\"; backup = "      \
    "true; "                                                                                       \
    "} ); "
#define CONF                                                                                       \
    "pools = ( { name = \"first\"; mode = \"http\"; balance = \"first\"; " BACKENDS                \
    "}, { name = \"hashed\"; mode = \"http\"; balance = \"hash\"; hash = { key = \"path\"; }; "    \
    "sticky = { cookie = \"S\"; secret = \"0123456789abcdef0123456789abcdef\"; }; " BACKENDS       \
    "} );\n"                                                                                       \
    "listeners = ( { name = \"web\"; mode = \"http\"; bind = \"127.0.0.1:8080\"; routes = (\n"     \
    "  { path = \"/h\"; pool = \"hashed\"; },\n"                                                   \
    "  { path = \"/zero\"; split = ( { pool = \"hashed\"; weight = 0; }, { pool = \"first\"; "     \
    "weight = 0; } ); },\n"                                                                        \
    "  { path = \"/headers\"; pool = \"first\"; request_headers = { remove = \"X-B*\"; set = ( { " \
    "name = \"X-C\"; value = \"new\"; } ); add = ( { name = \"X-D\"; value = \"2\"; } ); }; },\n"  \
    "  { path = \"~^/to/(.*)\"; pool = \"first\"; set_host = \"$query_h\"; },\n"                   \
    "  { path = \"/f\"; pool = \"first\"; } ); } );\n"

struct fixture {
    struct conf *conf;
    struct explain_offline offline;
    struct explain_words asked;
    struct explanation *e;
    /* live */
    struct epoch_domain *epochs;
    struct epoch_reader reader;
    struct backend_table *table;
    struct pool *pools[2];
};

static int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    struct strbuf errors = {0};

    f->conf = conf_load_text("t.conf", CONF, &errors);
    assert_non_null(f->conf); /* a warning about the weights is in errors */
    strbuf_clear(&errors);
    assert_true(explain_offline_init(&f->offline, f->conf, &errors));
    strbuf_fini(&errors);
    *state = f;
    return 0;
}

static void go_live(struct fixture *f)
{
    f->epochs = epoch_domain_new();
    epoch_reader_register(f->epochs, &f->reader);
    epoch_enter(&f->reader);
    f->table = table_new(f->epochs);
    for (uint32_t p = 0; p < 2; p++) {
        struct pool_conf *conf = &f->conf->pools[p];
        struct backend_slot *slots[3];
        for (uint32_t i = 0; i < 3; i++) {
            slots[i] = table_add(f->table, conf->name, conf->backends[i].name);
            slots[i]->backup = conf->backends[i].backup;
            slots[i]->max_connections = conf->backends[i].max_connections;
            slot_set_weight(slots[i], 1);
            slot_set_oper(slots[i], OPER_UP);
            slot_set_address(f->table, slots[i], &conf->backends[i].address.addr);
        }
        f->pools[p] = pool_new(conf, p, p + 1, slots, 1, f->epochs);
    }
    f->offline.world.live = f->pools;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    explain_free(&f->e);
    explain_words_fini(&f->asked);
    for (uint32_t p = 0; p < 2; p++)
        pool_free(&f->pools[p]);
    if (f->table != NULL) {
        table_free(&f->table);
        epoch_leave(&f->reader);
        epoch_reader_unregister(&f->reader);
        epoch_domain_free(&f->epochs);
    }
    explain_offline_fini(&f->offline);
    conf_free(&f->conf);
    free(f);
    return 0;
}

static uint32_t split(char *text, struct str *words, uint32_t max)
{
    struct str rest = str_of(text), word;
    uint32_t n = 0;

    while (n < max && (word = str_word(&rest, "|")).len > 0)
        words[n++] = word;
    return n;
}

/* Words separated by bars; the answer, or NULL after the error that was expected. */
static const struct explanation *ask(struct fixture *f, const char *question, const char *error)
{
    char *text = xstrdup(question);
    struct strbuf errors = {0};
    struct str words[200];
    uint32_t n = split(text, words, ARRAY_LEN(words));

    explain_free(&f->e);
    explain_words_fini(&f->asked);
    if (explain_words(words, n, false, &f->asked, &errors) == 0)
        f->e = explain_new(&f->offline.world, &f->asked.question, &errors);
    assert_string_equal(errors.p != NULL ? errors.p : "", error != NULL ? error : "");
    assert_int_equal(f->e == NULL, error != NULL);
    /* Everything that is told can be printed. */
    struct strbuf out = {0};
    if (f->e != NULL) {
        explain_text(f->e, &out);
        explain_json(f->e, &out);
        assert_true(str_contains(strbuf_str(&out),
                                 f->e->taken ? STR("{\"taken\":true,") : STR("{\"taken\":false,")));
    }
    strbuf_fini(&out);
    strbuf_fini(&errors);
    free(text);
    return f->e;
}

static void assert_refused(struct fixture *f, const char *question, unsigned status,
                           const char *reason)
{
    const struct explanation *e = ask(f, question, NULL);

    assert_false(e->taken);
    assert_int_equal(e->status, status);
    assert_string_equal(e->reason, reason);
}

/* ---- questions ---- */

static void what_is_no_question_is_told(void **state)
{
    struct fixture *f = *state;

    ask(f, "", "a method and a URL are needed");
    ask(f, "GET", "a URL is needed behind the method");
    ask(f, "GET|ftp://h/", "\"ftp://h/\" is no URL, expected http://HOST/PATH");
    ask(f, "GET|http:///x", "\"http:///x\" is no URL, expected http://HOST/PATH");
    ask(f, "GET|http://h/\r\nA: b", "\"http://h/\r\nA: b\" is no URL, expected http://HOST/PATH");
    ask(f, "GET|http://h/|-H|x", "\"x\" is no header, expected \"Name: value\"");
    ask(f, "GET|http://h/|--from|1.2.3", "--from: \"1.2.3\" is no IP address");
    ask(f, "GET|http://h/|--from|1.2.3.4:80", "--from: \"1.2.3.4:80\" is no IP address");
    ask(f, "GET|http://h/|--listener", "--listener needs a value");
    ask(f, "GET|http://h/|--listener|x", "there is no listener \"x\" of mode http");
}

static void words_of_a_socket_belong_to_the_header_before_them(void **state)
{
    struct fixture *f = *state;
    struct str words[] = {STR("GET"), STR("/x"),     STR("-H"), STR("\"A:"),
                          STR("b"),   STR("c\""),    STR("-H"), STR("Cookie:"),
                          STR("d"),   STR("--from"), STR("::1")};
    struct strbuf error = {0};

    assert_int_equal(explain_words(words, ARRAY_LEN(words), true, &f->asked, &error), 0);
    const struct explain_question *q = &f->asked.question;
    assert_int_equal(q->n_headers, 2);
    assert_true(str_eq_cstr(q->headers[0], "A: b c"));
    assert_true(str_eq_cstr(q->headers[1], "Cookie: d"));
    assert_int_equal(addr_family(&q->from), AF_INET6);
}

static void sixty_four_headers_are_enough(void **state)
{
    struct fixture *f = *state;
    struct strbuf text = {0};

    strbuf_add_cstr(&text, "GET|http://h/f");
    for (int i = 0; i < 64; i++)
        strbuf_addf(&text, "|-H|A%d: b", i);
    assert_true(ask(f, text.p, NULL)->taken);
    strbuf_add_cstr(&text, "|-H|A: b");
    ask(f, text.p, "at most 64 headers");
    strbuf_fini(&text);
}

/* ---- the way ---- */

static void rules_are_told_up_to_the_one_that_matches(void **state)
{
    struct fixture *f = *state;
    const struct explanation *e = ask(f, "GET|http://h:8080/zero/x#fragment", NULL);

    assert_int_equal(e->n_rules, 2);
    assert_false(e->rules[0].hit);
    assert_string_equal(e->rules[0].why, "path \"/zero/x\" is not /h");
    assert_true(e->rules[1].hit);
    assert_string_equal(e->route->name, "web#2");
    assert_string_equal(e->target, "/zero/x");
}

static void a_split_without_weights_goes_to_its_first_pool(void **state)
{
    struct fixture *f = *state;
    const struct explanation *e = ask(f, "GET|http://h/zero", NULL);

    assert_int_equal(e->n_pools, 1);
    assert_string_equal(e->pools[0].conf->name, "hashed");
}

static const struct explain_edit *find_edit(const struct explanation *e, const char *name)
{
    for (uint32_t i = 0; i < e->n_edits; i++)
        if (strcmp(e->edits[i].name, name) == 0)
            return &e->edits[i];
    return NULL;
}

static void header_changes_are_told(void **state)
{
    struct fixture *f = *state;
    const struct explanation *e =
        ask(f, "GET|http://h/headers|-H|X-Bad: 1|-H|X-C: old|-H|X-D: 1|-H|Accept: */*|-H|TE: gzip",
            NULL);

    assert_int_equal(find_edit(e, "X-Bad")->kind, EXPLAIN_REMOVED);
    assert_string_equal(find_edit(e, "X-Bad")->was, "1");
    assert_int_equal(find_edit(e, "X-C")->kind, EXPLAIN_SET);
    assert_string_equal(find_edit(e, "X-C")->value, "new");
    assert_string_equal(find_edit(e, "X-C")->was, "old");
    assert_int_equal(find_edit(e, "X-D")->kind, EXPLAIN_ADDED);
    assert_string_equal(find_edit(e, "X-D")->value, "2");
    assert_string_equal(find_edit(e, "X-Forwarded-For")->value, "127.0.0.1");
    assert_string_equal(find_edit(e, "X-Forwarded-Port")->value, "8080");
    assert_null(find_edit(e, "Accept"));
    assert_null(find_edit(e, "Host"));
}

static void what_a_real_request_gets_refused_for_is_refused(void **state)
{
    struct fixture *f = *state;
    struct strbuf text = {0};

    assert_refused(f, "GET|/f", 400, "no-host");
    assert_refused(f, "GET|http://h/none", 404, "no-route");
    assert_refused(f, "GET|http://h/f/%00", 400, "encoded-nul");
    assert_refused(f, "GET|http://h/f|-H|Content-Length: 1|-H|Transfer-Encoding: chunked", 400,
                   "length-and-coding");
    assert_refused(f, "GET|http://h/to/x", 400, "bad-rewrite"); /* no host */
    strbuf_add_cstr(&text, "GET|http://h/f");
    for (int i = 0; i < 17000; i++)
        strbuf_add_char(&text, 'x');
    assert_refused(f, text.p, 414, "target-too-long");
    for (int i = 0; i < 60000; i++)
        strbuf_add_char(&text, 'x');
    assert_false(ask(f, text.p, NULL)->taken);
    strbuf_fini(&text);
}

static void who_is_connected_is_the_client_unless_trusted(void **state)
{
    struct fixture *f = *state;
    const struct explanation *e =
        ask(f, "GET|http://h/f|-H|X-Forwarded-For: 192.0.2.1|--from|198.51.100.1", NULL);

    assert_string_equal(e->client, "198.51.100.1");
    assert_non_null(e->client_why);
    assert_string_equal(find_edit(e, "X-Forwarded-For")->value, "198.51.100.1");
}

/* ---- backends ---- */

static void offline_all_but_backups_are_candidates(void **state)
{
    struct fixture *f = *state;
    const struct explain_pool *p = &ask(f, "GET|http://h/f", NULL)->pools[0];

    assert_int_equal(p->n_candidates, 2);
    assert_false(p->backends[2].candidate);
    assert_string_equal(p->backends[0].state, "configured");
    assert_string_equal(p->pick, "a");
}

static void offline_and_live_hash_alike(void **state)
{
    struct fixture *f = *state;
    char question[64], offline[8];

    for (int i = 0; i < 16; i++) {
        snprintf(question, sizeof(question), "GET|http://h/h/%d", i);
        f->offline.world.live = NULL;
        snprintf(offline, sizeof(offline), "%s", ask(f, question, NULL)->pools[0].pick);
        if (f->table == NULL)
            go_live(f);
        f->offline.world.live = f->pools;
        assert_string_equal(ask(f, question, NULL)->pools[0].pick, offline);
    }
}

static void set_info(struct backend_slot *s, enum oper_state oper, const char *reason)
{
    struct backend_info info = {.down_since_us = 1000000, .rise = 2, .fall = 3, .health = 1};

    snprintf(info.reason, sizeof(info.reason), "%s", reason);
    snprintf(info.desc, sizeof(info.desc), "%s", reason);
    slot_set_info(s, &info);
    slot_set_oper(s, oper);
}

static void live_each_state_has_its_reason(void **state)
{
    struct fixture *f = *state;

    go_live(f);
    f->offline.world.wall_us = 61000000;
    struct pool *p = f->pools[0];
    set_info(p->members[0].slot, OPER_DOWN, "HTTP 503, expected 200-399");
    pool_rebuild(p, 0);
    const struct explain_pool *told = &ask(f, "GET|http://h/f", NULL)->pools[0];
    assert_string_equal(told->backends[0].state, "down");
    assert_string_equal(told->backends[0].reason, "for 60s: HTTP 503, expected 200-399");
    assert_false(told->backends[0].candidate);
    assert_string_equal(told->pick, "b");

    set_info(p->members[0].slot, OPER_GOING_UP, "");
    slot_set_admin(p->members[1].slot, 0, ADMIN_FMAINT);
    pool_rebuild(p, 0);
    told = &ask(f, "GET|http://h/f", NULL)->pools[0];
    assert_string_equal(told->backends[0].reason, "1 of 2 checks passed");
    assert_string_equal(told->backends[1].state, "maint");
    assert_string_equal(told->backends[1].reason, "by a command on the stats socket");
    assert_string_equal(told->pick, "c");
    assert_string_equal(told->backends[2].reason, "a backup: no other is up");

    slot_set_admin(p->members[1].slot, ADMIN_FMAINT, ADMIN_RMAINT);
    slot_set_ejected(p->members[2].slot, true);
    pool_rebuild(p, 0);
    assert_refused(f, "GET|http://h/f", 503, "no-backend");
    told = &f->e->pools[0];
    assert_string_equal(told->backends[1].state, "unresolved");
    assert_string_equal(told->backends[2].state, "ejected");
    assert_true(told->none);
}

static void a_full_backend_is_passed_over_and_a_full_pool_queues(void **state)
{
    struct fixture *f = *state;

    go_live(f);
    struct pool *p = f->pools[0];
    assert_true(slot_take(p->members[0].slot));
    const struct explain_pool *told = &ask(f, "GET|http://h/f", NULL)->pools[0];
    assert_string_equal(told->pick, "b");
    assert_int_equal(told->backends[0].in_flight, 1);
    slot_set_admin(p->members[1].slot, 0, ADMIN_FMAINT);
    pool_rebuild(p, 0);
    told = &ask(f, "GET|http://h/f", NULL)->pools[0];
    assert_true(told->full);
    assert_null(told->pick);
    slot_give(p->members[0].slot);
}

static void the_cookie_decides_unless_its_backend_is_gone(void **state)
{
    struct fixture *f = *state;
    char question[128];

    go_live(f);
    struct pool *p = f->pools[1];
    struct str cookie = stick_cookie(p->stick, 2, false);
    snprintf(question, sizeof(question), "GET|http://h/h|-H|Cookie: %.*s", 2 + STICK_ID_TEXT,
             cookie.p);
    const struct explain_pool *told = &ask(f, question, NULL)->pools[0];
    assert_string_equal(told->pick, "c");
    assert_string_equal(told->how, "by its cookie");
    set_info(p->members[2].slot, OPER_DOWN, "x");
    pool_rebuild(p, 0);
    told = &ask(f, question, NULL)->pools[0];
    assert_string_not_equal(told->pick, "c");
    assert_string_equal(told->sticky, "cookie S names c, which cannot take it: another is chosen "
                                      "and the cookie renewed");
    told = &ask(f, "GET|http://h/h|-H|Cookie: S=made-up", NULL)->pools[0];
    assert_string_equal(told->sticky, "cookie S names no backend: one is set anew");
}

int main(void)
{
#define WITH_CONF(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_CONF(what_is_no_question_is_told),
        WITH_CONF(words_of_a_socket_belong_to_the_header_before_them),
        WITH_CONF(sixty_four_headers_are_enough),
        WITH_CONF(rules_are_told_up_to_the_one_that_matches),
        WITH_CONF(a_split_without_weights_goes_to_its_first_pool),
        WITH_CONF(header_changes_are_told),
        WITH_CONF(what_a_real_request_gets_refused_for_is_refused),
        WITH_CONF(who_is_connected_is_the_client_unless_trusted),
        WITH_CONF(offline_all_but_backups_are_candidates),
        WITH_CONF(offline_and_live_hash_alike),
        WITH_CONF(live_each_state_has_its_reason),
        WITH_CONF(a_full_backend_is_passed_over_and_a_full_pool_queues),
        WITH_CONF(the_cookie_decides_unless_its_backend_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
