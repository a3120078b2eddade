/* The trellis mode: a level for each coordinate, in contexts that adapt. Read, or written. FORMAT.md, "Trellis mode". */
#ifndef SURP_TRELLIS_H
#define SURP_TRELLIS_H

#include "model.h"

/* Low-rank factors of layers, and what they add. FORMAT.md, "Factors". */
typedef struct factors factors;
factors *factors_none(const context *x, room *r);
void factors_read(coder *c, const context *x, factors *f, double *sums, room *r);
bool factors_pending(const factors *f); /* whether the bytes ended within them */
void factors_add(coder *c, factors *f, double *sums);

/* Reads what follows the flag of terms; values are added to `result`, whose zeros are the sums of terms. */
void trellis_read(coder *c, const context *x, float *result, room *r);

/* Writes an update with a step, of which `coded` is FORMAT.md's d; by how much the levels lower the sum of squares. */
double trellis_write(coder *c, const context *x, const float *update, uint32_t coded, room *r);

#endif
