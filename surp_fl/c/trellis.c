/* The trellis mode: levels, their contexts, lags and signs; one walk reads and writes. */
#include "groups.h"
#include "trellis.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { CONTEXTS = 104, LENGTHS = 24, DEPTH = 4, CODE_LENGTHS = 34, MOST_LAGS = 8, MOST_TOLD = 48, RUN = 4096 };
enum { MOST_MEAN_CODE = 127, FIRST_MEAN_CODE = 64, FIRST_SIGNS = 12, MOST_SIGNS = 1 << 14, LOGS = 4096 };

#define MOST_SUM (UINT64_C(1) << 38)

typedef struct {
    uint16_t plus, minus;
} sign_counts;

typedef struct {
    uint32_t lag;
    int32_t weight;
} lag;

/* What was learnt of integers. */
typedef struct {
    uint32_t lengths[CODE_LENGTHS], sum;
    uint32_t bits[CODE_LENGTHS][1 << DEPTH][2];
} integers;

typedef struct {
    coder *c;
    const float *update; /* writing: what is told, */
    double gain;         /* and what that takes off its sum of squares */
    double unit;         /* a sixteenth of a step */
    uint32_t ones[2];    /* what level 1 stands for, in sixteenths of a step, by state mod 2 */
    uint32_t state, mean_code, row_flag;
    integers codes;
    counts row_flags[2], any_lags, same_lags;
    counts lengths[2][CONTEXTS][LENGTHS], second_bits[CONTEXTS][LENGTHS + 1], third_bits[LENGTHS + 1][2];
    lag lags[MOST_LAGS];
    uint32_t lag_count; /* of the last layer that had some */
    uint8_t logs[LOGS];
    uint64_t *column_sums;
    sign_counts *column_signs;
    int8_t *sent;
} trellis;

/* The factors of a layer. */
typedef struct {
    const layer *of;
    const components *told; /* writing */
    uint32_t rank;
    uint16_t *codes;      /* of magnitudes */
    float *lefts, *rights; /* of all components, one after another */
} factored;

struct factors {
    uint32_t count;
    bool are_added;
    factored *each;
};

/* Numbers ---------------------------------------------------------------------------------------------------------- */

/* ⌊16 · log2 x⌋ of 1 to 4,095, by comparison with 2^(31 + j/16), rounded up. */
static void fill_logs(uint8_t logs[LOGS])
{
    static const uint32_t steps[16] = {
        2242560872, 2341847524, 2445529972, 2553802834, 2666869345, 2784941738, 2908241643, 3037000500,
        3171460000, 3311872530, 3458501654, 3611622603, 3771522797, 3938502376, 4112874774, UINT32_MAX,
    };
    for (unsigned octave = 0; LOGS >> octave > 1; octave++)
        for (uint32_t x = UINT32_C(1) << octave, j = 0; x < UINT32_C(2) << octave; x++) {
            while (x << (31 - octave) >= steps[j])
                j++;
            logs[x] = (uint8_t)(16 * octave + j);
        }
}

static int32_t log_of(const trellis *t, uint64_t x)
{
    int32_t found = 0;
    for (; x >= LOGS; x >>= 4)
        found += 64;
    return found + t->logs[x];
}

static uint64_t mean_of(uint32_t code)
{
    static const uint32_t quarters[4] = {4096, 4871, 5793, 6889};
    uint64_t mean = (uint64_t)quarters[code % 4] << code / 4 >> 16;
    return mean > 0 ? mean : 1;
}

static uint32_t state_after(uint32_t state, uint32_t level)
{
    uint32_t low = state % 4;
    return 2 * low + ((level ^ low ^ low / 2 ^ state / 4) & 1);
}

static void integers_begin(integers *learnt)
{
    memset(learnt, 0, sizeof *learnt);
    for (; learnt->sum < CODE_LENGTHS; learnt->sum++)
        learnt->lengths[learnt->sum] = 1;
}

static void prepare(trellis *t, coder *c)
{
    memset(t, 0, sizeof *t);
    t->c = c;
    t->mean_code = FIRST_MEAN_CODE;
    const counts even = {16, 16};
    t->row_flags[0] = t->row_flags[1] = t->any_lags = t->same_lags = even;
    fill_logs(t->logs);
    integers_begin(&t->codes);
    for (int context = 0; context < CONTEXTS; context++) {
        uint64_t mean = mean_of((uint32_t)context + 32), longer = (mean << 16) / (mean + 4096);
        for (int length = 0; length < LENGTHS; length++) {
            longer = length > 1 ? longer * longer >> 16 : longer;
            uint16_t ones = (uint16_t)(48 * longer >> 16);
            ones = (uint16_t)(ones + (ones == 0));
            uint16_t zeros = ones < 48 ? 48 - ones : 1;
            t->lengths[0][context][length] = t->lengths[1][context][length] = (counts){zeros, ones};
            t->second_bits[context][length + 1] = even;
        }
    }
    for (int length = 0; length <= LENGTHS; length++)
        t->third_bits[length][0] = t->third_bits[length][1] = even;
}

