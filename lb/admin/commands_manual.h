/* commands_manual.h - etc/man/sluice-ctl.1: the stats socket's commands as a manual page. */
#ifndef SLUICE_ADMIN_COMMANDS_MANUAL_H
#define SLUICE_ADMIN_COMMANDS_MANUAL_H

#include <stdio.h>

/* The page, from the rows of the commands. */
void commands_print_manual(FILE *out);
/* Their words alone, one command a line: "show stat". For the shells' completion. */
void commands_print_words(FILE *out);

#endif
