/* Which rank-one terms are worth telling: for the encoder alone. */
#ifndef SURP_TERMS_H
#define SURP_TERMS_H

#include "groups.h"

enum { MOST_TERMS = 256 };

typedef struct {
    term each[MOST_TERMS];
    uint64_t bits[MOST_TERMS]; /* about how many they take, with those before */
    uint32_t count;
} terms;

/* Finds terms, one after the other, by what they take away for each bit, until they take about `most_bits`.

   rest: the update, one float for each coordinate; then what is left of it. */
void terms_find(terms *found, const context *x, float *rest, uint64_t most_bits, room *r);

/* Takes a term off. */
void term_take(const term *t, const context *x, float *rest);

#endif
