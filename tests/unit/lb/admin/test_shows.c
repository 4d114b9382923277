/* test_shows.c - show info, servers, sess, and the small shows; clear counters; the sampler. */
#include "lb/base/slab.h"
#include "tests/unit/lb/admin/admin_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

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

#define assert_has(answer, part) assert_non_null(strstr(answer, part))

/* ---- info ---- */

static void info_has_all_keys_in_order(void **state)
{
    static const char *const keys[] = {
        "Name",
        "Version",
        "Release_date",
        "Nbthread",
        "Nbproc",
        "Process_num",
        "Pid",
        "Uptime",
        "Uptime_sec",
        "Memmax_MB",
        "PoolAlloc_MB",
        "PoolUsed_MB",
        "PoolFailed",
        "Ulimit-n",
        "Maxsock",
        "Maxconn",
        "Hard_maxconn",
        "CurrConns",
        "CumConns",
        "CumReq",
        "MaxSslConns",
        "CurrSslConns",
        "CumSslConns",
        "Maxpipes",
        "PipesUsed",
        "PipesFree",
        "ConnRate",
        "ConnRateLimit",
        "MaxConnRate",
        "SessRate",
        "SessRateLimit",
        "MaxSessRate",
        "SslRate",
        "SslRateLimit",
        "MaxSslRate",
        "SslFrontendKeyRate",
        "SslFrontendMaxKeyRate",
        "SslFrontendSessionReuse_pct",
        "SslBackendKeyRate",
        "SslBackendMaxKeyRate",
        "SslCacheLookups",
        "SslCacheMisses",
        "CompressBpsIn",
        "CompressBpsOut",
        "CompressBpsRateLim",
        "ZlibMemUsage",
        "MaxZlibMemUsage",
        "Tasks",
        "Run_queue",
        "Idle_pct",
        "node",
        "description",
        "Stopping",
        "Jobs",
        "Unstoppable Jobs",
        "Listeners",
        "ActivePeers",
        "ConnectedPeers",
        "DroppedLogs",
        "BusyPolling",
        "FailedResolutions",
        "TotalBytesOut",
        "TotalSplicedBytesOut",
        "BytesOutRate",
        "DebugCommandsIssued",
        "CumRecvLogs",
        "Build info",
        "Memmax_bytes",
        "PoolAlloc_bytes",
        "PoolUsed_bytes",
        "Start_time_sec",
        "Tainted",
        "TotalWarnings",
        "MaxconnReached",
        "BootTime_ms",
        "Niced_tasks",
        "CurrStreams",
        "CumStreams",
        "BlockedTrafficWarnings",
        "PatternsAdded",
        "PatternsFreed",
        "NbThreadGroups",
        "SslCertExpiry_days",
        "Hardening",
    };
    const char *line = fixture_run(*state, "show info");

    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        size_t len = strlen(keys[i]);
        assert_true(strncmp(line, keys[i], len) == 0 && strncmp(line + len, ": ", 2) == 0);
        line = strchr(line, '\n') + 1;
    }
    assert_string_equal(line, "\n");
}

static void info_tells_of_the_process(void **state)
{
    struct fixture *f = *state;
    const char *answer;

    counter_add(&f->listeners[0]->rows[0].sessions, 5);
    counter_add(&f->listeners[1]->rows[1].denied, 2);
    counter_add(&f->listeners[1]->rows[1].bytes_out, 900);
    atomic_store(&f->listeners[0]->current, 3);
    f->io[0].pipes_open = 7;
    f->io[0].pipes_used = 3;
    f->io[0].bufs_total = 32;
    f->io[0].bufs_used = 16;
    answer = fixture_run(f, "show info");
    assert_has(answer, "Name: sluice\n");
    assert_has(answer, "\nVersion: 0.1.0\n");
    assert_has(answer, "\nNbthread: 2\n");
    assert_has(answer, "\nUptime: 0d 0h01m40s\nUptime_sec: 100\n");
    assert_has(answer, "\nMaxconn: 1000\n");
    assert_has(answer, "\nCurrConns: 3\nCumConns: 7\nCumReq: 5\n");
    assert_has(answer, "\nMaxpipes: 500\nPipesUsed: 3\nPipesFree: 4\n");
    assert_has(answer, "\nPoolAlloc_MB: 2\nPoolUsed_MB: 1\n");
    assert_has(answer, "\nnode: host1\n");
    assert_has(answer, "\nTotalBytesOut: 900\n");
    assert_has(answer, "\nStopping: 0\n");
    assert_has(answer, "\nBuild info: 0.1.0, io epoll\n");
    assert_has(answer, "\nMemmax_bytes: 1073741824\n");
}

