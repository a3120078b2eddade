/* Layers, tables and marked cells of a model. */
#include "model.h"

#include <math.h>
#include <string.h>

enum { LEAST_LOG = -5120, USUAL_EXPONENT = 2, RECENT_DISTANCE = 16, RECENT_SHARE = 16 };

void *taken(room *r, size_t count, size_t size)
{
    void *here = r->at + r->used;
    r->used += (count * size + 7) / 8 * 8;
    return here;
}

uint32_t surp_crc(uint32_t crc, const void *bytes, size_t count)
{
    static const uint32_t of_nibble[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    const uint8_t *each = bytes;
    for (crc = ~crc; count > 0; count--, each++) {
        crc = of_nibble[(crc ^ *each) & 15] ^ crc >> 4;
        crc = of_nibble[(crc ^ *each >> 4) & 15] ^ crc >> 4;
    }
    return ~crc;
}

static uint32_t crc_of_number(uint32_t crc, uint64_t number, unsigned bytes)
{
    for (; bytes > 0; bytes--, number >>= 8) {
        uint8_t byte = (uint8_t)number;
        crc = surp_crc(crc, &byte, 1);
    }
    return crc;
}

uint32_t surp_fingerprint(size_t array_count, const char *const *names, const size_t *axes, const size_t *const *lengths)
{
    uint32_t crc = 0;
    for (size_t i = 0; i < array_count; i++) {
        if (i > 0)
            crc = surp_crc(crc, "\n", 1);
        crc = surp_crc(surp_crc(crc, names[i], strlen(names[i])), " [", 2);
        for (size_t axis = 0; axis < axes[i]; axis++) {
            char digits[24];
            size_t first = sizeof digits, left = lengths[i][axis];
            do
                digits[--first] = (char)('0' + left % 10);
            while ((left /= 10) > 0);
            crc = surp_crc(crc, ", ", axis > 0 ? 2 : 0);
            crc = surp_crc(crc, digits + first, sizeof digits - first);
        }
        crc = surp_crc(crc, "]", 1);
    }
    return crc;
}

/* Marks ------------------------------------------------------------------------------------------------------------ */

static unsigned bits_in(uint64_t word)
{
    word -= word >> 1 & UINT64_C(0x5555555555555555);
    word = (word & UINT64_C(0x3333333333333333)) + (word >> 2 & UINT64_C(0x3333333333333333));
    return (unsigned)(((word + (word >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f)) * UINT64_C(0x0101010101010101) >> 56);
}

void marks_make(marks *m, room *r, uint32_t cells)
{
    m->word_count = cells / 64 + 1;
    m->marked = 0;
    m->words = taken(r, m->word_count, sizeof *m->words);
    m->sums = taken(r, m->word_count + 1, sizeof *m->sums);
    memset(m->words, 0, m->word_count * sizeof *m->words);
    memset(m->sums, 0, (m->word_count + 1) * sizeof *m->sums);
}

bool marks_add(marks *m, uint32_t cell)
{
    uint64_t bit = UINT64_C(1) << cell % 64;
    if (m->words[cell / 64] & bit)
        return false;
    m->words[cell / 64] |= bit;
    m->marked++;
    for (uint32_t place = cell / 64 + 1; place <= m->word_count; place += place & (~place + 1))
        m->sums[place]++;
    return true;
}

uint32_t marks_before(const marks *m, uint32_t cell)
{
    uint32_t found = bits_in(m->words[cell / 64] & ((UINT64_C(1) << cell % 64) - 1));
    for (uint32_t place = cell / 64; place > 0; place -= place & (~place + 1))
        found += m->sums[place];
    return found;
}

/* Tables ----------------------------------------------------------------------------------------------------------- */

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Log2 weights of rows (columns) from the bits of the largest value in each, and their ranks; `ranks` has 5,122 places. */
static void rank(const uint32_t *largest, uint32_t count, uint32_t *by_rank, int16_t *logs, uint32_t *ranks)
{
    int32_t most = 0, least = INT32_MAX, places = 0;
    for (int pass = 0; pass < 3; pass++) { /* the largest and the least; how many have each; where they go */
        if (pass == 1) {
            places = 2 - (least - most < LEAST_LOG ? LEAST_LOG : least - most);
            memset(ranks, 0, (size_t)places * sizeof *ranks);
        }
        for (uint32_t i = 0; i < count; i++) {
            uint32_t bits = largest[i], exponent = bits >> 23;
            int32_t log = exponent ? (int32_t)(256 * exponent) + (int32_t)lrint(256 * log2(1 + (bits >> 15 & 255) / 256.0)) : 0;
            if (pass == 0) {
                most = log > most ? log : most;
                least = log < least ? log : least;
                continue;
            }
            log = log - most < LEAST_LOG ? LEAST_LOG : log - most;
            if (pass == 1) {
                ranks[1 - log]++;
            } else {
                uint32_t place = ranks[-log]++;
                by_rank[place] = i;
                logs[place] = (int16_t)log;
            }
        }
        if (pass == 1)
            for (int each = 1; each < places; each++)
                ranks[each] += ranks[each - 1];
    }
}

static void make_tables(layer *l, const float *model, room *r)
{
    l->row_of = taken(r, l->rows, sizeof *l->row_of);
    l->column_of = taken(r, l->columns, sizeof *l->column_of);
    l->row_logs = taken(r, l->rows, sizeof *l->row_logs);
    l->column_logs = taken(r, l->columns, sizeof *l->column_logs);
    l->row_sums = taken(r, l->rows + 1, sizeof *l->row_sums);
    l->column_sums = taken(r, l->columns + 1, sizeof *l->column_sums);
    size_t before = r->used;
    uint32_t *rows = taken(r, l->rows, sizeof *rows), *columns = taken(r, l->columns, sizeof *columns);
    uint32_t *ranks = taken(r, 2 - LEAST_LOG, sizeof *ranks);
    memset(rows, 0, l->rows * sizeof *rows);
    memset(columns, 0, l->columns * sizeof *columns);
    for (uint32_t row = 0; row < l->rows; row++)
        for (uint32_t column = 0; column < l->columns; column++) {
            uint32_t bits = bits_of(model[l->start + row * l->columns + column]) & 0x7fffffff;
            rows[row] = bits > rows[row] ? bits : rows[row];
            columns[column] = bits > columns[column] ? bits : columns[column];
        }
    rank(rows, l->rows, l->row_of, l->row_logs, ranks);
    rank(columns, l->columns, l->column_of, l->column_logs, ranks);
    r->used = before;
    l->has_tables = true;
    layer_weigh(l, USUAL_EXPONENT, USUAL_EXPONENT);
}

static void weigh(const int16_t *logs, uint32_t count, unsigned exponent, uint64_t *sums)
{
    sums[0] = 0;
    for (uint32_t i = 0; i < count; i++) {
        unsigned d = exponent * (unsigned)-logs[i], shift = d >> 8;
        uint32_t weight = shift < 15 ? (uint32_t)lrint(exp2(14 - (d & 255) / 256.0)) >> shift : 0;
        sums[i + 1] = sums[i] + (weight > 0 ? weight : 1);
    }
}

void layer_weigh(layer *l, unsigned row_exponent, unsigned column_exponent)
{
    weigh(l->row_logs, l->rows, row_exponent, l->row_sums);
    weigh(l->column_logs, l->columns, column_exponent, l->column_sums);
}

static uint32_t digest_of(const context *x)
{
    uint32_t digest = 0;
    for (int table = 0; table < 4; table++)
        for (uint32_t i = 0; i < x->layer_count; i++) {
            const layer *l = &x->layers[i];
            for (uint32_t place = 0; l->has_tables && place < (table % 2 ? l->columns : l->rows); place++) {
                const int16_t *logs = table % 2 ? l->column_logs : l->row_logs;
                const uint32_t *which = table % 2 ? l->column_of : l->row_of;
                digest = crc_of_number(digest, table < 2 ? (uint64_t)(int64_t)logs[place] : which[place], 4);
            }
        }
    return digest;
}

/* The recent layer ------------------------------------------------------------------------------------------------- */

static int64_t ordered(float value)
{
    int64_t bits = bits_of(value);
    return bits >> 31 ? -(bits & 0x7fffffff) : bits;
}

bool model_fell(const context *x, uint32_t coordinate)
{
    return x->model[coordinate] < x->before[coordinate];
}

static void find_recent(context *x, const surp_model *model, room *r)
{
    uint32_t most = x->coordinates / RECENT_SHARE, found = 0;
    uint32_t *list = taken(r, most, sizeof *list);
    for (uint32_t i = 0; i < x->coordinates; i++) {
        int64_t apart = ordered(model->model[i]) - ordered(model->before[i]);
        if (apart <= RECENT_DISTANCE && apart >= -RECENT_DISTANCE)
            continue;
        if (found == most)
            return;
        list[found++] = i;
    }
    if (found == 0)
        return;
    x->recent_list = list;
    x->model = model->model;
    x->before = model->before;
    memmove(x->layers + 1, x->layers, x->layer_count++ * sizeof *x->layers);
    x->layers[0] = (layer){.rows = 1, .columns = found, .cells = found, .is_recent = true};
    for (uint32_t i = 0; i < found; i++)
        x->digest = crc_of_number(x->digest, list[i], 8);
    for (uint32_t i = 0; i < found; i += 8) {
        uint8_t byte = 0;
        for (uint32_t bit = 0; bit < 8 && i + bit < found; bit++)
            byte |= (uint8_t)(model_fell(x, list[i + bit]) << (7 - bit));
        x->digest = surp_crc(x->digest, &byte, 1);
    }
}

/* Marks the cells of recent coordinates in their own layers. */
static void mark_recent(context *x)
{
    uint32_t end = x->layers[0].cells;
    for (uint32_t i = 1; i < x->layer_count; i++) {
        const layer *l = &x->layers[i];
        uint32_t low = 0, high = end;
        while (low < high) {
            uint32_t middle = (low + high) / 2;
            if (x->recent_list[middle] < l->start)
                low = middle + 1;
            else
                high = middle;
        }
        if (low == end || x->recent_list[low] - l->start >= l->cells)
            continue;
        for (uint32_t row = 0; row < l->rows; row++) /* in the order of cells */
            for (uint32_t column = 0; column < l->columns; column++) {
                uint32_t coordinate = coordinate_of(x, l, row, column);
                int64_t apart = ordered(x->model[coordinate]) - ordered(x->before[coordinate]);
                if (apart > RECENT_DISTANCE || apart < -RECENT_DISTANCE)
                    marks_add(&x->recent, l->first_cell + row * l->columns + column);
            }
    }
}

/* All together ----------------------------------------------------------------------------------------------------- */

uint64_t model_coordinates(const surp_model *model)
{
    uint64_t found = 0;
    for (size_t i = 0; i < model->array_count && found < MOST_COORDINATES; i++)
        found += (uint64_t)model->arrays[i].rows * model->arrays[i].columns;
    return found;
}

uint32_t coordinate_of(const context *x, const layer *l, uint32_t row, uint32_t column)
{
    if (l->is_recent)
        return x->recent_list[column];
    if (!l->has_tables)
        return l->start + row * l->columns + column;
    return l->start + l->row_of[row] * l->columns + l->column_of[column];
}

static uint64_t prior_of(uint32_t cells)
{
    uint64_t root = 0;
    for (uint64_t bit = UINT64_C(1) << 17; bit > 0; bit /= 2)
        if ((root + bit) * (root + bit) <= 16 * (uint64_t)cells)
            root += bit;
    return root > 0 ? root : 1;
}

void context_make(context *x, const surp_model *model, int kind, room *r)
{
    *x = (context){.coordinates = (uint32_t)model_coordinates(model)};
    x->layers = taken(r, model->array_count + 1, sizeof *x->layers);
    uint32_t start = 0;
    for (size_t i = 0; i < model->array_count; i++) {
        const surp_array *a = &model->arrays[i];
        uint32_t cells = a->rows * a->columns, place = x->layer_count;
        if (cells > 0) { /* sorted in, after those that have as many cells */
            for (; place > 0 && x->layers[place - 1].cells > cells; place--)
                x->layers[place] = x->layers[place - 1];
            x->layers[place] = (layer){.rows = a->rows, .columns = a->columns, .cells = cells, .start = start};
            x->layer_count++;
        }
        start += cells;
    }
    for (uint32_t i = 0; kind != NO_CONTEXT && i < x->layer_count; i++) {
        layer *l = &x->layers[i];
        if (l->rows > 1 && l->columns > 1 && 4 * ((uint64_t)l->rows + l->columns) <= l->cells)
            make_tables(l, model->model, r);
    }
    x->digest = digest_of(x);
    if (kind == OF_HISTORY)
        find_recent(x, model, r);
    for (uint32_t i = 0; i < x->layer_count; i++) {
        layer *l = &x->layers[i];
        l->first_cell = x->cells;
        x->cells += l->cells;
        l->prior = prior_of(l->cells);
        x->priors += l->prior;
    }
    marks_make(&x->coded, r, x->cells);
    if (x->recent_list) {
        marks_make(&x->recent, r, x->cells);
        mark_recent(x);
    }
}
