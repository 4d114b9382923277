/* Ways that only root can have laid. As root only: nobody else can make them. */
#include "lb/main/safe_path.h"

#include "lb/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define SOMEBODY 65534

static char dir[64]; /* in a folder where everybody may make files */

static const char *in(const char *name)
{
    static char paths[4][128];
    static unsigned at;
    char *path = paths[at++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
    return path;
}

static void make(const char *name, mode_t mode)
{
    int fd = open(in(name), O_CREAT | O_EXCL | O_WRONLY, mode);

    assert_true(fd >= 0);
    close(fd);
}

static int setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/safe-XXXXXX");
    assert_non_null(mkdtemp(dir));
    make("file", 0600);
    assert_int_equal(mkdir(in("theirs"), 0755), 0);
    assert_int_equal(mkdir(in("open"), 0755), 0);
    assert_int_equal(chmod(in("open"), 0777), 0);
    make("theirs/file", 0600);
    make("open/file", 0600);
    if (geteuid() == 0)
        assert_int_equal(chown(in("theirs"), SOMEBODY, SOMEBODY), 0);
    return 0;
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -r %s", dir);
    return system(command);
}

static int try(const char *path, enum named_file_use use)
{
    if (geteuid() != 0)
        skip();
    int fd = safe_path_open(path, use);
    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

static void a_file_of_roots_is_opened(void **state)
{
    (void)state;
    assert_int_equal(try(in("file"), NAMED_FILE_READ), 0);
    assert_int_equal(try(in("./theirs/../file"), NAMED_FILE_READ), -EACCES); /* through theirs */
    assert_int_equal(try(in("none"), NAMED_FILE_READ), -ENOENT);
}

static void a_folder_of_somebody_elses_is_not_entered(void **state)
{
    (void)state;
    assert_int_equal(try(in("theirs/file"), NAMED_FILE_READ), -EACCES);
    assert_int_equal(try(in("theirs/new"), NAMED_FILE_APPEND), -EACCES);
    assert_int_equal(access(in("theirs/new"), F_OK), -1);
}

static void nor_one_where_others_may_change_things(void **state)
{
    (void)state;
    assert_int_equal(try(in("open/file"), NAMED_FILE_READ), -EACCES);
}

static void links_of_roots_are_followed_and_looked_at(void **state)
{
    (void)state;
    assert_int_equal(symlink("file", in("near")), 0);
    assert_int_equal(symlink(in("near"), in("far")), 0);
    assert_int_equal(symlink(in("theirs/file"), in("astray")), 0);
    assert_int_equal(symlink("round", in("round")), 0);
    assert_int_equal(try(in("near"), NAMED_FILE_READ), 0);
    assert_int_equal(try(in("far"), NAMED_FILE_READ), 0);
    assert_int_equal(try(in("astray"), NAMED_FILE_READ), -EACCES);
    assert_int_equal(try(in("round"), NAMED_FILE_READ), -ELOOP);
}

static void a_link_of_somebody_elses_is_not_followed(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(symlink("file", in("link")), 0);
    assert_int_equal(lchown(in("link"), SOMEBODY, SOMEBODY), 0);
    assert_int_equal(try(in("link"), NAMED_FILE_READ), -EACCES);
}

static void where_everybody_may_put_files_they_are_roots(void **state)
{
    (void)state;
    assert_int_equal(chmod(in("open"), 01777), 0);
    assert_int_equal(try(in("open/file"), NAMED_FILE_READ), 0);
    make("open/given", 0600);
    if (geteuid() == 0)
        assert_int_equal(chown(in("open/given"), SOMEBODY, SOMEBODY), 0);
    assert_int_equal(try(in("open/given"), NAMED_FILE_READ), -EACCES);
    assert_int_equal(try(in("open/given"), NAMED_FILE_APPEND), -EACCES);
}

static void logs_are_made_and_nothing_else(void **state)
{
    struct stat st;

    (void)state;
    assert_int_equal(try(in("log"), NAMED_FILE_APPEND), 0);
    assert_int_equal(stat(in("log"), &st), 0);
    assert_int_equal(st.st_mode & 0777 & ~0640, 0);
    assert_int_equal(try(in("no/log"), NAMED_FILE_APPEND), -ENOENT);
    assert_int_equal(try("/dev/null", NAMED_FILE_APPEND), -EACCES);
    assert_int_equal(try(in("theirs"), NAMED_FILE_READ), -EACCES);
    assert_int_equal(try("file", NAMED_FILE_READ), -EACCES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_of_roots_is_opened, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_of_somebody_elses_is_not_entered, setup, teardown),
        cmocka_unit_test_setup_teardown(nor_one_where_others_may_change_things, setup, teardown),
        cmocka_unit_test_setup_teardown(links_of_roots_are_followed_and_looked_at, setup, teardown),
        cmocka_unit_test_setup_teardown(a_link_of_somebody_elses_is_not_followed, setup, teardown),
        cmocka_unit_test_setup_teardown(where_everybody_may_put_files_they_are_roots, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(logs_are_made_and_nothing_else, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
