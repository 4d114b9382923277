/* test_show_stat.c - show stat, in all forms, by column name. */
#include "tests/unit/lb/admin/admin_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* HAProxy's static columns, in its order. */
static const char header[] =
    "# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,"
    "wredis,status,weight,act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,"
    "lbtot,tracked,type,rate,rate_lim,rate_max,check_status,check_code,check_duration,hrsp_1xx,"
    "hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,hanafail,req_rate,req_rate_max,req_tot,"
    "cli_abrt,srv_abrt,comp_in,comp_out,comp_byp,comp_rsp,lastsess,last_chk,last_agt,qtime,ctime,"
    "rtime,ttime,agent_status,agent_code,agent_duration,check_desc,agent_desc,check_rise,"
    "check_fall,check_health,agent_rise,agent_fall,agent_health,addr,cookie,mode,algo,conn_rate,"
    "conn_rate_max,conn_tot,intercepted,dcon,dses,wrew,connect,reuse,cache_lookups,cache_hits,"
    "srv_icur,src_ilim,qtime_max,ctime_max,rtime_max,ttime_max,eint,idle_conn_cur,safe_conn_cur,"
    "used_conn_cur,need_conn_est,uweight,agg_server_status,agg_server_check_status,"
    "agg_check_status,srid,sess_other,h1sess,h2sess,h3sess,req_other,h1req,h2req,h3req,proto,"
    "priv_idle_cur,reqbin,reqbout,resbin,resbout,cache_hint_hits,-,\n";

static int setup(void **state)
{
    *state = fixture_new();
    return 0;
}

static int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

/* Copies the i-th field of a CSV line (no quotes inside). */
static const char *csv_field(const char *line, size_t i, char out[static 128])
{
    const char *end;

    for (;; i--, line = end + 1) {
        end = strpbrk(line, ",\n");
        assert_non_null(end);
        if (i == 0)
            break;
        assert_int_equal(*end, ',');
    }
    snprintf(out, 128, "%.*s", (int)(end - line), line);
    return out;
}

static size_t column_index(const char *name)
{
    char field[128];

    for (size_t i = 0;; i++)
        if (strcmp(csv_field(header + 2, i, field), name) == 0)
            return i;
}

/* The row that begins with "px,sv,", or NULL. */
static const char *row(const char *answer, const char *px_sv)
{
    char start[128];

    snprintf(start, sizeof(start), "\n%s,", px_sv);
    const char *found = strstr(answer, start);
    return found != NULL ? found + 1 : NULL;
}

static const char *stat_of(struct fixture *f, const char *px_sv, const char *column)
{
    static char field[128];
    const char *found = row(fixture_run(f, "show stat"), px_sv);

    assert_non_null(found);
    return csv_field(found, column_index(column), field);
}

#define assert_stat(f, px_sv, column, expected)                                                    \
    assert_string_equal(stat_of(f, px_sv, column), expected)

static size_t count_lines(const char *answer)
{
    size_t n = 0;

    for (; *answer != '\0'; answer++)
        n += *answer == '\n';
    return n;
}

static void the_header_is_haproxys(void **state)
{
    assert_true(fixture_begins(*state, "show stat", header));
}

static void there_is_a_row_for_each_object_in_order(void **state)
{
    const char *answer = fixture_run(*state, "show stat");
    static const char *const rows[] = {"web,FRONTEND", "pg,FRONTEND", "app,a",     "app,b",
                                       "app,BACKEND",  "db,pg",       "db,BACKEND"};
    const char *last = answer;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *found = row(answer, rows[i]);
        assert_non_null(found);
        assert_true(found > last);
        last = found;
    }
    assert_int_equal(count_lines(answer), 1 + ARRAY_LEN(rows) + 1);
}

static void every_row_has_all_columns_and_ends_with_a_comma(void **state)
{
    const char *line = fixture_run(*state, "show stat");

    while (*line != '\n') {
        const char *end = strchr(line, '\n');
        size_t commas = 0;
        for (const char *p = line; p < end; p++)
            commas += *p == ',';
        assert_int_equal(commas, 120);
        assert_true(strncmp(end - 3, ",-,", 3) == 0);
        line = end + 1;
    }
}

