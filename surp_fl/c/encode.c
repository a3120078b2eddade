/* The encoder: the largest coordinates in a few groups, or levels in trellis mode, whatever takes more of the error away.

   It tells what is worth most by size alone; the library's encoder also weighs what each coordinate costs. */
#include "low_rank.h"
#include "terms.h"
#include "trellis.h"

#include <math.h>
#include <string.h>

enum { BINS = 1 << 14, BIN_SHIFT = 17, GROUP_WIDTH = 40 << BIN_SHIFT, MOST_TOLD_GROUPS = 4, FINEST_WIDTH = 1 << 8 };
enum { MORE = 3, TRELLIS = 3, FACTORS = 2, PARTS_OF_TERMS = 3, FEWEST_BYTES = SURP_HEADER_BYTES + 1, STEP_CODES = 1 << 20, FEW = 1 << 13 };
enum { FARTHER_WITH_FACTORS = 4 }; /* octaves above the largest coordinate, of a step */

/* Bits a coordinate: fewer do not pay for levels, more not for groups, but in models of FEW coordinates. */
static const double LEAST_TRELLIS_BITS = 0.02, MOST_GROUP_BITS = 0.25, LEAST_FACTOR_BITS = 0.06;
static const double FULL_ENOUGH = 0.985; /* of the budget */
static const double MOST_WITH_TERMS = 1e30;

typedef struct {
    const float *update;
    const surp_model *model;
    uint32_t coordinates;
    uint8_t *body;
    size_t most; /* bytes of a body */
    components *components; /* NULL: none are told */
    terms found;
    uint32_t term_count; /* how many of them are told, */
    float *rest;         /* what they leave of the update, */
    uint32_t *counts;    /* and how many of its coordinates have a size in each bin */
    uint32_t *picks;
    uint32_t step; /* with which levels fitted last; 0 if none did */
    double gain;   /* by how much the last body lowers the sum of squares, beside its terms */
    room r;
} job;

/* What a body holds. */
typedef struct {
    bool factors;
    uint32_t term_count, groups, lowest, step; /* step: 0 for groups, from the size `lowest` on */
    double gain;
} choice;

/* A value's size, in the order of magnitudes: 2^23 an octave, and BINS bins of 1/64 octave. */
static uint32_t size_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x7fffffff;
}

/* The group of a size; `groups` for none: the last one has the smallest. */
static uint32_t group_of(uint32_t size, uint32_t lowest, uint32_t groups)
{
    uint32_t above = (size - lowest) / GROUP_WIDTH;
    return size < lowest ? groups : above < groups ? groups - 1 - above : 0;
}

