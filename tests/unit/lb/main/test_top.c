/* test_top.c - sluice top without a terminal and without a socket: answers in, lines out. */
#include "lb/main/top_list.h"
#include "lb/main/top_term.h"
#include "lb/main/top_view.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define INFO                                                                                       \
    "Name: sluice\nVersion: 0.1.0\nPid: 7\nUptime_sec: 3725\nCurrConns: 12\nConnRate: 3\n"         \
    "CumReq: 100\nBytesOutRate: 2048\nnode: host1\nStopping: 0\n\n"
#define STAT_HEAD                                                                                  \
    "# pxname,svname,qcur,scur,slim,stot,bin,bout,econ,eresp,status,weight,act,bck,lastchg,type,"  \
    "rate,check_status,last_chk,hrsp_5xx,req_rate,addr,algo,\n"
#define STAT_ROWS                                                                                  \
    "web,FRONTEND,,2,100,50,1000,2000,,,OPEN,,,,,0,5,,,0,9,,,\n"                                   \
    "app,a,0,1,10,20,100,200,0,1,UP,1,1,0,65,2,3,L7OK,HTTP 200,2,4,10.0.0.1:80,,\n"                \
    "app,b,3,2,0,30,300,400,5,0,DOWN 1/2,1,0,1,10,2,1,L4CON,\"refused, \"\"no\"\"\",0,0,u,,\n"     \
    "app,BACKEND,3,3,,50,400,600,5,1,UP,2,1,0,65,1,4,,,2,4,,roundrobin,\n"                         \
    "db,pg,0,0,0,0,0,0,0,0,no check,1,1,0,5,2,0,,,,,,,\n"                                          \
    "db,BACKEND,0,0,,0,0,0,0,0,UP,1,1,0,5,1,0,,,,,,first,\n\n"
#define REST                                                                                       \
    "date_now: 1\nbusy_ms: 30 [ 10 20 ]\nidle_ms: 170 [ 90 80 ]\n\n"                               \
    "# type name backend what count mean_us p50_us p90_us p99_us p999_us max_us\n"                 \
    "backend app a response 20 84 410 500 1270 1300 1400\n\n"                                      \
    "4 2026-11-23T09:20:00.123456Z warn health app/b backend app/b is DOWN: refused\n\n"

static struct top_data data;

static void read_data(const char *text, const struct top_data *before, uint64_t now_us,
                      struct top_data *out)
{
    assert_true(top_data_read(str_of(text), before, now_us, out));
}

static int setup(void **state)
{
    static struct top_view view;

    read_data(INFO STAT_HEAD STAT_ROWS REST, NULL, 1000000, &data);
    view = (struct top_view){0};
    *state = &view;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    top_data_fini(&data);
    return 0;
}

/* ---- data ---- */

static void the_answers_are_read(void **state)
{
    (void)state;
    assert_string_equal(data.version, "0.1.0");
    assert_string_equal(data.node, "host1");
    assert_int_equal(data.uptime_s, 3725);
    assert_int_equal(data.n_rows, 6);
    const struct top_row *a = &data.rows[1], *b = &data.rows[2];
    assert_string_equal(a->pool, "app");
    assert_string_equal(a->name, "a");
    assert_int_equal(a->type, TOP_BACKEND);
    assert_int_equal(a->rate, 4);
    assert_int_equal(top_row_errors(a), 3);
    assert_int_equal(a->p50_us, 410);
    assert_int_equal(a->p99_us, 1270);
    assert_string_equal(a->address, "10.0.0.1:80");
    assert_string_equal(b->seen, "refused, \"no\"");
    assert_true(b->is_backup);
    assert_int_equal(b->p50_us, -1);
    assert_int_equal(data.n_workers, 2);
    assert_int_equal(data.busy_percent[0], 10);
    assert_int_equal(data.busy_percent[1], 20);
    assert_int_equal(data.n_events, 1);
}

static void rates_come_from_two_answers(void **state)
{
    struct top_data later;

    (void)state;
    assert_int_equal(data.rows[1].bytes_rate, -1);
    read_data("Name: sluice\nVersion: 0.1.0\nPid: 7\nCumReq: 150\n\n" STAT_HEAD
              "app,a,0,1,10,20,100,5320,0,1,UP,1,1,0,65,2,3,,,,,,,\n\n"
              "busy_ms: 130 [ 60 20 ]\nidle_ms: 1 [ 140 180 ]\n\n",
              &data, 3000000, &later);
    assert_int_equal(later.rows[0].bytes_rate, 2560);
    assert_int_equal(later.handled_rate, 25);
    assert_int_equal(later.busy_percent[0], 50);
    assert_int_equal(later.busy_percent[1], 0);
    top_data_fini(&later);
}

