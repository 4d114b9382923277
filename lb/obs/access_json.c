/* access_json.c - an access line as a JSON object: fixed keys in a fixed order, always valid.
 * Keys are a promise: add, never rename. */
#include "lb/obs/access_priv.h"

#include "lb/base/tls_facts.h"
#include "lb/net/addr.h"
#include "lb/obs/json.h"

/* Output bytes of one value, so that the whole always fits and stays valid. */
#define JSON_WORD_MAX  68
#define JSON_NAME_MAX  132
#define JSON_HOST_MAX  264
#define JSON_AGENT_MAX 768
#define JSON_URI_MAX   2048
#define JSON_TLS_MAX   (3 * JSON_NAME_MAX + 6 * JSON_WORD_MAX)
static_assert(JSON_URI_MAX + 2 * JSON_AGENT_MAX + JSON_HOST_MAX + 17 * JSON_NAME_MAX + 1800 +
                      JSON_TLS_MAX + 300 <
                  ACCESS_LINE_MAX,
              "texts, and 2100 bytes of keys and numbers");

#define KEY(name) ",\"" name "\":"

static void json_text_max(struct writer *w, struct str text, size_t max)
{
    char form[JSON_CHAR_MAX];

    if (text.len > max)
        text.len = max;
    size_t used = plain_len(text);
    put_char(w, '"');
    put(w, text.p, used);
    struct str rest = {text.p + used, text.len - used};
    while (rest.len > 0 && used + sizeof(form) <= max) {
        size_t n = json_char(&rest, form);
        put(w, form, n);
        used += n;
    }
    put_char(w, '"');
}

static void json_text(struct writer *w, const char *key, const char *text)
{
    put_cstr(w, key);
    if (text != NULL)
        json_text_max(w, str_of(text), JSON_NAME_MAX);
    else
        PUT(w, "null");
}

/* Empty: null. */
static void json_str(struct writer *w, const char *key, struct str text, size_t max)
{
    put_cstr(w, key);
    if (text.len > 0)
        json_text_max(w, text, max);
    else
        PUT(w, "null");
}

static void json_addr(struct writer *w, const char *key, const struct addr *a)
{
    char text[ADDR_TEXT_MAX];

    if (access_addr_portless(a)) {
        json_text(w, key, addr_format_host(a, text));
        return;
    }
    if (a == NULL || addr_family(a) != AF_INET) {
        json_text(w, key, a != NULL && a->len > 0 ? addr_format(a, text) : NULL);
        return;
    }
    put_cstr(w, key);
    put_char(w, '"');
    put_ip4_addr(w, a);
    put_char(w, '"');
}

/* Milliseconds with three decimals; null for a phase that was not reached. */
static void json_ms(struct writer *w, const char *key, int64_t us)
{
    put_cstr(w, key);
    if (us < 0) {
        PUT(w, "null");
        return;
    }
    put_u64(w, (uint64_t)us / 1000);
    put_char(w, '.');
    put_padded(w, (uint32_t)(us % 1000), 3);
}

static void json_number(struct writer *w, const char *key, uint64_t v)
{
    put_cstr(w, key);
    put_u64(w, v);
}

static void json_bool(struct writer *w, const char *key, bool v)
{
    put_cstr(w, key);
    put_cstr(w, v ? "true" : "false");
}

