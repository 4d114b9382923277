/* command_line.h - how a line of the stats socket falls into commands and words. Pure.
 * `;` separates commands, blanks separate words, a backslash takes the next `;`, blank or
 * backslash literally. */
#ifndef SLUICE_ADMIN_COMMAND_LINE_H
#define SLUICE_ADMIN_COMMAND_LINE_H

#include "lb/base/str.h"

#include <stdint.h>

/* Cuts the next command off *line, without blanks around it; it may be empty. False: none left. */
bool command_line_next(struct str *line, struct str *out_command);

/* Splits a command into at most max words, decoded into buf (command.len bytes); returns how many.
 * Words beyond max are ignored. */
uint32_t command_line_words(struct str command, char *buf, struct str *words, uint32_t max);

#define COMMAND_PAYLOAD_END_MAX 64 /* bytes of a payload's end mark */
/* Whether the line ends in " <<" or " <<MARK": a payload follows, up to an empty line or to MARK.
 * Cuts that off the line. A mark that is too long is none. */
bool command_line_payload(struct str *line, struct str *out_mark);

#endif
