/* fuzz_config.c - any bytes as a configuration. What loads must print, and load again to the same
 * print; @include is refused in a text from memory, so no input makes us open a file. A scan that
 * disagrees with libconfig about what it accepted is a bug of the scan. */
#include "lb/base/assert.h"
#include "lb/config/conf.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct strbuf errors = {0}, first = {0}, second = {0};
    char *text = strndup((const char *)data, size);

    if (text == NULL)
        return 0;
    struct conf *conf = conf_load_text("fuzz.conf", text, &errors);
    if (conf == NULL)
        sl_assert(errors.len > 0);
    sl_assert(!str_contains(strbuf_str(&errors), STR("disagree")) ||
              strstr(text, "disagree") != NULL);
    if (conf != NULL) {
        conf_dump(conf, &first);
        strbuf_clear(&errors);
        struct conf *again = conf_load_text("again.conf", first.p, &errors);
        sl_assert(again != NULL);
        conf_dump(again, &second);
        sl_assert(str_eq(strbuf_str(&first), strbuf_str(&second)));
        conf_free(&again);
    }
    conf_free(&conf);
    strbuf_fini(&errors);
    strbuf_fini(&first);
    strbuf_fini(&second);
    free(text);
    return 0;
}