static void another_process_is_no_basis_for_rates(void **state)
{
    struct top_data later;

    (void)state;
    read_data("Version: 0.1.0\nPid: 8\n\n" STAT_HEAD
              "app,a,0,1,10,20,100,5320,0,1,UP,1,1,0,65,2,3,,,,,,,\n\n",
              &data, 3000000, &later);
    assert_int_equal(later.rows[0].bytes_rate, -1);
    top_data_fini(&later);
}

static void what_is_no_answer_is_refused(void **state)
{
    struct top_data d;

    (void)state;
    assert_false(top_data_read(STR(""), NULL, 1, &d));
    assert_false(top_data_read(STR("HTTP/1.1 400 Bad Request\n\n"), NULL, 1, &d));
    read_data("Version: 2.6\n\nUnknown command\n\n", NULL, 1, &d);
    assert_int_equal(d.n_rows, 0);
    top_data_fini(&d);
}

static void the_question_escapes_names(void **state)
{
    struct strbuf out = {0};

    (void)state;
    top_data_ask(&out, 5, "a b;c\\d");
    assert_string_equal(out.p, "show info;show stat;show activity;show latency;"
                               "show events 5 object a\\ b\\;c\\\\d\n");
    strbuf_fini(&out);
}

/* ---- order and filter ---- */

static void lists(enum top_column sort, bool reverse, const char *filter, const char *expected)
{
    struct top_list l;
    struct strbuf text = {0};

    strbuf_add_cstr(&text, "");
    top_list_make(&l, &data, sort, reverse, filter);
    for (uint32_t i = 0; i < l.n; i++)
        strbuf_addf(&text, "%s%s ", l.rows[i]->type == TOP_BACKEND ? "." : "",
                    l.rows[i]->type == TOP_BACKEND ? l.rows[i]->name : l.rows[i]->pool);
    assert_string_equal(text.p, expected);
    strbuf_fini(&text);
    top_list_fini(&l);
}

static void pools_and_their_backends_are_sorted(void **state)
{
    (void)state;
    lists(TOP_BY_CONFIG, false, "", "web app .a .b db .pg ");
    lists(TOP_BY_NAME, true, "", "web db .pg app .b .a ");
    lists(TOP_BY_QUEUE, false, "", "web app .b .a db .pg ");
    lists(TOP_BY_RATE, false, "", "web app .a .b db .pg ");
    lists(TOP_BY_RATE, true, "", "web db .pg app .b .a ");
    lists(TOP_BY_SINCE, false, "", "web db .pg app .b .a ");
    lists(TOP_BY_ERRORS, false, "", "web app .b .a db .pg ");
    lists(TOP_BY_P99, false, "", "web app .a .b db .pg ");
    lists(TOP_BY_STATE, false, "", "web app .b .a db .pg ");
}

static void a_filter_keeps_the_pool_of_what_it_finds(void **state)
{
    (void)state;
    lists(TOP_BY_CONFIG, false, "10.0.0", "app .a ");
    lists(TOP_BY_CONFIG, false, "APP", "app .a .b ");
    lists(TOP_BY_CONFIG, false, "down", "app .b ");
    lists(TOP_BY_CONFIG, false, "web", "web ");
    lists(TOP_BY_CONFIG, false, "nothing", "");
}

/* ---- the screen ---- */

static const char *drawn(struct top_view *v, uint32_t width, uint32_t height)
{
    static struct strbuf out;

    strbuf_fini(&out);
    top_view_draw(v, &data, width, height, &out);
    return out.p;
}

static void the_list_at_80_columns(void **state)
{
    struct top_view *v = *state;

    assert_string_equal(
        drawn(v, 80, 12),
        "sluice 0.1.0  host1  up 1h02m  cpu 15% (10 20)                                  \n"
        "12 conns (+3/s)  0 req/s  2.0kB/s out  0 tls/s  2 pools  3 backends, 1 down     \n"
        "                                                                                \n"
        "NAME                 STATE      SINCE  CONN QUEUE REQ/S BYTE/S   ERR   P50   P99\n"
        "> web                OPEN                 2           9      -     0     -     -\n"
        "app                  UP            1m     3     3     4      -     8     -     -\n"
        "  a                  UP            1m     1     0     4      -     3  410u 1.2ms\n"
        "  b (b)              DOWN 1/2     10s     2     3     1      -     5     -     -\n"
        "db                   UP            5s     0     0     0      -     0     -     -\n"
        "  pg                 no check      5s     0     0     0      -     0     -     -\n"
        "                                                                                \n"
        "?:help  q:quit  Enter:details  /:filter  <>:sort  p:pause  D M R:state          ");
}

