/* fuzz_overlay.c - any bytes as an overlay. What loads must print, and load again to the same
 * print; what does not says why. */
#include "lb/base/assert.h"
#include "lb/config/overlay.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print(const struct overlay *o, struct strbuf *out)
{
    overlay_print_begin(out);
    for (uint32_t i = 0; i < o->n; i++)
        overlay_print_entry(&o->entries[i], i == 0, out);
    overlay_print_end(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct strbuf errors = {0}, first = {0}, second = {0};
    char *text = strndup((const char *)data, size);

    if (text == NULL)
        return 0;
    struct overlay *o = overlay_load_text("fuzz", text, &errors);
    sl_assert(o != NULL || errors.len > 0);
    if (o != NULL) {
        print(o, &first);
        struct overlay *again = overlay_load_text("again", first.p, &errors);
        sl_assert(again != NULL);
        print(again, &second);
        sl_assert(str_eq(strbuf_str(&first), strbuf_str(&second)));
        overlay_free(&again);
    }
    overlay_free(&o);
    strbuf_fini(&errors);
    strbuf_fini(&first);
    strbuf_fini(&second);
    free(text);
    return 0;
}
