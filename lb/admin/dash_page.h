/* dash_page.h - the page of the dashboard: dashboard.html with dashboard.css and the parts of its
 * script in it, all of them part of the binary. One answer, no further requests but the event
 * stream. */
#ifndef SLUICE_ADMIN_DASH_PAGE_H
#define SLUICE_ADMIN_DASH_PAGE_H

#include "lb/base/str.h"

struct dash_page {
    struct strbuf html;
    struct strbuf policy; /* of Content-Security-Policy: it names script and style by their hash */
};

void dash_page_init(struct dash_page *p);
void dash_page_fini(struct dash_page *p);

#endif
