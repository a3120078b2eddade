/* Messages: the frame, which scheme, which context, and what comes out. FORMAT.md, "Frame" and "Body". */
#include "groups.h"
#include "trellis.h"

#include <math.h>
#include <string.h>

enum { VERSION = 1, DENSE = 0, SURP = 3, MORE = 3, TERMS = 1, FACTORS = 2, LOW24 = 0xffffff };

size_t surp_workspace(const surp_model *model)
{
    uint64_t coordinates = model_coordinates(model), picks = coordinates < MOST_PICKS ? coordinates : MOST_PICKS;
    if (coordinates >= MOST_COORDINATES || model->array_count >= MOST_COORDINATES)
        return 0;
    uint64_t bytes = 21 * coordinates + 4 * picks + 320 * (uint64_t)model->array_count + 160000;
    return bytes > SIZE_MAX ? 0 : (size_t)bytes;
}

static uint32_t check_of(const uint8_t *message, size_t length, uint32_t data)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)length >> 8 * i);
    uint32_t own = surp_crc(surp_crc(surp_crc(0, bytes, 8), message, 1), message + SURP_HEADER_BYTES, length - SURP_HEADER_BYTES);
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(data >> 8 * i);
    return (own ^ surp_crc(0, bytes, 4)) & LOW24;
}

static bool checked(const uint8_t *message, size_t length, uint32_t data)
{
    return check_of(message, length, data) == ((uint32_t)message[1] << 16 | (uint32_t)message[2] << 8 | message[3]);
}

int frame_kind(const uint8_t *body, size_t length)
{
    coder c;
    coder_read(&c, body, length, 0);
    c.gap = 0;
    if (setjmp(c.end))
        return NO_CONTEXT;
    uint32_t kind = coder_bits(&c, 2, 0);
    if (kind == MORE)
        kind = coder_bits(&c, 2, 0);
    return kind == MORE ? NO_CONTEXT : (int)kind;
}

/* What a message's check covers beside it. */
static uint32_t data_of(const surp_model *model, const context *x)
{
    uint8_t digest[4] = {(uint8_t)x->digest, (uint8_t)(x->digest >> 8), (uint8_t)(x->digest >> 16), (uint8_t)(x->digest >> 24)};
    return x->digest ? surp_crc(model->fingerprint, digest, sizeof digest) : model->fingerprint;
}

uint32_t frame_data(const surp_model *model, int kind, void *workspace)
{
    room r = {.at = workspace};
    context x;
    context_make(&x, model, kind, &r);
    return data_of(model, &x);
}

void frame_put(uint8_t *message, size_t length, uint32_t data)
{
    message[0] = VERSION << 5 | SURP;
    uint32_t check = check_of(message, length, data);
    for (int i = 0; i < 3; i++)
        message[1 + i] = (uint8_t)(check >> (16 - 8 * i));
}

static surp_status decode_dense(const uint8_t *body, size_t length, uint64_t coordinates, float *result)
{
    if (length != 4 * coordinates)
        return SURP_MALFORMED;
    for (uint64_t i = 0; i < coordinates; i++) {
        const uint8_t *each = body + 4 * i;
        uint32_t bits = each[0] | (uint32_t)each[1] << 8 | (uint32_t)each[2] << 16 | (uint32_t)each[3] << 24;
        memcpy(&result[i], &bits, sizeof bits);
        if ((bits >> 23 & 255) == 255)
            return SURP_MALFORMED;
    }
    return SURP_OK;
}

/* What follows the frame; what is told is added to sums, or by the trellis mode to result. */
static void read_body(coder *c, context *x, double *sums, float *result, factors *f, room *r)
{
    bool by_trellis = false;
    if (coder_bits(c, 2, 0) == MORE) {
        by_trellis = coder_bits(c, 2, 0) == MORE;
        uint32_t beside = by_trellis ? coder_bits(c, 2, 0) : TERMS;
        if (beside > FACTORS)
            longjmp(c->end, MALFORMED);
        if (beside == TERMS)
            terms_walk(c, x, sums, r, NULL, 0);
        if (beside == FACTORS)
            factors_read(c, x, f, sums, r);
    }
    if (by_trellis)
        trellis_read(c, x, result, r);
    else
        groups_walk(c, x, sums, taken(r, frequencies_of(x), sizeof(uint32_t)), NULL, 0);
    if (c->spare)
        longjmp(c->end, MALFORMED);
}

static surp_status decode_surp(const uint8_t *body, size_t length, context *x, float *result, room *r)
{
    static const uint8_t beyond[6] = {255, 255, 255, 255, 255, 255};
    if (length >= sizeof beyond && memcmp(body, beyond, sizeof beyond) == 0)
        return SURP_MALFORMED;
    double *sums = taken(r, x->coordinates, sizeof *sums);
    factors *f = factors_none(x, r);
    coder c;
    memset(sums, 0, x->coordinates * sizeof *sums);
    memset(result, 0, x->coordinates * sizeof *result);
    coder_read(&c, body, length, x->coordinates);
    switch (setjmp(c.end)) {
    case 0:
        read_body(&c, x, sums, result, f, r);
        break;
    case MALFORMED:
        return SURP_MALFORMED;
    }
    if (setjmp(c.end))
        return SURP_MALFORMED;
    if (factors_pending(f))
        factors_add(&c, f, sums);
    for (uint32_t i = 0; i < x->coordinates; i++) {
        double sum = sums[i] + result[i];
        if (fabs(sum) >= 0x1.ffffffp127) /* what rounds to infinity */
            return SURP_MALFORMED;
        result[i] = (float)sum;
    }
    return SURP_OK;
}

surp_status surp_decode(const uint8_t *message, size_t length, const surp_model *model, float *result, void *workspace)
{
    uint64_t coordinates = model_coordinates(model);
    if (coordinates >= MOST_COORDINATES)
        return SURP_INVALID;
    if (length < SURP_HEADER_BYTES)
        return SURP_MALFORMED;
    if (message[0] >> 5 != VERSION)
        return SURP_UNKNOWN_VERSION;
    const uint8_t *body = message + SURP_HEADER_BYTES;
    size_t body_length = length - SURP_HEADER_BYTES;
    switch (message[0] & 31) {
    case DENSE:
        return checked(message, length, model->fingerprint) ? decode_dense(body, body_length, coordinates, result) : SURP_DAMAGED;
    case SURP: {
        int kind = frame_kind(body, body_length);
        if ((kind != NO_CONTEXT && !model->model) || (kind == OF_HISTORY && !model->before))
            return SURP_NO_REFERENCE;
        room r = {.at = workspace};
        context x;
        context_make(&x, model, kind, &r);
        return checked(message, length, data_of(model, &x)) ? decode_surp(body, body_length, &x, result, &r) : SURP_DAMAGED;
    }
    default:
        return SURP_UNKNOWN_SCHEME;
    }
}
