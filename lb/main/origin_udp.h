/* origin_udp.h - a backend of mode udp for demos, tests and benchmarks: an echo. */
#ifndef SLUICE_MAIN_ORIGIN_UDP_H
#define SLUICE_MAIN_ORIGIN_UDP_H

#include <stdbool.h>

struct echo;
struct loop;

/* fd stays the caller's. */
struct echo *echo_new(struct loop *loop, int fd);
void echo_stop(struct echo *e);
bool echo_stopped(const struct echo *e);
void echo_free(struct echo **e); /* stopped */

#endif
