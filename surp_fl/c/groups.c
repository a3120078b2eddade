/* Groups and terms. */
#include "groups.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { CONCENTRATION_OF_ROWS = 24, CONCENTRATION_OF_COLUMNS = 200, CODED_EVIDENCE = 16, RECENT_EVIDENCE = 4 };
enum { FEWEST_PICKS_FOR_EXPONENTS = 8, USUAL_EXPONENT = 2 };

#define MOST_WEIGHT (UINT64_C(1) << 28)
#define MOST_SCALED_WEIGHT (UINT64_C(1) << 40)

typedef struct {
    coder *c;
    context *x;
    double *sums, magnitude;
    uint32_t *frequencies;
    bool disjoint;
    const uint32_t *next; /* writing: the first pick that was not written yet */
    uint32_t row;         /* of the last sign, and what was counted in it */
    uint32_t same, other;
} walk;

double magnitude_of(uint32_t code)
{
    double magnitude = ldexp(128 + ((code & 15) << 3), (int)(code >> 4) - 263);
    return magnitude < FLT_MAX ? magnitude : FLT_MAX;
}

uint32_t code_of(double magnitude)
{
    int exponent;
    double fraction = frexp(magnitude, &exponent);
    int code = (exponent + 255) * 16 + (int)lrint(32 * fraction - 16);
    return code < 1 ? 1 : code > MOST_CODE ? MOST_CODE : (uint32_t)code;
}

static uint64_t least_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Halves two weights, rounding up, until their sum is at most `most`; each is then at least 1. */
static void fit(uint64_t *left, uint64_t *right, uint64_t most)
{
    while (*left + *right > most) {
        *left = (*left + 1) / 2;
        *right = (*right + 1) / 2;
    }
    *left += *left == 0;
    *right += *right == 0;
}

/* How many of k picks are on the left, by their free cells and weights; j is what is written. */
static uint32_t split(walk *w, uint32_t k, uint64_t left_free, uint64_t right_free, uint64_t left, uint64_t right,
                      uint64_t concentration, uint32_t j)
{
    uint32_t least = k > right_free ? k - (uint32_t)right_free : 0, most = (uint32_t)least_of(k, left_free);
    if (least == most)
        return least;
    coder_pay(w->c, 4);
    if (k == 1) {
        fit(&left, &right, MOST_WEIGHT);
        return !coder_flag(w->c, left, right, !j);
    }
    fit(&left, &right, MOST_SCALED_WEIGHT);
    uint64_t q = (left << 16) / (left + right);
    q = q < 1 ? 1 : q > 65535 ? 65535 : q;
    uint64_t a = 64 * q * concentration >> 16, b;
    a += a == 0;
    b = 64 * concentration > a ? 64 * concentration - a : 1;
    uint32_t middle = (uint32_t)(k * q >> 16);
    middle = middle < least ? least : middle > most ? most : middle;
    uint64_t total = UINT64_C(1) << (k < 1024 ? 20 : 12), cap = 8 * total, each = total;
    uint32_t first = middle, last = middle;
    w->frequencies[middle - least] = (uint32_t)total;
    while (last < most) {
        each = least_of(cap, each * (k - last) * (a + 64 * (uint64_t)last) / ((last + 1) * (b + 64 * (uint64_t)(k - last - 1))));
        if (each == 0)
            break;
        coder_pay(w->c, 1);
        w->frequencies[++last - least] = (uint32_t)each;
        total += each;
    }
    each = w->frequencies[middle - least];
    while (first > least) {
        each = least_of(cap, each * first * (b + 64 * (uint64_t)(k - first)) / ((k - first + 1) * (a + 64 * (uint64_t)(first - 1))));
        if (each == 0)
            break;
        coder_pay(w->c, 1);
        w->frequencies[--first - least] = (uint32_t)each;
        total += each;
    }
    total += (first - least) + (most - last);
    uint64_t below = first - least, target = coder_target(w->c, total);
    if (w->c->writing ? j < first : target < below) {
        j = w->c->writing ? j : least + (uint32_t)target;
        coder_symbol(w->c, j - least, 1, total);
        return j;
    }
    for (uint32_t at = first; at <= last; at++) {
        uint32_t freq = w->frequencies[at - least];
        if (w->c->writing ? at == j : target < below + freq) {
            coder_symbol(w->c, below, freq, total);
            return at;
        }
        below += freq;
    }
    j = w->c->writing ? j : last + 1 + (uint32_t)(target - below);
    coder_symbol(w->c, below + (j - last - 1), 1, total);
    return j;
}