static void info_has_typed_and_json_forms(void **state)
{
    struct fixture *f = *state;

    assert_true(fixture_begins(f, "show info typed", "0.Name.1:POSV:str:sluice\n1.Version.1:"));
    assert_has(f->out.p, "\n15.Maxconn.1:CLPV:u32:1000\n");
    assert_true(fixture_begins(f, "show info desc", "Name: sluice:\"Product name\"\n"));
    assert_true(fixture_begins(
        f, "show info json",
        "[{\"field\":{\"pos\":0,\"name\":\"Name\"},\"processNum\":1,\"tags\":{\"origin\":"
        "\"Product\",\"nature\":\"Output\",\"scope\":\"Service\"},\"value\":{\"type\":\"str\","
        "\"value\":\"sluice\"}},{\"field\":"));
    assert_string_equal(f->out.p + f->out.len - 5, "}}]\n\n");
}

/* ---- servers ---- */

static void server_states_are_haproxys_25_fields(void **state)
{
    struct fixture *f = *state;

    fixture_verdict(f, f->a, OPER_UP, CHECK_L4OK, 4, "");
    fixture_run(f, "set weight app/a 5");
    fixture_run(f, "disable server app/b");
    assert_string_equal(
        fixture_run(f, "show servers state"),
        "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight "
        "srv_iweight srv_time_since_last_change srv_check_status srv_check_result "
        "srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id "
        "srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr "
        "srv_agent_port\n"
        "3 app 1 a 127.0.0.1 2 0 5 10 7 6 3 4 6 0 0 0 - 3001 - 0 0 - - 0\n"
        "3 app 2 b - 0 1 1 1 100 1 0 0 14 0 0 0 - 0 - 0 0 - - 0\n"
        "4 db 1 pg - 0 32 1 1 100 1 0 0 0 0 0 0 pg.example 5432 - 0 0 - - 0\n\n");
}

static void servers_of_one_pool(void **state)
{
    struct fixture *f = *state;

    assert_null(strstr(fixture_run(f, "show servers state db"), "\n3 app"));
    assert_has(f->out.p, "\n4 db 1 pg");
    assert_has(fixture_run(f, "show servers state #3"), "\n3 app 1 a");
    assert_string_equal(fixture_run(f, "show servers state nope"), "Can't find backend.\n\n");
    assert_string_equal(fixture_run(f, "show servers conn nope"), "Can't find backend.\n\n");
}

static void server_states_as_json(void **state)
{
    assert_true(fixture_begins(*state, "show servers state db json",
                               "[{\"be_id\":4,\"be_name\":\"db\",\"srv_id\":1,\"srv_name\":\"pg\","
                               "\"srv_addr\":\"-\",\"srv_op_state\":0,\"srv_admin_state\":32,"));
}

static void server_connections(void **state)
{
    struct fixture *f = *state;

    atomic_store(&f->a->in_flight, 4);
    counter_set(&f->a->in_flight_max, 6);
    assert_string_equal(fixture_run(f, "show servers conn app"),
                        "# bkname/svname bkid/svid addr port - purge_delay served used_cur "
                        "used_max need_est idle_sess unsafe_nb safe_nb idle_lim idle_cur "
                        "idle_per_thr[1]\n"
                        "app/a 3/1 127.0.0.1 3001 - 0 4 4 6 0 0 0 0 -1 0 0\n"
                        "app/b 3/2 - 0 - 0 0 0 0 0 0 0 0 -1 0 0\n\n");
}

/* ---- sessions ---- */

