/* fuzz_handoff_line.c - lines that one process says to another when it takes its place. */
#include "lb/main/handoff_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct str rest = {(const char *)input, size}, line;
    struct handoff_line l;

    while ((line = str_word(&rest, "\n")).len > 0) {
        if (handoff_line_parse(line, &l) < 0)
            continue;
        sl_assert(l.fds <= HANDOFF_FDS_MAX && l.pid >= 0 && l.text.len <= line.len);
        sl_assert((l.word == HANDOFF_SERVING || l.word == HANDOFF_HELLO) == (l.pid > 0));
    }
    return 0;
}
