/* test_route.c - which rule takes a request: hosts, paths, conditions, order, mistakes, words. */
#include "tests/unit/lb/route/route_test.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE              65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

#define RULES(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static void the_first_that_matches_wins(void **state)
{
    struct rules r;
    (void)state;

    rules_init(&r, RULES("host=a.example path=/v1/", "path=/v1/x", "host=a.example", "path=/v1/"));
    assert_int_equal(find(&r, "a.example", "/v1/x"), 0);
    assert_int_equal(find(&r, "b.example", "/v1/x"), 1);
    assert_int_equal(find(&r, "a.example", "/v2"), 2);
    assert_int_equal(find(&r, "b.example", "/v1/y"), 3);
    assert_int_equal(find(&r, "b.example", "/v2"), ROUTE_NONE);
    rules_fini(&r);
}

static void a_catch_all_hides_what_follows_it(void **state)
{
    struct rules r;
    (void)state;

    rules_init(&r, RULES("path=/a", "", "host=b.example", "path=/b"));
    assert_int_equal(find(&r, "b.example", "/b"), 1);
    assert_int_equal(find(&r, "b.example", "/a"), 0);
    assert_int_equal(find(&r, "", "*"), 1);
    rules_fini(&r);
}

static void no_rules_match_nothing(void **state)
{
    struct rules r;
    (void)state;

    rules_init(&r, (const char *const[]){NULL});
    assert_int_equal(find(&r, "a.example", "/"), ROUTE_NONE);
    rules_fini(&r);
}

static void hosts_match_exactly_or_below_a_suffix_or_any(void **state)
{
    struct rules r;
    (void)state;

    rules_init(&r, RULES("host=A.Example.", "host=*.a.example", "host=*.example", "host=[::1]",
                         "host=* path=/any"));
    assert_int_equal(find(&r, "a.example", "/"), 0);
    assert_int_equal(find(&r, "b.a.example", "/"), 1);
    assert_int_equal(find(&r, "c.b.a.example", "/"), 1);
    assert_int_equal(find(&r, "ba.example", "/"), 2);
    assert_int_equal(find(&r, "example", "/"), ROUTE_NONE);
    assert_int_equal(find(&r, ".example", "/"), ROUTE_NONE);
    assert_int_equal(find(&r, "xexample", "/"), ROUTE_NONE);
    assert_int_equal(find(&r, "[::1]", "/"), 3);
    assert_int_equal(find(&r, "", "/"), ROUTE_NONE);
    assert_int_equal(find(&r, "", "/any"), 4);
    rules_fini(&r);
}

static void prefixes_end_on_segment_borders(void **state)
{
    struct rules r;
    (void)state;

    rules_init(&r, RULES("path=/v1/", "path=/v2", "path=/a//b", "path=/d//"));
    assert_int_equal(find(&r, "", "/v1/x"), 0);
    assert_int_equal(find(&r, "", "/v1/"), 0);
    assert_int_equal(find(&r, "", "/v1"), ROUTE_NONE);
    assert_int_equal(find(&r, "", "/v10"), ROUTE_NONE);
    assert_int_equal(find(&r, "", "/v2"), 1);
    assert_int_equal(find(&r, "", "/v2/"), 1);
    assert_int_equal(find(&r, "", "/v2/x/y"), 1);
    assert_int_equal(find(&r, "", "/v20"), ROUTE_NONE);
    assert_int_equal(find(&r, "", "/V2"), ROUTE_NONE);
    assert_int_equal(find(&r, "", "/x/v2"), ROUTE_NONE);
    assert_int_equal(find(&r, "", "/a//b/c"), 2);
    assert_int_equal(find(&r, "", "/a/b/c"), ROUTE_NONE);
    assert_int_equal(find(&r, "", "/d//"), 3);
    assert_int_equal(find(&r, "", "/d/"), ROUTE_NONE);
    rules_fini(&r);
}

