/* Groups of coordinates that share a magnitude, and rank-one terms: read, or written. FORMAT.md, "Body", "Terms", "Set" and "Split". */
#ifndef SURP_GROUPS_H
#define SURP_GROUPS_H

#include "model.h"

enum { MOST_PICKS = 131071, MOST_GROUPS = 4096, MOST_CODE = 8191 };

/* A group that is to be written: its cells in ascending order, each as cell · 2 + (1 if negative). */
typedef struct {
    uint32_t count, code;
    const uint32_t *picks;
} group;

/* Frequencies that a split may need at once. */
static inline size_t frequencies_of(const context *x)
{
    return (x->coordinates < MOST_PICKS ? x->coordinates : MOST_PICKS) + 1;
}

double magnitude_of(uint32_t code);
uint32_t code_of(double magnitude); /* the nearest */

/* A term that is to be written: its place among the layers that may have some, and signs (1, -1 or 0) by rank, of rows, then
   of columns. */
typedef struct {
    uint32_t place, code;
    const int8_t *signs;
} term;

/* The layers that may have terms: how many, and the one at a place. */
uint32_t term_layers(const context *x);
layer *term_layer(const context *x, uint32_t place);

/* Reads terms and adds them to sums, one for each coordinate; or writes some. */
void terms_walk(coder *c, context *x, double *sums, room *r, const term *told, uint32_t told_count);

/* Reads groups, to the end, and adds them to sums; or writes some. `frequencies` has frequencies_of(x) places. */
void groups_walk(coder *c, context *x, double *sums, uint32_t *frequencies, const group *told, uint32_t told_count);

#endif
