/* The range coder's two ends, and the numbers that are made of its symbols. */
#include "coder.h"

#define FULL ((UINT64_C(1) << 48) - 1)
#define SHIFTED_BELOW (UINT64_C(1) << 40)

enum { FIRST_BYTES = 6, FIRST_CREDIT = 1 << 18, CREDIT_OF_A_BYTE = 1 << 10, MOST_BITS = 24 };
enum { COUNTED = 16, MOST_COUNTED = 1 << 12 };

static void begin(coder *c, size_t length, uint64_t coordinates)
{
    c->length = length;
    c->range = FULL;
    c->low = c->gap = 0;
    c->spare = true;
    c->credit = FIRST_CREDIT + (int64_t)(coordinates / 16);
}

void coder_read(coder *c, const uint8_t *data, size_t length, uint64_t coordinates)
{
    begin(c, length, coordinates);
    c->writing = false;
    c->data = data;
    for (c->at = 0; c->at < FIRST_BYTES; c->at++) {
        bool missing = c->at >= length;
        c->low = c->low << 8 | (missing ? 0 : data[c->at]);
        c->gap = c->gap << 8 | (missing ? 255 : 0);
    }
}

void coder_write(coder *c, uint8_t *to, size_t room, uint64_t coordinates)
{
    begin(c, room, coordinates);
    c->writing = true;
    c->to = to;
    c->at = 0;
}

void coder_pay(coder *c, uint64_t work)
{
    if ((uint64_t)c->credit < work)
        longjmp(c->end, MALFORMED);
    c->credit -= (int64_t)work;
}

uint64_t coder_target(const coder *c, uint64_t total)
{
    uint64_t target = c->low / (c->range / total);
    return target < total ? target : total - 1;
}

/* Whether a symbol is determined without the last byte, which may still be in the code. */
static bool determined_without_last(const coder *c, uint64_t below, uint64_t width)
{
    if (c->at < c->length || c->length == 0)
        return c->at < c->length;
    unsigned places = 8 * (unsigned)(c->at - c->length); /* from the last byte down to the code's end; below 48, as the range is */
    if (places > 40)
        return false;
    uint64_t last = (uint64_t)c->data[c->length - 1] << places;
    uint64_t unknown = (UINT64_C(256) << places) - 1;
    return c->low >= below + last && c->low - last + unknown - below < width;
}

static void carry(coder *c)
{
    size_t place = c->at;
    while (++c->to[--place] == 0) {
    }
}

static void shift(coder *c)
{
    if (c->writing) {
        if (c->at == c->length)
            longjmp(c->end, CUT);
        c->to[c->at++] = (uint8_t)(c->low >> 40);
        c->low = c->low << 8 & FULL;
    } else {
        bool missing = c->at >= c->length;
        c->low = c->low << 8 | (missing ? 0 : c->data[c->at]);
        c->gap = c->gap << 8 | (missing ? 255 : 0);
        c->at++;
    }
    c->range <<= 8;
    c->credit += CREDIT_OF_A_BYTE;
}

static void narrow(coder *c, uint64_t below, uint64_t width)
{
    if (c->writing) {
        c->low += below;
        if (c->low > FULL) {
            c->low &= FULL;
            carry(c);
        }
    } else {
        if (c->low < below || c->low + c->gap - below >= width)
            longjmp(c->end, CUT);
        c->spare = c->spare && determined_without_last(c, below, width);
        c->low -= below;
    }
    c->range = width;
    while (c->range < SHIFTED_BELOW)
        shift(c);
}

void coder_symbol(coder *c, uint64_t cum, uint64_t freq, uint64_t total)
{
    uint64_t unit = c->range / total, below = unit * cum;
    narrow(c, below, cum + freq == total ? c->range - below : unit * freq);
}

size_t coder_finish(coder *c)
{
    for (unsigned bytes = 0; bytes <= FIRST_BYTES; bytes++) {
        uint64_t step = UINT64_C(1) << (48 - 8 * bytes), value = (c->low + step - 1) / step * step;
        if (value + step > c->low + c->range)
            continue;
        if (c->length - c->at < bytes)
            return 0;
        if (value > FULL)
            carry(c);
        for (unsigned place = 0; place < bytes; place++)
            c->to[c->at++] = (uint8_t)(value >> (40 - 8 * place));
        return c->at;
    }
    return 0;
}

uint32_t coder_bits(coder *c, unsigned width, uint32_t value)
{
    if (width == 0)
        return 0;
    uint64_t total = UINT64_C(1) << width;
    if (!c->writing)
        value = (uint32_t)coder_target(c, total);
    coder_symbol(c, value, 1, total);
    return value;
}

uint32_t coder_flag(coder *c, uint64_t zeros, uint64_t ones, uint32_t value)
{
    uint64_t split = ones > 0 ? c->range / (zeros + ones) * zeros : c->range;
    if (!c->writing)
        value = c->low >= split;
    narrow(c, value ? split : 0, value ? c->range - split : split);
    return value;
}

uint32_t coder_uint(coder *c, uint32_t value)
{
    unsigned bits = 0;
    while (value >> bits > 0)
        bits++;
    bits = coder_bits(c, 5, bits);
    if (bits > MOST_BITS)
        longjmp(c->end, MALFORMED);
    if (bits < 2)
        return bits;
    uint32_t leading = UINT32_C(1) << (bits - 1);
    return leading | coder_bits(c, bits - 1, value & (leading - 1));
}

uint32_t coder_zigzag(int32_t value)
{
    return value < 0 ? (uint32_t)(-value) * 2 - 1 : (uint32_t)value * 2;
}

int32_t coder_change(coder *c, int32_t value)
{
    uint32_t coded = coder_uint(c, coder_zigzag(value));
    return coded % 2 ? -(int32_t)(coded / 2) - 1 : (int32_t)(coded / 2);
}

uint32_t coder_counted(coder *c, counts *learnt, uint32_t value)
{
    value = coder_flag(c, learnt->zeros, learnt->ones, value);
    if (value)
        learnt->ones += COUNTED;
    else
        learnt->zeros += COUNTED;
    if (learnt->zeros + learnt->ones > MOST_COUNTED) {
        learnt->zeros -= learnt->zeros / 2;
        learnt->ones -= learnt->ones / 2;
    }
    return value;
}
