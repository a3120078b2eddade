/* The components of layers that are worth telling as factors: for the encoder alone. */
#ifndef SURP_LOW_RANK_H
#define SURP_LOW_RANK_H

#include "trellis.h"

/* Finds components of each layer that may have factors, as many as `most_bits` could tell.

   rest: the update, one float for each coordinate; then what all of them leave. */
components *components_find(const context *x, float *rest, uint64_t most_bits, room *r);

#endif
