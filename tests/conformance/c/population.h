/* 200,000 units through several experiments, as one checksum. */
#ifndef POPULATION_H
#define POPULATION_H

#include <jansson.h>
#include <stdio.h>

void run_population(FILE *out, const char *file, const json_t *c);

#endif
