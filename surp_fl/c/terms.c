/* The search for rank-one terms: alternating, the best signs of the rows for those of the columns, and so on. */
#include "terms.h"

#include <math.h>
#include <string.h>

enum { MOST_ALTERNATIONS = 8, SIGN_PASSES = 3, BITS_BESIDE_SIGNS = 12 };

static const double LEAST_CHANGE = 1.001; /* of what a term takes away, by which another alternation is worth its time */

/* The best term of a layer. */
typedef struct {
    int8_t *signs;
    double magnitude, gain, bits;
} candidate;

/* Signs of what is larger than half the mean of those that have one, which takes away most; how many these are. */
static uint32_t signs_of(const double *values, uint32_t count, int8_t *signs)
{
    double threshold = 0;
    uint32_t found = 0;
    for (int pass = 0; pass < SIGN_PASSES; pass++) {
        double sum = 0;
        found = 0;
        for (uint32_t i = 0; i < count; i++) {
            bool told = fabs(values[i]) > threshold;
            signs[i] = told ? (values[i] < 0 ? -1 : 1) : 0;
            sum += told ? fabs(values[i]) : 0;
            found += told;
        }
        threshold = found > 0 ? sum / found / 2 : 0;
    }
    return found;
}

/* A row of a layer, in the order of coordinates: terms are sought without tables. */
static const float *row_of(const layer *l, const float *rest, uint32_t row)
{
    return rest + l->start + (size_t)row * l->columns;
}

/* Sums over the columns for each row, with the columns' signs. */
static void project_onto_rows(const layer *l, const float *rest, const int8_t *signs, double *sums)
{
    for (uint32_t row = 0; row < l->rows; row++) {
        const float *values = row_of(l, rest, row);
        sums[row] = 0;
        for (uint32_t column = 0; column < l->columns; column++)
            sums[row] += signs[column] * (double)values[column];
    }
}

/* Sums over the rows for each column, with the rows' signs. */
static void project_onto_columns(const layer *l, const float *rest, const int8_t *signs, double *sums)
{
    memset(sums, 0, l->columns * sizeof *sums);
    for (uint32_t row = 0; row < l->rows; row++) {
        const float *values = row_of(l, rest, row);
        for (uint32_t column = 0; signs[row] != 0 && column < l->columns; column++)
            sums[column] += signs[row] * (double)values[column];
    }
}

static double entropy_of(uint32_t told, uint32_t count)
{
    double share = (double)told / count, bits = told;
    if (told > 0 && told < count)
        bits -= count * (share * log2(share) + (1 - share) * log2(1 - share));
    return bits + 4;
}

static void search(const layer *l, const float *rest, candidate *best, double *sums)
{
    int8_t *of_rows = best->signs, *of_columns = best->signs + l->rows;
    uint32_t largest = 0, rows = 0, columns = 0;
    double most = -1, before = -1;
    for (uint32_t row = 0; row < l->rows; row++) {
        const float *values = row_of(l, rest, row);
        double square = 0;
        for (uint32_t column = 0; column < l->columns; column++)
            square += (double)values[column] * values[column];
        largest = square > most ? row : largest;
        most = square > most ? square : most;
    }
    for (uint32_t column = 0; column < l->columns; column++)
        of_columns[column] = row_of(l, rest, largest)[column] < 0 ? -1 : 1;
    best->gain = 0;
    for (int i = 0; i < MOST_ALTERNATIONS && best->gain > LEAST_CHANGE * before; i++) {
        before = best->gain;
        project_onto_rows(l, rest, of_columns, sums);
        rows = signs_of(sums, l->rows, of_rows);
        project_onto_columns(l, rest, of_rows, sums);
        columns = signs_of(sums, l->columns, of_columns);
        double sum = 0, cells = (double)rows * columns;
        for (uint32_t column = 0; column < l->columns; column++)
            sum += of_columns[column] * sums[column];
        best->magnitude = cells > 0 ? sum / cells : 0;
        best->gain = best->magnitude * sum;
    }
    best->bits = entropy_of(rows, l->rows) + entropy_of(columns, l->columns) + BITS_BESIDE_SIGNS;
}

void term_take(const term *t, const context *x, float *rest)
{
    const layer *l = term_layer(x, t->place);
    double magnitude = magnitude_of(t->code);
    for (uint32_t row = 0; row < l->rows; row++)
        for (uint32_t column = 0; t->signs[row] != 0 && column < l->columns; column++)
            rest[coordinate_of(x, l, row, column)] -= (float)(t->signs[row] * t->signs[l->rows + column] * magnitude);
}

void terms_find(terms *found, const context *x, float *rest, uint64_t most_bits, room *r)
{
    uint32_t places = term_layers(x), longest = 0;
    candidate *best = taken(r, places, sizeof *best);
    for (uint32_t place = 0; place < places; place++) {
        const layer *l = term_layer(x, place);
        best[place].signs = taken(r, (size_t)l->rows + l->columns, 1);
        longest = l->rows > longest ? l->rows : longest;
        longest = l->columns > longest ? l->columns : longest;
    }
    double *sums = taken(r, longest, sizeof *sums), bits = 0;
    size_t kept = 0;
    for (uint32_t place = 0; place < places; place++)
        search(term_layer(x, place), rest, &best[place], sums);
    for (found->count = 0; found->count < MOST_TERMS; found->count++) {
        uint32_t next = 0;
        for (uint32_t place = 1; place < places; place++)
            if (best[place].gain * best[next].bits > best[next].gain * best[place].bits)
                next = place;
        if (places == 0 || !(best[next].gain > 0) || bits + best[next].bits > (double)most_bits)
            return;
        const layer *l = term_layer(x, next);
        size_t signs = (size_t)l->rows + l->columns;
        kept += signs + 8;
        if (kept > x->coordinates) /* what the workspace has for them */
            return;
        int8_t *own = taken(r, signs, 1);
        memcpy(own, best[next].signs, signs);
        bits += best[next].bits;
        found->each[found->count] = (term){next, code_of(best[next].magnitude), own};
        found->bits[found->count] = (uint64_t)bits;
        term_take(&found->each[found->count], x, rest);
        search(l, rest, &best[next], sums);
    }
}
