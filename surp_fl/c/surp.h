/* Read and write surp-fl's messages without Python: C99, no dependency, nothing allocated.

   The format is ../FORMAT.md; this was written from that page and shares no code with the library. It reads messages of the
   schemes `surp`, with every context and mode, and `dense`, and writes those of `surp`. To build it:

       cc -std=c99 -O2 -ffp-contract=off -c coder.c model.c groups.c trellis.c terms.c low_rank.c decode.c encode.c
       ar rcs libsurp.a coder.o model.o groups.o trellis.o terms.o low_rank.o decode.o encode.o
       cc your_client.c libsurp.a -lm

   No global state: calls for different results may run at the same time. Any bytes are safe to decode: the result is finite
   numbers or an error. The time that they take is bounded by their length and the model's size. */
#ifndef SURP_H
#define SURP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SURP_HEADER_BYTES = 4 };

typedef enum {
    SURP_OK = 0,
    SURP_MALFORMED = 1,       /* no encoder writes these bytes */
    SURP_DAMAGED = 2,         /* its check does not hold: damage, or another model, or another reference */
    SURP_NO_REFERENCE = 3,    /* it was coded against a model that was not given */
    SURP_UNKNOWN_VERSION = 4, /* of another version of the format */
    SURP_UNKNOWN_SCHEME = 5,  /* of a scheme that is not read here */
    SURP_INVALID = 6          /* an argument: too many coordinates, a budget too small, a value that is not finite */
} surp_status;

/* An array of the model: rows is the length of its first axis, columns the product of all others; an array of fewer than two
   dimensions is one row. Both may be 0. */
typedef struct {
    uint32_t rows, columns;
} surp_array;

/* A model: its arrays, in its order, with fewer than 2^30 coordinates in all, which are end to end in every vector here.

   fingerprint: CRC-32 of the lines "name [shape]", joined by newlines; see surp_fingerprint.
   model: what the client was sent; NULL if it is not at hand: messages without context need none.
   before: what it was sent before that; or NULL. */
typedef struct {
    const surp_array *arrays;
    size_t array_count;
    uint32_t fingerprint;
    const float *model, *before;
} surp_model;

/* The fingerprint of a model, from the names of its arrays and all their lengths; axes[i] of them for array i. */
uint32_t surp_fingerprint(size_t array_count, const char *const *names, const size_t *axes, const size_t *const *lengths);

/* Bytes that decoding and encoding need beside the result: at most 25 for each coordinate, 320 for each array, and 160,000;
   0 if there are too many coordinates. */
size_t surp_workspace(const surp_model *model);

/* Decode a message.

   result: one float for each coordinate; unspecified unless SURP_OK.
   workspace: surp_workspace(model) bytes, aligned for a double; nothing in it need be kept. */
surp_status surp_decode(const uint8_t *message, size_t length, const surp_model *model, float *result, void *workspace);

/* Encode an update in at most `budget` bytes: what matters most is told, in groups of coordinates that share a magnitude or, for
   larger budgets, in trellis mode. What was not told is yours to keep, for the next round: decode the message to find it.

   update: one float for each coordinate.
   message: `budget` bytes, at least 5.
   length: how many were written; unspecified unless SURP_OK.
   told: one float for each coordinate: what the message decodes to; not the memory of `update`.
   workspace: as for decoding. */
surp_status surp_encode(const float *update, size_t budget, const surp_model *model, uint8_t *message, size_t *length,
                        float *told, void *workspace);

#ifdef __cplusplus
}
#endif

#endif
