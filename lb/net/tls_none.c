/* tls_none.c - until lb/net has TLS: whatever asks for it is told so. Weak, so that what comes
 * takes its place. */
#include "lb/net/tls.h"
#include "lb/net/tls_files.h"
#include "lb/net/tls_ticket.h"

#include <stddef.h>

#define NONE __attribute__((weak))

NONE struct tls_env *tls_env_new(struct strbuf *errors)
{
    strbuf_add_cstr(errors, "TLS is not built yet\n");
    return NULL;
}
NONE void tls_env_free(struct tls_env **env)
{
    *env = NULL;
}
NONE struct tls_server *tls_server_new(struct tls_env *env, const struct tls_server_conf *conf,
                                       const struct tls_server_files *files,
                                       struct tls_keyring *keys, struct strbuf *errors)
{
    (void)env, (void)conf, (void)files, (void)keys, (void)errors;
    return NULL;
}
NONE void tls_server_unref(struct tls_server **t)
{
    *t = NULL;
}
NONE struct tls_client *tls_client_new(struct tls_env *env, const struct tls_client_conf *conf,
                                       const struct tls_client_files *files, uint32_t n_members,
                                       struct strbuf *errors)
{
    (void)env, (void)conf, (void)files, (void)n_members, (void)errors;
    return NULL;
}
NONE void tls_client_unref(struct tls_client **t)
{
    *t = NULL;
}
NONE struct tls_server_files *tls_server_files_read(const struct tls_server_conf *conf,
                                                    int64_t now_s, struct strbuf *errors)
{
    (void)conf, (void)now_s, (void)errors;
    return NULL;
}
NONE void tls_server_files_free(struct tls_server_files **f)
{
    *f = NULL;
}
NONE const struct tls_cert_info *tls_server_files_cert(const struct tls_server_files *f, uint32_t i)
{
    (void)f, (void)i;
    return NULL;
}
NONE struct tls_client_files *tls_client_files_read(const struct tls_client_conf *conf,
                                                    int64_t now_s, struct strbuf *errors)
{
    (void)conf, (void)now_s, (void)errors;
    return NULL;
}
NONE void tls_client_files_free(struct tls_client_files **f)
{
    *f = NULL;
}
NONE struct tls_keyring *tls_keyring_new(void)
{
    return NULL;
}
NONE void tls_keyring_free(struct tls_keyring **k)
{
    *k = NULL;
}
NONE void tls_keyring_rotate(struct tls_keyring *k)
{
    (void)k;
}
NONE bool tls_keyring_set(struct tls_keyring *k, const uint8_t *data, size_t len)
{
    (void)k, (void)data, (void)len;
    return false;
}