/* Integers --------------------------------------------------------------------------------------------------------- */

/* A number in an adaptive model: its bit length, and the bits below the leading one, of which four levels are learnt. */
static uint32_t adaptive(coder *c, integers *learnt, uint32_t value)
{
    uint32_t length = 0, below = 0, target = (uint32_t)coder_target(c, learnt->sum);
    while (c->writing ? value >> length > 0 : below + learnt->lengths[length] <= target)
        below += learnt->lengths[length++];
    coder_symbol(c, below, learnt->lengths[length], learnt->sum);
    learnt->lengths[length] += 24;
    learnt->sum += 24;
    if (learnt->sum > 1 << 16) {
        learnt->sum = 0;
        for (int i = 0; i < CODE_LENGTHS; i++)
            learnt->sum += learnt->lengths[i] = (learnt->lengths[i] + 1) / 2;
    }
    uint64_t found = length > 0;
    for (uint32_t left = length; left > 1; left--) {
        if (found >> DEPTH) {
            uint32_t width = left - 1 < 16 ? left - 1 : 16;
            found = found << width | coder_bits(c, width, value >> (left - 1 - width) & ((UINT32_C(1) << width) - 1));
            left -= width - 1;
            continue;
        }
        uint32_t *seen = learnt->bits[length][found];
        uint32_t bit = coder_flag(c, 2 * seen[0] + 1, 2 * seen[1] + 1, value >> (left - 2) & 1);
        seen[bit]++;
        if (seen[0] + seen[1] > 1 << 16) {
            seen[0] /= 2;
            seen[1] /= 2;
        }
        found = 2 * found + bit;
    }
    return found < UINT32_MAX ? (uint32_t)found : UINT32_MAX;
}

/* What a number stands for: a rise, or a fall. */
static int64_t rise_of(uint32_t number)
{
    return number % 2 ? -(int64_t)(number / 2) - 1 : (int64_t)(number / 2);
}

/* Levels ----------------------------------------------------------------------------------------------------------- */

static uint32_t level(trellis *t, uint32_t context, uint32_t value)
{
    uint32_t length = 0, found;
    counts *learnt = t->lengths[t->state % 2][context];
    while (length < LENGTHS && coder_counted(t->c, &learnt[length], value >> length > 0))
        length++;
    found = length > 0;
    if (length > 1)
        found = 2 + coder_counted(t->c, &t->second_bits[context][length], value >> (length - 2) & 1);
    if (length > 2) {
        found = 2 * found + coder_counted(t->c, &t->third_bits[length][found & 1], value >> (length - 3) & 1);
        for (uint32_t left = length - 3; left > 0;) {
            uint32_t width = left > 16 ? 16 : left;
            left -= width;
            found = found << width | coder_bits(t->c, width, value >> left & ((UINT32_C(1) << width) - 1));
        }
    }
    t->state = state_after(t->state, found);
    return found;
}

static uint64_t odds_of(int32_t told)
{
    static const uint32_t eighths[8] = {4096, 4467, 4871, 5312, 5793, 6317, 6889, 7512};
    return (uint64_t)eighths[told % 8] << told / 8;
}

static void count_sign(sign_counts *seen, uint32_t negative)
{
    if (negative)
        seen->minus++;
    else
        seen->plus++;
    if (seen->plus + seen->minus > MOST_SIGNS) {
        seen->plus -= seen->plus / 2;
        seen->minus -= seen->minus / 2;
    }
}

static uint32_t sign(trellis *t, sign_counts *of_row, sign_counts *of_column, int32_t told, uint32_t negative)
{
    uint64_t pluses = (uint64_t)of_row->plus * of_column->plus * odds_of(told > 0 ? told : 0);
    uint64_t minuses = (uint64_t)of_row->minus * of_column->minus * odds_of(told < 0 ? -told : 0);
    uint64_t share = (minuses << 16) / (pluses + minuses);
    share = share < 1 ? 1 : share > 65535 ? 65535 : share;
    negative = coder_flag(t->c, 65536 - share, share, negative);
    count_sign(of_row, negative);
    count_sign(of_column, negative);
    return negative;
}