static void add_session(struct fixture *f)
{
    struct session_info *s = &f->sessions[f->n_sessions++];
    struct addr_spec spec;
    const char *error;

    *s = (struct session_info){.id = 0x0100000000000009,
                               .listener = "web",
                               .pool = "app",
                               .backend = "a",
                               .state = "tunnel",
                               .age_ms = 3725000,
                               .idle_ms = 2000,
                               .bytes_in = 10,
                               .bytes_out = 20,
                               .out_spliced = true,
                               .client_fd = 11,
                               .backend_fd = 12};
    assert_int_equal(addr_parse(STR("10.0.0.1:999"), false, false, &spec, &error), 0);
    s->client = spec.addr;
}

static void sessions_are_listed(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(fixture_run(f, "show sess"), "\n");
    add_session(f);
    assert_string_equal(
        fixture_run(f, "show sess"),
        "0x0100000000000009: proto=tcpv4 src=10.0.0.1:999 fe=web be=app srv=a ts=00 epoch=0 "
        "age=1h2m calls=0 rate=0 cpu=0 lat=0 rq[f=0h,i=0,an=00h,rx=,wx=,ax=] "
        "rp[f=0h,i=0,an=00h,rx=,wx=,ax=] scf=[8,0h,fd=11] scb=[8,0h,fd=12] exp= rc=0 c_exp= "
        "state=tunnel idle=2s in=10 out=20 splice=out\n\n");
    assert_string_equal(
        fixture_run(f, "show sess all json"),
        "[{\"id\":\"0x0100000000000009\",\"proto\":\"tcpv4\",\"src\":\"10.0.0.1:999\",\"fe\":"
        "\"web\",\"be\":\"app\",\"srv\":\"a\",\"state\":\"tunnel\",\"age_ms\":3725000,\"idle_ms\":"
        "2000,\"bytes_in\":10,\"bytes_out\":20,\"in_spliced\":false,\"out_spliced\":true,"
        "\"client_fd\":11,\"backend_fd\":12}]\n\n");
}

static void session_filters_reach_the_workers(void **state)
{
    struct fixture *f = *state;

    fixture_run(f, "show sess frontend web backend app older 5m");
    assert_string_equal(f->asked_listener, "web");
    assert_string_equal(f->asked_pool, "app");
    assert_int_equal(f->asked.older_ms, 300000);
    assert_null(f->asked.backend);
    assert_int_equal(f->asked.id, 0);
    fixture_run(f, "show sess server app/#2");
    assert_string_equal(f->asked_pool, "app");
    assert_string_equal(f->asked_backend, "b");
    fixture_run(f, "show sess 0x0100000000000009");
    assert_true(f->asked.id == 0x0100000000000009);
}

static void wrong_session_filters_are_refused(void **state)
{
    static const struct {
        const char *args, *answer;
    } wrong[] = {
        {"frontend nope", "No such frontend.\n\n"},
        {"backend nope", "No such backend.\n\n"},
        {"backend", "No such backend.\n\n"},
        {"server app", "Require 'backend/server'.\n\n"},
        {"server app/zz", "No such server.\n\n"},
        {"older x", "Invalid age.\n\n"},
        {"older", "Invalid age.\n\n"},
        {"younger 5", "Unsupported filter 'younger': use 'show sess help'.\n\n"},
        {"0xzz", "Session not found.\n\n"},
        {"0x", "Session not found.\n\n"},
        {"0x123", "Session not found.\n\n"},
        {"0x11112222333344445", "Session not found.\n\n"},
    };
    char text[128];

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        snprintf(text, sizeof(text), "show sess %s", wrong[i].args);
        assert_string_equal(fixture_run(*state, text), wrong[i].answer);
    }
    assert_has(fixture_run(*state, "show sess help"), "older <age>");
}

static void sessions_end_on_demand(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(fixture_run(f, "shutdown session"),
                        "Session pointer expected (use 'show sess').\n\n");
    assert_string_equal(fixture_run(f, "shutdown session all"),
                        "No such session (use 'show sess').\n\n");
    assert_null(f->kill_done);
    assert_string_equal(fixture_run(f, "shutdown session 0x9"),
                        "No such session (use 'show sess').\n\n");
    f->killed = 1;
    assert_string_equal(fixture_run(f, "shutdown session 0x9:"), "\n");
    assert_int_equal(f->asked.id, 9);
    f->killed = 0;
    assert_string_equal(fixture_run(f, "shutdown sessions server app/a"), "\n");
    assert_int_equal(f->asked.id, 0);
    assert_string_equal(f->asked_pool, "app");
    assert_string_equal(f->asked_backend, "a");
}

