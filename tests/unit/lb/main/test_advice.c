/* test_advice.c - machines of several kinds, below a root of our own making. */
#include "lb/main/advice.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64];
static const struct advice_about all = {
    .files = 20000, .max_connections = 9000, .tcp_listeners = true, .tcp_backends = true};

static int setup(void **state)
{
    (void)state;
    strcpy(root, "/tmp/sluice-test-XXXXXX");
    return mkdtemp(root) != NULL ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st, (void)type, (void)walk;
    return remove(path);
}

static int teardown(void **state)
{
    (void)state;
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *path, const char *text)
{
    char full[512];

    snprintf(full, sizeof(full), "%s/proc/sys/%s", root, path);
    for (char *p = full + strlen(root) + 1; *p != '\0'; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        mkdir(full, 0700);
        *p = '/';
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void expect(const struct advice_about *about, const char *text)
{
    struct strbuf out = {0};

    advice_collect(root, about, &out);
    if (text == NULL)
        assert_null(out.p);
    else if (out.p == NULL || strncmp(out.p, text, strlen(text)) != 0 ||
             strchr(out.p, '\n') != out.p + out.len - 1)
        fail_msg("got: %s", out.p != NULL ? out.p : "nothing");
    strbuf_fini(&out);
}

static void what_cannot_be_read_is_fine(void **state)
{
    (void)state;
    expect(&all, NULL);
    put("net/core/somaxconn", "many\n");
    put("net/ipv4/ip_local_port_range", "1024\n");
    expect(&all, NULL);
}

static void a_plain_machine_is_not_nagged(void **state)
{
    (void)state;
    put("net/core/somaxconn", "4096\n");
    put("net/ipv4/tcp_max_syn_backlog", "256\n");
    put("net/ipv4/tcp_syncookies", "1\n");
    put("net/ipv4/ip_local_port_range", "32768\t60999\n");
    put("fs/file-max", "9223372036854775807\n");
    expect(&all, NULL);
}

static void a_short_queue_of_accepts_is_said(void **state)
{
    struct advice_about none = all;

    (void)state;
    put("net/core/somaxconn", "4095\n");
    expect(&all, "net.core.somaxconn = 4095: ");
    none.tcp_listeners = false;
    expect(&none, NULL);
}

static void a_short_queue_of_handshakes_matters_without_cookies(void **state)
{
    (void)state;
    put("net/ipv4/tcp_max_syn_backlog", "1023\n");
    put("net/ipv4/tcp_syncookies", "0\n");
    expect(&all, "net.ipv4.tcp_max_syn_backlog = 1023 ");
    put("net/ipv4/tcp_max_syn_backlog", "1024\n");
    expect(&all, NULL);
}

static void few_local_ports_are_said(void **state)
{
    struct advice_about none = all;

    (void)state;
    put("net/ipv4/ip_local_port_range", "50001 66384\n");
    expect(&all, NULL);
    put("net/ipv4/ip_local_port_range", "50001 60000\n");
    expect(&all, "net.ipv4.ip_local_port_range = 50001 60000: at most 10000 connections");
    none.tcp_backends = false;
    expect(&none, NULL);
}

static void few_open_files_are_said(void **state)
{
    struct advice_about few = all;

    (void)state;
    few.files = 4095;
    expect(&few, "at most 4095 open files, so 9000 connections: ");
    few.files_suffice = true;
    expect(&few, NULL);
    few.files_suffice = false;
    few.files = 4096;
    expect(&few, NULL);
    put("fs/file-max", "4095\n");
    expect(&few, "fs.file-max = 4095: ");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_cannot_be_read_is_fine),
        TEST(a_plain_machine_is_not_nagged),
        TEST(a_short_queue_of_accepts_is_said),
        TEST(a_short_queue_of_handshakes_matters_without_cookies),
        TEST(few_local_ports_are_said),
        TEST(few_open_files_are_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
