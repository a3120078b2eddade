/* What both ends hold: a model's layers in the order of coding, the weights of their rows and columns, and which cells changed
   recently or were coded before. FORMAT.md, "Set" and "Tables". */
#ifndef SURP_MODEL_H
#define SURP_MODEL_H

#include "coder.h"
#include "surp.h"

enum { NO_CONTEXT, OF_MODEL, OF_HISTORY };

#define MOST_COORDINATES (UINT32_C(1) << 30)

/* The rest of the workspace. */
typedef struct {
    unsigned char *at;
    size_t used;
} room;

void *taken(room *r, size_t count, size_t size);

/* A set of cells, which counts those before a cell. */
typedef struct {
    uint64_t *words;
    uint32_t *sums; /* a Fenwick tree over the words */
    uint32_t word_count, marked;
} marks;

void marks_make(marks *m, room *r, uint32_t cells);
bool marks_add(marks *m, uint32_t cell); /* whether it is new */
uint32_t marks_before(const marks *m, uint32_t cell);

typedef struct {
    uint32_t rows, columns, cells;
    uint32_t start;      /* its first coordinate in the vector */
    uint32_t first_cell; /* its first cell among those of all layers */
    bool is_recent, has_tables, has_exponents;
    /* With tables: by rank, which row it is, its log2 weight, and the sum of the weights before it; columns alike. */
    uint32_t *row_of, *column_of;
    int16_t *row_logs, *column_logs;
    uint64_t *row_sums, *column_sums;
    uint64_t picks; /* in earlier groups */
    uint64_t prior; /* p */
} layer;

typedef struct {
    layer *layers;
    uint32_t layer_count, coordinates, cells;
    uint64_t priors;             /* sum over the layers */
    const uint32_t *recent_list; /* coordinates of the recent layer */
    const float *model, *before; /* if there is a recent layer */
    marks recent, coded;         /* the first of cells of other layers */
    uint32_t digest;
} context;

uint64_t model_coordinates(const surp_model *model); /* MOST_COORDINATES or more: too many */
void context_make(context *x, const surp_model *model, int kind, room *r);
void layer_weigh(layer *l, unsigned row_exponent, unsigned column_exponent);
uint32_t surp_crc(uint32_t crc, const void *bytes, size_t count);

/* The coordinate of a cell, by its place within its layer; and its own sign's bit, of a recent one: did the model fall? */
uint32_t coordinate_of(const context *x, const layer *l, uint32_t row, uint32_t column);
bool model_fell(const context *x, uint32_t coordinate);

/* The frame around a body of `surp`: the context it names, as if missing bytes were 0; what the check covers beside the
   message; and the frame put before a body that is in its place. */
int frame_kind(const uint8_t *body, size_t length);
uint32_t frame_data(const surp_model *model, int kind, void *workspace);
void frame_put(uint8_t *message, size_t length, uint32_t data);

#endif
