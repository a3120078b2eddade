/* libFuzzer's entry: any body, in a frame whose check holds, for one of a few models. Byte 0 chooses the model and what is known. */
#include "model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const surp_array SMALL[] = {{6, 18}, {1, 6}, {40, 30}, {1, 1}, {0, 3}};
static const surp_array WIDE[] = {{2, 900}, {1, 300}, {300, 2}, {5, 5}, {1, 0}};
static const surp_array ROW[] = {{1, 5000}};
static const surp_array TINY[] = {{4, 4}, {1, 1}, {3, 2}};
static const struct {
    const surp_array *arrays;
    size_t count;
} MODELS[] = {{SMALL, 5}, {WIDE, 5}, {ROW, 1}, {TINY, 3}};

enum { MOST = 8192, LONGEST = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static float sent[MOST], before[MOST];
    static uint8_t message[LONGEST];
    if (size < 1 || size > LONGEST - SURP_HEADER_BYTES)
        return 0;
    if (before[0] == 0)
        for (uint32_t i = 0; i < MOST; i++) {
            sent[i] = (float)ldexp((double)(i * 2654435761u % 2001) - 1000, -(int)(i * 40503 % 13));
            before[i] = sent[i] + (i % 23 == 0 ? 0.25f : 0);
        }
    surp_model model = {.arrays = MODELS[data[0] & 3].arrays, .array_count = MODELS[data[0] & 3].count, .fingerprint = 7};
    model.model = data[0] & 4 ? sent : NULL;
    model.before = data[0] & 8 ? before : NULL;
    uint64_t coordinates = model_coordinates(&model);
    static void *workspaces[4];
    static float *results[4];
    if (!workspaces[data[0] & 3]) { /* of exactly the size that is promised: the sanitizer sees a byte beyond */
        workspaces[data[0] & 3] = malloc(surp_workspace(&model));
        results[data[0] & 3] = malloc(coordinates * sizeof(float));
    }
    void *workspace = workspaces[data[0] & 3];
    float *result = results[data[0] & 3];
    memcpy(message + SURP_HEADER_BYTES, data + 1, size - 1);
    size_t length = size - 1 + SURP_HEADER_BYTES;
    surp_model whole = model;
    whole.model = sent;
    whole.before = before;
    frame_put(message, length, &whole, workspace);
    surp_status status = surp_decode(message, length, &model, result, workspace);
    for (uint64_t i = 0; status == SURP_OK && i < coordinates; i++)
        if (!isfinite(result[i]))
            abort();
    if (status != SURP_OK && status != SURP_MALFORMED && status != SURP_NO_REFERENCE)
        abort();
    return 0;
}