static uint64_t weight_between(const uint64_t *sums, uint32_t first, uint32_t end)
{
    return sums ? sums[end] - sums[first] : end - first;
}

/* One of [first, end), by their weights. */
static uint32_t one_of(walk *w, const uint64_t *sums, uint32_t first, uint32_t end, uint32_t value)
{
    uint64_t total = weight_between(sums, first, end), target = coder_target(w->c, total);
    if (!w->c->writing) {
        uint32_t low = first, high = end - 1;
        while (low < high) { /* the last one whose weights before it are at most the target */
            uint32_t middle = low + (high - low + 1) / 2;
            if (weight_between(sums, first, middle) <= target)
                low = middle;
            else
                high = middle - 1;
        }
        value = low;
    }
    coder_symbol(w->c, weight_between(sums, first, value), weight_between(sums, value, value + 1), total);
    return value;
}

/* The sign of a cell, and with it what the cell says. */
static void tell(walk *w, const layer *l, uint32_t row, uint32_t column)
{
    if (row != w->row) {
        w->row = row;
        w->same = l->is_recent ? 6 : 1;
        w->other = 1;
    }
    uint32_t coordinate = coordinate_of(w->x, l, row, column);
    bool usual = l->is_recent && model_fell(w->x, coordinate);
    uint32_t negative = w->c->writing ? *w->next++ & 1 : 0;
    uint32_t flag = coder_flag(w->c, w->same, w->other, negative != usual);
    if (flag)
        w->other++;
    else
        w->same++;
    negative = flag != usual;
    marks_add(&w->x->coded, l->first_cell + row * l->columns + column);
    if (w->sums)
        w->sums[coordinate] += negative ? -w->magnitude : w->magnitude;
}

/* The place of the next pick, as it is written: its row, or its column. */
static uint32_t next_place(const walk *w, const layer *l, bool row)
{
    uint32_t cell = w->c->writing ? *w->next / 2 - l->first_cell : 0;
    return row ? cell / l->columns : cell % l->columns;
}

/* How many of the next k picks are in cells before one. */
static uint32_t picks_before(const walk *w, uint32_t k, uint32_t cell)
{
    uint32_t low = 0;
    while (w->c->writing && low < k) {
        uint32_t middle = (low + k) / 2;
        if (w->next[middle] / 2 < cell)
            low = middle + 1;
        else
            k = middle;
    }
    return low;
}

