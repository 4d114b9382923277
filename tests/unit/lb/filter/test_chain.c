/* test_chain.c - order, pause and end of chains; access and headers on them. */
#include "tests/unit/lb/filter/filter_test.h"

static char order[16];

static enum filter_verdict note(struct filter *f, char suffix)
{
    size_t n = strlen(order);

    order[n] = f->type->name[0];
    order[n + 1] = suffix;
    order[n + 2] = '\0';
    return FILTER_PASS;
}
static enum filter_verdict on_request(struct filter *f, struct filter_exchange *x, void *state)
{
    (void)x, (void)state;
    return note(f, '>');
}
static enum filter_verdict on_response(struct filter *f, struct filter_exchange *x, void *state)
{
    (void)x, (void)state;
    return note(f, '<');
}
static enum filter_verdict pause_once(struct filter *f, struct filter_exchange *x, void *state)
{
    int *calls = state;

    (void)x;
    note(f, '>');
    return (*calls)++ == 0 ? FILTER_PAUSE : FILTER_PASS;
}
static void on_end(struct filter *f, struct filter_exchange *x, void *state)
{
    (void)x, (void)state;
    note(f, '.');
}

static const struct filter_type plain = {
    .name = "a", .request_head = on_request, .response_head = on_response, .end = on_end};
static const struct filter_type pausing = {.name = "p",
                                           .state_size = sizeof(int),
                                           .request_head = pause_once,
                                           .response_head = on_response,
                                           .end = on_end};

static void responses_run_last_to_first_and_a_paused_hook_is_called_again(void **state)
{
    struct filter_test *t = *state;
    struct filter a = {&plain}, p = {&pausing};
    struct filter_chain c = {.filters = {&a, &p}, .n = 2};
    uint32_t at = 0;

    order[0] = '\0';
    assert_int_equal(filter_chain_request_head(&c, &t->x, &at), FILTER_PAUSE);
    assert_int_equal(filter_chain_request_head(&c, &t->x, &at), FILTER_PASS);
    assert_string_equal(order, "a>p>p>");
    at = 0;
    assert_int_equal(filter_chain_response_head(&c, &t->x, &at), FILTER_PASS);
    filter_chain_end(&c, &t->x);
    assert_string_equal(order, "a>p>p>p<a<a.p.");
}

static void no_filter_is_an_empty_chain(void **state)
{
    (void)state;
    struct filter_chain c = filter_test_chain(&(struct filters_conf){0});

    assert_int_equal(c.n, 0);
    assert_false(c.sees_request_body || c.sees_response_body);
}

static struct addr_net net_of(const char *text)
{
    struct addr_net net;
    const char *error;

    assert_int_equal(addr_net_parse(str_of(text), &net, &error), 0);
    return net;
}

static void deny_comes_before_allow(void **state)
{
    struct filter_test *t = *state;
    struct addr_net allow = net_of("192.0.2.0/24"), deny = net_of("192.0.2.9");
    struct filter_chain c = filter_test_chain(
        &(struct filters_conf){.access = {&allow, &deny, .n_allow = 1, .n_deny = 1}});

    assert_int_equal(filter_test_request(t, &c), FILTER_PASS);
    filter_test_client(t, "192.0.2.9:1");
    assert_int_equal(filter_test_request(t, &c), FILTER_ANSWER);
    assert_int_equal(t->x.answer.status, 403);
    assert_string_equal(t->x.answer.reason, "denied");
    filter_test_client(t, "198.51.100.1:1");
    assert_int_equal(filter_test_request(t, &c), FILTER_ANSWER);
    filter_chain_fini(&c);
}

static void deny_alone_lets_the_others_pass(void **state)
{
    struct filter_test *t = *state;
    struct addr_net deny = net_of("198.51.100.0/24");
    struct filter_chain c =
        filter_test_chain(&(struct filters_conf){.access = {.deny = &deny, .n_deny = 1}});

    assert_int_equal(filter_test_request(t, &c), FILTER_PASS);
    filter_chain_fini(&c);
}

static const char *field(const struct http_head *h, const char *name, int *out_n)
{
    static char text[256];
    const struct http_field *f = NULL;

    *out_n = 0;
    text[0] = '\0';
    while ((f = http_find_name(h, str_of(name), f)) != NULL) {
        struct str v = http_value(h, f);
        snprintf(text, sizeof(text), STR_FMT, STR_ARG(v));
        (*out_n)++;
    }
    return text;
}

static void headers_are_removed_then_set_then_added(void **state)
{
    struct filter_test *t = *state;
    char *remove[] = {(char *)"x-debug-*", (char *)"Cookie"};
    struct header_set_conf set[] = {{(char *)"X-Client", (char *)"ip=$client_ip"},
                                    {(char *)"X-Empty", (char *)"$header_nowhere"}};
    struct header_set_conf add[] = {{(char *)"X-Client", (char *)"two"}};
    struct filter_chain c =
        filter_test_chain(&(struct filters_conf){.request_headers = {set, add, 2, 1, remove, 2}});
    int n;

    http_request_field(&t->request, "X-Debug-Level", "9");
    http_request_field(&t->request, "Cookie", "a=b");
    http_request_field(&t->request, "X-Client", "forged");
    http_request_field(&t->request, "X-Empty", "forged");
    assert_int_equal(filter_test_request(t, &c), FILTER_PASS);
    field(&t->request.head, "X-Debug-Level", &n);
    assert_int_equal(n, 0);
    field(&t->request.head, "Cookie", &n);
    assert_int_equal(n, 0);
    field(&t->request.head, "X-Empty", &n);
    assert_int_equal(n, 0);
    assert_string_equal(field(&t->request.head, "X-Client", &n), "two");
    assert_int_equal(n, 2);
    filter_chain_fini(&c);
}

static void a_wildcard_passes_framing_by(void **state)
{
    struct filter_test *t = *state;
    char *remove[] = {(char *)"*"};
    struct filter_chain c = filter_test_chain(
        &(struct filters_conf){.response_headers = {.remove = remove, .n_remove = 1}});
    uint32_t at = 0;
    int n;

    http_request_field(&t->response, "Content-Length", "5");
    http_request_field(&t->response, "X-A", "5");
    assert_int_equal(filter_chain_response_head(&c, &t->x, &at), FILTER_PASS);
    field(&t->response.head, "X-A", &n);
    assert_int_equal(n, 0);
    field(&t->response.head, "Content-Length", &n);
    assert_int_equal(n, 1);
    filter_chain_fini(&c);
}

static void framing_and_host_are_refused_at_load(void **state)
{
    static const char *const names[] = {"Content-Length", "transfer-encoding", "Connection",
                                        "Host",           "Bad Name",          "Upgrade"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct header_set_conf set = {(char *)names[i], (char *)"x"};
        struct filter_chain c;
        const char *error = NULL;
        assert_int_equal(
            filter_chain_make(&(struct filters_conf){.request_headers = {&set, .n_set = 1}}, &c,
                              &error),
            -EINVAL);
        assert_non_null(strstr(error, names[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILTER_TEST(responses_run_last_to_first_and_a_paused_hook_is_called_again),
        FILTER_TEST(no_filter_is_an_empty_chain),
        FILTER_TEST(deny_comes_before_allow),
        FILTER_TEST(deny_alone_lets_the_others_pass),
        FILTER_TEST(headers_are_removed_then_set_then_added),
        FILTER_TEST(a_wildcard_passes_framing_by),
        FILTER_TEST(framing_and_host_are_refused_at_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
