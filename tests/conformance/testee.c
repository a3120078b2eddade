/* The C reader and writer as a testee: requests on standard input, one a line, answers on standard output, one a line.

   decode FINGERPRINT ARRAYS MESSAGE MODEL BEFORE      ok CRC | malformed | damaged | no-reference | unknown-version | unknown-scheme
   encode FINGERPRINT ARRAYS BUDGET UPDATE MODEL       ok MESSAGE | invalid

   ARRAYS: rows x columns of each, joined by commas, as 20x25,1x20; or "-" for none. MESSAGE, and float32 vectors: hexadecimal
   digits; "-" for nothing. CRC: CRC-32 of the result's bytes, each -0 as 0. Numbers are decimal. */
#include "surp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const ANSWERS[] = {"ok", "malformed", "damaged", "no-reference", "unknown-version", "unknown-scheme", "invalid"};

static void *memory(size_t bytes)
{
    void *found = malloc(bytes > 0 ? bytes : 1);
    if (!found)
        exit(1);
    return found;
}

static char *read_line(void)
{
    size_t room = 1 << 16, used = 0;
    char *line = memory(room);
    int next;
    while ((next = getchar()) != EOF && next != '\n') {
        line[used++] = (char)next;
        if (used == room) {
            line = realloc(line, room *= 2);
            if (!line)
                exit(1);
        }
    }
    line[used] = 0;
    if (next == EOF && used == 0) {
        free(line);
        return NULL;
    }
    return line;
}

static uint8_t *bytes_of(const char *digits, size_t *count)
{
    *count = strcmp(digits, "-") == 0 ? 0 : strlen(digits) / 2;
    uint8_t *bytes = memory(*count);
    for (size_t i = 0; i < *count; i++) {
        char pair[3] = {digits[2 * i], digits[2 * i + 1], 0};
        bytes[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return bytes;
}

/* A vector, from its little-endian float32 values; NULL for "-". */
static float *vector_of(const char *digits, size_t coordinates)
{
    size_t count;
    uint8_t *bytes = bytes_of(digits, &count);
    float *values = NULL;
    if (strcmp(digits, "-") != 0 || coordinates == 0) {
        if (count != 4 * coordinates)
            exit(2);
        values = memory(4 * coordinates);
        for (size_t i = 0; i < coordinates; i++) {
            uint32_t bits = 0;
            for (int byte = 3; byte >= 0; byte--)
                bits = bits << 8 | bytes[4 * i + (size_t)byte];
            memcpy(&values[i], &bits, 4);
        }
    }
    free(bytes);
    return values;
}

static surp_array *arrays_of(const char *text, size_t *count, size_t *coordinates)
{
    surp_array *arrays = memory(strlen(text) * sizeof *arrays);
    *count = *coordinates = 0;
    while (*text && *text != '-') {
        char *end;
        surp_array *each = &arrays[(*count)++];
        each->rows = (uint32_t)strtoul(text, &end, 10);
        each->columns = (uint32_t)strtoul(end + 1, &end, 10);
        *coordinates += (size_t)each->rows * each->columns;
        text = *end == ',' ? end + 1 : end;
    }
    return arrays;
}

static uint32_t crc_of(const float *values, size_t count)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        float value = values[i] + 0.0f; /* no -0 */
        memcpy(&bits, &value, 4);
        for (int byte = 0; byte < 4; byte++, bits >>= 8) {
            crc ^= bits & 255;
            for (int bit = 0; bit < 8; bit++)
                crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
        }
    }
    return ~crc;
}

static void answer_decode(const surp_model *model, const char *digits, size_t coordinates)
{
    size_t length;
    uint8_t *message = bytes_of(digits, &length);
    float *result = memory(coordinates * sizeof *result);
    void *workspace = memory(surp_workspace(model));
    surp_status status = surp_decode(message, length, model, result, workspace);
    if (status == SURP_OK)
        printf("ok %lu\n", (unsigned long)crc_of(result, coordinates));
    else
        puts(ANSWERS[status]);
    free(message);
    free(result);
    free(workspace);
}

static void answer_encode(const surp_model *model, size_t budget, const char *digits, size_t coordinates)
{
    size_t length;
    float *update = vector_of(digits, coordinates), *told = memory(coordinates * sizeof *told);
    uint8_t *message = memory(budget);
    void *workspace = memory(surp_workspace(model));
    surp_status status = surp_encode(update, budget, model, message, &length, told, workspace);
    printf("%s", ANSWERS[status]);
    if (status == SURP_OK)
        putchar(' ');
    for (size_t i = 0; status == SURP_OK && i < length; i++)
        printf("%02x", message[i]);
    putchar('\n');
    free(update);
    free(told);
    free(message);
    free(workspace);
}

int main(void)
{
    char *line;
    while ((line = read_line()) != NULL) {
        const char *fields[6];
        size_t count = 0, coordinates;
        for (char *each = strtok(line, " "); each && count < 6; each = strtok(NULL, " "))
            fields[count++] = each;
        if (count != 6)
            return 2;
        surp_model model = {.fingerprint = (uint32_t)strtoul(fields[1], NULL, 10)};
        surp_array *arrays = arrays_of(fields[2], &model.array_count, &coordinates);
        model.arrays = arrays;
        if (strcmp(fields[0], "decode") == 0) {
            float *sent = vector_of(fields[4], coordinates), *before = vector_of(fields[5], coordinates);
            model.model = sent;
            model.before = before;
            answer_decode(&model, fields[3], coordinates);
            free(sent);
            free(before);
        } else {
            float *sent = vector_of(fields[5], coordinates);
            model.model = sent;
            answer_encode(&model, (size_t)strtoul(fields[3], NULL, 10), fields[4], coordinates);
            free(sent);
        }
        fflush(stdout);
        free(arrays);
        free(line);
    }
    return 0;
}