/* Sorts the picks of all groups in the order of cells. Fills in counts, codes and the gain. */
static bool gather(job *j, const context *x, uint32_t lowest, group *told, uint32_t groups)
{
    double sums[MOST_TOLD_GROUPS] = {0};
    uint32_t *ends[MOST_TOLD_GROUPS], counts[MOST_TOLD_GROUPS + 1] = {0}, used = 0;
    for (uint32_t i = 0; i < j->coordinates; i++)
        counts[group_of(size_of(j->rest[i]), lowest, groups)]++;
    for (uint32_t g = 0; g < groups; g++) {
        told[g].picks = ends[g] = j->picks + used;
        told[g].count = counts[g];
        used += counts[g];
        if (counts[g] == 0 || counts[g] > MOST_PICKS)
            return false;
    }
    for (uint32_t i = 0; i < x->layer_count; i++) {
        const layer *l = &x->layers[i];
        for (uint32_t row = 0; row < l->rows; row++)
            for (uint32_t column = 0; column < l->columns; column++) {
                float value = j->rest[coordinate_of(x, l, row, column)];
                uint32_t g = group_of(size_of(value), lowest, groups);
                if (g == groups)
                    continue;
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

/* Writes all coordinates from a size on; the length, or 0 if they do not fit. */
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

/* By how much the sum of squares of the rest is below the update's. */
static double taken_off(const job *j)
{
    double sum = 0;
    for (uint32_t i = 0; i < j->coordinates; i++) {
        double update = j->update[i], rest = j->rest[i];
        sum += update * update - rest * rest;
    }
    return sum;
}

/* Writes levels with a step, beside terms or factors; the length, or 0 if they do not fit. */
static size_t with_trellis(job *j, uint32_t step, bool factors)
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
    coder_bits(&c, 2, factors ? FACTORS : j->term_count > 0);
    double by_factors = 0;
    if (factors) {
        memcpy(j->rest, j->update, j->coordinates * sizeof *j->rest);
        factors_write(&c, &x, j->components, j->rest, step, &r);
        by_factors = taken_off(j);
    } else if (j->term_count > 0) {
        terms_walk(&c, &x, NULL, &r, j->found.each, j->term_count);
    }
    j->gain = by_factors + trellis_write(&c, &x, j->rest, step, &r);
    return coder_finish(&c);
}

static size_t written(job *j, const choice *made)
{
    return made->step > 0 ? with_trellis(j, made->step, made->factors) : with_groups(j, made->lowest, made->groups);
}

/* Finds about the least value of a choice's field with which its body fits, `near` or less above it, up to `high`; or, sooner,
   one that gives at least `enough` bytes. Begins with the value that the field has, where it is between both, and goes on from
   there in larger and larger steps. Fills in the gain; false if none fits. */
static bool least_that_fits(job *j, choice *made, uint32_t *field, uint32_t low, uint32_t high, uint32_t near, double enough)
{
    size_t length = 0;
    uint32_t next = *field;
    for (uint32_t away = (high - low) / 512 + 1; low + near < high && (double)length < enough; away *= 2) {
        *field = next > low && next < high ? next : low + (high - low) / 2;
        size_t found = written(j, made);
        if (found > 0) {
            high = *field;
            length = found;
            made->gain = j->gain;
            next = high > away ? high - away : 0;
        } else {
            low = *field + 1;
            next = low + away;
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
    low <<= BIN_SHIFT;
    high = (high << BIN_SHIFT) - GROUP_WIDTH * (made->groups - 1); /* so that no group is above all coordinates */
    return low < high && least_that_fits(j, made, &made->lowest, low, high, FINEST_WIDTH, (double)j->most);
}

static bool fill_with_trellis(job *j, choice *made, double largest)
{
    int exponent;
    frexp(largest, &exponent);
    int32_t high = (exponent + 258 + (made->factors ? FARTHER_WITH_FACTORS : 0)) * 2048, low = high - 28 * 2048;
    high = high < STEP_CODES - 1 ? high : STEP_CODES - 1;
    low = low > 1 ? low : 1;
    return low < high && least_that_fits(j, made, &made->step, (uint32_t)low, (uint32_t)high, 0, FULL_ENOUGH * (double)j->most);
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
        j->counts[size_of(j->rest[i]) >> BIN_SHIFT]++;
}

/* The largest magnitude; infinity if a value is not finite. */
static double largest_of(const float *values, uint32_t count)
{
    double largest = 0;
    for (uint32_t i = 0; i < count; i++) {
        double size = isfinite(values[i]) ? fabs((double)values[i]) : INFINITY;
        largest = size > largest ? size : largest;
    }
    return largest;
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
    choice made = {.term_count = term_count, .lowest = UINT32_MAX};
    prepare(j, term_count);
    double by_terms = taken_off(j), largest = largest_of(j->rest, j->coordinates);
    if (written(j, &made) > 0)
        consider(best, made, by_terms);
    double bits = 8.0 * (double)j->most / (j->coordinates > 0 ? j->coordinates : 1);
    bool few = bits < MOST_GROUP_BITS || j->coordinates < FEW;
    for (made.groups = 1; made.groups <= MOST_TOLD_GROUPS && few; made.groups++)
        if (fill_with_groups(j, &made))
            consider(best, made, by_terms);
    made.step = j->step;
    bool with_levels = term_count == 0 || !j->components || bits < LEAST_FACTOR_BITS; /* else, factors tell more than terms */
    if (bits > LEAST_TRELLIS_BITS && with_levels && largest > 0 && fill_with_trellis(j, &made, largest)) {
        consider(best, made, by_terms);
        j->step = made.step;
    }
}

/* The best that can be told with factors. */
static void consider_factors(job *j, choice *best, double largest)
{
    choice made = {.factors = true, .step = j->step};
    prepare(j, 0);
    if (8.0 * (double)j->most > LEAST_FACTOR_BITS * j->coordinates && fill_with_trellis(j, &made, largest))
        consider(best, made, 0);
}

surp_status surp_encode(const float *update, size_t budget, const surp_model *model, uint8_t *message, size_t *length, float *told,
                        void *workspace)
{
    job j = {.update = update, .model = model, .rest = told, .r = {.at = workspace}};
    if (model_coordinates(model) >= MOST_COORDINATES || budget < FEWEST_BYTES)
        return SURP_INVALID;
    j.coordinates = (uint32_t)model_coordinates(model);
    double largest = largest_of(update, j.coordinates);
    if (!isfinite(largest))
        return SURP_INVALID;
    j.body = message + SURP_HEADER_BYTES;
    j.most = budget - SURP_HEADER_BYTES;
    j.counts = taken(&j.r, BINS, sizeof *j.counts);
    j.picks = taken(&j.r, j.coordinates, sizeof *j.picks);
    context x;
    context_make(&x, model, NO_CONTEXT, &j.r);
    memcpy(told, update, j.coordinates * sizeof *told);
    if (largest < MOST_WITH_TERMS) { /* of larger ones, sums of terms might be beyond the largest float */
        terms_find(&j.found, &x, told, 8 * (uint64_t)j.most, &j.r);
        memcpy(told, update, j.coordinates * sizeof *told);
        j.components = components_find(&x, told, 8 * (uint64_t)j.most, &j.r);
    }
    choice best = {.lowest = UINT32_MAX};
    for (uint32_t part = 0, last = UINT32_MAX; part <= PARTS_OF_TERMS; part++) {
        uint32_t term_count = 0;
        while (term_count < j.found.count && j.found.bits[term_count] * PARTS_OF_TERMS <= 8 * (uint64_t)j.most * part)
            term_count++;
        if (term_count != last)
            consider_terms(&j, &best, term_count);
        last = term_count;
    }
    if (j.components && largest > 0)
        consider_factors(&j, &best, largest);
    prepare(&j, best.term_count);
    *length = SURP_HEADER_BYTES + written(&j, &best);
    int kind = frame_kind(j.body, *length - SURP_HEADER_BYTES);
    frame_put(message, *length, frame_data(model, kind, workspace));
    return surp_decode(message, *length, model, told, workspace);
}
