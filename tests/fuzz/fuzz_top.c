/* fuzz_top.c - answers of a stats socket, whoever gives them, and what is drawn of them: the first
 * byte is a key that is pressed. */
#include "lb/main/top_view.h"

#include <locale.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct top_view view = {.colors = true};
    struct top_data data, again;
    struct strbuf out = {0};

    setlocale(LC_CTYPE, "C.UTF-8");
    if (size == 0 ||
        !top_data_read((struct str){(const char *)input + 1, size - 1}, NULL, 1, &data))
        return 0;
    top_view_draw(&view, &data, 80, 24, &out);
    top_view_key(&view, &data, TOP_KEY_END);
    top_view_key(&view, &data, input[0]);
    top_view_draw(&view, &data, 40, 10, &out);
    view.mode = TOP_DETAIL;
    top_view_draw(&view, &data, 132, 50, &out);
    for (size_t i = 0; i < out.len; i++) /* nothing but our own sequences */
        if (out.p[i] == '\x1b')
            sl_assert(out.p[i + 1] == '[' && strchr("0123457m", out.p[i + 2]) != NULL);
    if (top_data_read((struct str){(const char *)input + 1, size - 1}, &data, 2, &again))
        top_data_fini(&again);
    top_data_fini(&data);
    strbuf_fini(&out);
    return 0;
}