static void the_root_prefix_is_every_path_but_the_asterisk(void **state)
{
    struct rules r;
    (void)state;

    rules_init(&r, RULES("path=/", ""));
    assert_int_equal(find(&r, "", "/"), 0);
    assert_int_equal(find(&r, "", "/x"), 0);
    assert_int_equal(find(&r, "", "*"), 1);
    rules_fini(&r);
}

static void exact_paths_match_nothing_else(void **state)
{
    struct rules r;
    (void)state;

    rules_init(&r, RULES("path==/x", "path==/y/", "path==/"));
    assert_int_equal(find(&r, "", "/x"), 0);
    assert_int_equal(find(&r, "", "/x/"), ROUTE_NONE);
    assert_int_equal(find(&r, "", "/x/y"), ROUTE_NONE);
    assert_int_equal(find(&r, "", "/y/"), 1);
    assert_int_equal(find(&r, "", "/y"), ROUTE_NONE);
    assert_int_equal(find(&r, "", "/"), 2);
    assert_int_equal(find(&r, "", "//"), ROUTE_NONE);
    rules_fini(&r);
}

static void paths_of_rules_are_normalised_as_requests_are(void **state)
{
    struct rules r;
    (void)state;

    rules_init(&r, RULES("path=/caf\xc3\xa9", "path=/%7euser", "path=/a/./b/../c"));
    assert_int_equal(find(&r, "", "/caf%C3%A9/x"), 0);
    assert_int_equal(find(&r, "", "/~user"), 1);
    assert_int_equal(find(&r, "", "/a/c"), 2);
    rules_fini(&r);
}

static void regexes_are_unanchored_and_give_captures(void **state)
{
    struct rules r;
    (void)state;

    rules_init(&r, RULES("path=~^/u/([0-9]+)/(a|b)?", "path=~\\.css$", "path=~(?i)^/ABC",
                         "path=/p path=~/z(.)"));
    assert_int_equal(find(&r, "", "/u/42/x"), 0);
    assert_int_equal(r.match.n_captures, 2);
    assert_true(str_eq_cstr(r.match.captures[0], "/u/42/"));
    assert_true(str_eq_cstr(r.match.captures[1], "42"));
    assert_true(str_eq_cstr(r.match.captures[2], ""));
    assert_int_equal(find(&r, "", "/u/x"), ROUTE_NONE);
    assert_int_equal(find(&r, "", "/x/y.css"), 1);
    assert_int_equal(find(&r, "", "/x/y.cssx"), ROUTE_NONE);
    assert_int_equal(find(&r, "", "/aBc"), 2);
    assert_int_equal(find(&r, "", "/p/zq"), 3);
    assert_int_equal(r.match.n_captures, 0); /* its first path matched, that is no regex */
    assert_int_equal(find(&r, "", "/q/zq"), 3);
    assert_int_equal(r.match.n_captures, 2);
    rules_fini(&r);
}

static void regexes_keep_their_place_in_the_order(void **state)
{
    struct rules r;
    (void)state;

    rules_init(&r, RULES("path=~^/a/b", "path=/a", "path=~^/a/c", "host=h.example",
                         "path=~^/(x|y)/", "path=/x"));
    assert_int_equal(find(&r, "h.example", "/a/b"), 0);
    assert_int_equal(find(&r, "h.example", "/a/c"), 1);
    assert_int_equal(find(&r, "h.example", "/x/1"), 3);
    assert_int_equal(find(&r, "g.example", "/x/1"), 4);
    assert_int_equal(find(&r, "g.example", "/x"), 5);
    rules_fini(&r);
}

static void a_regex_that_takes_too_long_does_not_match(void **state)
{
    struct rules r;
    char path[3000];
    (void)state;

    memset(path, 'a', sizeof(path));
    memcpy(path, "/xbc", 4);
    path[sizeof(path) - 1] = '\0';
    rules_init(&r, RULES("path=~(a+)+b", "path=~(a|aa)+$y", "path=~(.*)*x(.*)*y", ""));
    assert_int_equal(find(&r, "", path), 3);
    rules_fini(&r);
}