static void ids_and_types(void **state)
{
    struct fixture *f = *state;

    assert_stat(f, "web,FRONTEND", "iid", "1");
    assert_stat(f, "web,FRONTEND", "sid", "0");
    assert_stat(f, "web,FRONTEND", "type", "0");
    assert_stat(f, "app,BACKEND", "iid", "3");
    assert_stat(f, "app,BACKEND", "type", "1");
    assert_stat(f, "app,b", "iid", "3");
    assert_stat(f, "app,b", "sid", "2");
    assert_stat(f, "app,b", "type", "2");
    assert_stat(f, "app,b", "pid", "1");
    assert_stat(f, "app,b", "mode", "tcp");
}

static void a_listeners_counters(void **state)
{
    struct fixture *f = *state;
    struct listener_stats *l = f->listeners[0];

    counter_add(&l->rows[0].sessions, 5);
    counter_add(&l->rows[1].sessions, 2);
    counter_add(&l->rows[1].bytes_in, 100);
    counter_add(&l->rows[1].bytes_out, 200);
    counter_add(&l->rows[0].denied, 3);
    counter_add(&l->rows[0].bad_requests, 1);
    atomic_store(&l->current, 4);
    counter_set(&l->current_max, 6);
    assert_stat(f, "web,FRONTEND", "scur", "4");
    assert_stat(f, "web,FRONTEND", "smax", "6");
    assert_stat(f, "web,FRONTEND", "slim", "1000"); /* the process's */
    assert_stat(f, "web,FRONTEND", "stot", "7");
    assert_stat(f, "web,FRONTEND", "bin", "100");
    assert_stat(f, "web,FRONTEND", "bout", "200");
    assert_stat(f, "web,FRONTEND", "dcon", "3");
    assert_stat(f, "web,FRONTEND", "conn_tot", "10");
    assert_stat(f, "web,FRONTEND", "ereq", "1");
    assert_stat(f, "web,FRONTEND", "status", "OPEN");
    assert_stat(f, "web,FRONTEND", "check_status", "");
    l->max_connections = 50;
    f->stopping = true;
    assert_stat(f, "web,FRONTEND", "slim", "50");
    assert_stat(f, "web,FRONTEND", "status", "STOP");
}

static void a_backends_counters(void **state)
{
    struct fixture *f = *state;
    struct backend_counters *row0 = &f->pools[0]->members[0].rows[0];

    counter_add(&row0->sessions, 9);
    counter_add(&row0->bytes_in, 11);
    counter_add(&row0->bytes_out, 12);
    counter_add(&row0->connects, 10);
    counter_add(&row0->connect_errors, 1);
    counter_add(&row0->response_errors, 2);
    counter_add(&row0->retries, 3);
    counter_add(&row0->redispatches, 4);
    counter_add(&row0->client_aborts, 5);
    counter_add(&row0->server_aborts, 6);
    counter_set(&row0->last_session_s, FIXTURE_NOW_US / 1000000 - 8);
    counter_set(&row0->connect_us_max, 2600);
    atomic_store(&f->a->in_flight, 3);
    counter_set(&f->a->in_flight_max, 7);
    assert_stat(f, "app,a", "scur", "3");
    assert_stat(f, "app,a", "used_conn_cur", "3");
    assert_stat(f, "app,a", "smax", "7");
    assert_stat(f, "app,a", "slim", "100");
    assert_stat(f, "app,b", "slim", "");
    assert_stat(f, "app,a", "stot", "9");
    assert_stat(f, "app,a", "lbtot", "9");
    assert_stat(f, "app,a", "bin", "11");
    assert_stat(f, "app,a", "bout", "12");
    assert_stat(f, "app,a", "connect", "10");
    assert_stat(f, "app,a", "econ", "1");
    assert_stat(f, "app,a", "eresp", "2");
    assert_stat(f, "app,a", "wretr", "3");
    assert_stat(f, "app,a", "wredis", "4");
    assert_stat(f, "app,a", "cli_abrt", "5");
    assert_stat(f, "app,a", "srv_abrt", "6");
    assert_stat(f, "app,a", "lastsess", "8");
    assert_stat(f, "app,b", "lastsess", "-1");
    assert_stat(f, "app,a", "ctime_max", "3");
    assert_stat(f, "app,a", "act", "1");
    assert_stat(f, "app,a", "bck", "0");
    assert_stat(f, "app,b", "act", "0");
    assert_stat(f, "app,b", "bck", "1");
    assert_stat(f, "app,a", "addr", "127.0.0.1:3001");
    assert_stat(f, "app,b", "addr", "unix:/run/b.sock");
    assert_stat(f, "db,pg", "addr", "");
}