/* Picks of a range of rows, or of the columns of one row. coded, recent: how many of its cells are. */
static void walk_range(walk *w, layer *l, uint32_t row, uint32_t row_end, uint32_t column, uint32_t column_end, uint32_t k,
                       uint32_t coded, uint32_t recent)
{
    while (k > 0) {
        uint32_t rows = row_end - row, columns = column_end - column;
        if (k == rows * columns) {
            coder_pay(w->c, 16 * (uint64_t)k);
            for (uint32_t r = row; r < row_end; r++)
                for (uint32_t i = column; i < column_end; i++)
                    tell(w, l, r, i);
            return;
        }
        bool by_row = rows > 1;
        const uint64_t *sums = by_row ? l->row_sums : l->column_sums;
        uint32_t first = by_row ? row : column, end = by_row ? row_end : column_end;
        if (k == 1 && coded == 0 && recent == 0 && weight_between(sums, first, end) <= MOST_WEIGHT) {
            coder_pay(w->c, 8);
            uint32_t place = one_of(w, sums, first, end, next_place(w, l, by_row));
            row = by_row ? place : row;
            row_end = by_row ? place + 1 : row_end;
            column = by_row ? column : place;
            column_end = by_row ? column_end : place + 1;
            continue;
        }
        coder_pay(w->c, 12);
        uint32_t middle = first + (end - first) / 2;
        uint32_t start = l->first_cell + row * l->columns + column;
        uint32_t key = by_row ? l->first_cell + middle * l->columns : start + (middle - column);
        uint32_t left_coded = coded ? marks_before(&w->x->coded, key) - marks_before(&w->x->coded, start) : 0;
        uint32_t left_recent = recent ? marks_before(&w->x->recent, key) - marks_before(&w->x->recent, start) : 0;
        uint64_t cells[2] = {key - start, rows * columns - (key - start)};
        uint64_t free[2] = {cells[0] - left_recent, cells[1] - (recent - left_recent)};
        if (w->disjoint) {
            free[0] -= left_coded;
            free[1] -= coded - left_coded;
        }
        uint64_t weight[2] = {weight_between(sums, first, middle), weight_between(sums, middle, end)};
        uint64_t concentration = by_row ? CONCENTRATION_OF_ROWS : CONCENTRATION_OF_COLUMNS;
        if (coded > 0 || recent > 0) {
            fit(&weight[0], &weight[1], MOST_SCALED_WEIGHT);
            for (int half = 0; half < 2; half++)
                if (free[half] < cells[half]) {
                    weight[half] = weight[half] * ((free[half] << 16) / cells[half]) >> 16;
                    weight[half] += weight[half] == 0;
                }
            uint64_t evidence[2] = {CODED_EVIDENCE * (uint64_t)left_coded + RECENT_EVIDENCE * (uint64_t)left_recent,
                                    CODED_EVIDENCE * (uint64_t)(coded - left_coded)
                                        + RECENT_EVIDENCE * (uint64_t)(recent - left_recent)};
            uint64_t both = weight[0] + weight[1];
            for (int half = 0; half < 2; half++)
                weight[half] = 16 * concentration * weight[half] + evidence[half] * both;
            concentration += (evidence[0] + evidence[1]) / 16;
            fit(&weight[0], &weight[1], MOST_SCALED_WEIGHT);
        }
        uint32_t j = split(w, k, free[0], free[1], weight[0], weight[1], concentration, picks_before(w, k, key));
        walk_range(w, l, row, by_row ? middle : row_end, column, by_row ? column_end : middle, j, left_coded, left_recent);
        row = by_row ? middle : row;
        column = by_row ? column : middle;
        k -= j;
        coded -= left_coded;
        recent -= left_recent;
    }
}

static uint32_t exponent(coder *c)
{
    static const uint32_t before[] = {0, 2, 5, 11, 16};
    uint64_t target = coder_target(c, 16);
    uint32_t found = USUAL_EXPONENT;
    for (uint32_t i = 0; !c->writing && i < 4; i++)
        if (target >= before[i])
            found = i;
    coder_symbol(c, before[found], before[found + 1] - before[found], 16);
    return found;
}

static void walk_set(walk *w, uint32_t k)
{
    context *x = w->x;
    uint64_t picks = 0, weights = 0, later_free = x->coordinates - (w->disjoint ? x->coded.marked : 0);
    for (uint32_t i = 0; i < x->layer_count; i++) {
        picks += x->layers[i].picks;
        weights += 2 * x->layers[i].prior + x->priors * x->layers[i].picks;
    }
    for (uint32_t i = 0; k > 0 && i < x->layer_count; i++) {
        layer *l = &x->layers[i];
        uint32_t end = l->first_cell + l->cells, recent = 0;
        uint32_t coded = marks_before(&x->coded, end) - marks_before(&x->coded, l->first_cell);
        if (x->recent_list && !l->is_recent)
            recent = marks_before(&x->recent, end) - marks_before(&x->recent, l->first_cell);
        uint64_t free = l->cells - recent - (w->disjoint ? coded : 0);
        uint64_t weight = 2 * l->prior + x->priors * l->picks;
        later_free -= free;
        weights -= weight;
        uint32_t j = split(w, k, free, later_free, weight, weights, 2 + least_of(picks / 4, 400), picks_before(w, k, end));
        k -= j;
        if (j == 0)
            continue;
        coder_pay(w->c, 32 + (l->has_tables ? ((uint64_t)l->rows + l->columns) / 4 : 0));
        if (l->has_tables && j >= FEWEST_PICKS_FOR_EXPONENTS && !l->has_exponents) {
            uint32_t of_rows = exponent(w->c), of_columns = exponent(w->c);
            layer_weigh(l, of_rows, of_columns);
            l->has_exponents = true;
        }
        w->row = UINT32_MAX;
        walk_range(w, l, 0, l->rows, 0, l->columns, j, coded, recent);
        l->picks += j;
    }
}