static void set_flag(void *arg)
{
    *(bool *)arg = true;
}

static void a_late_answer_finds_who_waits(void **state)
{
    struct fixture *f = *state;
    struct late_answer *late;
    bool ready = false;

    f->answer_later = true;
    f->session.severity = SEVERITY_NUMBER;
    command_run(&f->env, &f->session, STR("shutdown session 0x5"), &f->out, &late);
    assert_non_null(late);
    assert_int_equal(f->out.len, 0);
    late_answer_wait(late, set_flag, &ready);
    assert_false(ready);
    f->kill_done(f->done_arg, 0);
    assert_true(ready);
    late_answer_take(&late, &f->out);
    assert_null(late);
    assert_string_equal(f->out.p, "[3]: No such session (use 'show sess').\n\n");
}

static void a_late_answer_that_nobody_wants_is_dropped(void **state)
{
    struct fixture *f = *state;

    f->answer_later = true;
    assert_string_equal(fixture_run(f, "show sess"), "(later)");
    add_session(f);
    f->list_done(f->done_arg, f->sessions, 1); /* the sanitizer sees a leak or a use after free */
    assert_string_equal(f->out.p, "(later)");
}

/* ---- small ones ---- */

static void backends_version_ready_errors(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(fixture_run(f, "show backend"), "# name\napp\ndb\n\n");
    assert_string_equal(fixture_run(f, "show backend json"),
                        "[{\"name\":\"app\"},{\"name\":\"db\"}]\n\n");
    assert_string_equal(fixture_run(f, "show version json"), "[{\"version\":\"0.1.0\"}]\n\n");
    assert_string_equal(fixture_run(f, "show ready"), "ready\n\n");
    assert_string_equal(fixture_run(f, "show ready json"),
                        "[{\"ready\":true,\"reason\":\"\"}]\n\n");
    f->not_ready = "draining";
    assert_string_equal(fixture_run(f, "show ready"), "not ready: draining\n\n");
    assert_true(fixture_begins(f, "show errors", "Total events captured on ["));
    assert_string_equal(fixture_run(f, "show errors json"), "[]\n\n");
}

static void the_environment(void **state)
{
    struct fixture *f = *state;

    setenv("SLUICE_TEST_VARIABLE", "a=b", 1);
    assert_string_equal(fixture_run(f, "show env SLUICE_TEST_VARIABLE"),
                        "SLUICE_TEST_VARIABLE=a=b\n\n");
    assert_string_equal(fixture_run(f, "show env SLUICE_TEST_VARIABLE json"),
                        "[{\"name\":\"SLUICE_TEST_VARIABLE\",\"value\":\"a=b\"}]\n\n");
    assert_string_equal(fixture_run(f, "show env SLUICE_TEST_VAR"), "Variable not found\n\n");
    assert_has(fixture_run(f, "show env"), "SLUICE_TEST_VARIABLE=a=b\n");
    unsetenv("SLUICE_TEST_VARIABLE");
}

static void activity_and_pools_of_each_worker(void **state)
{
    struct fixture *f = *state;

    f->io[0].turns = 42;
    f->io[0].bufs_total = 3;
    counter_add(&f->workers[1].sessions, 5);
    counter_add(&f->workers[0].sessions, 2);
    assert_has(fixture_run(f, "show activity"), "\nsessions: 7 [ 2 5 ]\n");
    assert_has(f->out.p, "\nloops: 42 [ 42 0 ]\n");
    assert_has(fixture_run(f, "show activity json"), "{\"thread\":2,\"sessions\":5,");
    assert_string_equal(fixture_run(f, "show pools"),
                        "# thread buffers buffers_used buffer_bytes pipes pipes_used\n"
                        "1 3 0 196608 0 0\n2 0 0 0 0 0\n"
                        "# slab object_bytes used allocated failed\n\n");
}