static void very_long_paths_match_no_regex(void **state)
{
    struct rules r;
    char path[5000];
    (void)state;

    memset(path, 'a', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    rules_init(&r, RULES("path=~^/a", ""));
    assert_int_equal(find(&r, "", path), 1);
    path[4096] = '\0';
    assert_int_equal(find(&r, "", path), 0);
    rules_fini(&r);
}

/* systemd's MemoryDenyWriteExecute=yes does this to the whole process, so a child is asked. */
static void regexes_work_where_no_memory_can_be_executable(void **state)
{
    int status = 0;
    (void)state;

    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rules r;
        char path[3000];
        if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) != 0)
            _exit(77);
        memset(path, 'a', sizeof(path));
        path[0] = '/';
        path[sizeof(path) - 1] = '\0';
        rules_init(&r,
                   RULES("path=~^/u/([0-9]+)/", "path=~[.]css$", "path=~(a+)+b", "path=~^/.*a$"));
        bool good = find(&r, "", "/u/42/x") == 0 && str_eq_cstr(r.match.captures[1], "42") &&
                    find(&r, "", "/x.css") == 1 && find(&r, "", "/ab") == 2 &&
                    find(&r, "", path) == 3 && find(&r, "", "/x") == ROUTE_NONE;
        _exit(good ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip(); /* before Linux 6.3 */
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- conditions ---- */

struct asked {
    struct http_request request;
    struct addr client;
    struct route_request q;
};

static void ask(struct asked *a, const char *method)
{
    memset(a, 0, sizeof(*a));
    http_request_init(&a->request, method);
    a->client.len = sizeof(a->client.in);
    a->client.in.sin_family = AF_INET;
    a->client.in.sin_addr.s_addr = htonl(0x0a010203);
    a->q = (struct route_request){
        .head = &a->request.head, .host = STR("h"), .path = STR("/"), .client = &a->client};
}

static void methods_are_any_of_the_list_by_case(void **state)
{
    struct rules r;
    struct asked a;
    (void)state;

    rules_init(&r, RULES("method=POST method=PURGE", "method=OTHER", ""));
    ask(&a, "POST");
    assert_int_equal(find_request(&r, &a.q), 0);
    ask(&a, "PURGE");
    assert_int_equal(find_request(&r, &a.q), 0);
    ask(&a, "OTHER");
    assert_int_equal(find_request(&r, &a.q), 1);
    ask(&a, "post");
    assert_int_equal(find_request(&r, &a.q), 2);
    ask(&a, "HEAD");
    assert_int_equal(find_request(&r, &a.q), 2);
    rules_fini(&r);
}

static void headers_are_exact_or_regex_or_present(void **state)
{
    struct rules r;
    struct asked a;
    (void)state;

    rules_init(&r, RULES("header=X-A:one", "header=x-a:~^t", "header=x-a", ""));
    ask(&a, "GET");
    assert_int_equal(find_request(&r, &a.q), 3);
    http_request_field(&a.request, "x-A", "");
    assert_int_equal(find_request(&r, &a.q), 2);
    http_request_field(&a.request, "x-a", "two");
    assert_int_equal(find_request(&r, &a.q), 1);
    http_request_field(&a.request, "X-A", "one"); /* any of several lines */
    assert_int_equal(find_request(&r, &a.q), 0);
    http_drop(&a.request.head.fields[2]);
    assert_int_equal(find_request(&r, &a.q), 1);
    rules_fini(&r);
}

static void cookies_are_found_in_any_field(void **state)
{
    struct rules r;
    struct asked a;
    (void)state;

    rules_init(&r, RULES("cookie=user:eve", "cookie=beta", ""));
    ask(&a, "GET");
    http_request_field(&a.request, "Cookie", "User=eve; user=adam");
    assert_int_equal(find_request(&r, &a.q), 2);
    http_request_field(&a.request, "Cookie", "x=1; beta=0");
    assert_int_equal(find_request(&r, &a.q), 1);
    http_request_field(&a.request, "Cookie", "user=eve");
    assert_int_equal(find_request(&r, &a.q), 0);
    rules_fini(&r);
}

static void query_parameters_are_compared_decoded(void **state)
{
    struct rules r;
    (void)state;

    rules_init(&r, RULES("query=q", "query=na+me:v", "query=v:a+b", "query=v:~^\\d+$", "query=w:"));
    assert_int_equal(find(&r, "", "/?q"), 0);
    assert_int_equal(find(&r, "", "/?q="), 0);
    assert_int_equal(find(&r, "", "/?%71=1"), 0);
    assert_int_equal(find(&r, "", "/?na%2Bme=v"), 1);
    assert_int_equal(find(&r, "", "/?v=a%2bb"), 2);
    assert_int_equal(find(&r, "", "/?v=a+b"), ROUTE_NONE); /* that is "a b" */
    assert_int_equal(find(&r, "", "/?v=x&v=4%32"), 3);     /* any of several */
    assert_int_equal(find(&r, "", "/?v=%zz"), ROUTE_NONE);
    assert_int_equal(find(&r, "", "/?w"), 4);
    assert_int_equal(find(&r, "", "/?"), ROUTE_NONE);
    rules_fini(&r);
}

static void networks_of_the_client_decide(void **state)
{
    struct rules r;
    struct asked a;
    (void)state;

    rules_init(&r, RULES("from=192.0.2.0/24 from=10.1.0.0/16", ""));
    ask(&a, "GET");
    assert_int_equal(find_request(&r, &a.q), 0);
    a.client.in.sin_addr.s_addr = htonl(0x0a020203);
    assert_int_equal(find_request(&r, &a.q), 1);
    a.q.client = NULL;
    assert_int_equal(find_request(&r, &a.q), 1);
    rules_fini(&r);
}

static void all_kinds_of_conditions_must_hold(void **state)
{
    struct rules r;
    struct asked a;
    (void)state;

    rules_init(&r, RULES("method=GET header=a header=b cookie=c query=d path=/p host=h"));
    ask(&a, "GET");
    http_request_field(&a.request, "a", "1");
    http_request_field(&a.request, "cookie", "c=1");
    a.q.query = STR("d");
    a.q.path = STR("/p");
    assert_int_equal(find_request(&r, &a.q), ROUTE_NONE);
    assert_non_null(strstr(r.trace.p, "0: header b is absent"));
    http_request_field(&a.request, "b", "1");
    assert_int_equal(find_request(&r, &a.q), 0);
    rules_fini(&r);
}

static void a_failed_condition_falls_through_to_the_next_candidate(void **state)
{
    struct rules r;
    (void)state;

    rules_init(&r, RULES("host=h path=/a header=x", "host=*.h", "path=/a/b query=k",
                         "host=h path=/a", "path=/a/b"));
    assert_int_equal(find(&r, "h", "/a/b"), 3);
    assert_int_equal(find(&r, "h", "/a/b?k"), 2);
    assert_int_equal(find(&r, "g", "/a/b"), 4);
    rules_fini(&r);
}

/* More lists of candidates than are merged at a time. */
static void deep_hosts_and_paths_are_searched_completely(void **state)
{
    struct rules r;
    char text[RULES_MAX][200], host[100] = "z", path[100] = "";
    const char *texts[RULES_MAX + 1] = {0};
    (void)state;

    for (int i = 0; i < 60; i++) { /* the deepest first, and conditions that fail on most */
        int hosts = 1 + (59 - i) / 8, depth = 1 + (59 - i) % 8;
        size_t n = (size_t)sprintf(text[i], "host=*");
        for (int k = 0; k < hosts; k++)
            n += (size_t)sprintf(text[i] + n, ".z");
        n += (size_t)sprintf(text[i] + n, " path=");
        for (int k = 0; k < depth; k++)
            n += (size_t)sprintf(text[i] + n, "/p");
        if (i != 57)
            sprintf(text[i] + n, " query=k%d", i);
        texts[i] = text[i];
    }
    rules_init(&r, texts);
    for (int k = 0; k < 9; k++)
        strcat(host, ".z");
    for (int k = 0; k < 9; k++)
        strcat(path, "/p");
    assert_int_equal(find(&r, host, path), 57);
    strcat(path, "?k58");
    assert_int_equal(find(&r, host, path), 57);
    strcat(path, "&k31&k56");
    assert_int_equal(find(&r, host, path), 31);
    rules_fini(&r);
}

/* ---- words ---- */

static void a_trace_says_why_rules_missed(void **state)
{
    struct rules r;
    (void)state;

    rules_init(&r, RULES("host=a.example", "host=h path=/x path=/y", "method=POST method=PUT",
                         "header=x-a:1", "query=q:~^a", "from=10.0.0.0/8", "host=h", "path=/"));
    assert_int_equal(find(&r, "h", "/v?q=b"), 6);
    assert_string_equal(r.trace.p, "0: host \"h\" is not a.example\n"
                                   "1: path \"/v\" is not /x or /y\n"
                                   "2: method GET is not POST or PUT\n"
                                   "3: header x-a is absent\n"
                                   "4: query q is \"b\", not \"~^a\"\n"
                                   "5: client 192.0.2.7 is in none of the networks of \"from\"\n"
                                   "6: hit\n");
    rules_fini(&r);
}

static void rules_are_described_as_they_were_written(void **state)
{
    static const char *const texts[] = {
        "host=a.example,*.b path=/v1/,~^/x method=GET,HEAD header=x-a:1 header=x-b cookie=c:~z "
        "query=q from=10.0.0.0/8,192.0.2.1,2001:db8::/32,unix",
        "path==/x",
    };
    struct strbuf out = {0};
    struct rules r;
    (void)state;

    rules_init(&r, RULES("host=a.example host=*.b path=/v1/ path=~^/x method=GET method=HEAD "
                         "header=x-a:1 header=x-b cookie=c:~z query=q from=10.0.0.0/8 "
                         "from=192.0.2.1 from=2001:db8::/32 from=unix",
                         "path==/x", ""));
    for (uint32_t i = 0; i < 2; i++) {
        strbuf_clear(&out);
        route_describe(r.confs[i], &out);
        assert_string_equal(out.p, texts[i]);
    }
    strbuf_clear(&out);
    route_describe(r.confs[2], &out);
    assert_string_equal(out.p, "any request");
    strbuf_fini(&out);
    rules_fini(&r);
}

static void actions_are_described(void **state)
{
    struct route_split_conf split[] = {{"app", 0, 90}, {"new", 1, 10}};
    struct route_conf confs[] = {
        {.action = ROUTE_POOL, .pool_name = "app"},
        {.action = ROUTE_SPLIT, .split = split, .n_split = 2},
        {.action = ROUTE_REDIRECT, .redirect = {.to = "/new", .status = 308}},
        {.action = ROUTE_ANSWER, .answer = {.status = 410}},
    };
    static const char *const texts[] = {"pool app", "split app 90, new 10", "redirect 308 /new",
                                        "answer 410"};
    struct strbuf out = {0};
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(confs); i++) {
        strbuf_clear(&out);
        route_describe_action(&confs[i], &out);
        assert_string_equal(out.p, texts[i]);
    }
    strbuf_fini(&out);
}

