/* test_listener.c - listening sockets on free ports and in a directory of their own. */
#include "lb/net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { SOCKETS = 4 };

static const struct listener_bind_opts opts = {.sockets = SOCKETS, .backlog = 64};

static struct addr literal(const char *text)
{
    struct addr_spec spec;
    const char *error = NULL;
    if (addr_parse(str_of(text), false, true, &spec, &error) != 0)
        fail_msg("%s: %s", text, error);
    return spec.addr;
}

static struct addr local_name(int fd)
{
    struct sockaddr_storage name;
    socklen_t len = sizeof(name);
    struct addr a;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
    addr_from_sockaddr(&a, (struct sockaddr *)&name, len);
    return a;
}

static int get_int(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);
    assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static void must_bind(const struct addr *a, int *fds)
{
    const char *error = NULL;
    if (listener_bind(a, &opts, fds, &error) != 0)
        fail_msg("%s", error);
}

/* Refused with this errno, this word, and no descriptor left open. */
static void must_not_bind(const struct addr *a, int want, const char *word)
{
    int fds[SOCKETS], before = dup(0), after;
    const char *error = NULL;
    close(before);
    assert_int_equal(listener_bind(a, &opts, fds, &error), -want);
    assert_non_null(error);
    if (strstr(error, word) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error, word);
    for (int i = 0; i < SOCKETS; i++)
        assert_int_equal(fds[i], -1);
    after = dup(0);
    assert_int_equal(after, before); /* the lowest free number is the same */
    close(after);
}

static int dial(const struct addr *a)
{
    int fd = socket(addr_family(a), SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, &a->sa, a->len) == 0)
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

static void a_group_shares_one_port(void **state)
{
    (void)state;
    int fds[SOCKETS], waiting = 0, clients[64];
    struct addr any = literal("127.0.0.1:0");
    must_bind(&any, fds);
    struct addr where = local_name(fds[0]);
    assert_true(addr_port(&where) != 0);
    for (int i = 0; i < SOCKETS; i++) {
        struct addr a = local_name(fds[i]);
        assert_true(addr_eq(&a, &where));
        assert_true(i == 0 || fds[i] != fds[0]);
        assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
        assert_int_equal(get_int(fds[i], SOL_SOCKET, SO_ACCEPTCONN), 1);
    }
    for (size_t i = 0; i < ARRAY_LEN(clients); i++)
        assert_true((clients[i] = dial(&where)) >= 0);
    for (int i = 0; i < SOCKETS; i++) { /* 64 go to one of four only with chance 4 in 4^64 */
        struct pollfd p = {.fd = fds[i], .events = POLLIN};
        waiting += poll(&p, 1, 0);
    }
    assert_true(waiting > 1);
    for (size_t i = 0; i < ARRAY_LEN(clients); i++)
        close(clients[i]);
    listener_close(&where, fds, SOCKETS);
    assert_int_equal(fds[0], -1);
    assert_int_equal(dial(&where), -ECONNREFUSED);
}

static void a_port_of_another_process_is_an_error_even_with_reuseport(void **state)
{
    (void)state;
    int fds[SOCKETS], again[SOCKETS];
    struct addr any = literal("127.0.0.1:0");
    must_bind(&any, fds); /* plays the other process: it has SO_REUSEPORT and the same user */
    struct addr taken = local_name(fds[0]);
    must_not_bind(&taken, EADDRINUSE, "another process has this port");
    listener_close(&taken, fds, SOCKETS);
    must_bind(&taken, again);
    listener_close(&taken, again, SOCKETS);
}

/* Why: connections of the process before linger in TIME_WAIT; a restart must not wait for them. */
static void lingering_connections_do_not_keep_a_port(void **state)
{
    (void)state;
    int fds[SOCKETS], server = -1;
    struct addr any = literal("127.0.0.1:0");
    must_bind(&any, fds);
    struct addr where = local_name(fds[0]);
    int client = dial(&where);
    assert_true(client >= 0);
    while (server < 0) {
        for (int i = 0; i < SOCKETS && server < 0; i++)
            server = accept(fds[i], NULL, NULL);
    }
    close(server); /* the side that closes first is the one that lingers */
    close(client);
    listener_close(&where, fds, SOCKETS);
    must_bind(&where, fds);
    listener_close(&where, fds, SOCKETS);
}

/* Why: with Nagle's algorithm a second small send waits for an acknowledgement, which its receiver
 * puts off for 40 ms. */
static void accepted_connections_send_at_once(void **state)
{
    struct addr a = literal("127.0.0.1:0"), bound;
    int fds[SOCKETS], far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), near = -1;
    struct pollfd p[SOCKETS];

    (void)state;
    must_bind(&a, fds);
    bound = local_name(fds[0]);
    assert_int_equal(connect(far, &bound.sa, bound.len), 0);
    for (int i = 0; i < SOCKETS; i++)
        p[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    assert_int_equal(poll(p, SOCKETS, 5000), 1);
    for (int i = 0; i < SOCKETS; i++)
        if (p[i].revents != 0)
            near = accept(fds[i], NULL, NULL);
    assert_true(near >= 0);
    assert_int_equal(get_int(near, IPPROTO_TCP, TCP_NODELAY), 1);
    close(near);
    close(far);
    for (int i = 0; i < SOCKETS; i++)
        close(fds[i]);
}