static uint32_t code_after(coder *c, uint32_t last, uint32_t next)
{
    int64_t code = last == 0 ? coder_bits(c, 13, next) : (int64_t)last + coder_change(c, (int32_t)next - (int32_t)last);
    if (code < 1 || code > MOST_CODE)
        longjmp(c->end, MALFORMED);
    return (uint32_t)code;
}

void groups_walk(coder *c, context *x, double *sums, uint32_t *frequencies, const group *told, uint32_t told_count)
{
    walk w = {.c = c, .x = x, .sums = sums, .frequencies = frequencies};
    uint32_t code = 0;
    for (uint32_t number = 0;; number++) {
        bool more = number < told_count;
        uint32_t k = coder_uint(c, more ? told[number].count : 0);
        if (k == 0)
            return;
        if (k > MOST_PICKS || k > x->coordinates || number == MOST_GROUPS)
            longjmp(c->end, MALFORMED);
        code = code_after(c, code, more ? told[number].code : 0);
        w.magnitude = magnitude_of(code);
        w.disjoint = number == 0 || !coder_flag(c, 15, 1, 0);
        w.next = more ? told[number].picks : NULL;
        if (w.disjoint && k > x->coordinates - x->coded.marked)
            longjmp(c->end, MALFORMED);
        coder_pay(c, 64 + x->layer_count + least_of(x->coded.marked, 4096 + x->cells / 1024) / 4);
        walk_set(&w, k);
    }
}

/* Terms ------------------------------------------------------------------------------------------------------------ */

uint32_t term_layers(const context *x)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < x->layer_count; i++)
        found += x->layers[i].rows >= 4 && x->layers[i].columns >= 4;
    return found;
}

layer *term_layer(const context *x, uint32_t place)
{
    layer *l = x->layers;
    while (l->rows < 4 || l->columns < 4 || place-- > 0)
        l++;
    return l;
}

/* Signs of rows or columns, one by one; returns how many are not 0. */
static uint32_t term_signs(coder *c, int8_t *signs, uint32_t count, const int8_t *told)
{
    uint32_t z = 40, o = 24, found = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t other = coder_flag(c, z, o, told && told[i] != 0);
        signs[i] = other ? (coder_bits(c, 1, told && told[i] < 0) ? -1 : 1) : 0;
        found += other;
        z += other ? 0 : 24;
        o += other ? 24 : 0;
        if (z + o > 2048) {
            z = z / 2 + 1;
            o = o / 2 + 1;
        }
    }
    return found;
}

void terms_walk(coder *c, context *x, double *sums, room *r, const term *told, uint32_t told_count)
{
    uint32_t count = coder_uint(c, told_count), code = 0, eligible = term_layers(x);
    if (count < 1 || count > MOST_GROUPS || eligible == 0)
        longjmp(c->end, MALFORMED);
    for (uint32_t number = 0; number < count; number++) {
        const term *own = told ? &told[number] : NULL;
        uint32_t place = own ? own->place : (uint32_t)coder_target(c, eligible);
        coder_symbol(c, place, 1, eligible);
        const layer *l = term_layer(x, place);
        code = code_after(c, code, own ? own->code : 0);
        coder_pay(c, 64 + ((uint64_t)l->rows + l->columns) / 2);
        size_t used = r->used;
        int8_t *of_rows = taken(r, l->rows, 1), *of_columns = taken(r, l->columns, 1);
        uint64_t rows = term_signs(c, of_rows, l->rows, own ? own->signs : NULL);
        uint32_t columns = term_signs(c, of_columns, l->columns, own ? own->signs + l->rows : NULL);
        coder_pay(c, rows * least_of(l->columns, 8 * (uint64_t)columns) / 32);
        uint32_t *which = taken(r, columns, sizeof *which), found = 0;
        for (uint32_t column = 0; column < l->columns; column++)
            if (of_columns[column] != 0)
                which[found++] = column;
        double magnitude = magnitude_of(code);
        for (uint32_t row = 0; sums && row < l->rows; row++)
            for (uint32_t i = 0; of_rows[row] != 0 && i < found; i++)
                sums[coordinate_of(x, l, row, which[i])] += of_rows[row] * of_columns[which[i]] * magnitude;
        r->used = used;
    }
}
