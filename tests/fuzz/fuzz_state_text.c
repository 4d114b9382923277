/* fuzz_state_text.c - a state file, whoever wrote it: read, and what was read is written and read
 * again, which changes nothing. */
#include "health/state_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct state_text a, b;
    struct strbuf out = {0}, again = {0};

    if (state_text_parse((struct str){(const char *)input, size}, &a) < 0)
        return 0;
    state_text_begin(a.written_s, &out);
    for (uint32_t i = 0; i < a.n; i++) {
        sl_assert(a.rows[i].oper <= OPER_DOWN && a.rows[i].weight.now <= LIMIT_WEIGHT);
        sl_assert(state_text_find(&a, a.rows[i].pool, a.rows[i].name) == &a.rows[i]);
        state_text_add(&a.rows[i], &out);
    }
    for (uint32_t i = 0; i < a.n_edits; i++)
        state_text_add_edit(&a.edits[i], &out);
    state_text_end(&out);
    sl_assert(state_text_parse(strbuf_str(&out), &b) == 0);
    sl_assert(b.whole && b.bad_lines == 0 && b.n == a.n && b.written_s == a.written_s);
    state_text_begin(b.written_s, &again);
    for (uint32_t i = 0; i < b.n; i++)
        state_text_add(&b.rows[i], &again);
    for (uint32_t i = 0; i < b.n_edits; i++)
        state_text_add_edit(&b.edits[i], &again);
    state_text_end(&again);
    sl_assert(str_eq(strbuf_str(&out), strbuf_str(&again)));
    strbuf_fini(&out);
    strbuf_fini(&again);
    state_text_fini(&a);
    state_text_fini(&b);
    return 0;
}