/* The level that tells a size, in steps, best, in a state; small ones are dear, and rather 0. */
static uint32_t nearest(const trellis *t, double size, uint32_t q)
{
    double one = t->ones[q] / 16.0;
    if (size < 0.74 * one)
        return 0;
    double found = floor((size + q) / 2 + 0.5);
    if (found < 2)
        return 1;
    return found < (1 << 24) ? (uint32_t)found : (1 << 24) - 1;
}

static uint32_t wanted(const trellis *t, uint32_t coordinate, uint32_t state)
{
    return nearest(t, fabs((double)t->update[coordinate]) / (16 * t->unit), state % 2);
}

/* Layers ----------------------------------------------------------------------------------------------------------- */

static void read_lags(trellis *t)
{
    uint32_t last = 0, count = coder_bits(t->c, 3, 0) + 1;
    bool ascending = true;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t here = coder_bits(t->c, 8, 0) + 1, w = coder_bits(t->c, 6, 0);
        ascending = ascending && here > last;
        last = here;
        t->lags[i] = (lag){here, w % 2 ? -(int32_t)(w / 2) - 1 : (int32_t)(w / 2) + 1};
    }
    if (!ascending)
        longjmp(t->c->end, MALFORMED);
    t->lag_count = count;
}

static void walk_row(trellis *t, const layer *l, uint32_t r, float *result, bool with_lags)
{
    uint64_t mean = mean_of(t->mean_code), fewest = 2 * mean > 8192 ? 2 * mean : 8192, offset = fewest / mean;
    uint64_t row_sum = 0, near = mean;
    int32_t of_row = log_of(t, r + offset) + log_of(t, mean);
    sign_counts of_signs = {FIRST_SIGNS, FIRST_SIGNS};
    for (uint32_t column = 0; column < l->columns; column++) {
        if (column % RUN == 0) {
            uint32_t run = l->columns - column < RUN ? l->columns - column : RUN;
            coder_pay(t->c, (with_lags ? 3 : 2) * (uint64_t)run);
        }
        uint64_t column_sum = l->rows > 1 ? t->column_sums[column] : 0;
        int32_t u = log_of(t, 4096 * row_sum + fewest) - log_of(t, column + offset), told = 0;
        int32_t v = log_of(t, 10 * near + 3 * mean) - 59;
        for (uint32_t i = 0; with_lags && i < t->lag_count && t->lags[i].lag <= column; i++)
            told += t->lags[i].weight * t->sent[column - t->lags[i].lag];
        told = told > MOST_TOLD ? MOST_TOLD : told < -MOST_TOLD ? -MOST_TOLD : told;
        int32_t e = (11 * (u > 0 ? u : 0) + 5 * (v > 0 ? v : 0)) / 16 + 10 * (told < 0 ? -told : told) / 16;
        e += log_of(t, 4096 * column_sum + fewest) - of_row;
        uint32_t context = e < 64 ? 0 : (uint32_t)(e - 64) / 4, q = t->state % 2, coordinate = l->start + r * l->columns + column;
        uint32_t k = level(t, context < CONTEXTS ? context : CONTEXTS - 1, t->update ? wanted(t, coordinate, t->state) : 0);
        if (with_lags)
            t->sent[column] = 0;
        if (k > 0) {
            sign_counts even = {FIRST_SIGNS, FIRST_SIGNS};
            coder_pay(t->c, 20);
            uint32_t negative = sign(t, &of_signs, l->rows > 1 ? &t->column_signs[column] : &even, told,
                                     t->update && t->update[coordinate] < 0);
            if (with_lags)
                t->sent[column] = negative ? -1 : 1;
            double size = (k == 1 ? t->ones[q] : 16.0 * (2.0 * k - q)) * t->unit;
            size = size < FLT_MAX ? size : FLT_MAX;
            if (result)
                result[coordinate] = (float)(negative ? -size : size);
            if (t->update)
                t->gain += size * (2 * fabs((double)t->update[coordinate]) - size);
        }
        near = (3 * near + 4096 * (uint64_t)k + 2) / 4;
        row_sum = row_sum + k < MOST_SUM ? row_sum + k : MOST_SUM;
        if (l->rows > 1)
            t->column_sums[column] = column_sum + k < MOST_SUM ? column_sum + k : MOST_SUM;
    }
}

/* Writing: whether a row has a level but 0, from the state in which it begins. */
static bool row_has_any(const trellis *t, const layer *l, uint32_t r)
{
    uint32_t state = t->state;
    for (uint32_t column = 0; column < l->columns; column++) {
        if (wanted(t, l->start + r * l->columns + column, state) > 0)
            return true;
        state = state_after(state, 0);
    }
    return false;
}

