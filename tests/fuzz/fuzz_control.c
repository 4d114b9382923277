/* fuzz_control.c - lines of the stats socket: the first byte chooses level and severity, the rest
 * is a line as a client sends it. Every answer must end in an empty line and have none inside. */
#include "lb/admin/command_line.h"
#include "tests/unit/lb/admin/admin_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_answer(const struct strbuf *out)
{
    sl_assert(out->len >= 1 && out->p[out->len - 1] == '\n');
    sl_assert(out->len == 1 || out->p[out->len - 2] == '\n');
    sl_assert(out->len < 3 || memmem(out->p, out->len - 1, "\n\n", 2) == NULL);
    sl_assert(out->len == 1 || out->p[0] != '\n');
}

static void run_line(struct fixture *f, struct str line)
{
    struct str command, mark;

    command_line_payload(&line, &mark);
    while (command_line_next(&line, &command)) {
        struct late_answer *late;
        strbuf_clear(&f->out);
        command_run(&f->env, &f->session, command, &f->out, &late);
        sl_assert(late == NULL); /* the fixture answers at once */
        if (!f->session.quit)
            check_answer(&f->out);
        epoch_collect(f->epochs);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fixture *f;

    if (f == NULL)
        f = fixture_make(true);
    if (size < 1)
        return 0;
    f->session = (struct command_session){.level = data[0] % 3, .severity = data[0] / 3 % 3};
    f->killed = data[0] & 1;
    /* A copy of just its size, so that reading beyond it is seen. */
    char *text = xmalloc(size); /* never 0 bytes */
    memcpy(text, data + 1, size - 1);
    run_line(f, (struct str){text, size - 1});
    free(text);
    return 0;
}
