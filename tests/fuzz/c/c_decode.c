/* libFuzzer's entry: any body, in a frame whose check holds, for one of a few models. Byte 0 chooses the model and what is known. */
#include "model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const surp_array SMALL[] = {{6, 18}, {1, 6}, {20, 24}, {1, 1}, {0, 3}};
static const surp_array WIDE[] = {{2, 250}, {1, 90}, {90, 2}, {5, 5}, {1, 0}};
static const surp_array ROW[] = {{1, 4200}}; /* longer than the runs for which a row is charged */
static const surp_array TINY[] = {{4, 4}, {1, 1}, {3, 2}};
static const surp_array PAIR[] = {{1, 1}, {1, 2}};
static const surp_array TABLES[] = {{16, 8}, {1, 5}, {9, 12}};
static const surp_array SHORT[] = {{1, 90}, {0, 1}, {30, 1}};
static const surp_array SQUARE[] = {{8, 8}};
static const surp_array LONG[] = {{1, 700}};
static const surp_array ODD[] = {{3, 5}, {7, 7}, {5, 3}};
static const surp_array TALL[] = {{64, 2}, {2, 64}};
static const surp_array DENSE_LAYERS[] = {{12, 16}, {1, 12}, {16, 12}, {1, 16}};
static const surp_array EMPTY[] = {{0, 0}, {1, 9}};
static const surp_array FOUR[] = {{33, 4}, {4, 33}};
static const surp_array ONE[] = {{1, 1}};
static const surp_array LIKE[] = {{9, 9}, {9, 9}, {9, 9}};
static const struct {
    const surp_array *arrays;
    size_t count;
} OF[] = {{SMALL, 5}, {WIDE, 5}, {ROW, 1}, {TINY, 3}, {PAIR, 2}, {TABLES, 3}, {SHORT, 3}, {SQUARE, 1},
          {LONG, 1}, {ODD, 3}, {TALL, 2}, {DENSE_LAYERS, 4}, {EMPTY, 2}, {FOUR, 2}, {ONE, 1}, {LIKE, 3}};

enum { MODELS = sizeof OF / sizeof *OF, MOST = 8192, LONGEST = 1 << 16 };

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
    unsigned which = (data[0] & 3) | (data[0] >> 2 & 12);
    surp_model whole = {.arrays = OF[which].arrays, .array_count = OF[which].count, .fingerprint = 7};
    whole.model = sent;
    whole.before = before;
    surp_model model = whole;
    model.model = data[0] & 4 ? sent : NULL;
    model.before = data[0] & 8 ? before : NULL;
    uint64_t coordinates = model_coordinates(&model);
    static void *workspaces[MODELS];
    static float *results[MODELS];
    static uint32_t covered[MODELS][3]; /* by the check: the same in all messages about a model */
    if (!workspaces[which]) { /* of exactly the size that is promised: the sanitizer sees a byte beyond */
        workspaces[which] = malloc(surp_workspace(&model));
        results[which] = malloc(coordinates * sizeof(float));
        for (int kind = NO_CONTEXT; kind <= OF_HISTORY; kind++)
            covered[which][kind] = frame_data(&whole, kind, workspaces[which]);
    }
    void *workspace = workspaces[which];
    float *result = results[which];
    memcpy(message + SURP_HEADER_BYTES, data + 1, size - 1);
    size_t length = size - 1 + SURP_HEADER_BYTES;
    frame_put(message, length, covered[which][frame_kind(data + 1, size - 1)]);
    surp_status status = surp_decode(message, length, &model, result, workspace);
    for (uint64_t i = 0; status == SURP_OK && i < coordinates; i++)
        if (!isfinite(result[i]))
            abort();
    if (status != SURP_OK && status != SURP_MALFORMED && status != SURP_NO_REFERENCE)
        abort();
    return 0;
}
