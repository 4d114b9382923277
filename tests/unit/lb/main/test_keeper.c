/* What the keeper does for whom it has given its rights up for: what the configuration names. As
 * root only, as nobody else has rights to keep. */
#include "tests/unit/lb/config/config_test.h"

#include "lb/main/keeper.h"
#include "lb/main/keeper_priv.h"
#include "lb/main/privileges.h"
#include "lb/net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

static const struct privileges nobody = {65534, 65534, NULL};

struct fixture {
    struct keeper keeper;
    struct conf *conf;
    char dir[64], log[96], secret[96];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct strbuf errors = {0};
    char text[1024];

    *state = f;
    keeper_init(&f->keeper);
    strcpy(f->dir, "/tmp/keeper-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->log, sizeof(f->log), "%s/log", f->dir);
    snprintf(f->secret, sizeof(f->secret), "%s/secret", f->dir);
    close(open(f->secret, O_CREAT | O_WRONLY, 0600));
    snprintf(text, sizeof(text), "log = { output = \"%s\"; };\n" POOL LISTENER, f->log);
    f->conf = conf_load_text("t", text, &errors);
    assert_non_null(f->conf);
    strbuf_fini(&errors);
    if (geteuid() == 0)
        assert_int_equal(keeper_start(&f->keeper, f->conf, NULL, &nobody, true), 0);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    keeper_stop(&f->keeper);
    conf_free(&f->conf);
    unlink(f->log);
    unlink(f->secret);
    rmdir(f->dir);
    free(f);
    return 0;
}

static struct fixture *as_root(void **state)
{
    if (geteuid() != 0)
        skip();
    return *state;
}

/* 0 or what it was refused for. */
static int ask(struct fixture *f, const char *path, enum named_file_use use)
{
    int fd = f->keeper.files.open(f->keeper.files.ctx, path, use);

    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

static void a_log_that_is_named_is_opened_for_appending_only(void **state)
{
    struct fixture *f = as_root(state);

    assert_int_equal(ask(f, f->log, NAMED_FILE_APPEND), 0);
    assert_int_equal(ask(f, f->log, NAMED_FILE_READ), -EACCES);
}

static void what_nobody_has_named_is_not_opened(void **state)
{
    struct fixture *f = as_root(state);
    char around[128];

    snprintf(around, sizeof(around), "%s/../%s", f->dir, f->log + 5);
    assert_int_equal(ask(f, f->secret, NAMED_FILE_READ), -EACCES);
    assert_int_equal(ask(f, f->secret, NAMED_FILE_APPEND), -EACCES);
    assert_int_equal(ask(f, "/etc/shadow", NAMED_FILE_READ), -EACCES);
    assert_int_equal(ask(f, around, NAMED_FILE_APPEND), -EACCES);
    assert_int_equal(ask(f, "", NAMED_FILE_READ), -EACCES);
}

/* The answer to a question of the test's own making. */
static int32_t raw(struct fixture *f, uint32_t word, const char *addr, int fd)
{
    struct keeper_request q = {.serial = 7, .word = word};
    struct keeper_reply a = {0};
    int none;

    if (addr != NULL) {
        struct addr_spec spec;
        const char *why;
        assert_int_equal(addr_parse(str_of(addr), false, false, &spec, &why), 0);
        q.addr = spec.addr;
    }
    assert_int_equal(keeper_send(f->keeper.fd, &q, sizeof(q), fd), 0);
    assert_int_equal(keeper_receive(f->keeper.fd, &a, sizeof(a), &none), 0);
    assert_int_equal(a.serial, 7);
    if (none >= 0)
        close(none);
    return a.rc;
}

static void only_the_addresses_of_listeners_are_bound(void **state)
{
    struct fixture *f = as_root(state);
    int stream = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int dgram = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_int_equal(raw(f, KEEPER_BIND, "127.0.0.1:81", stream), -EACCES);
    assert_int_equal(raw(f, KEEPER_BIND, "127.0.0.1:8080", dgram), -EACCES);
    assert_int_equal(raw(f, KEEPER_BIND, "127.0.0.1:8080", -1), -EINVAL);
    assert_int_equal(raw(f, KEEPER_BIND, NULL, stream), -EINVAL);
    close(stream);
    close(dgram);
}

static void what_is_no_question_is_answered_and_nothing_else_happens(void **state)
{
    struct fixture *f = as_root(state);
    struct keeper_reply a;
    int none;

    assert_int_equal(raw(f, 99, NULL, -1), -EINVAL);
    assert_int_equal(raw(f, KEEPER_COMMIT, NULL, -1), 0);
    assert_int_equal(raw(f, KEEPER_REFRESH, NULL, -1), 0); /* there is no file */
    assert_int_equal(keeper_send(f->keeper.fd, "short", 5, -1), 0);
    assert_int_equal(keeper_receive(f->keeper.fd, &a, sizeof(a), &none), 0);
    assert_int_equal(a.rc, -EPROTO);
    assert_int_equal(ask(f, f->log, NAMED_FILE_APPEND), 0);
}

/* ---- programs ---- */

#define EXEC_POOL                                                                                  \
    "hardening = { exec = true; };\npools = ( { name = \"app\"; mode = \"tcp\"; health = { type "  \
    "= "                                                                                           \
    "\"exec\"; timeout = \"%s\"; command = [ \"/bin/sh\", \"-c\", \"%s\" ]; };\n"                  \
    "backends = ( { name = \"b\"; address = \"127.0.0.1:1\"; } ); } );\n" LISTENER

/* Asks a keeper for the pool's program; its one line in out. */
static void run_one(const char *timeout, const char *script, const char *pool, char out[256])
{
    struct strbuf errors = {0};
    struct addr_spec spec;
    struct keeper k;
    char text[1024];
    const char *why;
    ssize_t n;

    snprintf(text, sizeof(text), EXEC_POOL, timeout, script);
    struct conf *conf = conf_load_text("t", text, &errors);
    assert_non_null(conf);
    strbuf_fini(&errors);
    keeper_init(&k);
    assert_int_equal(keeper_start(&k, conf, NULL, &nobody, false), 0);
    assert_int_equal(addr_parse(STR("127.0.0.1:1"), false, false, &spec, &why), 0);
    int fd = k.programs.run(k.programs.ctx, pool, "b", &spec.addr);
    assert_true(fd >= 0);
    fcntl(fd, F_SETFL, 0);
    while ((n = recv(fd, out, 255, 0)) < 0)
        assert_int_equal(errno, EINTR);
    out[n] = '\0';
    assert_int_equal(recv(fd, text, sizeof(text), 0), 0); /* that was all */
    close(fd);
    keeper_stop(&k);
    assert_int_equal(k.programs.run(k.programs.ctx, pool, "b", &spec.addr), -ENOTCONN);
    conf_free(&conf);
}

static void a_program_that_is_named_is_run_and_its_end_is_told(void **state)
{
    char out[256];

    (void)state;
    run_one("5s", "echo fine; echo not; exit 0", "app", out);
    assert_string_equal(out, "exited 0 fine\n");
    run_one("5s", "echo $SLUICE_ADDRESS $SLUICE_PORT $HAPROXY_SERVER_NAME; exit 7", "app", out);
    assert_string_equal(out, "exited 7 127.0.0.1 1 b\n");
    run_one("5s", "kill -15 $$$$", "app", out);
    assert_string_equal(out, "signal 15\n");
}

static void a_program_has_no_more_than_its_time(void **state)
{
    char out[256];

    (void)state;
    run_one("50ms", "sleep 60 & sleep 60", "app", out);
    assert_string_equal(out, "timeout\n");
}

static void what_nobody_has_named_is_not_run(void **state)
{
    char out[256];

    (void)state;
    run_one("5s", "exit 0", "other", out);
    assert_memory_equal(out, "unable ", 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_log_that_is_named_is_opened_for_appending_only, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_nobody_has_named_is_not_opened, setup, teardown),
        cmocka_unit_test_setup_teardown(only_the_addresses_of_listeners_are_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_question_is_answered_and_nothing_else_happens,
                                        setup, teardown),
        cmocka_unit_test(a_program_that_is_named_is_run_and_its_end_is_told),
        cmocka_unit_test(a_program_has_no_more_than_its_time),
        cmocka_unit_test(what_nobody_has_named_is_not_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
