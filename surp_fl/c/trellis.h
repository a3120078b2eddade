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

/* Components that may be written, of a layer that may have factors: singular vectors, largest first, times their values. */
typedef struct {
    const layer *of;
    uint32_t count;
    double *values;
    float *lefts, *rights; /* one after another */
} components;

/* Writes those that are large enough for a step, as FORMAT.md's d, and takes them off `rest`; found: one for each layer that
   may have factors. */
void factors_write(coder *c, const context *x, const components *found, float *rest, uint32_t coded, room *r);

/* Reads what follows the flag of terms; values are added to `result`, whose zeros are the sums of terms. */
void trellis_read(coder *c, const context *x, float *result, room *r);

/* Writes an update with a step, of which `coded` is FORMAT.md's d; by how much the levels lower the sum of squares. */
double trellis_write(coder *c, const context *x, const float *update, uint32_t coded, room *r);

#endif
