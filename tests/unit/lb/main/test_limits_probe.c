/* test_limits_probe.c - cgroup files of several worlds, below a root of our own making. */
#include "lb/main/limits_probe.h"

#include "lb/base/str.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64];

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

/* Writes a file below the root, with the folders that it needs. */
static void put(const char *path, const char *text)
{
    char full[512];

    snprintf(full, sizeof(full), "%s%s", root, path);
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

#define V2_MOUNT "30 29 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1_CPU   "33 29 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
#define V1_MEM   "34 29 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
#define V1_SET   "35 29 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"

static void without_cgroups_nothing_is_limited(void **state)
{
    (void)state;
    struct limits_probe p = {.affinity = 3};

    limits_probe_cgroup(root, &p);
    limits_probe_cores(&p);
    assert_int_equal(p.quota_mcpu, 0);
    assert_int_equal(p.memory_bytes, 0);
    assert_string_equal(p.cgroup, "none");
    assert_int_equal(p.cores, 3);
}

static void a_v2_container_sees_its_own_root(void **state)
{
    (void)state;
    struct limits_probe p = {.affinity = 8};

    put("/proc/self/cgroup", "0::/\n");
    put("/proc/self/mountinfo", V2_MOUNT);
    put("/sys/fs/cgroup/cpu.max", "150000 100000\n");
    put("/sys/fs/cgroup/memory.max", "536870912\n");
    limits_probe_cgroup(root, &p);
    limits_probe_cores(&p);
    assert_string_equal(p.cgroup, "v2");
    assert_int_equal(p.quota_mcpu, 1500);
    assert_int_equal(p.memory_bytes, 536870912);
    assert_int_equal(p.cores, 2); /* rounded up */
}

static void max_means_no_limit(void **state)
{
    (void)state;
    struct limits_probe p = {.affinity = 8};

    put("/proc/self/cgroup", "0::/\n");
    put("/proc/self/mountinfo", V2_MOUNT);
    put("/sys/fs/cgroup/cpu.max", "max 100000\n");
    put("/sys/fs/cgroup/memory.max", "max\n");
    limits_probe_cgroup(root, &p);
    limits_probe_cores(&p);
    assert_int_equal(p.quota_mcpu, 0);
    assert_int_equal(p.memory_bytes, 0);
    assert_int_equal(p.cores, 8);
}

static void the_lowest_limit_on_the_way_up_counts(void **state)
{
    (void)state;
    struct limits_probe p = {.affinity = 8};

    put("/proc/self/cgroup", "0::/system.slice/sluice.service\n");
    put("/proc/self/mountinfo", V2_MOUNT);
    put("/sys/fs/cgroup/system.slice/cpu.max", "200000 100000\n");
    put("/sys/fs/cgroup/system.slice/memory.max", "max\n");
    put("/sys/fs/cgroup/system.slice/sluice.service/cpu.max", "400000 100000\n");
    put("/sys/fs/cgroup/system.slice/sluice.service/memory.max", "1073741824\n");
    limits_probe_cgroup(root, &p);
    limits_probe_cores(&p);
    assert_int_equal(p.quota_mcpu, 2000);
    assert_int_equal(p.memory_bytes, 1 << 30);
    assert_int_equal(p.cores, 2);
}

static void a_v1_container_strips_the_root_of_its_mount(void **state)
{
    (void)state;
    struct limits_probe p = {.affinity = 4};

    put("/proc/self/cgroup", "9:cpuset:/docker/abc\n5:memory:/docker/abc\n"
                             "4:cpu,cpuacct:/docker/abc\n0::/docker/abc\n");
    put("/proc/self/mountinfo",
        V1_SET "33 29 0:29 /docker/abc /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup "
               "rw,cpu,cpuacct\n"
               "34 29 0:30 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n");
    limits_probe_cgroup(root, &p);
    limits_probe_cores(&p);
    assert_string_equal(p.cgroup, "v1");
    assert_int_equal(p.quota_mcpu, 500);
    assert_int_equal(p.memory_bytes, 268435456);
    assert_int_equal(p.cores, 1);
}

static void v1_says_no_limit_with_minus_one_and_a_huge_number(void **state)
{
    (void)state;
    struct limits_probe p = {.affinity = 4};

    put("/proc/self/cgroup", "5:memory:/user\n4:cpu,cpuacct:/user\n");
    put("/proc/self/mountinfo", V1_CPU V1_MEM);
    put("/sys/fs/cgroup/cpu,cpuacct/user/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu,cpuacct/user/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/memory/user/memory.limit_in_bytes", "9223372036854771712\n");
    limits_probe_cgroup(root, &p);
    assert_string_equal(p.cgroup, "v1");
    assert_int_equal(p.quota_mcpu, 0);
    assert_int_equal(p.memory_bytes, 0);
}

static void a_path_outside_of_the_namespace_falls_back_to_the_mount(void **state)
{
    (void)state;
    struct limits_probe p = {.affinity = 4};

    put("/proc/self/cgroup", "0::/../other\n");
    put("/proc/self/mountinfo", V2_MOUNT);
    put("/sys/fs/cgroup/cpu.max", "100000 100000\n");
    limits_probe_cgroup(root, &p);
    assert_int_equal(p.quota_mcpu, 1000);
}

static void garbage_limits_nothing(void **state)
{
    (void)state;
    struct limits_probe p = {.affinity = 2};

    put("/proc/self/cgroup", "rubbish\n0:\n0::/a\n");
    put("/proc/self/mountinfo", "rubbish\n - \n" V2_MOUNT);
    put("/sys/fs/cgroup/a/cpu.max", "-5 0\n");
    put("/sys/fs/cgroup/a/memory.max", "lots\n");
    limits_probe_cgroup(root, &p);
    limits_probe_cores(&p);
    assert_int_equal(p.quota_mcpu, 0);
    assert_int_equal(p.memory_bytes, 0);
    assert_int_equal(p.cores, 2);
}

static void a_quota_never_gives_less_than_one_core(void **state)
{
    (void)state;
    struct limits_probe tiny = {.affinity = 4, .quota_mcpu = 1}, none = {.affinity = 0};

    limits_probe_cores(&tiny);
    limits_probe_cores(&none);
    assert_int_equal(tiny.cores, 1);
    assert_int_equal(none.cores, 1);
}

static void a_quota_above_the_affinity_changes_nothing(void **state)
{
    (void)state;
    struct limits_probe p = {.affinity = 2, .quota_mcpu = 2001};

    limits_probe_cores(&p);
    assert_int_equal(p.cores, 2);
}

static void a_connection_takes_two_descriptors(void **state)
{
    (void)state;
    const struct limits_probe p = {.files = 1100};
    const char *by;

    assert_int_equal(limits_probe_connections(&p, 100, 0, &by), 500);
    assert_string_equal(by, "open files");
    assert_int_equal(limits_probe_connections(&p, 1100, 0, &by), 1); /* tried all the same */
    assert_int_equal(limits_probe_connections(&p, 2000, 9, &by), 1);
}

static void what_is_only_wished_takes_a_quarter_at_most(void **state)
{
    (void)state;
    const struct limits_probe p = {.files = 100};
    const char *by;

    assert_int_equal(limits_probe_connections(&p, 20, 10, &by), 35);
    assert_int_equal(limits_probe_connections(&p, 20, 20, &by), 30);
    assert_int_equal(limits_probe_connections(&p, 20, 600, &by), 30);
}

static void little_memory_lowers_the_limit(void **state)
{
    (void)state;
    const struct limits_probe p = {.files = 1000000, .memory_bytes = 96 << 20};
    const char *by;

    assert_int_equal(limits_probe_connections(&p, 0, 0, &by), (64 << 20) / (32 << 10));
    assert_string_equal(by, "memory");
}

static void the_description_names_what_was_found(void **state)
{
    (void)state;
    const struct limits_probe p = {.affinity = 4,
                                   .quota_mcpu = 1500,
                                   .cores = 2,
                                   .memory_bytes = 512 << 20,
                                   .files = 20000,
                                   .cgroup = "v2"};
    char text[256];

    limits_probe_describe(&p, text, sizeof(text));
    assert_string_equal(text, "2 usable cores (affinity 4, cgroup v2 quota 1.50), "
                              "20000 open files, memory limit 512 MiB");
}

static void this_machine_has_at_least_a_core_and_some_files(void **state)
{
    (void)state;
    struct limits_probe p;

    limits_probe(&p);
    assert_true(p.cores >= 1);
    assert_true(p.cores <= p.affinity);
    assert_true(p.files >= 64);
}

#define WITH_ROOT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_ROOT(without_cgroups_nothing_is_limited),
        WITH_ROOT(a_v2_container_sees_its_own_root),
        WITH_ROOT(max_means_no_limit),
        WITH_ROOT(the_lowest_limit_on_the_way_up_counts),
        WITH_ROOT(a_v1_container_strips_the_root_of_its_mount),
        WITH_ROOT(v1_says_no_limit_with_minus_one_and_a_huge_number),
        WITH_ROOT(a_path_outside_of_the_namespace_falls_back_to_the_mount),
        WITH_ROOT(garbage_limits_nothing),
        cmocka_unit_test(a_quota_never_gives_less_than_one_core),
        cmocka_unit_test(a_quota_above_the_affinity_changes_nothing),
        cmocka_unit_test(a_connection_takes_two_descriptors),
        cmocka_unit_test(what_is_only_wished_takes_a_quarter_at_most),
        cmocka_unit_test(little_memory_lowers_the_limit),
        cmocka_unit_test(the_description_names_what_was_found),
        cmocka_unit_test(this_machine_has_at_least_a_core_and_some_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
