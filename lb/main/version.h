/* version.h - what -v and -V print. */
#ifndef SLUICE_MAIN_VERSION_H
#define SLUICE_MAIN_VERSION_H

#include <stdio.h>

#define VERSION_RELEASE_DATE "2026/11/22" /* as HAProxy's show info has it */

void version_print(FILE *out);       /* one line */
void version_print_build(FILE *out); /* features, libraries, the engines' probe */

#endif