static void a_pool_adds_up_its_backends_and_what_belongs_to_none(void **state)
{
    struct fixture *f = *state;
    struct pool *p = f->pools[0];

    counter_add(&p->members[0].rows[0].sessions, 5);
    counter_add(&p->members[1].rows[1].sessions, 2);
    counter_add(&p->rows[0].sessions, 1);
    atomic_store(&p->kept->waiting, 3);
    counter_set(&p->kept->waiting_max, 4);
    atomic_store(&p->kept->current, 6);
    counter_set(&p->kept->current_max, 9);
    assert_stat(f, "app,BACKEND", "stot", "8");
    assert_stat(f, "app,BACKEND", "lbtot", "7");
    assert_stat(f, "app,BACKEND", "qcur", "3");
    assert_stat(f, "app,BACKEND", "qmax", "4");
    assert_stat(f, "app,BACKEND", "scur", "6");
    assert_stat(f, "app,BACKEND", "smax", "9");
    assert_stat(f, "app,BACKEND", "qlimit", "1024");
    assert_stat(f, "app,BACKEND", "algo", "roundrobin");
}

static void unknown_backends_are_up_only_where_they_get_traffic(void **state)
{
    struct fixture *f = *state;

    assert_stat(f, "app,a", "status", "UP");
    assert_stat(f, "app,a", "check_status", "INI");
    assert_stat(f, "app,a", "check_duration", "");
    assert_stat(f, "app,BACKEND", "status", "UP");
    assert_stat(f, "app,BACKEND", "act", "1");
    assert_stat(f, "app,BACKEND", "bck", "1");
    fixture_verdict(f, f->b, OPER_UP, CHECK_L4OK, 4, "");
    assert_stat(f, "app,BACKEND", "act", "0");
    assert_stat(f, "app,b", "status", "UP");
    assert_stat(f, "app,a", "status", "DOWN");
    assert_stat(f, "app,a", "check_status", "INI");
}

static void verdicts_show_as_haproxys_words(void **state)
{
    struct fixture *f = *state;

    fixture_verdict(f, f->a, OPER_UP, CHECK_L4OK, 4, "");
    assert_stat(f, "app,a", "status", "UP");
    assert_stat(f, "app,a", "check_status", "L4OK");
    assert_stat(f, "app,a", "check_desc", "Layer4 check passed");
    assert_stat(f, "app,a", "check_health", "4");
    assert_stat(f, "app,a", "check_rise", "2");
    assert_stat(f, "app,a", "check_fall", "3");
    assert_stat(f, "app,a", "lastchg", "7");
    fixture_verdict(f, f->a, OPER_GOING_DOWN, CHECK_L4CON, 3, "connection refused");
    assert_stat(f, "app,a", "status", "UP 2/3");
    assert_stat(f, "app,a", "last_chk", "connection refused");
    fixture_verdict(f, f->a, OPER_GOING_DOWN, CHECK_L4TOUT, 2, "");
    assert_stat(f, "app,a", "status", "UP 1/3");
    fixture_verdict(f, f->a, OPER_DOWN, CHECK_L7STS, 0, "HTTP 503; expected 200-399");
    assert_stat(f, "app,a", "status", "DOWN");
    assert_stat(f, "app,a", "check_status", "L7STS");
    fixture_verdict(f, f->a, OPER_GOING_UP, CHECK_L7OK, 1, "");
    assert_stat(f, "app,a", "status", "DOWN 1/2");
}

