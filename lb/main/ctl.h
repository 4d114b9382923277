/* ctl.h - the clients of the stats socket among the commands. argv[0] is the command's name; both
 * return an exit code. */
#ifndef SLUICE_MAIN_CTL_H
#define SLUICE_MAIN_CTL_H

#include "lb/base/str.h"

int ctl_main(int argc, char **argv);         /* `sluice ctl [-s SOCKET] COMMAND` */
int healthcheck_main(int argc, char **argv); /* `sluice healthcheck [-s SOCKET]` */

/* SLUICE_SOCKET of the environment, or the usual place. */
const char *ctl_default_socket(void);
/* For commands that are one question: sends the line (ends in a newline, asks for severities as
 * numbers first) and gives the last answer with its severity, 0 for data. 0, or -1 after a message
 * that begins with `name`. */
int ctl_ask_one(const char *name, const char *path, struct str line, struct strbuf *out,
                int *out_severity) WARN_UNUSED;

#endif