static void pools_sums_the_slabs_of_a_name(void **state)
{
    struct fixture *f = *state;
    struct slab first, second, other;

    slab_init(&first, "two words", 100, 0);
    slab_init(&other, "alone", 64, 1);
    slab_init(&second, "two words", 100, 0);
    void *a = slab_alloc(&first), *b = slab_alloc(&second), *c = slab_alloc(&other);
    assert_null(slab_alloc(&other)); /* more than its one */
    unsigned n = (unsigned)(counter_get(&first.allocated) + counter_get(&second.allocated));
    unsigned m = (unsigned)counter_get(&other.allocated);
    char text[256];

    snprintf(text, sizeof(text),
             "# slab object_bytes used allocated failed\nalone 64 1 %u 1\ntwo_words 112 2 %u 0\n\n",
             m, n);
    assert_has(fixture_run(f, "show pools"), text);
    snprintf(text, sizeof(text),
             "\"slabs\":[{\"slab\":\"alone\",\"object_bytes\":64,\"used\":1,\"allocated\":%u,"
             "\"failed\":1},{",
             m);
    assert_has(fixture_run(f, "show pools json"), "{\"workers\":[{\"thread\":1,");
    assert_has(f->out.p, text);
    slab_free(&first, a);
    slab_free(&second, b);
    slab_free(&other, c);
    slab_fini(&first);
    slab_fini(&second);
    slab_fini(&other);
    assert_has(fixture_run(f, "show pools"), "allocated failed\n\n");
}

/* ---- the sampler ---- */

static struct backend_counters *row_of_a(struct fixture *f)
{
    return &f->pools[0]->members[0].rows[1];
}

static void rates_are_what_came_since_the_last_tick(void **state)
{
    struct fixture *f = *state;
    struct backend_sample a;
    struct listener_sample web;
    struct process_sample process;

    counter_add(&row_of_a(f)->sessions, 30);
    counter_add(&f->listeners[0]->rows[0].sessions, 40);
    counter_add(&f->listeners[0]->rows[0].denied, 4);
    sampler_tick(f->env.sampler, 2000000); /* two seconds */
    sampler_member(f->env.sampler, 0, 0, &a);
    assert_int_equal(a.sessions.now, 15);
    sampler_listener(f->env.sampler, 0, &web);
    assert_int_equal(web.sessions.now, 20);
    assert_int_equal(web.connections.now, 22);
    sampler_process(f->env.sampler, &process);
    assert_int_equal(process.connections.now, 22);
    sampler_tick(f->env.sampler, 3000000);
    sampler_member(f->env.sampler, 0, 0, &a);
    assert_int_equal(a.sessions.now, 0);
    assert_int_equal(a.sessions.max, 15);
}

static void two_ticks_at_one_time_are_one(void **state)
{
    struct fixture *f = *state;
    struct backend_sample a;

    counter_add(&row_of_a(f)->sessions, 5);
    sampler_tick(f->env.sampler, 1000000);
    counter_add(&row_of_a(f)->sessions, 7);
    sampler_tick(f->env.sampler, 1000000);
    sampler_member(f->env.sampler, 0, 0, &a);
    assert_int_equal(a.sessions.now, 5);
}

static void averages_are_plain_at_first_and_then_fade(void **state)
{
    struct fixture *f = *state;
    struct backend_counters *row = row_of_a(f);
    struct backend_sample a;

    counter_add(&row->timed, 2);
    counter_add(&row->connect_us, 6000);
    counter_add(&row->total_us, 20000);
    sampler_member(f->env.sampler, 0, 0, &a); /* needs no tick */
    assert_int_equal(a.connect_ms, 3);
    assert_int_equal(a.total_ms, 10);
    assert_int_equal(a.queue_ms, 0);
    counter_add(&row->timed, 2);
    counter_add(&row->connect_us, 14000);
    counter_add(&row->total_us, 20000);
    sampler_tick(f->env.sampler, 1000000);
    sampler_member(f->env.sampler, 0, 0, &a);
    assert_int_equal(a.connect_ms, 5);
    counter_add(&row->timed, 100000); /* so many that the first do not matter any more */
    counter_add(&row->connect_us, 100000ull * 50000);
    sampler_member(f->env.sampler, 0, 0, &a);
    assert_int_equal(a.connect_ms, 50);
}

