/* tls_ticket_file.c - see tls_ticket_file.h */
#include "lb/net/tls_ticket_file.h"

#include "lb/base/named_file.h"
#include "lb/base/str.h"
#include "lb/net/tls_conf.h"
#include "lb/net/tls_ticket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXPECTED                                                                                   \
    "expected 1 to 4 keys of 80 bytes, as `openssl rand 80` makes one, the newest first"
static_assert(TLS_TICKET_KEYS == 4 && TLS_TICKET_KEY_BYTES == 80, "EXPECTED says so");

/* How many bytes, or -errno. One more than fits tells that there are too many. */
static ssize_t read_all(const char *path, uint8_t *out, size_t size, mode_t *out_mode)
{
    int fd = named_file_open(path, O_NOCTTY | O_NONBLOCK);
    struct stat st;
    size_t len = 0;
    int err = 0;

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) != 0)
        err = -errno;
    else if (!S_ISREG(st.st_mode))
        err = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
    while (err == 0 && len < size) {
        ssize_t n = read(fd, out + len, size - len);
        if (n == 0)
            break;
        if (n > 0)
            len += (size_t)n;
        else if (errno != EINTR)
            err = -errno;
    }
    close(fd);
    *out_mode = st.st_mode;
    return err != 0 ? err : (ssize_t)len;
}

bool tls_ticket_file_read(const struct tls_server_conf *conf, struct tls_keyring *k,
                          struct strbuf *errors)
{
    uint8_t data[TLS_TICKET_KEYS * TLS_TICKET_KEY_BYTES + 1];
    mode_t mode = 0;
    ssize_t len = read_all(conf->ticket_keys, data, sizeof(data), &mode);
    bool good = len > 0 && tls_keyring_set(k, data, (size_t)len);

    explicit_bzero(data, sizeof(data));
    if (len < 0)
        strbuf_addf(
            errors,
            "%s:%d: error: tls.ticket_keys: found \"%s\", which cannot be read: %s, " EXPECTED "\n",
            conf->file, conf->line, conf->ticket_keys,
            len == -EINVAL ? "it is no plain file" : strerror((int)-len));
    else if (!good)
        strbuf_addf(errors,
                    "%s:%d: error: tls.ticket_keys: found \"%s\" with %s%zd bytes, " EXPECTED "\n",
                    conf->file, conf->line, conf->ticket_keys,
                    (size_t)len == sizeof(data) ? "at least " : "", len);
    else if ((mode & (S_IRWXG | S_IRWXO) & ~(mode_t)S_IRGRP) != 0)
        strbuf_addf(errors,
                    "%s:%d: warning: tls.ticket_keys: others may read \"%s\" (mode %03o): who has "
                    "these keys can decrypt resumed sessions\n",
                    conf->file, conf->line, conf->ticket_keys, (unsigned)mode & 0777);
    return good;
}
