/* Writes a line of results: the format of tests/conformance/README.md. */
#ifndef LINES_H
#define LINES_H

#include <evenhand.h>
#include <stdbool.h>
#include <stdio.h>

/* A JSON string, ASCII only; null for no text. */
void write_text(FILE *out, EvenhandText text);
/* `"name":` behind a comma unless it is the first member. */
void write_name(FILE *out, bool first, const char *name);
EvenhandText text_of(const char *terminated);

#endif
