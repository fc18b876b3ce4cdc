/* Builds a context from what a case says of it (tests/vectors/README.md, "How a context value is written"). */
#ifndef CONTEXTS_H
#define CONTEXTS_H

#include <evenhand.h>
#include <jansson.h>

EvenhandText json_text(const json_t *string);
/* Exits on a case that can't be carried out. */
EvenhandContext *context_of(const json_t *c);

#endif