/* ---- mistakes ---- */

static void mistakes_in_rules_are_all_told_with_their_place(void **state)
{
    static const struct {
        const char *rule, *words;
    } cases[] = {
        {"host=a:80", "0 host 0: \"a:80\" has a port"},
        {"host=a host=http://b/", "0 host 1: \"http://b/\" has a port or a scheme"},
        {"host=a.*.b", "has a \"*\" in another place"},
        {"host=*.", "is empty"},
        {"host=a..b", "has an empty label"},
        {"host=b\xc3\xbc.de", "xn--"},
        {"host=a/b", "the setting \"path\""},
        {"path=v1", "found \"v1\", expected \"/prefix\""},
        {"path==v1", "expected \"/prefix\", \"=/exact\" or \"~regex\""},
        {"path=/v1/*", "did you mean \"/v1/\"?"},
        {"path=/a?b", "the setting \"query\""},
        {"path=/../a", "0 path 0: \"/../a\" is no path"},
        {"path=/a path=~^/(b", "0 path 1: \"~^/(b\" is no regular expression: missing closing "
                               "parenthesis at character 5 of \"^/(b\""},
        {"method=get", "found \"get\", expected \"GET\""},
        {"method=A/B", "is no method"},
        {"header=x:~[", "value \"~[\" of \"x\" is no regular expression"},
        {"header=x(y", "\"x(y\" is no name of a header"},
        {"cookie=", "\"\" is no name of a cookie"},
    };
    struct rules r;
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        rules_init(&r, RULES(cases[i].rule));
        assert_null(r.table);
        if (strstr(r.problems.p, cases[i].words) == NULL)
            fail_msg("%s: %s", cases[i].rule, r.problems.p);
        rules_fini(&r);
    }
    rules_init(&r, RULES("host=a:1", "", "path=b method=put"));
    assert_non_null(strstr(r.problems.p, "0 host 0:"));
    assert_non_null(strstr(r.problems.p, "2 path 0:"));
    assert_non_null(strstr(r.problems.p, "2 method 0:"));
    rules_fini(&r);
}

