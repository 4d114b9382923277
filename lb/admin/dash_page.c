/* dash_page.c - see dash_page.h. The assembler takes the files in, so building needs no further
 * program, and what is edited is what is served. */
#include "lb/admin/dash_page.h"

#include <openssl/evp.h>

#define FILE_IN(name, path)                                                                        \
    __asm__(".pushsection .rodata\n"                                                               \
            ".global " #name "\n" #name ":\n"                                                      \
            ".incbin \"" path "\"\n"                                                               \
            ".global " #name "_end\n" #name "_end:\n"                                              \
            ".byte 0\n"                                                                            \
            ".popsection\n");                                                                      \
    extern const char name[], name##_end[]

FILE_IN(dash_page_html, "lb/admin/dashboard.html");
FILE_IN(dash_page_css, "lb/admin/dashboard.css");
FILE_IN(dash_page_data, "lb/admin/dashboard_data.js");
FILE_IN(dash_page_draw, "lb/admin/dashboard_draw.js");
FILE_IN(dash_page_pools, "lb/admin/dashboard_pools.js");
FILE_IN(dash_page_view, "lb/admin/dashboard_view.js");
FILE_IN(dash_page_act, "lb/admin/dashboard_act.js");

static struct str between(const char *begin, const char *end)
{
    return (struct str){begin, (size_t)(end - begin)};
}

/* Text up to the mark goes out, then what stands for it; *rest is what is behind it. */
static void fill(struct strbuf *out, struct str *rest, struct str mark, struct str with)
{
    const char *at = memmem(rest->p, rest->len, mark.p, mark.len);

    sl_assert(at != NULL);
    strbuf_add(out, rest->p, (size_t)(at - rest->p));
    strbuf_add_str(out, with);
    *rest = between(at + mark.len, rest->p + rest->len);
}

static void add_source(struct strbuf *policy, const char *directive, struct str text)
{
    unsigned char hash[EVP_MAX_MD_SIZE], base64[2 * EVP_MAX_MD_SIZE];
    unsigned n = 0;

    if (EVP_Digest(text.p, text.len, hash, &n, EVP_sha256(), NULL) != 1)
        sl_assert(!"no SHA-256");
    EVP_EncodeBlock(base64, hash, (int)n);
    strbuf_addf(policy, "%s 'sha256-%s'; ", directive, (const char *)base64);
}

void dash_page_init(struct dash_page *p)
{
    struct str rest = between(dash_page_html, dash_page_html_end);
    struct str css = between(dash_page_css, dash_page_css_end);
    struct strbuf script = {0};

    strbuf_add_str(&script, between(dash_page_data, dash_page_data_end));
    strbuf_add_str(&script, between(dash_page_draw, dash_page_draw_end));
    strbuf_add_str(&script, between(dash_page_pools, dash_page_pools_end));
    strbuf_add_str(&script, between(dash_page_view, dash_page_view_end));
    strbuf_add_str(&script, between(dash_page_act, dash_page_act_end));
    *p = (struct dash_page){0};
    fill(&p->html, &rest, STR("/*CSS*/"), css);
    fill(&p->html, &rest, STR("/*JS*/"), strbuf_str(&script));
    strbuf_add_str(&p->html, rest);
    strbuf_add_cstr(&p->policy, "default-src 'none'; ");
    add_source(&p->policy, "script-src", strbuf_str(&script));
    add_source(&p->policy, "style-src", css);
    strbuf_add_cstr(&p->policy,
                    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
                    "frame-ancestors 'none'; require-trusted-types-for 'script'");
    strbuf_fini(&script);
}

void dash_page_fini(struct dash_page *p)
{
    strbuf_fini(&p->html);
    strbuf_fini(&p->policy);
}
