/* Which places a hardened process keeps, and what it says of those that it does not. */
#include "tests/unit/lb/config/config_test.h"

#include "lb/main/places.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKENDS                                                                                   \
    "pools = ( { name = \"app\"; mode = \"tcp\"; backends = ( { name = \"a\"; address = "          \
    "\"127.0.0.1:1\"; } ); } );\n"

struct fixture {
    char dir[64];
    struct places places;
    struct strbuf errors;
};

static void path_in(const struct fixture *f, const char *name, char out[static 128])
{
    snprintf(out, 128, "%s/%s", f->dir, name);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char path[128];

    strcpy(f->dir, "/tmp/places-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    path_in(f, "logs", path);
    assert_int_equal(mkdir(path, 0700), 0);
    path_in(f, "other", path);
    assert_int_equal(mkdir(path, 0700), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char path[128];

    places_fini(&f->places);
    strbuf_fini(&f->errors);
    path_in(f, "logs", path);
    rmdir(path);
    path_in(f, "other", path);
    rmdir(path);
    rmdir(f->dir);
    free(f);
    return 0;
}

/* A configuration with these settings at its top; %s is the folder. */
static struct conf *conf_with(const struct fixture *f, const char *fmt)
{
    struct strbuf text = {0}, errors = {0};

    for (const char *p = fmt; *p != '\0'; p++) {
        if (*p == '@')
            strbuf_add_cstr(&text, f->dir);
        else
            strbuf_add_char(&text, *p);
    }
    strbuf_add_cstr(&text, BACKENDS);
    struct conf *c = conf_load_text("t", text.p, &errors);
    if (c == NULL)
        fail_msg("%s", errors.p);
    strbuf_fini(&text);
    strbuf_fini(&errors);
    return c;
}

static const struct place *find(const struct places *p, const char *path)
{
    for (uint32_t i = 0; i < p->n; i++)
        if (strcmp(p->rows[i].path, path) == 0)
            return &p->rows[i];
    return NULL;
}

static uint32_t missing(struct fixture *f, const char *text)
{
    struct conf *c = conf_with(f, text);
    uint32_t n = places_missing(&f->places, c, false, "t", &f->errors);

    conf_free(&c);
    return n;
}

static void place_all(struct fixture *f, const char *text)
{
    struct conf *c = conf_with(f, text);

    places_of(&f->places, c);
    conf_free(&c);
}

#define WEB(more) "listeners = ( { name = \"web\"; mode = \"tcp\"; pool = \"app\"; " more " } );\n"

static void folders_of_what_is_written_are_kept_for_writing(void **state)
{
    struct fixture *f = *state;
    char logs[128];

    path_in(f, "logs", logs);
    place_all(f, "log = { output = \"@/logs/sluice.log\"; };\n"
                 "state_file = \"@/other/state\";\n" WEB("bind = \"127.0.0.1:2\";"));
    assert_non_null(find(&f->places, logs));
    assert_int_equal(find(&f->places, logs)->use, LANDLOCK_WRITE);
    assert_non_null(find(&f->places, "/usr"));
    assert_int_equal(find(&f->places, "/usr")->use, LANDLOCK_READ);
}

static void the_root_is_never_a_place(void **state)
{
    struct fixture *f = *state;

    place_all(f, "log = { output = \"/sluice-test.log\"; };\n"
                 "state_file = \"/dev/null\";\n" WEB("bind = \"unix:/sluice-test\";"));
    assert_null(find(&f->places, "/"));
    assert_null(find(&f->places, "/dev"));
}

static void what_another_configuration_needs_is_named(void **state)
{
    struct fixture *f = *state;

    place_all(f, "log = { output = \"@/logs/sluice.log\"; };\n" WEB("bind = \"127.0.0.1:2\";"));
    assert_int_equal(
        missing(f, "log = { output = \"@/logs/other.log\"; };\n" WEB("bind = \"127.0.0.1:2\";")),
        0);
    assert_int_equal(missing(f, WEB("bind = \"unix:@/other/s\"; log = { access = "
                                    "\"@/other/l\"; };")),
                     2);
    assert_non_null(strstr(f->errors.p, "/other/s\", which this process has given up"));
    assert_non_null(strstr(f->errors.p, "t: error: listeners.bind: found"));
}

static void hardening_paths_are_places(void **state)
{
    struct fixture *f = *state;

    place_all(f, "hardening = { paths = [ \"@\" ]; };\n" WEB("bind = \"127.0.0.1:2\";"));
    assert_int_equal(missing(f, WEB("bind = \"unix:@/other/s\";")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(folders_of_what_is_written_are_kept_for_writing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_root_is_never_a_place, setup, teardown),
        cmocka_unit_test_setup_teardown(what_another_configuration_needs_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(hardening_paths_are_places, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