/* Writing: the code of a layer's mean level, 0 if all its levels are 0. */
static uint32_t mean_code_of(const trellis *t, const layer *l)
{
    uint64_t sum = 0;
    uint32_t state = t->state, code = 1;
    for (uint32_t i = 0; i < l->cells; i++) {
        uint32_t k = wanted(t, l->start + i, state);
        state = state_after(state, k);
        sum += k;
    }
    while (code < MOST_MEAN_CODE && mean_of(code) * l->cells < 4096 * sum)
        code++;
    return sum > 0 ? code : 0;
}

static void walk_layer(trellis *t, const layer *l, float *result)
{
    uint32_t code = t->update ? mean_code_of(t, l) : 0, change = 0;
    if (code > 0)
        change = 1 + coder_zigzag((int32_t)code - (int32_t)t->mean_code);
    change = adaptive(t->c, &t->codes, change);
    if (change == 0)
        return;
    int64_t found = (int64_t)t->mean_code + rise_of(change - 1);
    if (found < 1 || found > MOST_MEAN_CODE)
        longjmp(t->c->end, MALFORMED);
    t->mean_code = (uint32_t)found;
    bool with_lags = l->rows > 1 && l->columns > 1 && coder_counted(t->c, &t->any_lags, 0);
    if (with_lags && !(t->lag_count > 0 && coder_counted(t->c, &t->same_lags, 0)))
        read_lags(t);
    for (uint32_t column = 0; l->rows > 1 && column < l->columns; column++) {
        t->column_sums[column] = 0;
        t->column_signs[column] = (sign_counts){FIRST_SIGNS, FIRST_SIGNS};
    }
    for (uint32_t r = 0; r < l->rows; r++) {
        if (l->rows > 1) {
            coder_pay(t->c, 2);
            t->row_flag = coder_counted(t->c, &t->row_flags[t->row_flag], t->update && row_has_any(t, l, r));
        }
        if (l->rows == 1 || t->row_flag)
            walk_row(t, l, r, result, with_lags);
        else
            for (uint32_t left = l->columns; left > 0; left--)
                t->state = state_after(t->state, 0);
    }
}

static double step_of(uint32_t coded)
{
    return ldexp(2048 + coded % 2048, (int)(coded / 2048) - 267);
}

/* What is learnt, and room for layers of so many columns; the step, and what level 1 stands for. */
static trellis *begun(coder *c, uint32_t columns, const float *update, uint32_t coded, room *r)
{
    trellis *t = taken(r, 1, sizeof *t);
    prepare(t, c);
    t->update = update;
    t->column_sums = taken(r, columns, sizeof *t->column_sums);
    t->column_signs = taken(r, columns, sizeof *t->column_signs);
    t->sent = taken(r, columns, 1);
    coded = coder_bits(c, 20, coded);
    uint32_t own = coder_bits(c, 1, 0);
    uint32_t a = own ? coder_bits(c, 4, 0) : 7, b = own ? coder_bits(c, 4, 0) : 5;
    if (coded == 0)
        longjmp(c->end, MALFORMED);
    t->unit = step_of(coded) / 16;
    t->ones[0] = 24 + a;
    t->ones[1] = 16 + b;
    return t;
}

static double walk_all(coder *c, const context *x, const float *update, uint32_t coded, float *result, room *r)
{
    uint32_t columns = 0;
    for (uint32_t i = 0; i < x->layer_count; i++)
        if (x->layers[i].rows > 1 && x->layers[i].columns > columns)
            columns = x->layers[i].columns;
    trellis *t = begun(c, columns, update, coded, r);
    for (uint32_t i = 0; i < x->layer_count; i++)
        walk_layer(t, &x->layers[i], result);
    return t->gain;
}

void trellis_read(coder *c, const context *x, float *result, room *r)
{
    walk_all(c, x, NULL, 0, result, r);
}

double trellis_write(coder *c, const context *x, const float *update, uint32_t coded, room *r)
{
    return walk_all(c, x, update, coded, NULL, r);
}

/* Factors ---------------------------------------------------------------------------------------------------------- */

factors *factors_none(const context *x, room *r)
{
    factors *f = taken(r, 1, sizeof *f);
    *f = (factors){.each = taken(r, x->layer_count, sizeof *f->each)};
    return f;
}

/* How many components are large enough for levels in a step. */
static uint32_t rank_of(const components *found, uint32_t coded)
{
    double step = step_of(coded), least = 0.6 * step * step * ((double)found->of->rows + found->of->columns);
    uint32_t rank = 0;
    while (rank < found->count && found->values[rank] * found->values[rank] > least)
        rank++;
    return rank;
}

