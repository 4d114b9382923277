/* advice.c - see advice.h
 *
 * The bounds are those below which a busy proxy is known to suffer; today's defaults of
 * distributions pass, so that a plain machine is not nagged. */
#include "lb/main/advice.h"

#include <limits.h>
#include <stdio.h>

#define SOMAXCONN_MIN   4096  /* the kernel's own default since 5.4 */
#define SYN_BACKLOG_MIN 1024  /* matters while SYN cookies are off */
#define PORTS_MIN       16384 /* toward one backend address; the default range has 28232 */
#define FILES_MIN       4096

static bool read_numbers(const char *root, const char *name, unsigned long long out[static 2],
                         int n)
{
    char path[PATH_MAX], line[128];

    snprintf(path, sizeof(path), "%s/proc/sys/%s", root, name);
    FILE *f = fopen(path, "re");
    bool ok = f != NULL && fgets(line, sizeof(line), f) != NULL;
    if (f != NULL)
        fclose(f);
    return ok && sscanf(line, "%llu %llu", &out[0], &out[1]) == n;
}

static void about_listeners(const char *root, struct strbuf *out)
{
    unsigned long long n[2], cookies[2];

    if (read_numbers(root, "net/core/somaxconn", n, 1) && n[0] < SOMAXCONN_MIN)
        strbuf_addf(
            out,
            "net.core.somaxconn = %llu: when more connections come at once, they wait for a "
            "second try; sysctl -w net.core.somaxconn=%d\n",
            n[0], SOMAXCONN_MIN);
    if (read_numbers(root, "net/ipv4/tcp_max_syn_backlog", n, 1) && n[0] < SYN_BACKLOG_MIN &&
        read_numbers(root, "net/ipv4/tcp_syncookies", cookies, 1) && cookies[0] == 0)
        strbuf_addf(out,
                    "net.ipv4.tcp_max_syn_backlog = %llu without SYN cookies: a burst of new "
                    "connections is dropped; sysctl -w net.ipv4.tcp_syncookies=1 (or "
                    "net.ipv4.tcp_max_syn_backlog=%d)\n",
                    n[0], SYN_BACKLOG_MIN);
}

static void about_backends(const char *root, struct strbuf *out)
{
    unsigned long long n[2];

    if (read_numbers(root, "net/ipv4/ip_local_port_range", n, 2) && n[1] >= n[0] &&
        n[1] - n[0] + 1 < PORTS_MIN)
        strbuf_addf(out,
                    "net.ipv4.ip_local_port_range = %llu %llu: at most %llu connections to one "
                    "backend; sysctl -w net.ipv4.ip_local_port_range=\"10240 65535\"\n",
                    n[0], n[1], n[1] - n[0] + 1);
}

void advice_collect(const char *root, const struct advice_about *about, struct strbuf *out)
{
    unsigned long long n[2];

    if (about->tcp_listeners)
        about_listeners(root, out);
    if (about->tcp_backends)
        about_backends(root, out);
    if (about->files < FILES_MIN && !about->files_suffice)
        strbuf_addf(out,
                    "at most %llu open files, so %u connections: raise the limit (LimitNOFILE= of "
                    "systemd, --ulimit nofile= of a container, ulimit -Hn)\n",
                    (unsigned long long)about->files, about->max_connections);
    if (read_numbers(root, "fs/file-max", n, 1) && n[0] < about->files)
        strbuf_addf(out,
                    "fs.file-max = %llu: the whole machine may have fewer open files than this "
                    "process alone (%llu); sysctl -w fs.file-max=%llu\n",
                    n[0], (unsigned long long)about->files, 2 * (unsigned long long)about->files);
}