static void idle_time_is_a_share_of_the_workers_time(void **state)
{
    struct fixture *f = *state;
    struct process_sample process;

    sampler_process(f->env.sampler, &process);
    assert_int_equal(process.idle_percent, 100);
    counter_add(&f->workers[0].busy_us, 300);
    counter_add(&f->workers[1].idle_us, 700);
    sampler_tick(f->env.sampler, 1000000);
    sampler_process(f->env.sampler, &process);
    assert_int_equal(process.idle_percent, 70);
}

static void clearing_maxima_keeps_the_counters(void **state)
{
    struct fixture *f = *state;
    struct backend_sample a;

    counter_add(&row_of_a(f)->sessions, 9);
    counter_set(&row_of_a(f)->total_us_max, 500);
    atomic_store(&f->a->in_flight, 2);
    counter_set(&f->a->in_flight_max, 8);
    counter_set(&f->listeners[0]->current_max, 8);
    counter_set(&f->pools[0]->kept->current_max, 8);
    counter_set(&f->pools[0]->kept->waiting_max, 8);
    sampler_tick(f->env.sampler, 1000000);
    assert_string_equal(fixture_run(f, "clear counters"), "\n");
    sampler_member(f->env.sampler, 0, 0, &a);
    assert_int_equal(counter_get(&a.sums.sessions), 9);
    assert_int_equal(counter_get(&a.sums.total_us_max), 0);
    assert_int_equal(a.sessions.max, 0);
    assert_int_equal(counter_get(&f->a->in_flight_max), 2);
    assert_int_equal(counter_get(&f->listeners[0]->current_max), 0);
    assert_int_equal(counter_get(&f->pools[0]->kept->current_max), 0);
    assert_int_equal(counter_get(&f->pools[0]->kept->waiting_max), 0);
}

static void clearing_all_starts_every_counter_anew(void **state)
{
    struct fixture *f = *state;
    struct backend_sample a, app;
    struct listener_sample web;
    struct health_sample health;
    struct backend_info info;

    counter_add(&row_of_a(f)->sessions, 9);
    counter_add(&row_of_a(f)->timed, 9);
    counter_add(&row_of_a(f)->connect_us, 90000);
    counter_add(&f->listeners[0]->rows[0].bytes_in, 9);
    slot_info(f->a, &info);
    info.check_fails = 7;
    slot_set_info(f->a, &info);
    assert_string_equal(fixture_run(f, "clear counters all"), "\n");
    counter_add(&row_of_a(f)->sessions, 1);
    sampler_member(f->env.sampler, 0, 0, &a);
    assert_int_equal(counter_get(&a.sums.sessions), 1);
    assert_int_equal(a.connect_ms, 0);
    sampler_pool(f->env.sampler, 0, &app);
    assert_int_equal(counter_get(&app.sums.sessions), 1);
    sampler_listener(f->env.sampler, 0, &web);
    assert_int_equal(counter_get(&web.sums.bytes_in), 0);
    sampler_member_health(f->env.sampler, 0, 0, &health);
    assert_int_equal(health.check_fails, 0);
    assert_int_equal(counter_get(&row_of_a(f)->sessions), 10); /* the worker's own stays */
    assert_string_equal(fixture_run(f, "clear counters some"),
                        "'clear counters' expects nothing or 'all'.\n\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(info_has_all_keys_in_order),
        TEST(info_tells_of_the_process),
        TEST(info_has_typed_and_json_forms),
        TEST(server_states_are_haproxys_25_fields),
        TEST(servers_of_one_pool),
        TEST(server_states_as_json),
        TEST(server_connections),
        TEST(sessions_are_listed),
        TEST(session_filters_reach_the_workers),
        TEST(wrong_session_filters_are_refused),
        TEST(sessions_end_on_demand),
        TEST(a_late_answer_finds_who_waits),
        TEST(a_late_answer_that_nobody_wants_is_dropped),
        TEST(backends_version_ready_errors),
        TEST(the_environment),
        TEST(activity_and_pools_of_each_worker),
        TEST(pools_sums_the_slabs_of_a_name),
        TEST(rates_are_what_came_since_the_last_tick),
        TEST(two_ticks_at_one_time_are_one),
        TEST(averages_are_plain_at_first_and_then_fade),
        TEST(idle_time_is_a_share_of_the_workers_time),
        TEST(clearing_maxima_keeps_the_counters),
        TEST(clearing_all_starts_every_counter_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
