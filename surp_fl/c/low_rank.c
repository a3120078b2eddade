/* Singular vectors by the power method, one pair after the other, each of what those before leave. */
#include "low_rank.h"
#include "groups.h"

#include <math.h>
#include <string.h>

enum { ITERATIONS = 5 };

static const double LEAST_BITS_OF_VALUE = 1, LEAST_SHARE = 1e-4; /* in factors; of the first singular value */

static double norm_of(const float *values, uint32_t count)
{
    double sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += (double)values[i] * values[i];
    return sqrt(sum);
}

static void scale(float *values, uint32_t count, double by)
{
    for (uint32_t i = 0; i < count; i++)
        values[i] = (float)(values[i] * by);
}

/* The row of largest norm. */
static const float *largest_row(const float *matrix, uint32_t rows, uint32_t columns)
{
    const float *found = matrix;
    double most = 0;
    for (uint32_t row = 0; row < rows; row++) {
        double norm = norm_of(matrix + (size_t)row * columns, columns);
        if (norm > most) {
            most = norm;
            found = matrix + (size_t)row * columns;
        }
    }
    return found;
}

/* Takes off about the first component of a matrix; its singular value, with which both vectors are multiplied, or 0. */
static double take_component(float *matrix, uint32_t rows, uint32_t columns, float *left, float *right)
{
    memcpy(right, largest_row(matrix, rows, columns), columns * sizeof *right);
    for (int iteration = 0; iteration < ITERATIONS; iteration++) {
        double norm = norm_of(right, columns);
        if (!(norm > 0))
            return 0;
        scale(right, columns, 1 / norm);
        for (uint32_t row = 0; row < rows; row++) {
            double sum = 0;
            for (uint32_t column = 0; column < columns; column++)
                sum += (double)matrix[(size_t)row * columns + column] * right[column];
            left[row] = (float)sum;
        }
        norm = norm_of(left, rows);
        if (!(norm > 0))
            return 0;
        scale(left, rows, 1 / norm);
        memset(right, 0, columns * sizeof *right);
        for (uint32_t row = 0; row < rows; row++)
            for (uint32_t column = 0; column < columns; column++)
                right[column] += left[row] * matrix[(size_t)row * columns + column];
    }
    for (uint32_t row = 0; row < rows; row++)
        for (uint32_t column = 0; column < columns; column++)
            matrix[(size_t)row * columns + column] -= left[row] * right[column];
    double value = norm_of(right, columns);
    scale(left, rows, value);
    return value;
}

components *components_find(const context *x, float *rest, uint64_t most_bits, room *r)
{
    components *found = taken(r, term_layers(x), sizeof *found), *next = found;
    for (const layer *l = x->layers; l < x->layers + x->layer_count; l++) {
        if (l->rows < 4 || l->columns < 4)
            continue;
        uint64_t sides = (uint64_t)l->rows + l->columns, most = l->cells / sides;
        double affordable = (double)most_bits / ((double)sides * LEAST_BITS_OF_VALUE);
        most = affordable < (double)most ? (uint64_t)affordable : most;
        *next = (components){.of = l};
        next->values = taken(r, most, sizeof *next->values);
        next->lefts = taken(r, most * l->rows, sizeof(float));
        next->rights = taken(r, most * l->columns, sizeof(float));
        for (; next->count < most; next->count++) {
            size_t k = next->count;
            next->values[k] = take_component(rest + l->start, l->rows, l->columns, next->lefts + k * l->rows, next->rights + k * l->columns);
            if (!(next->values[k] > LEAST_SHARE * next->values[0]))
                break;
        }
        next++;
    }
    return found;
}