/* ---- splits ---- */

static void splits_follow_their_weights(void **state)
{
    struct route_split_conf split[] = {{"a", 0, 1}, {"none", 1, 0}, {"c", 2, 3}};
    struct route_conf conf = {.action = ROUTE_SPLIT, .split = split, .n_split = 3};
    unsigned seen[3] = {0};
    (void)state;

    for (uint64_t i = 0; i < 4000; i++)
        seen[route_split_pick(&conf, (2 * i + 1) * (UINT64_MAX / 8000))]++;
    assert_int_equal(seen[0], 1000);
    assert_int_equal(seen[1], 0);
    assert_int_equal(seen[2], 3000);
    assert_int_equal(route_split_pick(&conf, UINT64_MAX), 2);
    assert_int_equal(route_split_pick(&conf, 0), 0);
    split[0].weight = split[2].weight = 0;
    assert_int_equal(route_split_pick(&conf, 77), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_that_matches_wins),
        cmocka_unit_test(a_catch_all_hides_what_follows_it),
        cmocka_unit_test(no_rules_match_nothing),
        cmocka_unit_test(hosts_match_exactly_or_below_a_suffix_or_any),
        cmocka_unit_test(prefixes_end_on_segment_borders),
        cmocka_unit_test(the_root_prefix_is_every_path_but_the_asterisk),
        cmocka_unit_test(exact_paths_match_nothing_else),
        cmocka_unit_test(paths_of_rules_are_normalised_as_requests_are),
        cmocka_unit_test(regexes_are_unanchored_and_give_captures),
        cmocka_unit_test(regexes_keep_their_place_in_the_order),
        cmocka_unit_test(a_regex_that_takes_too_long_does_not_match),
        cmocka_unit_test(very_long_paths_match_no_regex),
        cmocka_unit_test(regexes_work_where_no_memory_can_be_executable),
        cmocka_unit_test(methods_are_any_of_the_list_by_case),
        cmocka_unit_test(headers_are_exact_or_regex_or_present),
        cmocka_unit_test(cookies_are_found_in_any_field),
        cmocka_unit_test(query_parameters_are_compared_decoded),
        cmocka_unit_test(networks_of_the_client_decide),
        cmocka_unit_test(all_kinds_of_conditions_must_hold),
        cmocka_unit_test(a_failed_condition_falls_through_to_the_next_candidate),
        cmocka_unit_test(deep_hosts_and_paths_are_searched_completely),
        cmocka_unit_test(a_trace_says_why_rules_missed),
        cmocka_unit_test(rules_are_described_as_they_were_written),
        cmocka_unit_test(actions_are_described),
        cmocka_unit_test(mistakes_in_rules_are_all_told_with_their_place),
        cmocka_unit_test(splits_follow_their_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