static void every_line_has_the_screens_width_at_every_size(void **state)
{
    struct top_view *v = *state;

    for (int mode = TOP_LIST; mode <= TOP_CONFIRM; mode++)
        for (uint32_t width = 1; width < 150; width += 3)
            for (uint32_t height = 1; height < 30; height += 2) {
                uint32_t lines = 1, at = 0;
                v->mode = (enum top_mode)mode;
                v->verb = "drain";
                const char *p = drawn(v, width, height);
                for (; *p != '\0'; p++, at++) {
                    if (*p != '\n')
                        continue;
                    if (width >= 34) /* name, state, sessions */
                        assert_int_equal(at, width);
                    at = (uint32_t)-1;
                    lines++;
                }
                assert_int_equal(lines, height);
            }
}

static void narrow_screens_have_what_matters_most(void **state)
{
    struct top_view *v = *state;

    const char *screen = drawn(v, 40, 12);
    assert_non_null(strstr(screen, "\nNAME         STATE       CONN REQ/S   ERR\n") != NULL
                        ? screen
                        : strstr(screen, "STATE"));
    assert_null(strstr(screen, "P50"));
    assert_non_null(strstr(drawn(v, 120, 12), "L4CON: refused, \"no\""));
}

static void colours_do_not_change_the_text(void **state)
{
    struct top_view *v = *state;
    struct strbuf plain = {0}, stripped = {0};

    strbuf_add_cstr(&plain, drawn(v, 80, 12));
    v->colors = true;
    for (const char *p = drawn(v, 80, 12); *p != '\0'; p++) {
        if (*p == '\x1b')
            p = strchr(p, 'm');
        else
            strbuf_add_char(&stripped, *p);
    }
    assert_string_equal(stripped.p, plain.p);
    strbuf_fini(&plain);
    strbuf_fini(&stripped);
}

static void a_page_has_all_of_a_backend(void **state)
{
    struct top_view *v = *state;

    drawn(v, 80, 24);
    for (int i = 0; i < 3; i++)
        top_view_key(v, &data, TOP_KEY_DOWN);
    assert_int_equal(top_view_key(v, &data, TOP_KEY_ENTER), TOP_ACT_ASK);
    struct strbuf object = {0};
    assert_string_equal(top_view_object(v, &object), "app/b");
    strbuf_fini(&object);
    const char *screen = drawn(v, 80, 24);
    assert_non_null(strstr(screen, "\nbackend app/b "));
    assert_non_null(strstr(screen, "\nstate      DOWN 1/2 for 10s "));
    assert_non_null(strstr(screen, "\ncheck      L4CON: refused, \"no\", in 0 ms"));
    assert_non_null(strstr(screen, "\nerrors     5 connects, 0 responses, 0 answers 5xx"));
    assert_non_null(strstr(screen, "\n11-23 09:20:00 warn backend app/b is DOWN: refused "));
    assert_int_equal(top_view_key(v, &data, TOP_KEY_ESC), TOP_ACT_ASK);
    assert_null(top_view_object(v, &object));
}

/* ---- keys ---- */

static void changes_are_confirmed(void **state)
{
    struct top_view *v = *state;
    struct strbuf command = {0};

    drawn(v, 80, 24);
    top_view_key(v, &data, 'D'); /* a listener */
    assert_int_equal(v->mode, TOP_LIST);
    assert_true(v->bad);
    top_view_key(v, &data, TOP_KEY_END);
    top_view_key(v, &data, 'D');
    assert_non_null(strstr(drawn(v, 80, 24), "drain db/pg: are you sure? y: yes"));
    assert_int_equal(top_view_key(v, &data, TOP_KEY_ENTER), TOP_ACT_NONE);
    assert_non_null(strstr(drawn(v, 80, 24), "nothing was changed"));
    top_view_key(v, &data, 'M');
    assert_int_equal(top_view_key(v, &data, 'y'), TOP_ACT_COMMAND);
    top_view_command(v, &command);
    assert_string_equal(command.p, "set server db/pg state maint\n");
    strbuf_fini(&command);
}

static void the_cursor_stays_on_its_row_when_the_order_changes(void **state)
{
    struct top_view *v = *state;

    drawn(v, 80, 24);
    for (int i = 0; i < 2; i++)
        top_view_key(v, &data, 'j');
    assert_string_equal(v->name, "a");
    assert_int_equal(v->cursor, 2);
    v->sort = TOP_BY_QUEUE;
    drawn(v, 80, 24);
    assert_string_equal(v->name, "a");
    assert_int_equal(v->cursor, 3);
}

static void a_small_screen_scrolls_with_the_cursor(void **state)
{
    struct top_view *v = *state;

    drawn(v, 80, 7); /* two rows of the list */
    top_view_key(v, &data, TOP_KEY_END);
    assert_non_null(strstr(drawn(v, 80, 7), "\n  pg "));
    assert_int_equal(v->scroll, 4);
    top_view_key(v, &data, TOP_KEY_HOME);
    assert_non_null(strstr(drawn(v, 80, 7), "\n> web "));
    top_view_key(v, &data, TOP_KEY_UP);
    assert_int_equal(v->cursor, 0);
}