/* Ranks and magnitudes, and room for values; how many columns their longest row has. */
static uint32_t walk_shapes(coder *c, const context *x, factors *f, const components *found, uint32_t coded, room *r)
{
    integers ranks, magnitudes;
    uint32_t count = 0, columns = 0;
    int64_t code = 4096;
    integers_begin(&ranks);
    integers_begin(&magnitudes);
    for (const layer *l = x->layers; l < x->layers + x->layer_count; l++) {
        if (l->rows < 4 || l->columns < 4)
            continue;
        const components *told = found ? found++ : NULL;
        uint32_t rank = adaptive(c, &ranks, told ? rank_of(told, coded) : 0);
        if (rank > l->cells / ((uint64_t)l->rows + l->columns))
            longjmp(c->end, MALFORMED);
        if (rank > 0)
            f->each[count++] = (factored){.of = l, .told = told, .rank = rank};
    }
    for (uint32_t i = 0; i < count; i++) {
        factored *each = &f->each[i];
        each->codes = taken(r, each->rank, sizeof *each->codes);
        for (uint32_t k = 0; k < each->rank; k++) {
            uint32_t own = each->told ? code_of(1 / each->told->values[k]) : (uint32_t)code;
            code += rise_of(adaptive(c, &magnitudes, coder_zigzag((int32_t)own - (int32_t)code)));
            if (code < 1 || code > MOST_CODE)
                longjmp(c->end, MALFORMED);
            each->codes[k] = (uint16_t)code;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        factored *each = &f->each[i];
        uint32_t most = each->of->rows > each->of->columns ? each->of->rows : each->of->columns;
        columns = most > columns ? most : columns;
        each->lefts = taken(r, (size_t)each->rank * each->of->rows, sizeof(float));
        each->rights = taken(r, (size_t)each->rank * each->of->columns, sizeof(float));
        memset(each->lefts, 0, (size_t)each->rank * each->of->rows * sizeof(float));
        memset(each->rights, 0, (size_t)each->rank * each->of->columns * sizeof(float));
    }
    f->count = count;
    return columns;
}

/* Pays for the products of a layer's factors, and adds them to sums, or takes them off a rest. */
static void multiply(coder *c, const factored *each, double *sums, float *rest)
{
    uint32_t rows = each->of->rows, columns = each->of->columns;
    uint64_t others = 0;
    for (uint32_t place = 0; place < each->rank * rows; place++)
        others += each->lefts[place] != 0;
    coder_pay(c, others * columns / 16);
    for (uint32_t row = 0; row < rows; row++)
        for (uint32_t k = 0; k < each->rank; k++) {
            double left = each->lefts[k * rows + row] * magnitude_of(each->codes[k]);
            const float *rights = each->rights + (size_t)k * columns;
            uint32_t at = each->of->start + row * columns;
            for (uint32_t column = 0; sums && left != 0 && column < columns; column++)
                sums[at + column] += left * rights[column];
            for (uint32_t column = 0; rest && left != 0 && column < columns; column++)
                rest[at + column] -= (float)(left * rights[column]);
        }
}

void factors_add(coder *c, factors *f, double *sums)
{
    f->are_added = true;
    for (uint32_t i = 0; i < f->count; i++)
        multiply(c, &f->each[i], sums, NULL);
}

/* Levels of all factors, in the order of coding. */
static void walk_factors(coder *c, const context *x, factors *f, const components *found, uint32_t coded, room *r)
{
    trellis *t = begun(c, walk_shapes(c, x, f, found, coded, r), NULL, coded, r);
    for (uint32_t i = 0; i < f->count; i++) {
        const factored *each = &f->each[i];
        layer left = {.rows = each->rank, .columns = each->of->rows, .cells = each->rank * each->of->rows};
        layer right = {.rows = each->rank, .columns = each->of->columns, .cells = each->rank * each->of->columns};
        t->update = each->told ? each->told->lefts : NULL;
        walk_layer(t, &left, each->lefts);
        t->update = each->told ? each->told->rights : NULL;
        walk_layer(t, &right, each->rights);
    }
}

void factors_read(coder *c, const context *x, factors *f, double *sums, room *r)
{
    walk_factors(c, x, f, NULL, 0, r);
    factors_add(c, f, sums);
}

void factors_write(coder *c, const context *x, const components *found, float *rest, uint32_t coded, room *r)
{
    factors *f = factors_none(x, r);
    walk_factors(c, x, f, found, coded, r);
    for (uint32_t i = 0; i < f->count; i++)
        multiply(c, &f->each[i], NULL, rest);
}

bool factors_pending(const factors *f)
{
    return f->count > 0 && !f->are_added;
}