/* Whatever its checks say, if it has any. */
static void an_ejected_backend_is_down_and_says_why(void **state)
{
    struct fixture *f = *state;

    for (int checked = 0; checked < 2; checked++) {
        struct backend_info info;
        slot_info(f->a, &info);
        info.check_enabled = checked;
        slot_set_info(f->a, &info);
        slot_set_ejected(f->a, true);
        fixture_verdict(f, f->a, OPER_UP, checked ? CHECK_L4OK : CHECK_NONE, 4, "ejected for 30s");
        assert_stat(f, "app,a", "status", "DOWN");
        assert_stat(f, "app,a", "last_chk", "ejected for 30s");
        slot_set_ejected(f->a, false);
        fixture_verdict(f, f->a, OPER_UP, checked ? CHECK_L4OK : CHECK_NONE, 4, "");
        assert_stat(f, "app,a", "status", checked ? "UP" : "no check");
        assert_stat(f, "app,a", "last_chk", "");
    }
}

static void a_check_under_way_has_a_star_and_a_code_its_layer(void **state)
{
    struct fixture *f = *state;
    struct backend_info info;

    fixture_verdict(f, f->a, OPER_DOWN, CHECK_L7STS, 0, "");
    slot_info(f->a, &info);
    info.checking = true;
    info.check_code = 503;
    info.check_duration_us = 12900;
    slot_set_info(f->a, &info);
    assert_stat(f, "app,a", "check_status", "* L7STS");
    assert_stat(f, "app,a", "check_code", "503");
    assert_stat(f, "app,a", "check_duration", "12");
    info.result = CHECK_L4CON; /* its code is an errno, which HAProxy does not show */
    slot_set_info(f->a, &info);
    assert_stat(f, "app,a", "check_code", "");
}

static void downtime_counts_the_present_one_too(void **state)
{
    struct fixture *f = *state;
    struct backend_info info;

    fixture_verdict(f, f->a, OPER_DOWN, CHECK_L4CON, 0, "");
    slot_info(f->a, &info);
    info.down_since_us = FIXTURE_NOW_US - 4000000;
    info.downtime_us = 10000000;
    info.check_fails = 6;
    info.transitions_down = 2;
    slot_set_info(f->a, &info);
    assert_stat(f, "app,a", "downtime", "14");
    assert_stat(f, "app,a", "chkfail", "6");
    assert_stat(f, "app,a", "chkdown", "2");
}

static void admin_states_show(void **state)
{
    struct fixture *f = *state;

    fixture_verdict(f, f->a, OPER_UP, CHECK_L4OK, 4, "");
    fixture_run(f, "disable server app/a");
    assert_stat(f, "app,a", "status", "MAINT");
    assert_stat(f, "app,a", "check_status", "");
    fixture_run(f, "set server app/a state drain");
    assert_stat(f, "app,a", "status", "DRAIN");
    fixture_verdict(f, f->a, OPER_GOING_DOWN, CHECK_L4CON, 2, "");
    assert_stat(f, "app,a", "status", "DRAIN 1/3");
    fixture_verdict(f, f->a, OPER_DOWN, CHECK_L4CON, 0, "");
    assert_stat(f, "app,a", "status", "DOWN");
    assert_stat(f, "db,pg", "status", "MAINT (resolution)");
}

static void a_weight_of_zero_drains(void **state)
{
    struct fixture *f = *state;

    fixture_verdict(f, f->a, OPER_UP, CHECK_L4OK, 4, "");
    fixture_run(f, "set weight app/a 0");
    assert_stat(f, "app,a", "status", "DRAIN");
    assert_stat(f, "app,a", "uweight", "0");
}

