/* The encoder: the largest coordinates in a few groups, or levels in trellis mode, whatever takes more of the error away.

   It tells what is worth most by size alone; the library's encoder also weighs what each coordinate costs. */
#include "terms.h"
#include "trellis.h"

#include <math.h>
#include <string.h>

enum { BINS = 1 << 14, BIN_SHIFT = 17, BINS_OF_A_GROUP = 40, MOST_TOLD_GROUPS = 4, MORE = 3, TRELLIS = 3, PARTS_OF_TERMS = 3 };
enum { FEWEST_BYTES = SURP_HEADER_BYTES + 1, STEP_CODES = 1 << 20 };

static const uint32_t GROUP_COUNTS[] = {1, 2, 4};
static const double LEAST_TRELLIS_BITS = 0.02; /* a coordinate; below, groups are shorter */
static const double FULL_ENOUGH = 0.985;       /* of the budget */

typedef struct {
    const float *update;
    const surp_model *model;
    uint32_t coordinates;
    uint8_t *body;
    size_t most; /* bytes of a body */
    terms found;
    uint32_t term_count; /* how many of them are told, */
    float *rest;         /* what they leave of the update, */
    uint32_t *counts;    /* and how many of its coordinates are in each bin */
    uint32_t *picks;
    double gain; /* by how much the last body lowers the sum of squares, beside its terms */
    room r;
} job;

/* What a body holds. */
typedef struct {
    uint32_t term_count, groups, lowest, step; /* step: 0 for groups, from the bin `lowest` on */
    double gain;
} choice;

/* Sizes in bins of 1/64 octave. */
static uint32_t bin_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (bits & 0x7fffffff) >> BIN_SHIFT;
}

/* Sorts the picks of all groups in the order of cells; the last group has the smallest. Fills in counts, codes and the gain. */
static bool gather(job *j, const context *x, uint32_t lowest, group *told, uint32_t groups)
{
    double sums[MOST_TOLD_GROUPS] = {0};
    uint32_t *ends[MOST_TOLD_GROUPS], used = 0;
    for (uint32_t g = 0; g < groups; g++) {
        uint32_t first = lowest + BINS_OF_A_GROUP * (groups - 1 - g), end = g > 0 ? first + BINS_OF_A_GROUP : BINS;
        told[g].picks = ends[g] = j->picks + used;
        for (told[g].count = 0; first < end && first < BINS; first++)
            told[g].count += j->counts[first];
        used += told[g].count;
        if (told[g].count == 0 || told[g].count > MOST_PICKS)
            return false;
    }
    for (uint32_t i = 0; i < x->layer_count; i++) {
        const layer *l = &x->layers[i];
        for (uint32_t row = 0; row < l->rows; row++)
            for (uint32_t column = 0; column < l->columns; column++) {
                float value = j->rest[coordinate_of(x, l, row, column)];
                uint32_t bin = bin_of(value);
                if (bin < lowest)
                    continue;
                uint32_t above = (bin - lowest) / BINS_OF_A_GROUP, g = above < groups ? groups - 1 - above : 0;
                *ends[g]++ = (l->first_cell + row * l->columns + column) * 2 + (value < 0);
                sums[g] += fabs((double)value);
            }
    }
    j->gain = 0;
    for (uint32_t g = 0; g < groups; g++) {
        told[g].code = code_of(sums[g] / told[g].count);
        double magnitude = magnitude_of(told[g].code);
        j->gain += magnitude * (2 * sums[g] - magnitude * told[g].count);
    }
    return true;
}

/* Writes all coordinates from a bin on; the length, or 0 if they do not fit. */
static size_t with_groups(job *j, uint32_t lowest, uint32_t groups)
{
    room r = j->r;
    context x;
    coder c;
    group told[MOST_TOLD_GROUPS];
    int kind = j->model->model && j->term_count == 0 ? OF_MODEL : NO_CONTEXT; /* terms were found without tables */
    context_make(&x, j->model, kind, &r);
    if (!gather(j, &x, lowest, told, groups))
        return 0;
    coder_write(&c, j->body, j->most, j->coordinates);
    if (setjmp(c.end))
        return 0;
    if (j->term_count > 0)
        coder_bits(&c, 2, MORE);
    coder_bits(&c, 2, (uint32_t)kind);
    if (j->term_count > 0)
        terms_walk(&c, &x, NULL, &r, j->found.each, j->term_count);
    groups_walk(&c, &x, NULL, taken(&r, frequencies_of(&x), sizeof(uint32_t)), told, groups);
    return coder_finish(&c);
}

/* Writes levels with a step; the length, or 0 if they do not fit. */
static size_t with_trellis(job *j, uint32_t step)
{
    room r = j->r;
    context x;
    coder c;
    context_make(&x, j->model, NO_CONTEXT, &r);
    coder_write(&c, j->body, j->most, j->coordinates);
    if (setjmp(c.end))
        return 0;
    coder_bits(&c, 2, MORE);
    coder_bits(&c, 2, TRELLIS);
    coder_bits(&c, 2, j->term_count > 0);
    if (j->term_count > 0)
        terms_walk(&c, &x, NULL, &r, j->found.each, j->term_count);
    j->gain = trellis_write(&c, &x, j->rest, step, &r);
    return coder_finish(&c);
}

