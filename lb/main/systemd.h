/* systemd.h - telling systemd how we are (sd_notify's protocol, without its library).
 * Silent and without effect where nobody listens: NOTIFY_SOCKET is not set. */
#ifndef SLUICE_MAIN_SYSTEMD_H
#define SLUICE_MAIN_SYSTEMD_H

#include "lb/base/assert.h"

#include <stdint.h>

/* One message of lines `KEY=value`, e.g. "READY=1\nSTATUS=…". 0 when sent or nobody listens, else
 * -errno. Never blocks. */
int systemd_notify(const char *message);
/* The same with a STATUS line; control bytes in it become spaces. */
int systemd_status(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* How often to send WATCHDOG=1, in milliseconds: half of what was asked for; 0: not asked for.
 * A WATCHDOG_PID of another process counts as not asked for. */
uint32_t systemd_watchdog_ms(void);
/* The control thread is busy for longer than usual, and gets on: the watchdog shall not bark. */
void systemd_still_here(void);
/* The service is another process' from now on: nothing is told any more. */
void systemd_mute(void);
/* We have taken the place of a process whose watchdog was so long (0: it had none): systemd waits
 * for our pings now, though it has not told us so. Before threads. */
void systemd_inherit_watchdog(uint64_t usec);

#endif