static void without_a_check_the_status_says_so(void **state)
{
    struct fixture *f = *state;

    slot_set_admin(f->pg, ADMIN_RMAINT, 0);
    fixture_address(f, f->pg, "127.0.0.1:5432");
    slot_set_oper(f->pg, OPER_UP);
    pool_rebuild(f->pools[1], FIXTURE_NOW_US);
    assert_stat(f, "db,pg", "status", "no check");
    assert_stat(f, "db,pg", "check_status", "");
    assert_stat(f, "db,pg", "chkfail", "");
    assert_stat(f, "db,BACKEND", "status", "UP");
}

static void a_pool_without_a_usable_backend_is_down(void **state)
{
    struct fixture *f = *state;

    assert_stat(f, "db,BACKEND", "status", "DOWN");
    assert_stat(f, "db,BACKEND", "act", "0");
    fixture_verdict(f, f->a, OPER_UP, CHECK_L4OK, 4, "");
    assert_stat(f, "app,BACKEND", "act", "1");
    assert_stat(f, "app,BACKEND", "bck", "0");
    assert_stat(f, "app,BACKEND", "weight", "10");
    fixture_verdict(f, f->a, OPER_DOWN, CHECK_L4CON, 0, "");
    fixture_verdict(f, f->b, OPER_UP, CHECK_L4OK, 4, "");
    assert_stat(f, "app,BACKEND", "act", "0");
    assert_stat(f, "app,BACKEND", "bck", "1");
    assert_stat(f, "app,BACKEND", "weight", "1");
    assert_stat(f, "app,BACKEND", "status", "UP");
}

static void slow_start_shows_as_throttle(void **state)
{
    struct fixture *f = *state;

    fixture_verdict(f, f->a, OPER_UP, CHECK_L4OK, 4, "");
    assert_stat(f, "app,a", "throttle", "");
    slot_set_effective(f->a, 160); /* a quarter of 10 x 64 */
    assert_stat(f, "app,a", "throttle", "25");
    assert_stat(f, "app,a", "weight", "3");
    assert_stat(f, "app,a", "uweight", "10");
}

static void texts_are_quoted_where_csv_needs_it(void **state)
{
    struct fixture *f = *state;

    fixture_verdict(f, f->a, OPER_DOWN, CHECK_L7STS, 0, "HTTP 503, expected \"200\"");
    assert_non_null(strstr(fixture_run(f, "show stat"), ",\"HTTP 503, expected \"\"200\"\"\","));
}

static void filters_choose_rows(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *filter;
        size_t rows;
    } cases[] = {
        {"-1 -1 -1", 7}, {"-1 1 -1", 2},   {"-1 2 -1", 2},  {"-1 4 -1", 3}, {"-1 6 -1", 5},
        {"3 -1 -1", 3},  {"app -1 -1", 3}, {"#3 -1 -1", 3}, {"3 4 2", 1},   {"pg -1 -1", 1},
        {"99 -1 -1", 0}, {"-1 4 1", 2},    {"-1 -1 0", 4},  {"-1 0 -1", 0}, {"3 4 77", 0},
    };
    char text[64];

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        snprintf(text, sizeof(text), "show stat %s", cases[i].filter);
        assert_int_equal(count_lines(fixture_run(f, text)), cases[i].rows + 2);
    }
    assert_string_equal(fixture_run(f, "show stat nope -1 -1"), "No such proxy.\n\n");
    assert_string_equal(fixture_run(f, "show stat app x -1"),
                        "Expects {<iid>|<proxy>} <type> <sid>, each -1 for all.\n\n");
    assert_string_equal(fixture_run(f, "show stat 1 -2 -1"),
                        "Expects {<iid>|<proxy>} <type> <sid>, each -1 for all.\n\n");
    assert_string_equal(fixture_run(f, "show stat domain dns"),
                        "Expects 'proxy' behind 'domain'.\n\n");
    assert_int_equal(count_lines(fixture_run(f, "show stat domain proxy 3 4 1 up")), 3);
}