static void the_filter_is_typed(void **state)
{
    struct top_view *v = *state;

    drawn(v, 80, 24);
    top_view_key(v, &data, '/');
    for (const char *p = "pgx"; *p != '\0'; p++)
        top_view_key(v, &data, (uint32_t)*p);
    assert_non_null(strstr(drawn(v, 80, 24), "filter: pgx_"));
    top_view_key(v, &data, TOP_KEY_BACKSPACE);
    assert_int_equal(top_view_key(v, &data, TOP_KEY_ENTER), TOP_ACT_NONE);
    const char *screen = drawn(v, 80, 24);
    assert_non_null(strstr(screen, "only what has \"pg\""));
    assert_null(strstr(screen, "\napp "));
    assert_non_null(strstr(screen, "\n  pg "));
    top_view_key(v, &data, TOP_KEY_ESC);
    assert_non_null(strstr(drawn(v, 80, 24), "\napp "));
}

static void pausing_and_leaving(void **state)
{
    struct top_view *v = *state;

    assert_int_equal(top_view_key(v, &data, 'p'), TOP_ACT_NONE);
    assert_non_null(strstr(drawn(v, 80, 24), "PAUSED"));
    assert_int_equal(top_view_key(v, &data, ' '), TOP_ACT_ASK);
    top_view_key(v, &data, '?');
    assert_non_null(strstr(drawn(v, 80, 24), "KEYS"));
    assert_int_equal(top_view_key(v, &data, 'x'), TOP_ACT_NONE);
    assert_int_equal(v->mode, TOP_LIST);
    assert_int_equal(top_view_key(v, &data, 'q'), TOP_ACT_QUIT);
    v->mode = TOP_FILTER;
    assert_int_equal(top_view_key(v, &data, 3), TOP_ACT_QUIT);
}

static void trouble_is_told_and_the_data_stays(void **state)
{
    struct top_view *v = *state;

    snprintf(v->trouble, sizeof(v->trouble), "/s: Connection refused; trying again");
    const char *screen = drawn(v, 80, 24);
    assert_non_null(strstr(screen, "\n/s: Connection refused; trying again "));
    assert_non_null(strstr(screen, "\napp "));
}

static void keys_are_read_out_of_bytes(void **state)
{
    static const struct {
        const char *bytes;
        uint32_t key;
    } rows[] = {
        {"a", 'a'},
        {"\r", TOP_KEY_ENTER},
        {"\x7f", TOP_KEY_BACKSPACE},
        {"\x1b", TOP_KEY_ESC},
        {"\x1b[A", TOP_KEY_UP},
        {"\x1bOB", TOP_KEY_DOWN},
        {"\x1b[5~", TOP_KEY_PAGE_UP},
        {"\x1b[6~", TOP_KEY_PAGE_DOWN},
        {"\x1b[1~", TOP_KEY_HOME},
        {"\x1b[F", TOP_KEY_END},
        {"\x1b[1;5C", TOP_KEY_RIGHT},
        {"\x1b[200~", TOP_KEY_NONE},
        {"\x1b[", TOP_KEY_NONE},
        {"\xc3", TOP_KEY_NONE},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str in = str_of(rows[i].bytes);
        assert_int_equal(top_term_key(&in), rows[i].key);
        assert_int_equal(in.len, 0);
    }
    struct str in = STR("\x1b[Bq");
    assert_int_equal(top_term_key(&in), TOP_KEY_DOWN);
    assert_int_equal(top_term_key(&in), 'q');
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_answers_are_read),
        TEST(rates_come_from_two_answers),
        TEST(another_process_is_no_basis_for_rates),
        TEST(what_is_no_answer_is_refused),
        TEST(the_question_escapes_names),
        TEST(pools_and_their_backends_are_sorted),
        TEST(a_filter_keeps_the_pool_of_what_it_finds),
        TEST(the_list_at_80_columns),
        TEST(every_line_has_the_screens_width_at_every_size),
        TEST(narrow_screens_have_what_matters_most),
        TEST(colours_do_not_change_the_text),
        TEST(a_page_has_all_of_a_backend),
        TEST(changes_are_confirmed),
        TEST(the_cursor_stays_on_its_row_when_the_order_changes),
        TEST(a_small_screen_scrolls_with_the_cursor),
        TEST(the_filter_is_typed),
        TEST(pausing_and_leaving),
        TEST(trouble_is_told_and_the_data_stays),
        TEST(keys_are_read_out_of_bytes),
    };
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