static void ipv6_leaves_ipv4_alone(void **state)
{
    (void)state;
    int fds[SOCKETS], fds4[SOCKETS];
    const char *error = NULL;
    struct addr any = literal("[::]:0");
    int rc = listener_bind(&any, &opts, fds, &error);
    if (rc == -EAFNOSUPPORT || rc == -EADDRNOTAVAIL)
        skip();
    assert_int_equal(rc, 0);
    assert_int_equal(get_int(fds[1], IPPROTO_IPV6, IPV6_V6ONLY), 1);
    struct addr four = literal("0.0.0.0:0"), six = local_name(fds[0]);
    addr_set_port(&four, addr_port(&six));
    if (listener_bind(&four, &opts, fds4, &error) == 0) /* a stranger may have that port */
        listener_close(&four, fds4, SOCKETS);
    listener_close(&six, fds, SOCKETS);
}

static void addresses_of_others_are_explained(void **state)
{
    (void)state;
    struct addr a = literal("192.0.2.77:8080"), none = {0};
    must_not_bind(&a, EADDRNOTAVAIL, "no such address");
    must_not_bind(&none, EAFNOSUPPORT, "family");
}

/* ---- unix ---- */

struct place {
    char dir[64], text[96];
    struct addr addr;
};

static int make_place(void **state)
{
    static struct place p;
    strcpy(p.dir, "/tmp/sluice-test-listener-XXXXXX");
    assert_non_null(mkdtemp(p.dir));
    snprintf(p.text, sizeof(p.text), "unix:%s/sock", p.dir);
    p.addr = literal(p.text);
    *state = &p;
    return 0;
}

static int remove_place(void **state)
{
    struct place *p = *state;
    unlink(p->addr.un.sun_path);
    return rmdir(p->dir);
}

static void a_unix_socket_is_one_for_all(void **state)
{
    struct place *p = *state;
    int fds[SOCKETS];
    must_bind(&p->addr, fds);
    for (int i = 1; i < SOCKETS; i++)
        assert_int_equal(fds[i], fds[0]);
    int client = dial(&p->addr);
    assert_true(client >= 0);
    close(client);
    listener_close(&p->addr, fds, SOCKETS);
    assert_int_equal(access(p->addr.un.sun_path, F_OK), -1); /* its path is gone */
    for (int i = 0; i < SOCKETS; i++)
        assert_int_equal(fds[i], -1);
}

static void a_stale_unix_socket_is_replaced_and_a_live_one_is_not(void **state)
{
    struct place *p = *state;
    int fds[SOCKETS];
    int old = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(old, &p->addr.sa, p->addr.len), 0);
    assert_int_equal(listen(old, 1), 0);
    must_not_bind(&p->addr, EADDRINUSE, "answers there");
    assert_int_equal(access(p->addr.un.sun_path, F_OK), 0); /* and its path is untouched */
    close(old);                                             /* dies without cleaning up */
    must_bind(&p->addr, fds);
    listener_close(&p->addr, fds, SOCKETS);
}

static void a_live_unix_socket_with_a_full_backlog_is_live(void **state)
{
    struct place *p = *state;
    int clients[8], n = 0;
    int busy = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(busy, &p->addr.sa, p->addr.len), 0);
    assert_int_equal(listen(busy, 0), 0);
    for (; n < 8; n++) {
        clients[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (connect(clients[n], &p->addr.sa, p->addr.len) < 0)
            break;
    }
    assert_true(n < 8);
    must_not_bind(&p->addr, EADDRINUSE, "answers there");
    for (int i = 0; i <= n; i++)
        close(clients[i]);
    close(busy);
}

static void a_file_is_never_replaced(void **state)
{
    struct place *p = *state;
    int fd = open(p->addr.un.sun_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    must_not_bind(&p->addr, EEXIST, "no socket");
    assert_int_equal(access(p->addr.un.sun_path, F_OK), 0);
}

static void a_missing_directory_is_explained(void **state)
{
    struct place *p = *state;
    char text[128];
    snprintf(text, sizeof(text), "unix:%s/no/sock", p->dir);
    struct addr a = literal(text);
    must_not_bind(&a, ENOENT, "directory does not exist");
}

static void an_abstract_socket_needs_no_path(void **state)
{
    struct place *p = *state;
    char text[128];
    int fds[SOCKETS];
    snprintf(text, sizeof(text), "unix:@%s", p->dir);
    struct addr a = literal(text);
    must_bind(&a, fds);
    int client = dial(&a);
    assert_true(client >= 0);
    close(client);
    must_not_bind(&a, EADDRINUSE, "answers there");
    listener_close(&a, fds, SOCKETS);
    assert_int_equal(dial(&a), -ECONNREFUSED);
}

#define IN_A_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_group_shares_one_port),
        cmocka_unit_test(a_port_of_another_process_is_an_error_even_with_reuseport),
        cmocka_unit_test(lingering_connections_do_not_keep_a_port),
        cmocka_unit_test(accepted_connections_send_at_once),
        cmocka_unit_test(ipv6_leaves_ipv4_alone),
        cmocka_unit_test(addresses_of_others_are_explained),
        IN_A_PLACE(a_unix_socket_is_one_for_all),
        IN_A_PLACE(a_stale_unix_socket_is_replaced_and_a_live_one_is_not),
        IN_A_PLACE(a_live_unix_socket_with_a_full_backlog_is_live),
        IN_A_PLACE(a_file_is_never_replaced),
        IN_A_PLACE(a_missing_directory_is_explained),
        IN_A_PLACE(an_abstract_socket_needs_no_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