static void up_and_no_maint_leave_rows_out(void **state)
{
    struct fixture *f = *state;

    fixture_verdict(f, f->a, OPER_UP, CHECK_L4OK, 4, "");
    const char *answer = fixture_run(f, "show stat -1 4 -1 up");
    assert_non_null(row(answer, "app,a"));
    assert_null(row(answer, "app,b"));
    assert_null(row(answer, "db,pg"));
    answer = fixture_run(f, "show stat -1 4 -1 no-maint");
    assert_non_null(row(answer, "app,b"));
    assert_null(row(answer, "db,pg"));
}

static void the_typed_form_names_every_value(void **state)
{
    struct fixture *f = *state;

    const char *answer = fixture_run(f, "show stat app 4 1 typed");
    assert_non_null(strstr(answer, "S.3.1.0.pxname.1:KNSV:str:app\n"));
    assert_non_null(strstr(answer, "\nS.3.1.1.svname.1:KNSV:str:a\n"));
    assert_non_null(strstr(answer, "\nS.3.1.4.scur.1:MGPV:u32:0\n"));
    assert_non_null(strstr(answer, "\nS.3.1.7.stot.1:MCPP:u64:0\n"));
    assert_non_null(strstr(answer, "\nS.3.1.55.lastsess.1:MAPV:s32:-1\n"));
    assert_null(strstr(answer, "hrsp_1xx"));
    assert_non_null(strstr(fixture_run(f, "show stat web 1 0 typed desc"),
                           "F.1.0.4.scur.1:MGPV:u32:0:\"Sessions now\"\n"));
    assert_true(fixture_begins(f, "show stat app 2 0 typed", "B.3.0.0.pxname"));
}

static void json_has_haproxys_shape(void **state)
{
    struct fixture *f = *state;

    assert_true(fixture_begins(
        f, "show stat json",
        "[[{\"objType\":\"Frontend\",\"proxyId\":1,\"id\":0,\"field\":{\"pos\":0,\"name\":"
        "\"pxname\"},\"processNum\":1,\"tags\":{\"origin\":\"Key\",\"nature\":\"Name\",\"scope\":"
        "\"Service\"},\"value\":{\"type\":\"str\",\"value\":\"web\"}},{\"objType\":"));
    assert_non_null(strstr(f->out.p, "}],[{\"objType\":\"Server\",\"proxyId\":3,\"id\":1,"));
    assert_non_null(strstr(f->out.p, "\"value\":{\"type\":\"s32\",\"value\":-1}}"));
    assert_string_equal(f->out.p + f->out.len - 5, "}]]\n\n");
    assert_string_equal(fixture_run(f, "show stat 99 -1 -1 json"), "[]\n\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(the_header_is_haproxys),
        TEST(there_is_a_row_for_each_object_in_order),
        TEST(every_row_has_all_columns_and_ends_with_a_comma),
        TEST(ids_and_types),
        TEST(a_listeners_counters),
        TEST(a_backends_counters),
        TEST(a_pool_adds_up_its_backends_and_what_belongs_to_none),
        TEST(unknown_backends_are_up_only_where_they_get_traffic),
        TEST(verdicts_show_as_haproxys_words),
        TEST(an_ejected_backend_is_down_and_says_why),
        TEST(a_check_under_way_has_a_star_and_a_code_its_layer),
        TEST(downtime_counts_the_present_one_too),
        TEST(admin_states_show),
        TEST(a_weight_of_zero_drains),
        TEST(without_a_check_the_status_says_so),
        TEST(a_pool_without_a_usable_backend_is_down),
        TEST(slow_start_shows_as_throttle),
        TEST(texts_are_quoted_where_csv_needs_it),
        TEST(filters_choose_rows),
        TEST(up_and_no_maint_leave_rows_out),
        TEST(the_typed_form_names_every_value),
        TEST(json_has_haproxys_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