static void write_http(struct writer *w, const struct access_record *r, const struct access_http *h)
{
    char state[5];

    json_str(w, KEY("method"), access_method(h), JSON_NAME_MAX);
    json_str(w, KEY("uri"), access_uri(h), JSON_URI_MAX);
    json_text(w, KEY("protocol"), access_protocol(h));
    json_text(w, KEY("scheme"), access_scheme(h));
    json_str(w, KEY("host"), access_host(h), JSON_HOST_MAX);
    PUT(w, KEY("status"));
    if (h->status != 0)
        put_u64(w, h->status);
    else
        PUT(w, "null");
    json_str(w, KEY("referer"), access_referer(h), JSON_AGENT_MAX);
    json_str(w, KEY("user_agent"), access_user_agent(h), JSON_AGENT_MAX);
    json_str(w, KEY("user"), h->user, JSON_NAME_MAX);
    json_str(w, KEY("request_id"), h->request_id, JSON_NAME_MAX);
    json_str(w, KEY("traceparent"), h->traceparent, JSON_NAME_MAX);
    json_text(w, KEY("route"), h->route);
    json_text(w, KEY("reason"), h->reason);
    json_ms(w, KEY("idle_ms"), h->idle_us);
    json_ms(w, KEY("head_ms"), h->head_us);
    json_ms(w, KEY("response_ms"), h->response_us);
    json_number(w, KEY("body_bytes_in"), h->body_bytes_in);
    json_number(w, KEY("body_bytes_out"), h->body_bytes_out);
    access_end_state(r, state);
    json_text(w, KEY("end_state"), state);
    json_number(w, KEY("sequence"), h->sequence);
    json_bool(w, KEY("reused"), h->reused);
}

static void write_tls(struct writer *w, const struct tls_facts *f)
{
    json_str(w, KEY("tls_version"), f->version, JSON_WORD_MAX);
    json_str(w, KEY("tls_cipher"), f->cipher, JSON_WORD_MAX);
    json_str(w, KEY("tls_sni"), f->sni, JSON_NAME_MAX);
    json_str(w, KEY("tls_alpn"), f->alpn, JSON_WORD_MAX);
    json_bool(w, KEY("tls_resumed"), f->resumed);
    json_str(w, KEY("tls_client_verify"), f->client_verify, JSON_WORD_MAX);
    json_str(w, KEY("tls_client_subject"), f->client_subject, JSON_NAME_MAX);
    json_str(w, KEY("tls_client_issuer"), f->client_issuer, JSON_NAME_MAX);
    json_str(w, KEY("tls_client_serial"), f->client_serial, JSON_WORD_MAX);
    json_str(w, KEY("tls_client_fingerprint"), f->client_fingerprint, JSON_WORD_MAX);
}

void access_json_write(struct writer *w, const struct access_record *r)
{
    PUT(w, "{\"time\":\"");
    put_cstr(w, stamp_of(r)->iso);
    put_char(w, '.');
    put_padded(w, (uint32_t)(r->start_wall_us % 1000000), 6);
    PUT(w, "Z\",\"id\":\"");
    put_hex(w, r->id);
    put_char(w, '"');
    json_addr(w, KEY("client"), r->client);
    json_text(w, KEY("listener"), r->listener);
    json_addr(w, KEY("listener_addr"), r->listener_addr);
    json_text(w, KEY("pool"), r->pool);
    json_text(w, KEY("backend"), r->backend);
    json_addr(w, KEY("backend_addr"), r->backend_addr);
    json_ms(w, KEY("queue_ms"), r->queue_us);
    json_ms(w, KEY("connect_ms"), r->connect_us);
    json_ms(w, KEY("total_ms"), (int64_t)(r->total_us & INT64_MAX));
    json_number(w, KEY("bytes_in"), r->bytes_in);
    json_number(w, KEY("bytes_out"), r->bytes_out);
    json_number(w, KEY("retries"), r->retries);
    json_bool(w, KEY("redispatched"), r->redispatched);
    json_text(w, KEY("end"), session_end_text(r->end));
    json_text(w, KEY("end_code"), session_end_code(r->end));
    json_text(w, KEY("detail"), r->detail);
    json_number(w, KEY("process_sessions"), r->actconn);
    json_number(w, KEY("listener_sessions"), r->feconn);
    json_number(w, KEY("pool_sessions"), r->beconn);
    json_number(w, KEY("backend_sessions"), r->srv_conn);
    json_number(w, KEY("backend_queue"), r->srv_queue);
    json_number(w, KEY("pool_queue"), r->backend_queue);
    if (r->http != NULL)
        write_http(w, r, r->http);
    if (r->tls != NULL)
        write_tls(w, r->tls);
    put_char(w, '}');
}
