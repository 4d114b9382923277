/* top.h - `sluice top [-s SOCKET]`: a live view in the terminal, fed by the stats socket. */
#ifndef SLUICE_MAIN_TOP_H
#define SLUICE_MAIN_TOP_H

/* argv[0] is the command's name; returns an exit code. */
int top_main(int argc, char **argv);

#endif