static size_t written(job *j, const choice *made)
{
    return made->step > 0 ? with_trellis(j, made->step) : with_groups(j, made->lowest, made->groups);
}

/* Finds the least value of a choice's field with which its body fits, up to `high`; or, sooner, one that gives at least `enough`
   bytes. Fills in the gain; false if none fits. */
static bool least_that_fits(job *j, choice *made, uint32_t *field, uint32_t low, uint32_t high, double enough)
{
    size_t length = 0;
    while (low < high && (double)length < enough) {
        *field = low + (high - low) / 2;
        size_t found = written(j, made);
        if (found > 0) {
            high = *field;
            length = found;
            made->gain = j->gain;
        } else {
            low = *field + 1;
        }
    }
    *field = high;
    return length > 0;
}

static bool fill_with_groups(job *j, choice *made)
{
    uint32_t low = BINS, high;
    for (uint64_t most = 0; low > 1 && most < 4 * (uint64_t)j->most; low--) /* a pick takes two bits or more */
        most += j->counts[low - 1];
    for (high = BINS; high > low && j->counts[high - 1] == 0; high--) {
    }
    return least_that_fits(j, made, &made->lowest, low, high, INFINITY);
}

static bool fill_with_trellis(job *j, choice *made, double largest)
{
    int exponent;
    frexp(largest, &exponent);
    int32_t high = (exponent + 258) * 2048, low = high - 28 * 2048;
    high = high < STEP_CODES - 1 ? high : STEP_CODES - 1;
    low = low > 1 ? low : 1;
    return low < high && least_that_fits(j, made, &made->step, (uint32_t)low, (uint32_t)high, FULL_ENOUGH * (double)j->most);
}

/* Takes the first terms off the update. */
static void prepare(job *j, uint32_t term_count)
{
    room r = j->r;
    context x;
    context_make(&x, j->model, NO_CONTEXT, &r);
    memcpy(j->rest, j->update, j->coordinates * sizeof *j->rest);
    for (j->term_count = 0; j->term_count < term_count; j->term_count++)
        term_take(&j->found.each[j->term_count], &x, j->rest);
    memset(j->counts, 0, BINS * sizeof *j->counts);
    for (uint32_t i = 0; i < j->coordinates; i++)
        j->counts[bin_of(j->rest[i])]++;
}

/* Keeps a choice if it takes away more. */
static void consider(choice *best, choice made, double by_terms)
{
    made.gain += by_terms;
    if (made.gain > best->gain)
        *best = made;
}

/* The best that can be told with the first terms. */
static void consider_terms(job *j, choice *best, uint32_t term_count)
{
    choice made = {.term_count = term_count, .lowest = BINS};
    double by_terms = 0, largest = 0;
    prepare(j, term_count);
    for (uint32_t i = 0; i < j->coordinates; i++) {
        double update = j->update[i], rest = j->rest[i];
        by_terms += update * update - rest * rest;
        largest = fabs(rest) > largest ? fabs(rest) : largest;
    }
    if (written(j, &made) > 0)
        consider(best, made, by_terms);
    for (size_t i = 0; i < sizeof GROUP_COUNTS / sizeof *GROUP_COUNTS; i++) {
        made.groups = GROUP_COUNTS[i];
        if (fill_with_groups(j, &made))
            consider(best, made, by_terms);
    }
    if (8.0 * (double)j->most > LEAST_TRELLIS_BITS * j->coordinates && largest > 0 && fill_with_trellis(j, &made, largest))
        consider(best, made, by_terms);
}

static bool all_finite(const float *values, uint32_t count)
{
    while (count > 0 && isfinite(*values)) {
        values++;
        count--;
    }
    return count == 0;
}

surp_status surp_encode(const float *update, size_t budget, const surp_model *model, uint8_t *message, size_t *length, float *told,
                        void *workspace)
{
    job j = {.update = update, .model = model, .rest = told, .r = {.at = workspace}};
    if (model_coordinates(model) >= MOST_COORDINATES || budget < FEWEST_BYTES)
        return SURP_INVALID;
    j.coordinates = (uint32_t)model_coordinates(model);
    if (!all_finite(update, j.coordinates))
        return SURP_INVALID;
    j.body = message + SURP_HEADER_BYTES;
    j.most = budget - SURP_HEADER_BYTES;
    j.counts = taken(&j.r, BINS, sizeof *j.counts);
    j.picks = taken(&j.r, j.coordinates, sizeof *j.picks);
    context x;
    context_make(&x, model, NO_CONTEXT, &j.r);
    memcpy(told, update, j.coordinates * sizeof *told);
    terms_find(&j.found, &x, told, 8 * (uint64_t)j.most, &j.r);
    choice best = {.lowest = BINS};
    for (uint32_t part = 0, last = UINT32_MAX; part <= PARTS_OF_TERMS; part++) {
        uint32_t term_count = 0;
        while (term_count < j.found.count && j.found.bits[term_count] * PARTS_OF_TERMS <= 8 * (uint64_t)j.most * part)
            term_count++;
        if (term_count != last)
            consider_terms(&j, &best, term_count);
        last = term_count;
    }
    prepare(&j, best.term_count);
    *length = SURP_HEADER_BYTES + written(&j, &best);
    int kind = frame_kind(j.body, *length - SURP_HEADER_BYTES);
    frame_put(message, *length, frame_data(model, kind, workspace));
    return surp_decode(message, *length, model, told, workspace);
}
