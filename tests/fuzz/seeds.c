/* seeds.c - runs a fuzz target over its corpus (tests/fuzz/corpus/NAME), as a test: inputs that
 * once broke a parser stay there, and it may not break by them again. The program's name is the
 * target's; run it from the top of the tree.
 */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEED_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In memory of just its size, so that a read beyond it is seen. */
static void run_file(const char *path)
{
    static uint8_t data[SEED_MAX];
    FILE *in = fopen(path, "rb");

    assert_non_null(in);
    size_t n = fread(data, 1, sizeof(data), in);
    assert_true(n < sizeof(data));
    fclose(in);
    uint8_t *copy = malloc(n + (n == 0));
    assert_non_null(copy);
    memcpy(copy, data, n);
    assert_int_equal(LLVMFuzzerTestOneInput(copy, n), 0);
    free(copy);
}

static void no_seed_breaks_it(void **state)
{
    char folder[128], path[512];
    uint32_t ran = 0;

    (void)state;
    snprintf(folder, sizeof(folder), "tests/fuzz/corpus/%s", program_invocation_short_name);
    DIR *dir = opendir(folder);
    if (dir == NULL)
        fail_msg("%s: each fuzz target needs seeds", folder);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
        run_file(path);
        ran++;
    }
    closedir(dir);
    assert_true(ran > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_seed_breaks_it)};

    return cmocka_run_group_tests_name(program_invocation_short_name, tests, NULL, NULL);
}
