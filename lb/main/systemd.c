/* systemd.c - see systemd.h */
#include "lb/main/systemd.h"

#include "lb/base/str.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static bool muted;

void systemd_mute(void)
{
    muted = true;
}

void systemd_inherit_watchdog(uint64_t usec)
{
    char text[32];

    if (usec == 0 || getenv("WATCHDOG_USEC") != NULL)
        return;
    snprintf(text, sizeof(text), "%llu", (unsigned long long)usec);
    setenv("WATCHDOG_USEC", text, 1);
    unsetenv("WATCHDOG_PID");
}

int systemd_notify(const char *message)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};

    if (muted || path == NULL || *path == '\0')
        return 0;
    size_t len = strlen(path);
    if ((path[0] != '/' && path[0] != '@') || len >= sizeof(to.sun_path))
        return -EINVAL;
    memcpy(to.sun_path, path, len);
    if (path[0] == '@')
        to.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    socklen_t to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    ssize_t n = sendto(fd, message, strlen(message), MSG_NOSIGNAL, (struct sockaddr *)&to, to_len);
    int rc = n < 0 ? -errno : 0;
    close(fd);
    return rc;
}

int systemd_status(const char *fmt, ...)
{
    char text[256] = "STATUS=";
    size_t start = strlen(text);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text + start, sizeof(text) - start, fmt, ap);
    va_end(ap);
    for (char *p = text; *p != '\0'; p++)
        if ((unsigned char)*p < ' ') /* a newline would begin another variable */
            *p = ' ';
    return systemd_notify(text);
}

uint32_t systemd_watchdog_ms(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    uint64_t asked, whose;

    if (usec == NULL || str_u64(str_of(usec), 1ULL << 52, &asked) < 0 || asked == 0)
        return 0;
    if (pid != NULL &&
        (str_u64(str_of(pid), UINT32_MAX, &whose) < 0 || whose != (uint64_t)getpid()))
        return 0;
    uint64_t half_ms = asked / 2000;
    if (half_ms == 0)
        half_ms = 1;
    return half_ms < UINT32_MAX ? (uint32_t)half_ms : UINT32_MAX;
}

void systemd_still_here(void)
{
    if (systemd_watchdog_ms() > 0)
        systemd_notify("WATCHDOG=1");
}
