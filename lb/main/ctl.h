/* ctl.h - the clients of the stats socket among the commands. argv[0] is the command's name; both
 * return an exit code. */
#ifndef SLUICE_MAIN_CTL_H
#define SLUICE_MAIN_CTL_H

int ctl_main(int argc, char **argv);         /* `sluice ctl [-s SOCKET] COMMAND` */
int healthcheck_main(int argc, char **argv); /* `sluice healthcheck [-s SOCKET]` */

#endif
