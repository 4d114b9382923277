/* check_tests.c - the `tests` block: what it expects must exist. Whether it comes true is seen by
 * who can ask routes (`sluice -t`). */
#include "lb/config/check_priv.h"

#include <stdio.h>

void check_tests(const struct check *c)
{
    struct conf *conf = &c->own->conf;

    for (uint32_t i = 0; i < conf->n_tests; i++) {
        struct conf_test *t = &conf->tests[i];
        const struct config_setting_t *setting = check_element(c->root, "tests", i);
        char label[16];
        snprintf(label, sizeof(label), "#%u", i + 1);
        if (t->request == NULL)
            continue; /* said already */
        bool found =
            t->pool_name == NULL || check_find_pool(c, setting, "tests", label, "expect.pool",
                                                    t->pool_name, MODE_HTTP, &t->pool);
        if (found && t->pool_name == NULL && t->status == 0 && t->location == NULL &&
            check_member(setting, "expect") != NULL && c->problems->errors == 0)
            check_tell(c, PROBLEM_ERROR, setting, "tests", label, "expect",
                       "found nothing in it, expected pool, status or location");
    }
}
