/* log_syslog.c - lines as datagrams in the BSD syslog format (RFC 3164): over UDP with the host's
 * name, to a socket of this machine without it, as its libc does. Facility daemon. */
#include "lb/base/log_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SYSLOG_PORT     514
#define SYSLOG_FACILITY 3u   /* daemon */
#define SYSLOG_TEXT_MAX 8192 /* bytes; receivers cut where they like, rarely above this */
#define STUCK_MS_MAX    100

/* "1.2.3.4", "1.2.3.4:514", "::1", "[::1]", "[::1]:514"; no names: logging asks no DNS. */
static int parse_inet(const char *text, struct log_syslog *sl)
{
    char host[INET6_ADDRSTRLEN + 2];
    const char *port_text = NULL;
    const char *end = text + strlen(text), *host_end = end;
    if (text[0] == '[') {
        text++;
        host_end = strchr(text, ']');
        if (host_end == NULL || (host_end[1] != '\0' && host_end[1] != ':'))
            return -EINVAL;
        if (host_end[1] == ':')
            port_text = host_end + 2;
    } else if (strchr(text, ':') != NULL && strchr(text, ':') == strrchr(text, ':')) {
        host_end = strchr(text, ':');
        port_text = host_end + 1;
    }
    if ((size_t)(host_end - text) >= sizeof(host))
        return -EINVAL;
    memcpy(host, text, (size_t)(host_end - text));
    host[host_end - text] = '\0';

    unsigned port = SYSLOG_PORT;
    if (port_text != NULL) {
        size_t digits = strspn(port_text, "0123456789");
        if (digits == 0 || digits > 5 || port_text[digits] != '\0')
            return -EINVAL;
        port = (unsigned)atoi(port_text);
        if (port == 0 || port > 65535)
            return -EINVAL;
    }
    struct sockaddr_in *in = (struct sockaddr_in *)&sl->addr;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&sl->addr;
    if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)port);
        sl->addr_len = sizeof(*in);
        return 0;
    }
    if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)port);
        sl->addr_len = sizeof(*in6);
        return 0;
    }
    return -EINVAL;
}

static int parse_unix(const char *path, struct log_syslog *sl)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&sl->addr;
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof(un->sun_path))
        return -EINVAL;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, len + 1);
    sl->addr_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    return 0;
}

/* A connected socket, or -errno. */
static int dial(const struct log_syslog *sl)
{
    int fd = socket(sl->addr.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&sl->addr, sl->addr_len) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

int log_syslog_open(struct log_sink *s, const char *addr, const char **out_error)
{
    struct log_syslog *sl = &s->syslog;
    int rc;
    if (strncmp(addr, "unix:", 5) == 0)
        rc = parse_unix(addr + 5, sl);
    else if (addr[0] == '/')
        rc = parse_unix(addr, sl);
    else
        rc = parse_inet(addr, sl);
    if (rc < 0) {
        *out_error = "expected syslog:IP[:PORT] or syslog:unix:/path";
        return rc;
    }
    sl->pid = (int)getpid();
    if (sl->addr.ss_family != AF_UNIX) {
        if (gethostname(sl->host, sizeof(sl->host) - 1) < 0 || sl->host[0] == '\0')
            snprintf(sl->host, sizeof(sl->host), "localhost");
        sl->host[strcspn(sl->host, ". \t")] = '\0'; /* RFC 3164: without the domain */
    }
    int fd = dial(sl);
    if (fd < 0) {
        *out_error = strerrordesc_np(-fd);
        return fd;
    }
    s->fd = fd;
    return 0;
}

static size_t format(const struct log_syslog *sl, uint8_t tag, const char *line, size_t len,
                     char out[static SYSLOG_TEXT_MAX])
{
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    static const unsigned severities[] = {
        [LOG_LEVEL_ERROR] = 3,
        [LOG_LEVEL_WARN] = 4,
        [LOG_LEVEL_INFO] = 6,
        [LOG_LEVEL_DEBUG] = 7,
    };
    if ((tag & LOG_TAG_STAMPED) != 0 && len > LOG_STAMP_LEN) {
        line += LOG_STAMP_LEN; /* syslog has a time of its own */
        len -= LOG_STAMP_LEN;
    }
    if (len > 0 && line[len - 1] == '\n')
        len--;
    time_t now = time(NULL);
    struct tm tm;
    localtime_r(&now, &tm); /* RFC 3164 wants local time */
    int n = snprintf(out, SYSLOG_TEXT_MAX, "<%u>%s %2d %02d:%02d:%02d %s%ssluice[%d]: ",
                     SYSLOG_FACILITY * 8 + severities[tag & LOG_TAG_LEVEL], months[tm.tm_mon],
                     tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, sl->host,
                     sl->host[0] != '\0' ? " " : "", sl->pid);
    sl_assert(n > 0 && n < 256);
    size_t room = SYSLOG_TEXT_MAX - (size_t)n;
    if (len > room)
        len = room;
    memcpy(out + n, line, len);
    return (size_t)n + len;
}

bool log_syslog_send(struct log_sink *s, uint8_t tag, const char *line, size_t len)
{
    char text[SYSLOG_TEXT_MAX];
    size_t n = format(&s->syslog, tag, line, len, text);
    bool redialled = false, waited = false;
    for (;;) {
        if (s->fd >= 0 && send(s->fd, text, n, MSG_NOSIGNAL) >= 0)
            return true;
        if (s->fd >= 0 && errno == EINTR)
            continue;
        if (s->fd >= 0 && errno == EAGAIN) {
            if (waited || log_thread_stopping())
                return false;
            waited = true;
            poll(&(struct pollfd){.fd = s->fd, .events = POLLOUT}, 1, STUCK_MS_MAX);
            continue;
        }
        /* UDP reports the refusal of an earlier datagram; a local syslog daemon that was restarted
         * has a new socket. Both are over with a new try. */
        if (redialled)
            return false;
        redialled = true;
        int fd = dial(&s->syslog);
        if (fd < 0)
            return false;
        if (s->fd >= 0)
            close(s->fd);
        s->fd = fd;
    }
}
